/**
 * One local APIC: registers in xAPIC and x2APIC form, acceptance, priority and end of interrupts (SDM 3A, chapter
 * "Advanced Programmable Interrupt Controller").
 *
 * Not modelled: the APIC bus and its arbitration, CMCI, remote reads, logical destination format other than flat and
 * cluster. The caller holds the irqchip's lock.
 *
 * @module
 */
import * as R from './lapic-defs.ts';
import {
  AWAITS_SIPI,
  BASE_HIGH,
  BASE_LOW,
  ERRORS,
  type LapicRecord,
  PENDING_EXTINT,
  PENDING_INIT,
  PENDING_NMI,
  PENDING_SIPI,
  SUMMARY,
  SUMMARY_INIT,
  SUMMARY_INTERRUPT,
  SUMMARY_NMI,
  SUMMARY_SIPI,
  TIMER_START,
} from './lapic-record.ts';
import { LapicTimer } from './lapic-timer.ts';

/** What a local APIC reaches outside itself. */
export interface LapicPeers {
  /** Sends an interprocessor interrupt; `destination` has 8 bits unless `x2apic`. */
  sendIpi(from: LocalApic, icr: number, destination: number, x2apic: boolean): void;
  /** A level-triggered vector was ended. */
  broadcastEoi(vector: number): void;
  /** INTR of the 8259 pair, and its acknowledge cycle. */
  extIntAsserted(): boolean;
  extIntAcknowledge(): number;
  /** Makes this APIC's vCPU look at what is pending. */
  kick(vcpu: number): void;
}

export interface LocalApicOptions {
  readonly record: LapicRecord;
  /** Index of the vCPU, and its APIC ID. */
  readonly id: number;
  readonly peers: LapicPeers;
  readonly tscOffset: () => number;
  /** MAXPHYADDR: bits of IA32_APIC_BASE above it are reserved. */
  readonly physicalAddressBits: number;
}

export class LocalApic {
  readonly id: number;
  readonly record: LapicRecord;
  readonly timer: LapicTimer;
  readonly #peers: LapicPeers;
  readonly #baseReserved: bigint;

  constructor(options: LocalApicOptions) {
    this.id = options.id;
    this.record = options.record;
    this.timer = new LapicTimer(options.record, options.tscOffset);
    this.#peers = options.peers;
    this.#baseReserved = ~((1n << BigInt(options.physicalAddressBits)) - 1n) | 0x2ffn;
  }

  /** Power-up. vCPU 0 is the bootstrap processor; the others wait for a startup IPI. */
  reset(now: number): void {
    const { words } = this.record;
    const boot = this.id === 0;
    words.fill(0);
    words[BASE_LOW] = R.APIC_BASE_DEFAULT | R.APIC_BASE_EN | (boot ? R.APIC_BASE_BSP : 0);
    words[PENDING_SIPI] = -1;
    words[AWAITS_SIPI] = boot ? 0 : 1;
    this.#resetRegisters(now);
  }

  /** The state of the registers after power-up and INIT; keeps the base and what is pending. */
  #resetRegisters(now: number): void {
    const { record } = this;
    record.words.fill(0, 0, R.APIC_SELF_IPI >> 2);
    record.set(R.APIC_VERSION, R.VERSION_VALUE);
    record.set(R.APIC_DFR, -1);
    record.set(R.APIC_SVR, 0xff);
    for (const lvt of Object.keys(R.LVT_WRITABLE)) record.set(Number(lvt), R.LVT_MASKED);
    // Firmware leaves the bootstrap processor in virtual wire mode (MP 1.4, 3.6.2.2): nobody else here would set it
    // up, and a kernel that does not use the APIC gets its interrupts from the 8259 pair through LINT0.
    if (this.id === 0) {
      record.set(R.APIC_LVT_LINT0, R.DELIVERY_EXTINT << 8);
      record.set(R.APIC_LVT_LINT1, R.DELIVERY_NMI << 8);
    }
    record.words[PENDING_EXTINT] = 0;
    record.words[ERRORS] = 0;
    record.doubles[TIMER_START] = now;
    this.timer.disarm();
    this.#setIdentity();
  }

  /** ID and, in x2APIC mode, the logical ID that follows from it. */
  #setIdentity(): void {
    const { record, id } = this;
    if (this.x2apic) {
      record.set(R.APIC_ID, id);
      record.set(R.APIC_LDR, ((id >> 4) << 16) | (1 << (id & 15)));
    } else {
      record.set(R.APIC_ID, id << 24);
    }
  }

  get enabled(): boolean {
    return (this.record.words[BASE_LOW]! & R.APIC_BASE_EN) !== 0;
  }

  get x2apic(): boolean {
    return (this.record.words[BASE_LOW]! & R.APIC_BASE_EXTD) !== 0;
  }

  /** True when fixed interrupts are taken in. */
  get accepting(): boolean {
    return this.enabled && this.#softwareEnabled;
  }

  get #softwareEnabled(): boolean {
    return (this.record.get(R.APIC_SVR) & R.SVR_ENABLE) !== 0;
  }

  /** Recomputes the summary word and kicks the vCPU when something new is pending. Ends every change. */
  refresh(): void {
    const { words } = this.record;
    let summary = 0;
    if (this.#extIntReady() || this.#fixedReady() >= 0) summary |= SUMMARY_INTERRUPT;
    if (words[PENDING_NMI] !== 0) summary |= SUMMARY_NMI;
    if (words[PENDING_INIT] !== 0) summary |= SUMMARY_INIT;
    if (words[PENDING_SIPI]! >= 0) summary |= SUMMARY_SIPI;
    const before = words[SUMMARY]!;
    if (summary === before) return;
    Atomics.store(words, SUMMARY, summary);
    if ((summary & ~before) !== 0) this.#peers.kick(this.id);
  }

  /** Makes the vCPU look up although nothing is pending: a time it waits for has changed. */
  wake(): void {
    this.#peers.kick(this.id);
  }

  /** ExtINT reaches the processor through LINT0, through a message, or past an APIC that is switched off. */
  #extIntReady(): boolean {
    if (!this.#peers.extIntAsserted()) return false;
    if (this.record.words[PENDING_EXTINT] !== 0) return true;
    if (!this.enabled) return this.id === 0;
    const lint0 = this.record.get(R.APIC_LVT_LINT0);
    return (lint0 & (R.LVT_MASKED | 0x700)) === R.DELIVERY_EXTINT << 8;
  }

  /** The vector that may interrupt now; -1 when none. */
  #fixedReady(): number {
    if (!this.enabled) return -1;
    const vector = this.record.highest(R.APIC_IRR);
    return vector >= 0 && (vector & 0xf0) > (this.ppr & 0xf0) ? vector : -1;
  }

  /** Processor priority: the task priority or the class of the interrupt in service, whichever is higher. */
  get ppr(): number {
    const tpr = this.record.get(R.APIC_TPR);
    const serving = Math.max(0, this.record.highest(R.APIC_ISR));
    return (tpr & 0xf0) >= (serving & 0xf0) ? tpr : serving & 0xf0;
  }

  /** The processor takes its interrupt: the vector, or -1 when there is none any more. */
  acknowledge(): number {
    const { record } = this;
    let vector: number;
    if (this.#extIntReady()) {
      record.words[PENDING_EXTINT] = 0;
      vector = this.#peers.extIntAcknowledge();
    } else {
      vector = this.#fixedReady();
      if (vector >= 0) {
        record.clearBit(R.APIC_IRR, vector);
        record.setBit(R.APIC_ISR, vector);
      }
    }
    this.refresh();
    return vector;
  }

  /** Takes in a message. False when this APIC does not accept it. */
  deliver(mode: number, vector: number, level: boolean): boolean {
    const { words } = this.record;
    if (!this.enabled) return false;
    switch (mode) {
      case R.DELIVERY_FIXED:
      case R.DELIVERY_LOWEST_PRIORITY:
        if (!this.#softwareEnabled) return false;
        if (vector < R.FIRST_LEGAL_VECTOR) {
          this.#error(R.ESR_RECEIVE_ILLEGAL_VECTOR);
          return true;
        }
        this.record.setBit(R.APIC_IRR, vector);
        if (level) this.record.setBit(R.APIC_TMR, vector);
        else this.record.clearBit(R.APIC_TMR, vector);
        break;
      case R.DELIVERY_NMI:
        words[PENDING_NMI] = 1;
        break;
      case R.DELIVERY_INIT:
        words[PENDING_INIT] = 1;
        words[PENDING_SIPI] = -1;
        break;
      case R.DELIVERY_STARTUP:
        if (words[PENDING_INIT] !== 0 || words[AWAITS_SIPI] !== 0) words[PENDING_SIPI] = vector;
        break;
      case R.DELIVERY_EXTINT:
        words[PENDING_EXTINT] = 1;
        break;
      default: // SMI: there is no system management mode
        break;
    }
    this.refresh();
    return true;
  }

  /** Non-maskable interrupt from outside (a button, a debugger), past the APIC. */
  injectNmi(): void {
    this.record.words[PENDING_NMI] = 1;
    this.refresh();
  }

  takeNmi(): boolean {
    const taken = this.record.words[PENDING_NMI] !== 0;
    this.record.words[PENDING_NMI] = 0;
    this.refresh();
    return taken;
  }

  /** Takes INIT: the registers go back to their power-up state, and an application processor waits for a startup IPI. */
  takeInit(now: number): boolean {
    const { words } = this.record;
    if (words[PENDING_INIT] === 0) return false;
    words[PENDING_INIT] = 0;
    words[AWAITS_SIPI] = (words[BASE_LOW]! & R.APIC_BASE_BSP) !== 0 ? 0 : 1;
    this.#resetRegisters(now);
    this.refresh();
    return true;
  }

  takeSipi(): number {
    const { words } = this.record;
    const vector = words[PENDING_SIPI]!;
    words[PENDING_SIPI] = -1;
    if (vector >= 0) words[AWAITS_SIPI] = 0;
    this.refresh();
    return vector;
  }

  /** Fires the timer when it is due. */
  poll(now: number): void {
    if (!this.timer.expire(now)) return;
    this.#raise(R.APIC_LVT_TIMER);
    this.refresh();
  }

  /** A local interrupt source asks, through its LVT entry. */
  #raise(lvt: number): void {
    const entry = this.record.get(lvt);
    if ((entry & R.LVT_MASKED) !== 0) return;
    // The timer's and the error entry have no delivery mode field: it reads as zero, fixed.
    this.deliver((entry >> 8) & 7, entry & 0xff, false);
  }

  #error(bit: number): void {
    const { words } = this.record;
    const had = words[ERRORS]!;
    words[ERRORS] = had | bit;
    // Only a new error interrupts: an error entry with an illegal vector would raise itself for ever.
    if ((had & bit) === 0) this.#raise(R.APIC_LVT_ERROR);
  }

  #endOfInterrupt(): void {
    const { record } = this;
    const vector = record.highest(R.APIC_ISR);
    if (vector < 0) return;
    record.clearBit(R.APIC_ISR, vector);
    const suppressed = (record.get(R.APIC_SVR) & R.SVR_SUPPRESS_EOI_BROADCAST) !== 0;
    if (record.test(R.APIC_TMR, vector) && !suppressed) this.#peers.broadcastEoi(vector);
  }

  /** True when a message to `destination` is for this APIC. `x2apic`: the destination has 32 bits. */
  matches(destination: number, logical: boolean, x2apic: boolean): boolean {
    if (destination === (x2apic ? 0xffff_ffff : 0xff)) return true;
    if (!logical) return destination === this.id;
    const ldr = this.record.get(R.APIC_LDR);
    if (this.x2apic) return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0;
    const own = ldr >>> 24;
    switch (this.record.get(R.APIC_DFR) >>> 28) {
      case 0xf: // flat: one bit per APIC
        return (own & destination) !== 0;
      case 0: // cluster: cluster number, then a bit per APIC in it
        return (own ^ destination) >>> 4 === 0 && (own & destination & 0xf) !== 0;
      default:
        return false;
    }
  }

  /** Reads a register; unsigned. `offset` is a multiple of 16. */
  read(offset: number, now: number): number {
    switch (offset) {
      case R.APIC_PPR:
        return this.ppr;
      case R.APIC_CURRENT_COUNT:
        return this.timer.currentCount(now);
      case R.APIC_APR:
      case R.APIC_EOI:
      case R.APIC_RRD:
        return 0;
      default:
        return this.record.get(offset) >>> 0;
    }
  }

  /** Writes a register of either form; bits that it does not have are dropped. Ends with `refresh`. */
  write(offset: number, value: number, now: number): void {
    const { record } = this;
    switch (offset) {
      case R.APIC_TPR:
        record.set(R.APIC_TPR, value & 0xff);
        break;
      case R.APIC_EOI:
        this.#endOfInterrupt();
        break;
      case R.APIC_LDR:
        if (!this.x2apic) record.set(R.APIC_LDR, value & 0xff00_0000);
        break;
      case R.APIC_DFR:
        record.set(R.APIC_DFR, value | 0x0fff_ffff);
        break;
      case R.APIC_SVR:
        record.set(R.APIC_SVR, value & R.SVR_WRITABLE);
        if (!this.#softwareEnabled) {
          for (const lvt of Object.keys(R.LVT_WRITABLE))
            record.set(Number(lvt), record.get(Number(lvt)) | R.LVT_MASKED);
        }
        break;
      case R.APIC_ESR:
        record.set(R.APIC_ESR, record.words[ERRORS]!);
        record.words[ERRORS] = 0;
        break;
      case R.APIC_ICR:
        record.set(R.APIC_ICR, value & R.ICR_WRITABLE);
        this.#send();
        break;
      case R.APIC_ICR2:
        record.set(R.APIC_ICR2, this.x2apic ? value : value & 0xff00_0000);
        break;
      case R.APIC_LVT_TIMER:
        this.timer.setLvt(this.#lvtValue(offset, value), now);
        break;
      case R.APIC_LVT_THERMAL:
      case R.APIC_LVT_PERFORMANCE:
      case R.APIC_LVT_LINT0:
      case R.APIC_LVT_LINT1:
      case R.APIC_LVT_ERROR:
        record.set(offset, this.#lvtValue(offset, value));
        break;
      case R.APIC_INITIAL_COUNT:
        this.timer.setInitialCount(value, now);
        break;
      case R.APIC_DIVIDE_CONFIGURATION:
        this.timer.setDivideConfiguration(value, now);
        break;
    }
    this.refresh();
  }

  #lvtValue(offset: number, value: number): number {
    return (value & R.LVT_WRITABLE[offset]!) | (this.#softwareEnabled ? 0 : R.LVT_MASKED);
  }

  #send(): void {
    const { record } = this;
    const icr = record.get(R.APIC_ICR);
    const mode = (icr >> 8) & 7;
    if (mode <= R.DELIVERY_LOWEST_PRIORITY && (icr & 0xff) < R.FIRST_LEGAL_VECTOR) {
      this.#error(R.ESR_SEND_ILLEGAL_VECTOR);
      return;
    }
    const high = record.get(R.APIC_ICR2) >>> 0;
    this.#peers.sendIpi(this, icr, this.x2apic ? high : high >>> 24, this.x2apic);
  }

  /** A register that does not exist was touched (xAPIC form). */
  illegalRegister(): void {
    this.#error(R.ESR_ILLEGAL_REGISTER);
    this.refresh();
  }

  /** Sends `vector` to this processor (x2APIC SELF IPI). */
  selfIpi(vector: number): void {
    if (vector < R.FIRST_LEGAL_VECTOR) this.#error(R.ESR_SEND_ILLEGAL_VECTOR);
    else this.deliver(R.DELIVERY_FIXED, vector, false);
    this.refresh();
  }

  get baseMsr(): bigint {
    const { words } = this.record;
    return (BigInt(words[BASE_HIGH]! >>> 0) << 32n) | BigInt(words[BASE_LOW]! >>> 0);
  }

  /** Writes IA32_APIC_BASE. False for reserved bits and for the transitions that raise #GP. */
  writeBase(value: bigint, now: number): boolean {
    if ((value & this.#baseReserved) !== 0n) return false;
    const low = Number(value & 0xffff_ffffn) | 0;
    const enable = (low & R.APIC_BASE_EN) !== 0;
    const extended = (low & R.APIC_BASE_EXTD) !== 0;
    if (extended && (!enable || !this.enabled)) return false;
    // From x2APIC mode the only way out is through "disabled".
    if (!extended && enable && this.x2apic) return false;
    const was = this.enabled;
    const wasExtended = this.x2apic;
    this.record.words[BASE_LOW] = low;
    this.record.words[BASE_HIGH] = Number(value >> 32n) | 0;
    if (was !== enable) this.#resetRegisters(now);
    else if (extended !== wasExtended) {
      this.#setIdentity();
      this.record.set(R.APIC_ICR2, 0);
    }
    this.refresh();
    return true;
  }
}
