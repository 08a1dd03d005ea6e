/**
 * ACPI fixed hardware (ACPI 6.5, section 4.8.3): the PM1a event and control blocks, and an empty GPE0 block. The
 * system is always in ACPI mode: the FADT names no SMI command port, and SCI_EN reads as one.
 *
 * The PM timer itself is the irqchip's; its overflow status is here.
 *
 * @module
 */
import type { ByteRegisters } from '../../bus/bus.ts';
import type { InterruptLine } from '../../bus/bus-device.ts';
import type { Clock } from '../../util/clock.ts';
import type { TimerHandle, Timers } from '../../util/timers.ts';
import type { MachineEvents } from './machine-events.ts';

/** Bits of PM1 status and enable. */
export const PM1_TMR: number = 1 << 0;
export const PM1_GBL: number = 1 << 5;
export const PM1_PWRBTN: number = 1 << 8;
export const PM1_SLPBTN: number = 1 << 9;
export const PM1_RTC: number = 1 << 10;
export const PM1_WAK: number = 1 << 15;
/** Bits of PM1 control. */
export const PM1_SCI_EN: number = 1 << 0;
export const PM1_GBL_RLS: number = 1 << 2;
export const PM1_SLP_TYP_SHIFT = 10;
export const PM1_SLP_EN: number = 1 << 13;

const ENABLE_WRITABLE = PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC;

const PM_TIMER_HZ = 3_579_545;
/** TMR_STS is set whenever the most significant bit of the 32-bit timer changes. */
const HALF_WRAP_NS = (2 ** 31 / PM_TIMER_HZ) * 1e9;

export interface AcpiPmOptions {
  /** The system control interrupt. */
  readonly sci: InterruptLine;
  readonly events: Pick<MachineEvents, 'powerOff'>;
  /** The SLP_TYP value of \_S5. */
  readonly sleepTypeS5: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Machine time at which the PM timer stood at zero, in nanoseconds. */
  readonly pmTimerOrigin: () => number;
}

export interface AcpiPmState {
  readonly version: 1;
  readonly status: number;
  readonly enable: number;
  readonly control: number;
  readonly gpeEnable: number;
  readonly halfWraps: number;
}

export class AcpiPm {
  /** The register blocks, by byte. */
  readonly events: ByteRegisters = {
    readByte: (offset) => (offset < 2 ? this.#currentStatus() : this.#enable) >> ((offset & 1) * 8),
    writeByte: (offset, value) => this.#writeEvents(offset, value),
  };
  readonly control: ByteRegisters = {
    readByte: (offset) => (this.#control | PM1_SCI_EN) >> (offset * 8),
    writeByte: (offset, value) => this.#writeControl(offset, value),
  };
  readonly gpe0: ByteRegisters = {
    // Two bytes of status, in which no event ever shows, and two of enable.
    readByte: (offset) => (offset < 2 ? 0 : this.#gpeEnable >> ((offset - 2) * 8)),
    writeByte: (offset, value) => {
      if (offset >= 2) this.#gpeEnable = replaceByte(this.#gpeEnable, offset - 2, value);
    },
  };
  readonly #options: AcpiPmOptions;
  #status = 0;
  #enable = 0;
  #control = 0;
  #gpeEnable = 0;
  /** Changes of the PM timer's most significant bit that the guest has been told of or has cleared. */
  #halfWraps = 0;
  #timer: TimerHandle | undefined;

  constructor(options: AcpiPmOptions) {
    this.#options = options;
  }

  reset(): void {
    this.#status = 0;
    this.#enable = 0;
    this.#control = 0;
    this.#gpeEnable = 0;
    this.#halfWraps = this.#wrapsNow();
    this.#update();
  }

  /** The power button was pressed: the guest gets an interrupt and decides. */
  pressPowerButton(): void {
    this.#status |= PM1_PWRBTN;
    this.#update();
  }

  #wrapsNow(): number {
    const { clock, pmTimerOrigin } = this.#options;
    return Math.max(0, Math.floor((clock.nanoseconds() - pmTimerOrigin()) / HALF_WRAP_NS));
  }

  #currentStatus(): number {
    const wraps = this.#wrapsNow();
    if (wraps > this.#halfWraps) this.#status |= PM1_TMR;
    // The timer starts over when the machine is reset, before or after this block.
    else this.#halfWraps = wraps;
    return this.#status;
  }

  #writeEvents(offset: number, value: number): void {
    if (offset < 2) {
      // Writing a one clears.
      const cleared = value << (offset * 8);
      this.#status = this.#currentStatus() & ~cleared;
      if ((cleared & PM1_TMR) !== 0) this.#halfWraps = this.#wrapsNow();
    } else {
      this.#enable = replaceByte(this.#enable, offset - 2, value) & ENABLE_WRITABLE;
    }
    this.#update();
  }

  #writeControl(offset: number, value: number): void {
    const written = replaceByte(this.#control, offset, value);
    // SLP_EN and GBL_RLS are write-only; SCI_EN is fixed.
    this.#control = written & ~(PM1_SLP_EN | PM1_GBL_RLS | PM1_SCI_EN);
    if (offset !== 1 || (written & PM1_SLP_EN) === 0) return;
    if (((written >> PM1_SLP_TYP_SHIFT) & 7) === this.#options.sleepTypeS5) {
      this.#options.events.powerOff();
    } else {
      // A sleep state that is not there ends as soon as it begins.
      this.#status |= PM1_WAK;
    }
  }

  #update(): void {
    const status = this.#currentStatus();
    this.#options.sci.set((status & this.#enable & ENABLE_WRITABLE) !== 0);
    const wanted = (this.#enable & PM1_TMR) !== 0 && (status & PM1_TMR) === 0;
    if (!wanted && this.#timer !== undefined) {
      this.#options.timers.clear(this.#timer);
      this.#timer = undefined;
    } else if (wanted && this.#timer === undefined) {
      const next = this.#options.pmTimerOrigin() + (this.#wrapsNow() + 1) * HALF_WRAP_NS;
      this.#timer = this.#options.timers.set(next, () => {
        this.#timer = undefined;
        this.#update();
      });
    }
  }

  save(): AcpiPmState {
    return {
      version: 1,
      status: this.#currentStatus(),
      enable: this.#enable,
      control: this.#control,
      gpeEnable: this.#gpeEnable,
      halfWraps: this.#halfWraps,
    };
  }

  restore(state: AcpiPmState): void {
    this.#status = state.status & 0xffff;
    this.#enable = state.enable & ENABLE_WRITABLE;
    this.#control = state.control & 0xffff;
    this.#gpeEnable = state.gpeEnable & 0xffff;
    this.#halfWraps = state.halfWraps;
    this.#update();
  }
}

const replaceByte = (value: number, byte: number, by: number): number =>
  (value & ~(0xff << (byte * 8))) | (by << (byte * 8));
