/**
 * Programs for the guest, compiled from guest/*.c when a test needs them, and initial RAM disks that carry them.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CpioEntry, writeCpio } from '../../guest/cpio.ts';
import { cacheFolder, type Prepared, prepared, run } from '../../tools/debian-packages.ts';

const SOURCES = fileURLToPath(new URL('guest/', import.meta.url));
const EMBEDDED_INITRD = new URL('../../guest/images/initrd.img', import.meta.url);

// biome-ignore format: a table
const RECIPES = {
  /** All the checks in one static binary: guest/checks.h. */
  checks: {
    sources: ['main.c', 'numbers.c', 'memory.c', 'signals.c', 'processes.c', 'debug.c', 'wide.c', 'disk-code.c'],
    flags: ['-O2', '-static', '-Wall', '-Wextra', '-Wno-infinite-recursion', '-lm', '-lpthread'],
  },
  /** A 32-bit program that needs no 32-bit libraries. */
  compat32: {
    sources: ['compat32.c'],
    flags: ['-m32', '-O2', '-static', '-nostdlib', '-ffreestanding', '-fno-pic', '-fno-stack-protector', '-Wall', '-Wextra'],
  },
} as const;
export type Program = keyof typeof RECIPES;

/** Path of a compiled program, kept in the cache under the hash of its sources; or why there is none. */
export function compiled(program: Program): Prepared<string> {
  const { sources, flags } = RECIPES[program];
  const hash = createHash('sha256').update(JSON.stringify(flags));
  for (const name of readdirSync(SOURCES).sort()) hash.update(readFileSync(join(SOURCES, name)));
  const folder = join(cacheFolder(), 'guest-programs');
  const path = join(folder, `${program}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(path)) return prepared(path);
  mkdirSync(folder, { recursive: true });
  const partial = `${path}.partial-${process.pid}`;
  // Libraries come behind what needs them.
  const done = run('gcc', ['-o', partial, ...sources, ...flags], SOURCES);
  if (!done.ok) return { ok: false, reason: `cannot compile ${program}: ${done.reason}` };
  renameSync(partial, path);
  return prepared(path);
}

/** A folder for a test's files that is gone when the tests of this file have ended. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'typervisor-e2e-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Writes an initial RAM disk: the embedded guest's userland and these entries. The kernel unpacks archives that follow one
 * another, each from a multiple of four bytes on.
 */
export function extendedInitrd(folder: string, entries: readonly CpioEntry[]): string {
  const userland = readFileSync(EMBEDDED_INITRD);
  const path = join(folder, 'initrd.img');
  writeFileSync(path, Buffer.concat([userland, new Uint8Array(-userland.length & 3), writeCpio(entries)]));
  return path;
}
