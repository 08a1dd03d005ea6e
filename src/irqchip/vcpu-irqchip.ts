/**
 * The interrupt controllers as one vCPU sees them (hypervisor/interrupts.ts). Questions that the interpreter asks all
 * the time are answered from a summary word without the lock.
 *
 * @module
 */
import type { AccessWidth } from '../bus/bus-device.ts';
import type { VcpuInterrupts } from '../hypervisor/interrupts.ts';
import * as access from './lapic-access.ts';
import { APIC_TPR } from './lapic-defs.ts';
import type { LocalApic } from './lapic.ts';
import {
  BASE_HIGH,
  BASE_LOW,
  SUMMARY,
  SUMMARY_INIT,
  SUMMARY_INTERRUPT,
  SUMMARY_NMI,
  SUMMARY_SIPI,
} from './lapic-record.ts';
import type { Pit } from './pit.ts';
import type { Clock } from '../util/clock.ts';
import type { SharedLock } from '../util/shared-lock.ts';

export class VcpuIrqchip implements VcpuInterrupts {
  readonly #apic: LocalApic;
  readonly #pit: Pit | undefined;
  readonly #lock: SharedLock;
  readonly #clock: Clock;
  readonly #words: Int32Array;
  readonly #ferr: (asserted: boolean) => boolean;

  /** `pit` for the vCPU that polls the 8254. */
  constructor(
    lock: SharedLock,
    clock: Clock,
    apic: LocalApic,
    pit: Pit | undefined,
    ferr: (asserted: boolean) => boolean,
  ) {
    this.#ferr = ferr;
    this.#apic = apic;
    this.#pit = pit;
    this.#lock = lock;
    this.#clock = clock;
    this.#words = apic.record.words;
  }

  #has(bit: number): boolean {
    return (Atomics.load(this.#words, SUMMARY) & bit) !== 0;
  }

  poll(now: number): void {
    // A torn read of a deadline cannot happen on 64-bit hosts; it would cost one poll too many or one interpreter slice.
    if (now < this.nextDeadline()) return;
    this.#lock.lock();
    this.#apic.poll(now);
    this.#pit?.poll(now);
    this.#lock.unlock();
  }

  nextDeadline(): number {
    const own = this.#apic.timer.deadline;
    return this.#pit === undefined ? own : Math.min(own, this.#pit.nextInterrupt);
  }

  pending(): boolean {
    return this.#has(SUMMARY_INTERRUPT);
  }

  acknowledge(): number {
    if (!this.#has(SUMMARY_INTERRUPT)) return -1;
    this.#lock.lock();
    const vector = this.#apic.acknowledge();
    this.#lock.unlock();
    return vector;
  }

  takeNmi(): boolean {
    if (!this.#has(SUMMARY_NMI)) return false;
    this.#lock.lock();
    const taken = this.#apic.takeNmi();
    this.#lock.unlock();
    return taken;
  }

  takeInit(): boolean {
    if (!this.#has(SUMMARY_INIT)) return false;
    const now = this.#clock.nanoseconds();
    this.#lock.lock();
    const taken = this.#apic.takeInit(now);
    this.#lock.unlock();
    return taken;
  }

  takeSipi(): number {
    if (!this.#has(SUMMARY_SIPI)) return -1;
    this.#lock.lock();
    const vector = this.#apic.takeSipi();
    this.#lock.unlock();
    return vector;
  }

  ferr(asserted: boolean): boolean {
    return this.#ferr(asserted);
  }

  apicRead(offset: number, width: AccessWidth): number {
    const now = this.#clock.nanoseconds();
    this.#lock.lock();
    const value = access.mmioRead(this.#apic, offset, width, now);
    this.#lock.unlock();
    return value;
  }

  apicWrite(offset: number, width: AccessWidth, value: number): void {
    const now = this.#clock.nanoseconds();
    this.#lock.lock();
    access.mmioWrite(this.#apic, offset, width, value, now);
    this.#lock.unlock();
  }

  readMsr(msr: number): bigint | undefined {
    const now = this.#clock.nanoseconds();
    this.#lock.lock();
    const value = access.readMsr(this.#apic, msr, now);
    this.#lock.unlock();
    return value;
  }

  writeMsr(msr: number, value: bigint): boolean {
    const now = this.#clock.nanoseconds();
    this.#lock.lock();
    const legal = access.writeMsr(this.#apic, msr, BigInt.asUintN(64, value), now);
    this.#lock.unlock();
    return legal;
  }

  readCr8(): number {
    return (this.#apic.record.get(APIC_TPR) >> 4) & 15;
  }

  writeCr8(value: number): void {
    this.#lock.lock();
    this.#apic.write(APIC_TPR, (value & 15) << 4, 0);
    this.#lock.unlock();
  }

  apicBase(): number {
    if (!this.#apic.enabled || this.#apic.x2apic) return -1;
    return (this.#words[BASE_HIGH]! >>> 0) * 0x1_0000_0000 + ((this.#words[BASE_LOW]! & ~0xfff) >>> 0);
  }
}
