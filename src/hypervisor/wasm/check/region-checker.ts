/**
 * Checks translated code: what a region has done is undone, done again by the interpreter from a copy of the state, and compared.
 *
 *     1  copy the state record; log pages before they are written
 *     2  the region runs, and says by the budget how many instructions it took
 *     3  copy what it left; put state and pages back
 *     4  the interpreter runs as many instructions, with regions that refuse
 *     5  compare registers, flags, fault and pages
 *
 * A region that has touched a device, read the clock or asked system/ for an instruction cannot be done again, and is left as it is.
 * Nothing else may write the guest's memory meanwhile: one vCPU, and no device that writes to RAM by itself.
 *
 * @module
 */
import type { CheckerStats } from '../../stats.ts';
import { MAX_INSTRUCTIONS } from '../interpreter/block-cache.ts';
import { STATUS_FAULT, STATUS_NEXT, STATUS_REFUSED } from '../interpreter/record.ts';
import { CHECK_COUNTDOWN, RIP_BASE } from '../mmu/layout.ts';
import { STEP } from '../mmu/walk.ts';
import {
  BUDGET,
  FAULT_ERROR,
  FAULT_RECORD,
  FAULT_VECTOR,
  FLAG_AUX,
  FLAG_RESULT,
  INSTRUCTIONS,
  REGION_RECORD,
  STATE_BYTES,
  STATS_REGION_CALLS,
  STATS_TRANSLATED,
} from '../state.ts';
import { CpuState } from '../system/cpu-state.ts';
import { CHECK_ALONE, CHECK_NOTHING, CheckedRegions, type RegionFunction } from './checked-region.ts';
import { ARCHITECTURAL, type Difference, stateDifferences } from './differences.ts';
import { type CheckedCode, TranslationMismatch } from './mismatch.ts';
import { type PageCopy, WriteLog } from './write-log.ts';

export interface RegionCheckerOptions {
  readonly memory: WebAssembly.Memory;
  /** Offset of the vCPU's private area. */
  readonly cpu: number;
  /** One of how many calls of regions is checked; 1: each. */
  readonly every: number;
  /** The interpreter: runs instructions until the budget is used up, without delivering faults. Returns STATUS_*. */
  readonly run: (budget: number) => number;
  /** Switches single instructions on and off, and selects the mode. */
  readonly single: (single: boolean) => void;
  /** After STATUS_FAULT of the interpreter: makes the vector final. */
  readonly normaliseFault: () => void;
  /** How many system instructions have been executed. */
  readonly systemInstructions: () => number;
  /** There is room for what the interpreter decodes on its way through a region. */
  readonly hasRoom: () => boolean;
}

/** What the checker did, for statistics. */
interface Entry extends CheckedCode {
  readonly run: RegionFunction;
}

/** Not the guest's: left as the region left it, and not as the interpreter does. */
const MACHINERY: readonly (readonly [field: number, words: number])[] = [
  [FLAG_RESULT, 2],
  [FLAG_AUX, 1],
  [FAULT_VECTOR, 1],
  [FAULT_ERROR, 1],
  [FAULT_RECORD, 1],
  [BUDGET, 1],
  [REGION_RECORD, 1],
  [RIP_BASE, 2],
  [INSTRUCTIONS, 2],
  [STATS_TRANSLATED, 2],
  [STATS_REGION_CALLS, 2],
];

const PAGE_BYTES = 4096;
/** Most differences in memory that are reported. */
const MAX_DIFFERENCES = 8;

export class RegionChecker {
  readonly #options: RegionCheckerOptions;
  readonly #log: WriteLog;
  readonly #trampolines: CheckedRegions;
  readonly #regions: (Entry | undefined)[] = [];
  readonly #state: CpuState;
  readonly #before = new CpuState(new ArrayBuffer(STATE_BYTES), 0);
  readonly #after = new CpuState(new ArrayBuffer(STATE_BYTES), 0);
  readonly #countdown: Int32Array;
  #wentOutside = false;
  #needsRoom = false;
  #random = 0x9e37_79b9;
  readonly stats: { -readonly [name in keyof CheckerStats]: number } = { checked: 0, outside: 0, noRoom: 0 };

  constructor(options: RegionCheckerOptions) {
    this.#options = options;
    const { memory, cpu } = options;
    this.#log = new WriteLog(memory.buffer, cpu);
    this.#state = new CpuState(memory.buffer, cpu);
    this.#countdown = new Int32Array(memory.buffer, cpu + CHECK_COUNTDOWN, 1);
    this.#trampolines = new CheckedRegions(memory, (index) => this.#check(index));
    this.#countDown();
  }

  /** The interpreter's `wrote` and `marked`: see NoteImports. */
  readonly notes = {
    wrote: (page: number, entry: number): void => this.#log.wrote(page, entry),
    marked: (host: number, bits: number): void => this.#log.marked(host, bits),
  };

  /** A device, the clock, or the state of the system was read or written. */
  noteOutside(): void {
    this.#wentOutside = true;
  }

  /** The function to call in place of a region. */
  wrap(index: number, run: RegionFunction, code: CheckedCode): RegionFunction {
    this.#regions[index] = { ...code, run };
    return this.#trampolines.wrap(index, run);
  }

  /** Code is to be dropped before the next slice: calls have gone unchecked for want of room. */
  get needsRoom(): boolean {
    const needed = this.#needsRoom;
    this.#needsRoom = false;
    return needed;
  }

  /** Until the next check: `every` calls on average, never as many twice, or loops of a few regions would show only some of them. */
  #countDown(): void {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    this.#countdown[0] = 1 + ((x >>> 0) % (2 * this.#options.every - 1));
  }

  #check(index: number): number {
    const { hasRoom, cpu } = this.#options;
    const entry = this.#regions[index];
    if (entry === undefined) throw new Error(`region ${index} is not known to the checker`);
    this.#countdown[0] = CHECK_ALONE;
    if (!hasRoom()) {
      this.#needsRoom = true;
      this.stats.noRoom++;
      const status = entry.run(cpu);
      this.#countDown();
      return status;
    }
    // While the main loop runs, RIP is in the record of the block.
    const low = (this.#state.u32[RIP_BASE >> 2] as number) + (entry.host & 0xfff);
    this.#state.setRip(low, (this.#state.u32[(RIP_BASE >> 2) + 1] as number) + (low > 0xffff_ffff ? 1 : 0));
    this.#before.bytes.set(this.#state.bytes);
    this.#wentOutside = false;
    this.#log.record();
    const status = entry.run(cpu);
    if (status === STATUS_REFUSED || this.#wentOutside) {
      if (this.#wentOutside) this.stats.outside++;
    } else {
      this.stats.checked++;
      this.#after.bytes.set(this.#state.bytes);
      this.#replay(entry, status);
    }
    this.#log.end();
    this.#countDown();
    return status;
  }

  /** Does again what a region has done, and compares. */
  #replay(entry: Entry, status: number): void {
    const log = this.#log;
    const left = new Map<number, PageCopy>();
    for (const [page, copy] of log.pages) {
      left.set(page, log.copy(page));
      log.restore(page, copy);
    }
    for (const [from, to] of ARCHITECTURAL) {
      this.#state.i32.set(this.#before.i32.subarray(from >> 2, to >> 2), from >> 2);
    }
    log.record();
    const budget = (state: CpuState): number => state.i32[BUDGET >> 2] as number;
    const count = budget(this.#before) - budget(this.#after);
    const isStep = status === STATUS_FAULT && this.#after.faultVector === STEP;
    const faults = status === STATUS_FAULT && !isStep;
    const differences = this.#interpret(count, faults);
    log.setMarks();
    differences.push(...stateDifferences(this.#after, this.#state, faults));
    this.#comparePages(left, differences);
    if (differences.length > 0) {
      throw new TranslationMismatch({
        code: entry,
        before: this.#before,
        after: this.#after,
        status,
        count,
        differences,
      });
    }
    for (const [field, words] of MACHINERY) {
      for (let at = field >> 2; at < (field >> 2) + words; at++) this.#state.i32[at] = this.#after.i32[at] as number;
    }
    if (isStep) this.#state.faultVector = STEP;
    for (const copy of left.values()) log.release(copy);
  }

  /** Runs `count` instructions, and one more that is to fault; what is wrong about how that ended. */
  #interpret(count: number, faults: boolean): Difference[] {
    const { run, single, normaliseFault, systemInstructions } = this.#options;
    const { u32 } = this.#state;
    const start = u32[INSTRUCTIONS >> 2] as number;
    const systemBefore = systemInstructions();
    let done = 0;
    let status: number = STATUS_NEXT;
    const step = (budget: number): void => {
      status = run(budget);
      done = ((u32[INSTRUCTIONS >> 2] as number) - start) >>> 0;
    };
    this.#wentOutside = false;
    this.#countdown[0] = CHECK_NOTHING;
    single(false);
    // Blocks end at most so many instructions behind the budget.
    while (count - done > MAX_INSTRUCTIONS && status !== STATUS_FAULT) step(count - done - MAX_INSTRUCTIONS);
    single(true);
    while (status !== STATUS_FAULT && (done < count || (faults && done === count))) step(0);
    single(false);
    this.#countdown[0] = CHECK_ALONE;
    if (status === STATUS_FAULT) normaliseFault();
    const differences: Difference[] = [];
    const note = (what: string, translated: string, interpreted: string): void => {
      differences.push({ what, translated, interpreted });
    };
    const ending = (isFault: boolean): string => (isFault ? 'a fault' : 'no fault');
    if (faults !== (status === STATUS_FAULT)) note('the end', ending(faults), ending(!faults));
    if (done !== count) note('instructions', String(count), String(done));
    if (this.#wentOutside) note('devices, clock and system', 'not touched', 'touched');
    if (systemInstructions() !== systemBefore) note('system instructions', 'none', 'executed');
    return differences;
  }

  #comparePages(left: ReadonlyMap<number, PageCopy>, differences: Difference[]): void {
    const log = this.#log;
    let found = 0;
    for (const [page, original] of log.pages) {
      // What only the interpreter has written is as it was after the region.
      const copy = left.get(page) ?? original;
      const at = log.difference(page, copy);
      if (at < 0 || ++found > MAX_DIFFERENCES) continue;
      const hex = (word: number): string => `0x${(word >>> 0).toString(16).padStart(8, '0')}`;
      const what = `memory at 0x${(page * PAGE_BYTES + at * 4).toString(16)}`;
      differences.push({ what, translated: hex(copy[at] as number), interpreted: hex(log.word(page, at)) });
    }
  }
}
