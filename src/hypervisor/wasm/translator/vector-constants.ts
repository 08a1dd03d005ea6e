/**
 * Vector constants of hot regions in locals that the prologue sets: V8 makes a constant anew, in three instructions, wherever it stands in a loop.
 *
 * @module
 */
import type { V128 } from '../emit/expr.ts';
import type { FunctionBuilder, Local } from '../emit/function-builder.ts';

export class VectorConstants {
  readonly #f: FunctionBuilder;
  readonly #kept = new Map<string, { readonly local: Local<'v128'>; readonly value: V128 }>();

  constructor(f: FunctionBuilder) {
    this.#f = f;
  }

  /** The local of a constant; equal names are equal values. */
  of(name: string, value: V128): V128 {
    let kept = this.#kept.get(name);
    if (kept === undefined) {
      kept = { local: this.#f.ownLocal('v128'), value };
      this.#kept.set(name, kept);
    }
    return kept.local;
  }

  /** In the prologue, when all are known. */
  set(): void {
    for (const { local, value } of this.#kept.values()) this.#f.set(local, value);
  }
}
