/**
 * Priorities of single threads, which Linux has: a vCPU goes before the threads that compile for it.
 *
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { constants, getPriority, setPriority } from 'node:os';

/**
 * How much nicer: at 5 a thread that shares a core with another gets a quarter of it. At 10 it is a tenth, and on a host that has no core
 * free nothing was translated within seconds.
 */
const STEPS = 5;

/** Where the threads of V8's pool say so. They optimise WebAssembly, and help its garbage collection. */
const POOL = 'V8Worker';

/**
 * Lowers the priority of this thread and of V8's pool below the process's. Of the whole process's pool: nothing tells whose work it does.
 * Where the host has no such thing, or refuses it, all stays as it is.
 */
export function yieldToVcpus(): void {
  if (process.platform !== 'linux') return;
  try {
    const priority = Math.min(getPriority() + STEPS, constants.priority.PRIORITY_LOW);
    setPriority(Number(basename(readlinkSync('/proc/thread-self'))), priority);
    for (const thread of readdirSync('/proc/self/task')) {
      if (!readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').includes(POOL)) continue;
      setPriority(Number(thread), priority);
    }
  } catch {
    // A sandbox without /proc, or one that forbids it: slower, not wrong.
  }
}
