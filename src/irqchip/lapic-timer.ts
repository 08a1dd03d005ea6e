/**
 * The local APIC's timer (SDM 3A, "APIC Timer"): one-shot, periodic, TSC-deadline. Its input clock is 1 GHz, so a
 * tick is a nanosecond times the divider, and the TSC is the machine clock's nanoseconds plus the vCPU's offset.
 *
 * Nothing counts: the current count is computed from the time at which the counter was loaded.
 *
 * @module
 */
import {
  APIC_DIVIDE_CONFIGURATION,
  APIC_INITIAL_COUNT,
  APIC_LVT_TIMER,
  LVT_TIMER_MODE_SHIFT,
  TIMER_PERIODIC,
  TIMER_TSC_DEADLINE,
} from './lapic-defs.ts';
import { type LapicRecord, TIMER_DEADLINE, TIMER_START, TSC_DEADLINE_HIGH, TSC_DEADLINE_LOW } from './lapic-record.ts';

export class LapicTimer {
  readonly #record: LapicRecord;
  readonly #tscOffset: () => number;

  /** `tscOffset`: what to add to the machine clock's nanoseconds to get this vCPU's TSC. */
  constructor(record: LapicRecord, tscOffset: () => number) {
    this.#record = record;
    this.#tscOffset = tscOffset;
  }

  /** Machine time at which it fires next; Infinity when it does not. May be read without the lock. */
  get deadline(): number {
    return this.#record.doubles[TIMER_DEADLINE]!;
  }

  disarm(): void {
    this.#record.doubles[TIMER_DEADLINE] = Infinity;
    this.#record.words[TSC_DEADLINE_LOW] = 0;
    this.#record.words[TSC_DEADLINE_HIGH] = 0;
  }

  shift(nanoseconds: number): void {
    const { doubles } = this.#record;
    doubles[TIMER_START] = doubles[TIMER_START]! + nanoseconds;
    doubles[TIMER_DEADLINE] = doubles[TIMER_DEADLINE]! + nanoseconds;
  }

  /** True when it was due; then it is disarmed or waits for its next period. Periods that were missed are one. */
  expire(now: number): boolean {
    const { doubles } = this.#record;
    if (now < doubles[TIMER_DEADLINE]!) return false;
    if (this.#mode !== TIMER_PERIODIC) {
      this.disarm();
      return true;
    }
    const period = this.#count * this.#divider;
    const start = doubles[TIMER_START]!;
    doubles[TIMER_DEADLINE] = start + (Math.floor((now - start) / period) + 1) * period;
    return true;
  }

  setInitialCount(value: number, now: number): void {
    if (this.#mode === TIMER_TSC_DEADLINE) return;
    this.#record.set(APIC_INITIAL_COUNT, value);
    this.#record.doubles[TIMER_START] = now;
    this.#record.doubles[TIMER_DEADLINE] = value === 0 ? Infinity : now + this.#count * this.#divider;
  }

  /** Unsigned. */
  currentCount(now: number): number {
    const count = this.#count;
    if (count === 0 || this.#mode === TIMER_TSC_DEADLINE) return 0;
    const elapsed = Math.floor((now - this.#record.doubles[TIMER_START]!) / this.#divider);
    if (this.#mode === TIMER_PERIODIC) return count - (elapsed % count);
    return Math.max(0, count - elapsed);
  }

  /** The timer's LVT entry is written: going to or from TSC-deadline mode disarms it, the rest goes on counting. */
  setLvt(value: number, now: number): void {
    const before = this.#mode;
    const { doubles } = this.#record;
    if (before === TIMER_PERIODIC && this.deadline !== Infinity) {
      doubles[TIMER_START] = this.deadline - this.#count * this.#divider;
    }
    this.#record.set(APIC_LVT_TIMER, value);
    const after = this.#mode;
    if (before !== after && (before === TIMER_TSC_DEADLINE || after === TIMER_TSC_DEADLINE)) {
      this.disarm();
      this.#record.set(APIC_INITIAL_COUNT, 0);
      doubles[TIMER_START] = now;
    }
  }

  setDivideConfiguration(value: number, now: number): void {
    const left = this.currentCount(now);
    const armed = this.deadline !== Infinity;
    this.#record.set(APIC_DIVIDE_CONFIGURATION, value & 0x0b);
    if (this.#mode === TIMER_TSC_DEADLINE || this.#count === 0) return;
    const { doubles } = this.#record;
    const end = now + left * this.#divider;
    doubles[TIMER_START] = end - this.#count * this.#divider;
    if (armed) doubles[TIMER_DEADLINE] = end;
  }

  /** IA32_TSC_DEADLINE is written; ignored in the other modes. */
  setTscDeadline(value: bigint): void {
    if (this.#mode !== TIMER_TSC_DEADLINE) return;
    this.disarm();
    if (value === 0n) return;
    this.#record.words[TSC_DEADLINE_LOW] = Number(value & 0xffff_ffffn) | 0;
    this.#record.words[TSC_DEADLINE_HIGH] = Number(value >> 32n) | 0;
    // Above 2^53 the conversion rounds, 104 days from now.
    this.#record.doubles[TIMER_DEADLINE] = Number(value) - this.#tscOffset();
  }

  get tscDeadline(): bigint {
    const { words } = this.#record;
    return (BigInt(words[TSC_DEADLINE_HIGH]! >>> 0) << 32n) | BigInt(words[TSC_DEADLINE_LOW]! >>> 0);
  }

  get #mode(): number {
    return (this.#record.get(APIC_LVT_TIMER) >> LVT_TIMER_MODE_SHIFT) & 3;
  }

  get #count(): number {
    return this.#record.get(APIC_INITIAL_COUNT) >>> 0;
  }

  /** Divide configuration: 0..6 in bits 0, 1 and 3 divide by 2..128, 7 by 1. */
  get #divider(): number {
    const code = this.#record.get(APIC_DIVIDE_CONFIGURATION);
    return 1 << ((((code & 3) | ((code >> 1) & 4)) + 1) & 7);
  }
}
