/**
 * The 16550A serial port (National Semiconductor PC16550D data sheet).
 *
 * Bytes leave at once, whatever the divisor says; while the host's sink is congested the transmitter shows itself
 * busy. Registers whose reads have no side effect are shadowed, and writes of the transmit and interrupt enable
 * registers are queued: polled console output costs no round trip, output by interrupt one for 16 bytes. As in QEMU and crosvm the interrupt does not pass through OUT2, and character format and
 * speed have no effect. A break that the guest sends goes nowhere.
 *
 * @module
 */
import type { ByteRegisters } from '../../../bus/bus.ts';
import type { InterruptLine } from '../../../bus/bus-device.ts';
import type { ByteSink, ByteSource } from '../../../bus/byte-stream.ts';
import type { Clock } from '../../../util/clock.ts';
import type { Timers } from '../../../util/timers.ts';
import type { UartState } from './defs.ts';
import * as R from './defs.ts';
import { Receiver } from './receiver.ts';

/** What vCPUs may do with this port without asking the device. */
export interface UartShortcuts {
  /**
   * The value that reads of a register give, or undefined when they must come to the device. `ordered`: a queued write
   * may change it.
   */
  shadow(register: number, value: number | undefined, ordered: boolean): void;
  /** Whether writes of a register may be queued. */
  post(register: number, allowed: boolean): void;
}

export interface Uart16550Options {
  readonly input: ByteSource;
  readonly output: ByteSink;
  readonly line: InterruptLine;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly shortcuts: UartShortcuts;
}

/** 9600 baud of the 1.8432 MHz crystal. */
const POWER_UP_DIVISOR = 12;
/** A terminal is there and ready. */
const MODEM_LINES = R.MSR_CTS | R.MSR_DSR | R.MSR_DCD;

/** The state of another version, or not of a UART. */
export class UartStateError extends Error {
  override readonly name = 'UartStateError';
}

export class Uart16550 implements ByteRegisters {
  readonly #output: ByteSink;
  readonly #line: InterruptLine;
  readonly #shortcuts: UartShortcuts;
  readonly #receiver: Receiver;
  readonly #outgoing = new Uint8Array(1);
  #divisor = POWER_UP_DIVISOR;
  #ier = 0;
  #fcr = 0;
  #lcr = 0;
  #mcr = 0;
  #msr = MODEM_LINES;
  #scr = 0;
  #errors = 0;
  #thrEmptyPending = false;
  /** The sink asked to hold back. */
  #blocked = false;
  /** What the shadows were last told, by register; -1 for "ask the device". */
  readonly #shadows = new Int16Array(R.UART_PORTS).fill(-2);

  constructor(options: Uart16550Options) {
    this.#output = options.output;
    this.#line = options.line;
    this.#shortcuts = options.shortcuts;
    this.#receiver = new Receiver(options.input, options.clock, options.timers, () => this.#update());
    this.#output.onDrain(() => this.#drained());
    this.#shortcuts.post(R.RBR_THR, true);
    this.#shortcuts.post(R.IER, true);
    this.#update();
    this.#receiver.start();
    this.#update();
  }

  reset(): void {
    this.#divisor = POWER_UP_DIVISOR;
    this.#ier = 0;
    this.#fcr = 0;
    this.#lcr = 0;
    this.#mcr = 0;
    this.#msr = MODEM_LINES;
    this.#scr = 0;
    this.#errors = 0;
    this.#thrEmptyPending = false;
    this.#receiver.reset();
    this.#shortcuts.post(R.RBR_THR, true);
    this.#update();
  }

  readByte(offset: number): number {
    const value = this.#read(offset);
    this.#update();
    return value;
  }

  writeByte(offset: number, value: number): void {
    if (offset !== R.LSR) this.#receiver.busy();
    this.#write(offset, value);
    this.#update();
  }

  /** A break from the other end of the line. */
  receiveBreak(): void {
    if (this.#loopback) return;
    if (!this.#receiver.push(0, true)) this.#errors |= R.LSR_OE;
    this.#update();
  }

  get #loopback(): boolean {
    return (this.#mcr & R.MCR_LOOP) !== 0;
  }

  get #fifosEnabled(): boolean {
    return (this.#fcr & R.FCR_ENABLE) !== 0;
  }

  #read(offset: number): number {
    const dlab = (this.#lcr & R.LCR_DLAB) !== 0;
    switch (offset) {
      case R.RBR_THR:
        if (dlab) return this.#divisor & 0xff;
        return this.#receiver.shift();
      case R.IER:
        return dlab ? this.#divisor >> 8 : this.#ier;
      case R.IIR_FCR: {
        const source = this.#source();
        // Reading it is what ends this interrupt, if it is the one that is told.
        if (source === R.IIR_THR_EMPTY) this.#thrEmptyPending = false;
        return source | (this.#fifosEnabled ? R.IIR_FIFOS_ENABLED : 0);
      }
      case R.LCR:
        return this.#lcr;
      case R.MCR:
        return this.#mcr;
      case R.LSR: {
        const value = this.#lineStatus();
        if ((value & R.LSR_THRE) !== 0) this.#receiver.lineStatusRead();
        this.#errors = 0;
        return value;
      }
      case R.MSR: {
        const value = this.#msr;
        this.#msr &= 0xf0;
        return value;
      }
      case R.SCR:
        return this.#scr;
      default:
        return 0xff;
    }
  }

  #write(offset: number, value: number): void {
    const dlab = (this.#lcr & R.LCR_DLAB) !== 0;
    switch (offset) {
      case R.RBR_THR:
        if (dlab) this.#divisor = (this.#divisor & 0xff00) | value;
        else this.#transmit(value);
        break;
      case R.IER:
        if (dlab) this.#divisor = (this.#divisor & 0xff) | (value << 8);
        else this.#writeIer(value & 0x0f);
        break;
      case R.IIR_FCR:
        this.#writeFcr(value);
        break;
      case R.LCR:
        // A break goes round the loop as a character of zeroes that is marked.
        if (this.#loopback && (value & ~this.#lcr & R.LCR_BREAK) !== 0) this.#receiver.push(0, true);
        this.#lcr = value;
        break;
      case R.MCR:
        this.#writeMcr(value & 0x1f);
        break;
      case R.SCR:
        this.#scr = value;
        break;
      default: // LSR and MSR are for factory tests
        break;
    }
  }

  #transmit(byte: number): void {
    if (this.#loopback) {
      if (!this.#receiver.push(byte, false)) this.#errors |= R.LSR_OE;
    } else {
      this.#outgoing[0] = byte;
      this.#output.write(this.#outgoing);
      this.#blocked = this.#output.congested;
    }
    // The byte is gone at once: the register is empty again, unless the sink holds the transmitter up.
    this.#thrEmptyPending = !this.#blocked;
  }

  #drained(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#thrEmptyPending = true;
    this.#update();
  }

  #writeIer(value: number): void {
    const changed = value ^ this.#ier;
    this.#ier = value;
    // Enabling this interrupt while the register is empty raises it; kernels start a transmission that way.
    if ((changed & R.IER_ETBEI) !== 0) this.#thrEmptyPending = (value & R.IER_ETBEI) !== 0 && !this.#blocked;
    if ((changed & R.IER_ERBFI) !== 0) this.#receiver.setInterrupts((value & R.IER_ERBFI) !== 0);
  }

  #writeFcr(value: number): void {
    const toggled = ((value ^ this.#fcr) & R.FCR_ENABLE) !== 0;
    // The other bits count only together with the enable bit.
    this.#fcr = (value & R.FCR_ENABLE) !== 0 ? value & 0xc9 : 0;
    if (toggled || (value & (R.FCR_ENABLE | R.FCR_CLEAR_RECEIVER)) === (R.FCR_ENABLE | R.FCR_CLEAR_RECEIVER)) {
      this.#receiver.clear();
      this.#errors &= ~R.LSR_BI;
    }
    this.#receiver.setCapacity(this.#fifosEnabled ? R.FIFO_BYTES : 1);
  }

  #writeMcr(value: number): void {
    this.#mcr = value;
    this.#receiver.setLoopback(this.#loopback);
    // In the loop a byte sent changes the line status, so it must not be overtaken by a read of the shadow.
    this.#shortcuts.post(R.RBR_THR, !this.#loopback);
    let lines = MODEM_LINES;
    if (this.#loopback) {
      lines =
        ((value & R.MCR_DTR) !== 0 ? R.MSR_DSR : 0) |
        ((value & R.MCR_RTS) !== 0 ? R.MSR_CTS : 0) |
        ((value & R.MCR_OUT1) !== 0 ? R.MSR_RI : 0) |
        ((value & R.MCR_OUT2) !== 0 ? R.MSR_DCD : 0);
    }
    const before = this.#msr & 0xf0;
    let changes = (before ^ lines) >> 4;
    // Only the trailing edge of the ring indicator counts.
    if ((lines & R.MSR_RI) !== 0) changes &= ~R.MSR_TERI;
    this.#msr = lines | (this.#msr & 0x0f) | changes;
  }

  #lineStatus(): number {
    const receiver = this.#receiver;
    return (
      (receiver.count > 0 ? R.LSR_DR : 0) |
      this.#errors |
      (this.#blocked ? 0 : R.LSR_THRE | R.LSR_TEMT) |
      (this.#fifosEnabled && (receiver.hasBreak || (this.#errors & R.LSR_BI) !== 0) ? R.LSR_FIFO_ERROR : 0)
    );
  }

  /** The pending interrupt with the highest priority, as IIR tells it. */
  #source(): number {
    const ier = this.#ier;
    if ((ier & R.IER_ELSI) !== 0 && (this.#errors & R.LSR_ERRORS) !== 0) return R.IIR_LINE_STATUS;
    if ((ier & R.IER_ERBFI) !== 0 && this.#receiver.count > 0) {
      const trigger = this.#fifosEnabled ? R.FCR_TRIGGER_LEVELS[this.#fcr >> 6]! : 1;
      // Below the trigger level the interrupt comes when the line has been idle for four characters. The receiver
      // takes everything the host has, so the line is idle.
      return this.#receiver.count >= trigger ? R.IIR_DATA_AVAILABLE : R.IIR_TIMEOUT;
    }
    if ((ier & R.IER_ETBEI) !== 0 && this.#thrEmptyPending) return R.IIR_THR_EMPTY;
    if ((ier & R.IER_EDSSI) !== 0 && (this.#msr & 0x0f) !== 0) return R.IIR_MODEM_STATUS;
    return R.IIR_NONE;
  }

  /** After every change: takes more input, keeps the shadows, drives the interrupt. */
  #update(): void {
    this.#receiver.take();
    // The mark of a break shows in the line status when the character is the next to be read.
    if (this.#receiver.takeBreak()) this.#errors |= R.LSR_BI;
    const source = this.#source();
    // Shadows before the line: who is interrupted finds the reason. Reads with side effects, or whose number matters,
    // come to the device.
    this.#shadow(R.LSR, this.#errors !== 0 || this.#receiver.held ? -1 : this.#lineStatus());
    this.#shadow(R.MSR, (this.#msr & 0x0f) !== 0 ? -1 : this.#msr);
    this.#shadow(R.IIR_FCR, source === R.IIR_THR_EMPTY ? -1 : source | (this.#fifosEnabled ? R.IIR_FIFOS_ENABLED : 0));
    this.#line.set(source !== R.IIR_NONE);
  }

  #shadow(register: number, value: number): void {
    if (this.#shadows[register] === value) return;
    this.#shadows[register] = value;
    this.#shortcuts.shadow(register, value < 0 ? undefined : value, register === R.IIR_FCR);
  }

  save(): UartState {
    return {
      version: 1,
      divisor: this.#divisor,
      ier: this.#ier,
      fcr: this.#fcr,
      lcr: this.#lcr,
      mcr: this.#mcr,
      msr: this.#msr,
      scr: this.#scr,
      errors: this.#errors,
      thrEmptyPending: this.#thrEmptyPending,
      ...this.#receiver.save(),
    };
  }

  /** @throws UartStateError when the state is of another version. */
  restore(state: UartState): void {
    if (state.version !== 1) throw new UartStateError(`serial port state has version ${String(state.version)}, not 1`);
    this.reset();
    this.#divisor = state.divisor & 0xffff;
    this.#writeFcr(state.fcr);
    this.#writeMcr(state.mcr & 0x1f);
    this.#writeIer(state.ier & 0x0f);
    this.#lcr = state.lcr & 0xff;
    this.#msr = state.msr & 0xff;
    this.#scr = state.scr & 0xff;
    this.#errors = state.errors & R.LSR_ERRORS;
    this.#thrEmptyPending = state.thrEmptyPending;
    this.#receiver.restore(state.received, state.marks, state.returned);
    this.#update();
  }
}
