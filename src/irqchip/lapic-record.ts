/**
 * One local APIC's record in the irqchip block: the 1 KiB register image in the layout of the memory-mapped page (the
 * one KVM saves, too), then what the registers do not show.
 *
 * @module
 */
import { LOCAL_APIC_BYTES, localApicAt } from './layout.ts';

/** i32 indices after the register image. */
export const BASE_LOW = 256;
export const BASE_HIGH = 257;
/** SUMMARY_* bits, read without the lock. */
export const SUMMARY = 258;
export const PENDING_NMI = 259;
export const PENDING_INIT = 260;
/** Vector 0..255 of a startup IPI; -1 when none. */
export const PENDING_SIPI = 261;
/** 1 from INIT until the startup IPI is taken: only then does one count. */
export const AWAITS_SIPI = 262;
/** An ExtINT message has come: the next acknowledge asks the 8259 pair. */
export const PENDING_EXTINT = 263;
/** Error bits since the last write to the ESR. */
export const ERRORS = 264;
/** IA32_TSC_DEADLINE; zero when not armed. */
export const TSC_DEADLINE_LOW = 265;
export const TSC_DEADLINE_HIGH = 266;
/** f64 indices: when the counter was loaded, and when it fires next (Infinity: never). */
export const TIMER_START = 136;
export const TIMER_DEADLINE = 137;

export const SUMMARY_INTERRUPT: number = 1 << 0;
export const SUMMARY_NMI: number = 1 << 1;
export const SUMMARY_INIT: number = 1 << 2;
export const SUMMARY_SIPI: number = 1 << 3;

export class LapicRecord {
  readonly words: Int32Array;
  readonly doubles: Float64Array;

  constructor(buffer: ArrayBufferLike, irqchip: number, vcpu: number) {
    this.words = new Int32Array(buffer, irqchip + localApicAt(vcpu), LOCAL_APIC_BYTES / 4);
    this.doubles = new Float64Array(buffer, irqchip + localApicAt(vcpu), LOCAL_APIC_BYTES / 8);
  }

  /** A register of the image, as a signed word. */
  get(register: number): number {
    return this.words[register >> 2]!;
  }

  set(register: number, value: number): void {
    this.words[register >> 2] = value;
  }

  /** The highest bit set in ISR, TMR or IRR; -1 when all are clear. */
  highest(register: number): number {
    for (let word = 7; word >= 0; word--) {
      const bits = this.words[(register >> 2) + word * 4]!;
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
    }
    return -1;
  }

  test(register: number, vector: number): boolean {
    return ((this.words[(register >> 2) + (vector >> 5) * 4]! >>> (vector & 31)) & 1) !== 0;
  }

  setBit(register: number, vector: number): void {
    const at = (register >> 2) + (vector >> 5) * 4;
    this.words[at] = this.words[at]! | (1 << (vector & 31));
  }

  clearBit(register: number, vector: number): void {
    const at = (register >> 2) + (vector >> 5) * 4;
    this.words[at] = this.words[at]! & ~(1 << (vector & 31));
  }
}
