/**
 * The IO-APIC: 24 inputs and a redirection table (Intel 82093AA data sheet; version 20h with an EOI register, as in
 * later chipsets). Memory-mapped at FEC00000h.
 *
 * Inputs carry assertion, so the polarity bit is kept and has no effect. An edge at a masked input is lost.
 * The caller holds the irqchip's lock.
 *
 * @module
 */
import type { AccessWidth } from '../bus/bus-device.ts';
import { DELIVERY_EXTINT, DELIVERY_FIXED, DELIVERY_LOWEST_PRIORITY } from './lapic-defs.ts';
import { GSI_COUNT } from './layout.ts';
import type { MsiMessage } from './msi.ts';

export const IOAPIC_ADDRESS = 0xfec0_0000;
export const IOAPIC_WINDOW_BYTES = 0x1000;

/** Memory-mapped registers. */
const IOREGSEL = 0x00;
const IOWIN = 0x10;
const IOEOI = 0x40;
/** Registers behind IOREGSEL. */
const IOAPICID = 0x00;
const IOAPICVER = 0x01;
const IOAPICARB = 0x02;
const IOREDTBL = 0x10;

const VERSION_VALUE = 0x20 | ((GSI_COUNT - 1) << 16);

/** Redirection table entry, low half. */
const RTE_LOGICAL = 1 << 11;
const RTE_REMOTE_IRR = 1 << 14;
const RTE_LEVEL = 1 << 15;
const RTE_MASKED = 1 << 16;
/** Delivery status (bit 12) and remote IRR are read-only. */
const RTE_WRITABLE = 0x1_afff;

/** i32 fields: selected register, ID register, input lines; then the table, low and high halves. */
const SELECT = 0;
const ID = 1;
const LINES = 2;
const TABLE = 16;

/** Hands a message to the local APICs; false when none took it. */
export type ApicMessage = (
  destination: number,
  logical: boolean,
  mode: number,
  vector: number,
  level: boolean,
) => boolean;

export class IoApic {
  readonly #state: Int32Array;
  readonly #send: ApicMessage;
  readonly #routed: () => void;

  /**
   * `state`: the IO-APIC's part of the irqchip block, 64 words at least. `routed` is told when a table entry has been written, before
   * anything is sent by it.
   */
  constructor(state: Int32Array, send: ApicMessage, routed: () => void = () => {}) {
    this.#state = state;
    this.#send = send;
    this.#routed = routed;
  }

  reset(): void {
    this.#state.fill(0);
    for (let pin = 0; pin < GSI_COUNT; pin++) this.#state[TABLE + pin * 2] = RTE_MASKED;
  }

  /** What the level-triggered inputs send: vectors whose end the IO-APIC waits for. Masked ones too, for one of them may be in service. */
  levelRoutes(): { pin: number; message: MsiMessage }[] {
    const routes: { pin: number; message: MsiMessage }[] = [];
    for (let pin = 0; pin < GSI_COUNT; pin++) {
      const entry = this.#state[TABLE + pin * 2]!;
      const mode = (entry >> 8) & 7;
      if ((entry & RTE_LEVEL) === 0 || (mode !== DELIVERY_FIXED && mode !== DELIVERY_LOWEST_PRIORITY)) continue;
      const destination = this.#state[TABLE + pin * 2 + 1]! >>> 24;
      const logical = (entry & RTE_LOGICAL) !== 0;
      routes.push({ pin, message: { destination, logical, mode, vector: entry & 0xff, level: true } });
    }
    return routes;
  }

  /** Drives input `pin`. */
  setLine(pin: number, level: boolean): void {
    const bit = 1 << pin;
    const lines = this.#state[LINES]!;
    this.#state[LINES] = level ? lines | bit : lines & ~bit;
    if (!level) return;
    const entry = this.#state[TABLE + pin * 2]!;
    if ((entry & RTE_LEVEL) !== 0) this.#service(pin);
    else if ((lines & bit) === 0 && (entry & RTE_MASKED) === 0) this.#deliver(pin, false);
  }

  /** A local APIC ended a level-triggered vector: inputs that still ask interrupt again. */
  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < GSI_COUNT; pin++) {
      const entry = this.#state[TABLE + pin * 2]!;
      if ((entry & 0xff) !== vector || (entry & RTE_REMOTE_IRR) === 0) continue;
      this.#state[TABLE + pin * 2] = entry & ~RTE_REMOTE_IRR;
      this.#service(pin);
    }
  }

  /** A register of the memory-mapped window; unsigned. Narrow reads give the low bytes. */
  read(offset: number, width: AccessWidth): number {
    let value = 0;
    if (offset === IOREGSEL) value = this.#state[SELECT]!;
    else if (offset === IOWIN) value = this.#readSelected() >>> 0;
    return width === 4 ? value : value & (width === 1 ? 0xff : 0xffff);
  }

  write(offset: number, value: number): void {
    if (offset === IOREGSEL) this.#state[SELECT] = value & 0xff;
    else if (offset === IOWIN) this.#writeSelected(value | 0);
    else if (offset === IOEOI) this.endOfInterrupt(value & 0xff);
  }

  #readSelected(): number {
    const register = this.#state[SELECT]!;
    switch (register) {
      case IOAPICID:
      case IOAPICARB:
        return this.#state[ID]!;
      case IOAPICVER:
        return VERSION_VALUE;
      default: {
        const half = register - IOREDTBL;
        return half >= 0 && half < GSI_COUNT * 2 ? this.#state[TABLE + half]! : -1;
      }
    }
  }

  #writeSelected(value: number): void {
    const register = this.#state[SELECT]!;
    if (register === IOAPICID) this.#state[ID] = value & 0x0f00_0000;
    const half = register - IOREDTBL;
    if (half < 0 || half >= GSI_COUNT * 2) return;
    if ((half & 1) !== 0) {
      this.#state[TABLE + half] = value & 0xff00_0000;
      this.#routed();
      return;
    }
    let entry = (value & RTE_WRITABLE) | (this.#state[TABLE + half]! & RTE_REMOTE_IRR);
    // An edge-triggered input waits for no EOI: kernels switch to edge and back to clear a stuck remote IRR.
    if ((entry & RTE_LEVEL) === 0) entry &= ~RTE_REMOTE_IRR;
    this.#state[TABLE + half] = entry;
    this.#routed();
    this.#service(half >> 1);
  }

  /** Sends a level-triggered input's interrupt if it is asserted, unmasked and not being served. */
  #service(pin: number): void {
    const entry = this.#state[TABLE + pin * 2]!;
    if ((entry & (RTE_LEVEL | RTE_MASKED | RTE_REMOTE_IRR)) !== RTE_LEVEL) return;
    if ((this.#state[LINES]! & (1 << pin)) === 0) return;
    const mode = (entry >> 8) & 7;
    const awaitsEoi = mode === DELIVERY_FIXED || mode === DELIVERY_LOWEST_PRIORITY;
    if (this.#deliver(pin, awaitsEoi) && awaitsEoi) this.#state[TABLE + pin * 2] = entry | RTE_REMOTE_IRR;
  }

  #deliver(pin: number, level: boolean): boolean {
    const entry = this.#state[TABLE + pin * 2]!;
    const mode = (entry >> 8) & 7;
    // Startup messages cannot come from here; ExtINT takes its vector from the 8259 pair.
    if (mode === 3 || mode === 6) return false;
    const destination = this.#state[TABLE + pin * 2 + 1]! >>> 24;
    return this.#send(
      destination,
      (entry & RTE_LOGICAL) !== 0,
      mode,
      mode === DELIVERY_EXTINT ? 0 : entry & 0xff,
      level,
    );
  }
}
