/**
 * Finds the handler of a form; forms that the core module has not are compiled when they are first met.
 *
 * @module
 */
import type { Encoding } from '../decode/table.ts';
import type { Form } from '../insn/lift-builder.ts';
import type { Lift } from '../insn/row.ts';
import { buildColdModule } from './cold-module.ts';
import { type CoreModule, usualName } from './core-module.ts';
import { fusedKey } from './hot-forms.ts';
import { contextBits, type FormContext, formKey, formOf } from './forms.ts';

export class Handlers {
  readonly #core: CoreModule;
  readonly #numbers: Map<string, number>;
  /** Numbers by encoding and the bits of a context: the same again, found without a form. */
  readonly #known = new Map<Encoding, Map<number, number>>();
  readonly #table: WebAssembly.Table;
  readonly #imports: WebAssembly.ModuleImports;
  #pending: { lift: Lift; form: Form }[] = [];
  #next: number;

  /** `imports`: memory and the helper functions. `exports`: those of the core module's instance. */
  constructor(
    core: CoreModule,
    table: WebAssembly.Table,
    imports: WebAssembly.ModuleImports,
    exports: WebAssembly.Exports,
  ) {
    this.#core = core;
    this.#numbers = new Map(core.handlers);
    this.#table = table;
    this.#imports = imports;
    this.#next = core.coldBase + core.usualCount;
    if (table.length < core.usualCount) table.grow(core.usualCount - table.length);
    for (let n = 0; n < core.usualCount; n++) table.set(n, exports[usualName(n)] as never);
  }

  /** Handler number of an encoding in a context; call `compile` before records with new numbers are run. */
  find(encoding: Encoding, lift: Lift, context: FormContext): number {
    const bits = contextBits(context);
    let known = this.#known.get(encoding);
    if (known === undefined) {
      known = new Map();
      this.#known.set(encoding, known);
    }
    const before = known.get(bits);
    if (before !== undefined) return before;
    const form = formOf(encoding, context);
    const key = formKey(lift, form);
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#next++;
      this.#numbers.set(key, number);
      this.#pending.push({ lift, form });
    }
    known.set(bits, number);
    return number;
  }

  /** The handler that executes `handler` and the conditional jump in the record behind it, if there is one. */
  fused(handler: number, condition: number): number | undefined {
    return this.#core.fused.get(fusedKey(handler, condition));
  }

  /** Where a cold handler is in the table of handlers. */
  tableIndex(handler: number): number {
    if (handler < this.#core.coldBase) throw new Error(`handler ${handler} is inline`);
    return handler - this.#core.coldBase;
  }

  /** Compiles the forms met since the last call. */
  compile(): void {
    if (this.#pending.length === 0) return;
    const pending = this.#pending;
    this.#pending = [];
    const first = this.#next - pending.length - this.#core.coldBase;
    const module = new WebAssembly.Module(buildColdModule(pending));
    const instance = new WebAssembly.Instance(module, { env: this.#imports });
    if (this.#table.length < first + pending.length) this.#table.grow(Math.max(256, pending.length));
    pending.forEach((_, i) => {
      this.#table.set(first + i, instance.exports[`h${i}`] as never);
    });
  }

  /** How many handlers have been compiled when they were met, for statistics. */
  get coldCount(): number {
    return this.#next - this.#core.coldBase - this.#core.usualCount;
  }
}
