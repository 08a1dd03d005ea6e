/**
 * A vCPU's bus that writes down which accesses waited for the VMM thread.
 *
 * @module
 */
import { hexadecimal, type Trace } from '../util/trace.ts';
import type { AccessWidth } from './bus-device.ts';
import type { VcpuBus } from './vcpu-bus.ts';

/** A bus that counts the accesses that waited. */
export interface CountingBus extends VcpuBus {
  readonly calls: number;
}

/** The same bus; every access that counts as a call is a slice of the trace. */
export function tracedBus(bus: CountingBus, trace: Trace): VcpuBus {
  const traced = <T>(name: string, address: number, access: () => T): T => {
    const { calls } = bus;
    const from = trace.now();
    const result = access();
    if (bus.calls !== calls) trace.slice(name, from, trace.now(), { address: hexadecimal(address) });
    return result;
  };
  return {
    portRead: (port, width: AccessWidth) => traced('port read', port, () => bus.portRead(port, width)),
    portWrite: (port, width, value) => traced('port write', port, () => bus.portWrite(port, width, value)),
    mmioRead: (address, width) => traced('MMIO read', address, () => bus.mmioRead(address, width)),
    mmioWrite: (address, width, value) => traced('MMIO write', address, () => bus.mmioWrite(address, width, value)),
  };
}
