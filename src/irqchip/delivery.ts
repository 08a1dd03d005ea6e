/**
 * Interrupt messages between APICs: destination modes, shorthands, lowest-priority arbitration (SDM 3A, "Issuing
 * Interprocessor Interrupts"). The caller holds the irqchip's lock.
 *
 * @module
 */
import {
  DELIVERY_FIXED,
  DELIVERY_INIT,
  DELIVERY_LOWEST_PRIORITY,
  DELIVERY_NMI,
  DELIVERY_STARTUP,
  ICR_ASSERT,
  ICR_LEVEL,
  ICR_LOGICAL,
  SHORTHAND_NONE,
  SHORTHAND_OTHERS,
  SHORTHAND_SELF,
} from './lapic-defs.ts';
import type { LocalApic } from './lapic.ts';
import { ARBITRATION_NEXT } from './layout.ts';

export class Delivery {
  readonly #apics: readonly LocalApic[];
  readonly #header: Int32Array;

  constructor(apics: readonly LocalApic[], header: Int32Array) {
    this.#apics = apics;
    this.#header = header;
  }

  /** A message to a destination; false when no APIC took it. `x2apic`: the destination has 32 bits. */
  send(destination: number, logical: boolean, mode: number, vector: number, level: boolean, x2apic: boolean): boolean {
    if (mode === DELIVERY_LOWEST_PRIORITY) {
      return this.#lowest(destination, logical, x2apic)?.deliver(DELIVERY_FIXED, vector, level) ?? false;
    }
    let taken = false;
    for (const apic of this.#apics) {
      if (apic.matches(destination, logical, x2apic) && apic.deliver(mode, vector, level)) taken = true;
    }
    return taken;
  }

  /** What a write of the interrupt command register means. */
  sendIpi(from: LocalApic, icr: number, destination: number, x2apic: boolean): void {
    const mode = (icr >> 8) & 7;
    const vector = icr & 0xff;
    switch (mode) {
      case DELIVERY_INIT:
        // INIT level de-assert only synchronised arbitration, on processors that had any.
        if ((icr & (ICR_LEVEL | ICR_ASSERT)) === ICR_LEVEL) return;
        break;
      case DELIVERY_FIXED:
      case DELIVERY_LOWEST_PRIORITY:
      case DELIVERY_NMI:
      case DELIVERY_STARTUP:
        break;
      default: // SMI, and what is reserved
        return;
    }
    const shorthand = (icr >> 18) & 3;
    switch (shorthand) {
      case SHORTHAND_NONE:
        this.send(destination, (icr & ICR_LOGICAL) !== 0, mode, vector, false, x2apic);
        break;
      case SHORTHAND_SELF:
        // Only fixed interrupts may be sent to oneself by shorthand.
        if (mode === DELIVERY_FIXED) from.deliver(mode, vector, false);
        break;
      default:
        for (const apic of this.#apics) {
          if (shorthand === SHORTHAND_OTHERS && apic === from) continue;
          // INIT and startup of oneself by "all including self" are invalid.
          if (apic === from && mode !== DELIVERY_FIXED && mode !== DELIVERY_NMI) continue;
          apic.deliver(mode === DELIVERY_LOWEST_PRIORITY ? DELIVERY_FIXED : mode, vector, false);
        }
    }
  }

  /** Of the enabled APICs that match, the one with the lowest processor priority; in turn among equals. */
  #lowest(destination: number, logical: boolean, x2apic: boolean): LocalApic | undefined {
    const count = this.#apics.length;
    const first = this.#header[ARBITRATION_NEXT >> 2]!;
    let best: LocalApic | undefined;
    for (let n = 0; n < count; n++) {
      const apic = this.#apics[(first + n) % count]!;
      if (!apic.accepting || !apic.matches(destination, logical, x2apic)) continue;
      if (best === undefined || apic.ppr < best.ppr) best = apic;
    }
    if (best !== undefined) this.#header[ARBITRATION_NEXT >> 2] = (best.id + 1) % count;
    return best;
  }
}
