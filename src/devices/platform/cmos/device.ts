/**
 * The real-time clock and CMOS memory of a PC (Motorola MC146818 data sheet; memory map as SeaBIOS and crosvm use it).
 *
 * Time is the host's wall clock plus what the guest has set. Daylight saving, the square wave output and the divider
 * chain have no effect. The alarm, update and periodic flags are found when somebody looks; a timer runs only while
 * their interrupt is enabled. Update-in-progress shows in the last millisecond of a second.
 *
 * @module
 */
import type { ByteRegisters } from '../../../bus/bus.ts';
import type { InterruptLine } from '../../../bus/bus-device.ts';
import type { Clock, WallClock } from '../../../util/clock.ts';
import type { TimerHandle, Timers } from '../../../util/timers.ts';
import * as T from './calendar.ts';

const REGISTER_A = 0x0a;
const REGISTER_B = 0x0b;
const REGISTER_C = 0x0c;
const REGISTER_D = 0x0d;

const A_UPDATE_IN_PROGRESS = 0x80;
const A_RATE = 0x0f;
/** 32.768 kHz crystal, 1024 Hz: what firmware sets. */
const A_POWER_UP = 0x26;
const B_SET = 0x80;
const B_PERIODIC = 0x40;
const B_ALARM = 0x20;
const B_UPDATE = 0x10;
const B_INTERRUPTS = B_PERIODIC | B_ALARM | B_UPDATE;
const C_INTERRUPT = 0x80;
const D_VALID = 0x80;

/** CMOS bytes that tell the memory size, low byte first. */
const BASE_MEMORY_KIB = 0x15;
const EXTENDED_MEMORY_KIB = 0x17;
const EXTENDED_MEMORY_KIB_COPY = 0x30;
const MEMORY_ABOVE_16_MIB = 0x34;
const MEMORY_ABOVE_4_GIB = 0x5b;
const PROCESSORS_LESS_ONE = 0x5f;
/** Floating-point unit present. */
const EQUIPMENT = 0x14;
const EQUIPMENT_FPU = 0x02;

const CMOS_BYTES = 128;
const DAY_SECONDS = 86_400;
const UPDATE_MS = 1;

export interface CmosOptions {
  readonly wallClock: WallClock;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Interrupt 8. */
  readonly line: InterruptLine;
  readonly ramBelow4GiB: number;
  readonly ramAbove4GiB: number;
  readonly vcpuCount: number;
}

export interface CmosState {
  readonly version: 1;
  readonly index: number;
  readonly registers: readonly number[];
  readonly flags: number;
  /** Guest time less host time, in milliseconds. */
  readonly offset: number;
}

/** Ports 70h (index) and 71h (data). */
export class Cmos implements ByteRegisters {
  readonly #options: CmosOptions;
  readonly #registers = new Uint8Array(CMOS_BYTES);
  #index = 0;
  /** Periodic, alarm and update flags of register C. */
  #flags = 0;
  #offset = 0;
  /** Whole seconds of guest time, and ticks of the periodic rate, up to which the flags are accounted for. */
  #seenSecond = 0;
  #seenTick = 0;
  #timer: TimerHandle | undefined;

  constructor(options: CmosOptions) {
    this.#options = options;
    this.reset();
  }

  /** A reset of the machine: the battery keeps the time and the memory, the interrupt enables go. */
  reset(): void {
    const registers = this.#registers;
    registers[REGISTER_A] = A_POWER_UP;
    registers[REGISTER_B] = T.B_24_HOURS;
    this.#index = 0;
    this.#flags = 0;
    this.#describeMemory();
    this.#seenSecond = this.#second();
    this.#seenTick = this.#tick();
    this.#update();
  }

  #describeMemory(): void {
    const { ramBelow4GiB, ramAbove4GiB, vcpuCount } = this.#options;
    const registers = this.#registers;
    const set16 = (at: number, value: number): void => {
      const capped = Math.min(0xffff, Math.max(0, Math.floor(value)));
      registers[at] = capped & 0xff;
      registers[at + 1] = capped >> 8;
    };
    set16(BASE_MEMORY_KIB, 640);
    set16(EXTENDED_MEMORY_KIB, ramBelow4GiB / 1024 - 1024);
    set16(EXTENDED_MEMORY_KIB_COPY, ramBelow4GiB / 1024 - 1024);
    set16(MEMORY_ABOVE_16_MIB, (ramBelow4GiB - 16 * 2 ** 20) / 65536);
    const above = Math.min(0xff_ffff, Math.floor(ramAbove4GiB / 65536));
    for (let byte = 0; byte < 3; byte++) registers[MEMORY_ABOVE_4_GIB + byte] = (above >> (byte * 8)) & 0xff;
    registers[PROCESSORS_LESS_ONE] = vcpuCount - 1;
    registers[EQUIPMENT] = EQUIPMENT_FPU;
  }

  readByte(offset: number): number {
    if (offset === 0) return 0xff; // the index cannot be read back
    switch (this.#index) {
      case REGISTER_A:
        return (this.#registers[REGISTER_A]! & ~A_UPDATE_IN_PROGRESS) | (this.#updating ? A_UPDATE_IN_PROGRESS : 0);
      case REGISTER_C:
        return this.#readFlags();
      case REGISTER_D:
        return D_VALID;
      default:
        if (isTime(this.#index) && !this.#halted) T.writeTime(this.#registers, this.#now(), this.#b);
        return this.#registers[this.#index]!;
    }
  }

  writeByte(offset: number, value: number): void {
    // Bit 7 of the index masks NMI, of which there are none.
    if (offset === 0) this.#index = value & 0x7f;
    else this.#writeRegister(this.#index, value);
  }

  get #b(): number {
    return this.#registers[REGISTER_B]!;
  }

  /** The guest sets the time: the registers are its own. */
  get #halted(): boolean {
    return (this.#b & B_SET) !== 0;
  }

  /** Guest time in milliseconds since 1970. */
  #now(): number {
    return this.#options.wallClock.milliseconds() + this.#offset;
  }

  #second(): number {
    return Math.floor(this.#now() / 1000);
  }

  get #updating(): boolean {
    return !this.#halted && this.#now() - this.#second() * 1000 >= 1000 - UPDATE_MS;
  }

  /** Period of the periodic flag in nanoseconds; Infinity when the rate is zero. */
  get #period(): number {
    const rate = this.#registers[REGISTER_A]! & A_RATE;
    if (rate === 0) return Infinity;
    // The two fastest rates are those of 8 and 9 with this crystal.
    return (2 ** ((rate < 3 ? rate + 7 : rate) - 1) / 32_768) * 1e9;
  }

  #tick(): number {
    const period = this.#period;
    return period === Infinity ? 0 : Math.floor(this.#options.clock.nanoseconds() / period);
  }

  #writeRegister(index: number, value: number): void {
    const registers = this.#registers;
    this.#account();
    switch (index) {
      case REGISTER_A:
        registers[REGISTER_A] = value & ~A_UPDATE_IN_PROGRESS;
        this.#seenTick = this.#tick();
        break;
      case REGISTER_B:
        this.#writeB(value);
        break;
      case REGISTER_C:
      case REGISTER_D:
        return;
      default:
        if (isTime(index) && !this.#halted) {
          T.writeTime(registers, this.#now(), this.#b);
          registers[index] = value;
          this.#setTime();
        } else {
          registers[index] = value;
        }
    }
    this.#update();
  }

  #writeB(value: number): void {
    const registers = this.#registers;
    const halted = this.#halted;
    if (!halted && (value & B_SET) !== 0) T.writeTime(registers, this.#now(), this.#b);
    // Updates stop while the time is being set, and so does their interrupt.
    registers[REGISTER_B] = (value & B_SET) !== 0 ? value & ~B_UPDATE : value;
    if (halted && (value & B_SET) === 0) this.#setTime();
  }

  #setTime(): void {
    this.#offset = T.readTime(this.#registers, this.#b) - this.#options.wallClock.milliseconds();
    this.#seenSecond = this.#second();
  }

  /** Sets the flags for what has passed since the last look. */
  #account(): void {
    const tick = this.#tick();
    if (tick !== this.#seenTick) this.#flags |= B_PERIODIC;
    this.#seenTick = tick;
    if (this.#halted) return;
    const second = this.#second();
    if (second === this.#seenSecond) return;
    this.#flags |= B_UPDATE;
    if (this.#nextAlarm(this.#seenSecond) <= second) this.#flags |= B_ALARM;
    this.#seenSecond = second;
  }

  /** The first second after `after` at which the alarm matches; Infinity when it names no time of day. */
  #nextAlarm(after: number): number {
    const from = after + 1;
    const ofDay = ((from % DAY_SECONDS) + DAY_SECONDS) % DAY_SECONDS;
    const next = T.nextAlarm(this.#registers, ofDay, this.#b);
    return from + (next - ofDay);
  }

  #readFlags(): number {
    this.#account();
    const value = this.#flags | ((this.#flags & this.#b & B_INTERRUPTS) !== 0 ? C_INTERRUPT : 0);
    this.#flags = 0;
    this.#update();
    return value;
  }

  /** Drives the interrupt and arms the timer for the next one that is enabled. */
  #update(): void {
    const { clock, line, timers } = this.#options;
    this.#account();
    const b = this.#b;
    line.set((this.#flags & b & B_INTERRUPTS) !== 0);
    if (this.#timer !== undefined) timers.clear(this.#timer);
    this.#timer = undefined;
    const deadline = this.#nextInterrupt(b & ~this.#flags, clock.nanoseconds());
    if (deadline === Infinity) return;
    this.#timer = timers.set(deadline, () => {
      this.#timer = undefined;
      this.#update();
    });
  }

  /** Machine time of the next of the interrupts in `enabled`. */
  #nextInterrupt(enabled: number, now: number): number {
    let next = Infinity;
    if ((enabled & B_PERIODIC) !== 0) next = (this.#seenTick + 1) * this.#period;
    if (this.#halted) return next;
    const at = (second: number): number => now + (second * 1000 - this.#now()) * 1e6;
    if ((enabled & B_UPDATE) !== 0) next = Math.min(next, at(this.#seenSecond + 1));
    if ((enabled & B_ALARM) !== 0) next = Math.min(next, at(this.#nextAlarm(this.#seenSecond)));
    return next;
  }

  save(): CmosState {
    this.#account();
    const registers = [...this.#registers];
    return { version: 1, index: this.#index, registers, flags: this.#flags, offset: this.#offset };
  }

  restore(state: CmosState): void {
    this.#registers.set(state.registers.slice(0, CMOS_BYTES));
    this.#index = state.index & 0x7f;
    this.#flags = state.flags & B_INTERRUPTS;
    this.#offset = Number.isFinite(state.offset) ? state.offset : 0;
    this.#seenSecond = this.#second();
    this.#seenTick = this.#tick();
    this.#update();
  }
}

/** Registers whose value is the time. */
const isTime = (index: number): boolean =>
  (index <= T.YEAR && index !== T.SECONDS_ALARM && index !== T.MINUTES_ALARM && index !== T.HOURS_ALARM) ||
  index === T.CENTURY;
