/**
 * Accesses to memory that is not RAM: the page of this vCPU's local APIC, wherever the guest has put it (SDM volume 3, 11.4), answers
 * before the bus is asked.
 *
 * @module
 */
import type { AccessWidth } from '../../bus/bus-device.ts';
import type { VcpuBus } from '../../bus/vcpu-bus.ts';
import type { VcpuInterrupts } from '../interrupts.ts';

const PAGE = 4096;

export interface Mmio {
  /** What is read at a physical address. */
  mmioRead(at: number, bytes: AccessWidth): number;
  mmioWrite(at: number, bytes: AccessWidth, value: number): void;
}

export function createMmio(bus: VcpuBus, interrupts: VcpuInterrupts): Mmio {
  /** Offset in the local APIC's page, or -1. */
  const apicOffset = (at: number): number => {
    const base = interrupts.apicBase();
    return base >= 0 && at >= base && at < base + PAGE ? at - base : -1;
  };
  return {
    mmioRead(at, bytes) {
      const offset = apicOffset(at);
      return offset >= 0 ? interrupts.apicRead(offset, bytes) : bus.mmioRead(at, bytes);
    },
    mmioWrite(at, bytes, value) {
      const offset = apicOffset(at);
      if (offset >= 0) interrupts.apicWrite(offset, bytes, value);
      else bus.mmioWrite(at, bytes, value);
    },
  };
}
