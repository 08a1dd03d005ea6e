/**
 * What stands in the table of regions while translated code is checked: a function that counts, and hands every so many-th call to the
 * checker. CHECK_COUNTDOWN says what a call does:
 *
 *     above 1        goes to the region, which may go on to others
 *     1              goes to the checker
 *     CHECK_ALONE    returns to the main loop: a region that is being checked must not go on to the next
 *     CHECK_NOTHING  refuses: the interpreter is to do what a region has done
 *
 * @module
 */
import { i32, select } from '../emit/expr.ts';
import { call } from '../emit/function-builder.ts';
import { ModuleBuilder } from '../emit/module-builder.ts';
import { STATUS_JUMP, STATUS_REFUSED } from '../interpreter/record.ts';
import { CHECK_COUNTDOWN } from '../mmu/layout.ts';

export const CHECK_ALONE = 0,
  CHECK_NOTHING = -1;

/** A region's function: (cpu) -> STATUS_*. */
export type RegionFunction = (cpu: number) => number;

/** Makes the functions that stand for regions; `check` is called with the number of the region. */
export class CheckedRegions {
  readonly #module: WebAssembly.Module;
  readonly #memory: WebAssembly.Memory;
  readonly #check: (index: number) => number;

  constructor(memory: WebAssembly.Memory, check: (index: number) => number) {
    this.#memory = memory;
    this.#check = check;
    const module = new ModuleBuilder();
    module.importMemory();
    const region = module.importFunction('region', ['i32'], 'i32');
    const checker = module.importFunction('check', ['i32'], 'i32');
    const index = module.importConstant('index');
    const f = module.function(['i32'], 'i32');
    const cpu = f.param('i32', 0);
    const left = f.let(i32.load(cpu, CHECK_COUNTDOWN));
    f.if(i32.leS(left, i32.const(CHECK_ALONE)), () =>
      f.return(select(left, i32.const(STATUS_REFUSED), i32.const(STATUS_JUMP))),
    );
    f.set(left, i32.sub(left, i32.const(1)));
    f.store(4, cpu, left, CHECK_COUNTDOWN);
    f.if(i32.eqz(left), () => f.return(call('i32', checker, index)));
    f.returnCall(region, cpu);
    module.export('r', f);
    this.#module = new WebAssembly.Module(module.toBytes());
  }

  /** The function that stands for region `index`. */
  wrap(index: number, region: RegionFunction): RegionFunction {
    const env = { memory: this.#memory, region, check: this.#check, index };
    return new WebAssembly.Instance(this.#module, { env }).exports['r'] as unknown as RegionFunction;
  }
}
