/**
 * Handlers that are compiled when they are first met.
 *
 * @module
 */
import { i32 } from '../emit/expr.ts';
import type { Callee } from '../emit/function-builder.ts';
import { ModuleBuilder } from '../emit/module-builder.ts';
import type { Form, HelperFunctions } from '../insn/lift-builder.ts';
import type { Lift } from '../insn/row.ts';
import { InterpreterBuilder } from './interpreter-builder.ts';
import { STATUS_NEXT } from './record.ts';

/** A form whose handler is a function of its own. */
export interface ColdForm {
  readonly lift: Lift;
  readonly form: Form;
}

/** A module of cold handlers: functions `h0`, `h1`, ... (cpu, record) -> STATUS_*. */
export function buildColdModule(forms: readonly ColdForm[]): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory();
  const helpers: Record<string, Callee> = {
    slowRead: module.importFunction('slowRead', ['i32', 'i64', 'i32'], 'i32'),
    slowWrite: module.importFunction('slowWrite', ['i32', 'i64', 'i32', 'i32'], 'i32'),
    commit: module.importFunction('commit', ['i32']),
    codeWrite: module.importFunction('codeWrite', ['i32', 'i32', 'i32']),
    legacyLinear: module.importFunction('legacyLinear', ['i32', 'i32', 'i64', 'i32', 'i32'], 'i64'),
    divideUnsigned128: module.importFunction('divideUnsigned128', ['i32', 'i64'], 'i32'),
    divideSigned128: module.importFunction('divideSigned128', ['i32', 'i64'], 'i32'),
    crc32c: module.importFunction('crc32c', ['i32', 'i64', 'i32'], 'i32'),
    lockBus: module.importFunction('lockBus', ['i32']),
    unlockBus: module.importFunction('unlockBus', ['i32']),
    modeChanged: module.importFunction('modeChanged', ['i32']),
    clock: module.importFunction('clock', [], 'f64'),
    slowFloat: module.importFunction('slowFloat', ['i32', 'i32', 'i32', 'i32', 'i32'], 'i32'),
  };
  forms.forEach((form, i) => {
    module.export(`h${i}`, buildHandler(module, form, helpers as unknown as HelperFunctions));
  });
  return module.toBytes();
}

/** The function of a form: (cpu, record) -> STATUS_*. */
export function buildHandler(module: ModuleBuilder, { lift, form }: ColdForm, helpers: HelperFunctions): Callee {
  const f = module.function(['i32', 'i32'], 'i32');
  lift(new InterpreterBuilder(f, form, helpers, f.param('i32', 0), f.param('i32', 1)));
  f.return(i32.const(STATUS_NEXT));
  f.unreachable();
  return f;
}
