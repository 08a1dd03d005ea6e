/**
 * The interpreter as a compiled module: what a host makes once, and vCPUs instantiate.
 *
 * @module
 */
import { CODE_MAP_OFFSET } from '../../memory/machine-memory.ts';
import type { CheckTranslation } from '../check-translation.ts';
import { DecodeTable } from './decode/table.ts';
import { rowsOf } from './insn/index.ts';
import { buildCoreModule, type CoreModule } from './interpreter/core-module.ts';
import type { CpuModel } from './system/cpu-model.ts';

/** Where the word lies that serialises locked accesses too wide for one atomic; in the guard area of the shared memory. */
const BUS_LOCK = 0x8000;

/** The interpreter, compiled: the same for every machine and vCPU of a processor model. */
export interface CompiledInterpreter {
  readonly model: CpuModel;
  /** It counts what `measures.ts` says, which costs time. */
  readonly measures: boolean;
  readonly table: DecodeTable;
  readonly core: CoreModule;
  readonly module: WebAssembly.Module;
  /** It can be used to check regions, and is slower. */
  readonly notesWrites: boolean;
}

/** Where a host keeps the generated code of the interpreter between runs. */
export interface InterpreterCache {
  load(): Uint8Array<ArrayBuffer> | undefined;
  store(bytes: Uint8Array<ArrayBuffer>): void;
}

/** What an interpreter does beside its work, which costs time. */
export interface InterpreterVariant {
  /** It counts, and says what it is doing. */
  readonly measures?: boolean;
  /** It can be used to check regions. */
  readonly notesWrites?: boolean;
}

/**
 * Builds and compiles the interpreter; some 100 ms without a cache, so hosts do it while they load other things. A cache holds one variant.
 */
export function compileInterpreter(
  cache?: InterpreterCache,
  model: CpuModel = 'v2',
  { measures = false, notesWrites = false }: InterpreterVariant = {},
): CompiledInterpreter {
  const table = new DecodeTable(rowsOf(model));
  const known = cache?.load();
  const core = buildCoreModule(table, { codeMap: CODE_MAP_OFFSET, busLock: BUS_LOCK, measures, notesWrites }, known);
  if (known === undefined) cache?.store(core.bytes);
  return { model, measures, notesWrites, table, core, module: new WebAssembly.Module(core.bytes) };
}

/** The interpreter of another processor model: the core module is the same. */
export const interpreterOfModel = (interpreter: CompiledInterpreter, model: CpuModel): CompiledInterpreter =>
  model === interpreter.model ? interpreter : { ...interpreter, model, table: new DecodeTable(rowsOf(model)) };

/** The interpreter that a vCPU runs: the one that it is given, or one that notes writes when translation is checked and that one does not. */
export function interpreterFor(
  interpreter: CompiledInterpreter | undefined,
  checkTranslation: CheckTranslation | undefined,
): CompiledInterpreter {
  if (checkTranslation === undefined || interpreter?.notesWrites === true) return interpreter ?? compileInterpreter();
  return compileInterpreter(undefined, interpreter?.model, {
    measures: interpreter?.measures ?? false,
    notesWrites: true,
  });
}

/** What an instance of the module exports. */
export interface CoreExports {
  run(cpu: number, budget: number, delivers: number): number;
  deliver(cpu: number, vector: number, error: number, fault: number): number;
  walk(cpu: number, low: number, high: number, access: number): number;
  fetch(cpu: number, low: number, high: number): number;
  /** `fetch` with no trace of a fault. */
  peekHalves(cpu: number, low: number, high: number): number;
  codeWrite(cpu: number, host: number, bytes: number): void;
  modeChanged(cpu: number): void;
  save(cpu: number, low: number, high: number, kind: number): number;
  restore(cpu: number, low: number, high: number, kind: number): number;
}
