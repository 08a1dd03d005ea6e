/**
 * The interpreter's core module: the main loop with its inline handlers, the memory functions and other helpers.
 *
 * `run(cpu, budget, delivers) -> STATUS_*` executes from RIP until the budget of instructions is used up, an instruction faults, or
 * something asks to come out. With `delivers` only faults come out that have no fast path to their handler (fast-system.ts). Everything is in the state record when it returns.
 *
 * @module
 */
import type { DecodeTable } from '../decode/table.ts';
import { type I32, i32, i64, type I64 } from '../emit/expr.ts';
import {
  call,
  callIndirect,
  callTable,
  type Callee,
  type FunctionBuilder,
  type Label,
} from '../emit/function-builder.ts';
import { ModuleBuilder } from '../emit/module-builder.ts';
import type { HelperFunctions } from '../insn/lift-builder.ts';
import { buildDivide128 } from '../insn/multiply.ts';
import { asMiss, countUp, INTERPRETED, MISS_EXECUTE, MISS_READ, MISS_WRITE, occupy, TRANSLATED } from '../measures.ts';
import { EXIT_COUNTS, EXIT_COUNTS_ENTRIES, REGION_ENDS, RIP_BASE, TLB_MISSES } from '../mmu/layout.ts';
import { buildSelectMode } from '../mmu/mode.ts';
import { buildMmu, type MmuFunctions } from '../mmu/slow.ts';
import { writeAddress } from './address-operations.ts';
import { findBlock } from './find-block.ts';
import { STEP } from '../mmu/walk.ts';
import {
  BUDGET,
  CODE_SIZE,
  FAULT_ERROR,
  FAULT_RECORD,
  FAULT_VECTOR,
  FLAG_AUX,
  FLAG_RESULT,
  GPR,
  INSTRUCTIONS,
  RAX,
  RDX,
  REGION_RECORD,
  RIP,
  STATS_REGION_CALLS,
  STATS_TRANSLATED,
  TLB_BASE,
  TLB_TAG,
} from '../state.ts';
import { buildFastSystem, type FastSystem, TRANSFERS } from './fast-system.ts';
import { buildXrstor, buildXsave } from './fast-xsave.ts';
import { buildHandler, type ColdForm } from './cold-module.ts';
import { collectHotForms, type HotForm } from './hot-forms.ts';
import { usualForms } from './usual-forms.ts';
import { buildCrc32c } from './helpers.ts';
import { type InlineContext, InterpreterBuilder } from './interpreter-builder.ts';
import {
  AUX_NO_LINK,
  HANDLER_EXIT,
  HANDLER_FORWARD,
  HANDLER_GOTO,
  HANDLER_LEAVE,
  HANDLER_RAISE,
  HANDLER_REGION,
  HANDLER_IRET,
  HANDLER_SYSCALL,
  HANDLER_SYSRET,
  HANDLER_SYSTEM,
  R_AUX,
  R_COUNT,
  R_DISPLACEMENT,
  R_IMMEDIATE,
  R_LENGTH,
  R_LINK,
  R_OFFSET,
  RECORD_BYTES,
  SPECIAL_HANDLERS,
  STATUS_AGAIN,
  STATUS_BUDGET,
  STATUS_FAULT,
  STATUS_JUMP,
  STATUS_LEAVE,
  STATUS_LEFT_OFTEN,
  STATUS_REFUSED,
  STATUS_REGION_BUDGET,
  STATUS_STEP,
  STRING_TURN_COST,
} from './record.ts';

/** How often regions are left to a block before that is worth one: making and installing it takes as long as some thousand ways out. */
const EXITS_UNTIL_TRANSLATED = 500;

/** Names of the functions of the core module that cold handlers call. */
export const HELPER_NAMES = [
  'slowRead',
  'slowWrite',
  'regionWrite',
  'regionStore',
  'probe',
  'commit',
  'codeWrite',
  'legacyLinear',
  'divideUnsigned128',
  'divideSigned128',
  'crc32c',
  'peek',
  'lockBus',
  'unlockBus',
  'modeChanged',
] as const;

export interface CoreModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Handler numbers by `formKey`: of the inline forms, and of the usual ones, which are the first cold ones. */
  readonly handlers: ReadonlyMap<string, number>;
  /** How many usual forms there are: functions that the module exports by `usualName`. */
  readonly usualCount: number;
  /** Handlers that do an inline form and the conditional jump behind it, by `fusedKey`. */
  readonly fused: ReadonlyMap<number, number>;
  /** First number of the cold handlers: number - base is the index into the table. */
  readonly coldBase: number;
}

export interface CoreOptions {
  readonly codeMap: number;
  /** Offset of the lock word for split locked accesses. */
  readonly busLock: number;
  /** Tells of every page that is about to be written: see `NoteImports`. */
  readonly notesWrites: boolean;
  /** With the counters and the word of `measures.ts`, which cost time. */
  readonly measures?: boolean;
}

/** `prebuilt`: the bytes that an earlier call made of the same sources. */
export function buildCoreModule(
  table: DecodeTable,
  options: CoreOptions,
  prebuilt?: Uint8Array<ArrayBuffer>,
): CoreModule {
  const hot = collectHotForms(table);
  const coldBase = SPECIAL_HANDLERS + hot.forms.length;
  const usual = [...usualForms(table)].filter(([key]) => !hot.handlers.has(key));
  return {
    bytes:
      prebuilt ??
      generate(
        hot.forms,
        usual.map(([, form]) => form),
        options,
      ),
    handlers: new Map([...hot.handlers, ...usual.map(([key], n) => [key, coldBase + n] as const)]),
    usualCount: usual.length,
    fused: hot.fused,
    coldBase,
  };
}

/** What the module exports the handler of a usual form as. */
export const usualName = (n: number): string => `u${n}`;

function generate(hot: readonly HotForm[], usual: readonly ColdForm[], options: CoreOptions): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory();
  module.importTable('handlers');
  module.importTable('regions');
  const imports = {
    mmioRead: module.importFunction('mmioRead', ['i32', 'i32', 'i32'], 'i32'),
    mmioWrite: module.importFunction('mmioWrite', ['i32', 'i32', 'i32', 'i32']),
    codeInvalidate: module.importFunction('codeInvalidate', ['i32']),
    lookup: module.importFunction('lookup', ['i32'], 'i32'),
    system: module.importFunction('system', ['i32', 'i32', 'i32'], 'i32'),
    clock: module.importFunction('clock', [], 'f64'),
    slowFloat: module.importFunction('slowFloat', ['i32', 'i32', 'i32', 'i32', 'i32'], 'i32'),
    watch: module.importFunction('watch', ['i32', 'i32', 'i32', 'i32']),
    notes: options.notesWrites
      ? {
          wrote: module.importFunction('wrote', ['i32', 'i32']),
          marked: module.importFunction('marked', ['i32', 'i32']),
        }
      : undefined,
  };
  const measures = options.measures === true;
  const fetched = (f: FunctionBuilder, cpu: I32): void => countUp(f, cpu, TLB_MISSES + MISS_EXECUTE * 8);
  const mmu = buildMmu(module, imports, options.codeMap, measures ? fetched : undefined);
  const divideUnsigned128 = module.function(['i32', 'i64'], 'i32');
  buildDivide128(divideUnsigned128, false, GPR + RAX * 8, GPR + RDX * 8);
  const divideSigned128 = module.function(['i32', 'i64'], 'i32');
  buildDivide128(divideSigned128, true, GPR + RAX * 8, GPR + RDX * 8);
  const crc32c = module.function(['i32', 'i64', 'i32'], 'i32');
  buildCrc32c(crc32c);
  const lockBus = module.function(['i32']);
  buildLock(lockBus, options.busLock);
  const unlockBus = module.function(['i32']);
  unlockBus.run({
    type: 'i32',
    write: (out) => {
      i32.const(0).write(out);
      i32.const(0).write(out);
      out.bytes([0xfe, 0x41, 2]);
      out.u32(options.busLock);
    },
  });
  const selectMode = module.function(['i32']);
  buildSelectMode(selectMode);
  const helpers: HelperFunctions = {
    slowRead: measures ? asMiss(module, mmu.slowRead, ['i32'], MISS_READ) : mmu.slowRead,
    slowWrite: measures ? asMiss(module, mmu.slowWrite, ['i32', 'i32'], MISS_WRITE) : mmu.slowWrite,
    regionWrite: measures ? asMiss(module, mmu.regionWrite, ['i32'], MISS_WRITE) : mmu.regionWrite,
    regionStore: measures ? asMiss(module, mmu.regionStore, ['i32'], MISS_WRITE) : mmu.regionStore,
    probe: mmu.probe,
    commit: mmu.commit,
    codeWrite: mmu.codeWrite,
    legacyLinear: mmu.legacyLinear,
    divideUnsigned128,
    divideSigned128,
    crc32c,
    peek: mmu.peek,
    lockBus,
    unlockBus,
    modeChanged: selectMode,
  };
  for (const name of HELPER_NAMES) module.export(name, helpers[name] as Callee);
  module.export('walk', mmu.walkHalves);
  module.export('fetch', mmu.fetchHalves);
  module.export('peekHalves', mmu.peekHalves);
  const fast = buildFastSystem(module, { selectMode, systemHost: mmu.systemHost });
  module.export('deliver', fast.deliver);
  for (const name of TRANSFERS) module.export(name, fast[name]);
  const save = module.function(['i32', 'i32', 'i32', 'i32'], 'i32');
  buildXsave(save, mmu.plainHost);
  module.export('save', save);
  const restore = module.function(['i32', 'i32', 'i32', 'i32'], 'i32');
  buildXrstor(restore, mmu.plainHost);
  module.export('restore', restore);
  const run = module.function(['i32', 'i32', 'i32'], 'i32');
  buildRun(module, run, hot, helpers, imports, mmu, fast, measures);
  module.export('run', run);
  const forHandlers: HelperFunctions = { ...helpers, clock: imports.clock, slowFloat: imports.slowFloat };
  usual.forEach((form, n) => module.export(usualName(n), buildHandler(module, form, forHandlers)));
  return module.toBytes();
}

function buildLock(f: FunctionBuilder, word: number): void {
  // Spins: the holder is between two stores.
  f.loop((again) => {
    f.brIf(again, {
      type: 'i32',
      write(out) {
        i32.const(0).write(out);
        i32.const(1).write(out);
        out.bytes([0xfe, 0x41, 2]);
        out.u32(word);
      },
    });
  });
}

function buildRun(
  module: ModuleBuilder,
  f: FunctionBuilder,
  hot: readonly HotForm[],
  helpers: HelperFunctions,
  imports: { readonly lookup: Callee; readonly system: Callee },
  mmu: MmuFunctions,
  fast: FastSystem,
  measures: boolean,
): void {
  const cpu = f.param('i32', 0);
  const budget = f.param('i32', 1);
  const delivers = f.param('i32', 2);
  const start = f.let(budget);
  const record = f.local('i32');
  const flagResult = f.local('i64');
  const flagAux = f.local('i32');
  const tlbBase = f.local('i32');
  const tlbTag = f.local('i64');
  const rip = f.local('i64');
  const from = f.local('i32');
  const status = f.local('i32');
  /** A region has just been left. */
  const left = f.local('i32');
  const coldType = module.type(['i32', 'i32'], 'i32');
  const regionType = module.type(['i32'], 'i32');

  const spill = (): void => {
    f.store(8, cpu, flagResult, FLAG_RESULT);
    f.store(4, cpu, flagAux, FLAG_AUX);
  };
  const reload = (): void => {
    f.set(flagResult, i64.load(cpu, FLAG_RESULT));
    f.set(flagAux, i32.load(cpu, FLAG_AUX));
    f.set(tlbBase, i32.load(cpu, TLB_BASE));
    f.set(tlbTag, i64.load32U(cpu, TLB_TAG));
  };
  const charge = (extra: number): void => {
    f.set(budget, i32.add(i32.sub(budget, i32.load8U(record, R_COUNT)), i32.const(extra)));
  };
  /** A RIP from RIP_BASE and an offset, truncated outside 64-bit code. */
  const codeAddress = (offset: I64): void => {
    f.set(rip, i64.add(i64.load(cpu, RIP_BASE), offset));
    f.if(i32.ne(i32.load(cpu, CODE_SIZE), i32.const(64)), () => f.set(rip, i64.and(rip, i64.const(0xffff_ffff))));
  };
  const tally = (field: number, by: I64): void => {
    f.store(8, cpu, i64.add(i64.load(cpu, field), by), field);
  };
  const thisRip = (): void => codeAddress(i64.load16U(record, R_OFFSET));

  reload();
  f.set(rip, i64.load(cpu, RIP));
  f.block((exit) => {
    const leave = (code: number): void => {
      f.set(status, i32.const(code));
      f.br(exit);
    };
    f.loop((dispatch) => {
      f.block((raised) => {
        findBlock(f, cpu, rip, record, mmu.fetch, imports.lookup, () => {
          f.store(4, cpu, i32.const(0), FAULT_RECORD);
          f.br(raised);
        });
        f.if(left, () => {
          f.set(left, i32.const(0));
          f.if(i32.geU(i32.sub(i32.load16U(record), i32.const(HANDLER_REGION)), i32.const(2)), () => {
            const hash = i32.and(i32.shrU(record, i32.const(4)), i32.const(EXIT_COUNTS_ENTRIES * 2 - 2));
            const at = f.let(i32.add(cpu, hash));
            const count = f.let(i32.add(i32.load16U(at, EXIT_COUNTS), i32.const(1)));
            f.store(2, at, count, EXIT_COUNTS);
            f.if(i32.and(i32.eq(count, i32.const(EXITS_UNTIL_TRANSLATED)), i32.ne(delivers, i32.const(0))), () => {
              f.store(8, cpu, rip, RIP);
              leave(STATUS_LEFT_OFTEN);
            });
          });
        });
        f.store(8, cpu, i64.sub(rip, i64.load16U(record, R_OFFSET)), RIP_BASE);
        f.if(from, () => {
          f.if(i32.eqz(i32.and(i32.load16U(record, R_AUX), i32.const(AUX_NO_LINK))), () =>
            f.store(4, from, record, R_LINK),
          );
          f.set(from, i32.const(0));
        });
        f.block((fault) => {
          f.block((jump) => {
            f.loop((next) => {
              f.block((jumpDirect) => {
                const context: InlineContext = {
                  flagResult,
                  flagAux,
                  tlbBase,
                  tlbTag,
                  rip,
                  next,
                  fault,
                  jump,
                  jumpDirect,
                };
                const labels: Label[] = [];
                const count = SPECIAL_HANDLERS + hot.length;
                const cold = f.beginBlock();
                for (let i = 0; i < count; i++) labels.push(f.beginBlock());
                labels.reverse();
                f.brTable(i32.load16U(record, 0), labels, cold);
                const advance = (): void => {
                  f.set(record, i32.add(record, i32.const(RECORD_BYTES)));
                  f.br(next);
                };
                const handle = (number: number, body: () => void): void => {
                  f.endBlock();
                  if (labels[number] === undefined) throw new Error(`handler ${number}`);
                  f.scope(body);
                };
                /** After a call that may have changed anything. */
                const follow = (): void => {
                  reload();
                  f.if(i32.eqz(status), advance);
                  f.if(i32.eq(status, i32.const(STATUS_FAULT)), () => f.br(fault));
                  f.if(i32.eq(status, i32.const(STATUS_JUMP)), () => {
                    f.set(rip, i64.load(cpu, RIP));
                    f.br(jump);
                  });
                  f.if(i32.eq(status, i32.const(STATUS_AGAIN)), () => {
                    f.set(budget, i32.sub(budget, i32.const(STRING_TURN_COST)));
                    f.brIf(next, i32.geS(budget, i32.const(0)));
                    thisRip();
                    charge(1);
                    f.store(8, cpu, rip, RIP);
                    leave(STATUS_AGAIN);
                  });
                  charge(0);
                  f.br(exit);
                };
                for (let number = 0; number < SPECIAL_HANDLERS; number++) {
                  handle(number, () => {
                    special(number, advance, follow, { jumpDirect, fault, dispatch, raised });
                  });
                }
                hot.forEach(({ lift, form, jump: fusedJump }, i) => {
                  handle(SPECIAL_HANDLERS + i, () => {
                    lift(new InterpreterBuilder(f, form, helpers, cpu, record, context));
                    if (fusedJump !== undefined) {
                      f.set(record, i32.add(record, i32.const(RECORD_BYTES)));
                      fusedJump.lift(new InterpreterBuilder(f, fusedJump.form, helpers, cpu, record, context));
                    }
                    advance();
                  });
                });
                f.endBlock();
                spill();
                const index = i32.sub(i32.load16U(record, 0), i32.const(count));
                f.set(status, callIndirect('i32', coldType, index, cpu, record));
                follow();

                function special(
                  number: number,
                  advanceNow: () => void,
                  followNow: () => void,
                  label: { jumpDirect: Label; fault: Label; dispatch: Label; raised: Label },
                ): void {
                  switch (number) {
                    case HANDLER_EXIT:
                      // The instruction is not done; a record that is not of one counts nothing.
                      charge(1);
                      f.set(budget, i32.sub(budget, i32.eqz(i32.load8U(record, R_COUNT))));
                      thisRip();
                      f.br(label.dispatch);
                      return;
                    case HANDLER_GOTO:
                      f.br(label.jumpDirect);
                      return;
                    case HANDLER_LEAVE:
                      charge(1);
                      thisRip();
                      f.store(8, cpu, rip, RIP);
                      leave(STATUS_LEAVE);
                      return;
                    case HANDLER_SYSTEM:
                      spill();
                      f.set(status, call('i32', imports.system, cpu, i32.load(record, R_IMMEDIATE), record));
                      followNow();
                      return;
                    case HANDLER_SYSCALL:
                    case HANDLER_SYSRET:
                    case HANDLER_IRET: {
                      spill();
                      const { syscall, sysret, iret } = fast;
                      const path = number === HANDLER_SYSCALL ? syscall : number === HANDLER_SYSRET ? sysret : iret;
                      const length = i32.add(i32.load16U(record, R_OFFSET), i32.load8U(record, R_LENGTH));
                      const after = i64.add(i64.load(cpu, RIP_BASE), i64.extendI32U(length));
                      f.set(status, call('i32', path, cpu, after));
                      f.if(i32.eq(status, i32.const(STATUS_REFUSED)), () => {
                        f.set(status, call('i32', imports.system, cpu, i32.load(record, R_IMMEDIATE), record));
                      });
                      followNow();
                      return;
                    }
                    case HANDLER_RAISE:
                      f.store(4, cpu, i32.load(record, R_IMMEDIATE), FAULT_VECTOR);
                      f.store(4, cpu, i32.load(record, R_IMMEDIATE + 4), FAULT_ERROR);
                      f.br(label.fault);
                      return;
                    case HANDLER_REGION:
                      spill();
                      f.store(4, cpu, budget, BUDGET);
                      f.store(4, cpu, record, REGION_RECORD);
                      if (measures) occupy(f, cpu, TRANSLATED);
                      f.set(status, callTable('i32', 1, regionType, i32.load(record, R_IMMEDIATE), cpu));
                      if (measures) {
                        occupy(f, cpu, INTERPRETED);
                        countUp(f, i32.add(cpu, i32.shl(status, i32.const(3))), REGION_ENDS);
                      }
                      reload();
                      f.set(from, budget);
                      f.set(budget, i32.load(cpu, BUDGET));
                      tally(STATS_TRANSLATED, i64.extendI32S(i32.sub(from, budget)));
                      tally(STATS_REGION_CALLS, i64.const(1));
                      f.set(from, i32.const(0));
                      // Regions call each other: the one that refuses need not be the one that was called here.
                      f.if(i32.eq(status, i32.const(STATUS_REFUSED)), () => {
                        f.set(record, i32.load(cpu, REGION_RECORD));
                        advanceNow();
                      });
                      f.set(rip, i64.load(cpu, RIP));
                      f.set(left, i32.const(1));
                      f.brIf(jump, i32.eq(status, i32.const(STATUS_JUMP)));
                      f.set(left, i32.const(0));
                      f.if(i32.eq(status, i32.const(STATUS_FAULT)), () => {
                        f.brIf(label.raised, i32.ne(i32.load(cpu, FAULT_VECTOR), i32.const(STEP)));
                        leave(STATUS_STEP);
                      });
                      f.if(i32.eq(status, i32.const(STATUS_BUDGET)), () => leave(STATUS_REGION_BUDGET));
                      f.br(exit);
                      return;
                    case HANDLER_FORWARD:
                      f.set(record, i32.load(record, R_LINK));
                      f.br(next);
                      return;
                    default:
                      writeAddress(f, cpu, record, number, helpers, () => f.br(label.fault));
                      advanceNow();
                  }
                }
              });
              // A direct branch, or a block running into the next.
              charge(0);
              const link = f.let(i32.load(record, R_LINK));
              f.if(i32.and(i32.ne(link, i32.const(0)), i32.geS(budget, i32.const(0))), () => {
                f.set(record, link);
                f.br(next);
              });
              const target = f.let(i32.load(record, R_DISPLACEMENT));
              f.if(i32.ltU(target, i32.const(4096)), () => f.set(from, record));
              codeAddress(i64.extendI32S(target));
              f.brIf(dispatch, i32.geS(budget, i32.const(0)));
              f.store(8, cpu, rip, RIP);
              leave(STATUS_BUDGET);
            });
          });
          charge(0);
          f.brIf(dispatch, i32.geS(budget, i32.const(0)));
          f.store(8, cpu, rip, RIP);
          leave(STATUS_BUDGET);
        });
        charge(1);
        thisRip();
        f.store(8, cpu, rip, RIP);
        f.store(4, cpu, record, FAULT_RECORD);
      });
      // RIP and the fault are in the state record.
      f.set(from, i32.const(0));
      f.set(status, i32.const(STATUS_FAULT));
      f.brIf(exit, i32.eqz(delivers));
      spill();
      f.brIf(exit, i32.eqz(call('i32', fast.deliverFault, cpu)));
      reload();
      f.set(rip, i64.load(cpu, RIP));
      f.set(budget, i32.sub(budget, i32.const(1)));
      f.brIf(dispatch, i32.geS(budget, i32.const(0)));
      f.set(status, i32.const(STATUS_BUDGET));
    });
  });
  spill();
  f.store(8, cpu, i64.add(i64.load(cpu, INSTRUCTIONS), i64.extendI32S(i32.sub(start, budget))), INSTRUCTIONS);
  f.return(status);
  f.unreachable();
}
