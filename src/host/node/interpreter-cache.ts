/**
 * Keeps the generated code of the interpreter on disk, beside Node's own compiled code (NODE_COMPILE_CACHE), so that the next
 * start need not generate it. What is kept is bound to the sources it was made of, and to its own contents.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InterpreterCache } from '../../hypervisor/wasm/compiled-interpreter.ts';

/** The folders whose code decides what the interpreter looks like. */
const SOURCES = ['decode', 'emit', 'insn', 'interpreter', 'mmu', 'system', 'x87', 'softfloat', '.'];
const HYPERVISOR = new URL('../../hypervisor/wasm/', import.meta.url);
const HASH_BYTES = 32;

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

function sourceKey(): string {
  const hash = createHash('sha256');
  for (const folder of SOURCES) {
    const path = fileURLToPath(new URL(folder, HYPERVISOR));
    for (const name of readdirSync(path).sort()) {
      if (!/\.[jt]s$/.test(name) || name.includes('.test.')) continue;
      hash.update(`${folder}/${name}\n`);
      hash.update(readFileSync(join(path, name)));
    }
  }
  return hash.digest('hex').slice(0, 32);
}

/**
 * A cache in the folder that NODE_COMPILE_CACHE names; undefined without one. Whatever goes wrong with it is no error. An interpreter that
 * measures is another.
 */
export function createInterpreterCache(measures: boolean): InterpreterCache | undefined {
  const folder = process.env['NODE_COMPILE_CACHE'];
  if (folder === undefined || folder === '') return undefined;
  const file = join(folder, `interpreter-${measures ? 'measuring-' : ''}${sourceKey()}.bin`);
  return {
    load() {
      try {
        const kept = readFileSync(file);
        const bytes = new Uint8Array(kept.subarray(HASH_BYTES));
        return sha256(bytes).equals(kept.subarray(0, HASH_BYTES)) ? bytes : undefined;
      } catch {
        return undefined;
      }
    },
    store(bytes) {
      const draft = `${file}.${process.pid}`;
      try {
        mkdirSync(folder, { recursive: true });
        writeFileSync(draft, Buffer.concat([sha256(bytes), bytes]));
        renameSync(draft, file);
      } catch {
        rmSync(draft, { force: true });
      }
    },
  };
}
