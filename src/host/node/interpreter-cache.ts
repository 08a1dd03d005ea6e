/**
 * Keeps the generated code of the interpreter on disk, so that a start need not generate it. The published package brings it along; from the
 * sources it is kept beside Node's own compiled code (NODE_COMPILE_CACHE), bound to the sources it was made of, and to its own contents.
 *
 * @module
 */
import type { Hash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InterpreterCache } from '../../hypervisor/wasm/compiled-interpreter.ts';
import type { CpuModel } from '../../hypervisor/wasm/system/cpu-model.ts';

/** The processor model whose interpreter is kept; that of others is the same but for its decode table. */
export const SHIPPED_MODEL: CpuModel = 'v3';

/** The folders whose code decides what the interpreter looks like. */
const SOURCES = ['decode', 'emit', 'insn', 'interpreter', 'mmu', 'system', 'x87', 'softfloat', '.'];
const HYPERVISOR = new URL('../../hypervisor/wasm/', import.meta.url);
const HASH_BYTES = 32;

/** Not loaded by an import: what need not be checked does not wait for it. */
const createHash = (): Hash => process.getBuiltinModule('node:crypto').createHash('sha256');
const sha256 = (bytes: Uint8Array): Buffer => createHash().update(bytes).digest();

function sourceKey(): string {
  const hash = createHash();
  for (const folder of SOURCES) {
    const path = fileURLToPath(new URL(folder, HYPERVISOR));
    for (const name of readdirSync(path).sort()) {
      if (!name.endsWith('.ts') || name.includes('.test.')) continue;
      hash.update(`${folder}/${name}\n`);
      hash.update(readFileSync(join(path, name)));
    }
  }
  return hash.digest('hex').slice(0, 32);
}

const fileName = (measures: boolean, key = ''): string =>
  `interpreter${measures ? '-measuring' : ''}${key === '' ? '' : `-${key}`}.bin`;

/** What is not there, or not whole, is generated anew; what cannot be written is not kept. `checks`: whether the file may be another than was written. */
const cacheIn = (file: string, checks: boolean): InterpreterCache => ({
  load() {
    try {
      const kept = readFileSync(file);
      const bytes = new Uint8Array(kept.subarray(HASH_BYTES));
      return !checks || sha256(bytes).equals(kept.subarray(0, HASH_BYTES)) ? bytes : undefined;
    } catch {
      return undefined;
    }
  },
  store(bytes) {
    const draft = `${file}.${process.pid}`;
    try {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(draft, Buffer.concat([sha256(bytes), bytes]));
      renameSync(draft, file);
    } catch {
      rmSync(draft, { force: true });
    }
  },
});

/** The interpreter that the published package brings along, in the folder of its bundles, and as true as these are. An interpreter that measures is another. */
export const builtInterpreter = (folder: string, measures: boolean): InterpreterCache =>
  cacheIn(join(folder, fileName(measures)), false);

/**
 * The package's own, or a cache in the folder that NODE_COMPILE_CACHE names; undefined without one. Whatever goes wrong with it is no error.
 */
export function createInterpreterCache(measures: boolean): InterpreterCache | undefined {
  if (import.meta.url.endsWith('.js')) return builtInterpreter(fileURLToPath(new URL('.', import.meta.url)), measures);
  const folder = process.env['NODE_COMPILE_CACHE'];
  if (folder === undefined || folder === '') return undefined;
  return cacheIn(join(folder, fileName(measures, sourceKey())), true);
}
