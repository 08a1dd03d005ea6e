/**
 * What a vCPU thread needs from the machine around it, the same for every hypervisor.
 *
 * @module
 */
import type { AccessWidth } from './bus-device.ts';

/** Port and MMIO accesses of one vCPU, answered synchronously. Values are unsigned, at most 32 bits. */
export interface VcpuBus {
  portRead(port: number, width: AccessWidth): number;
  portWrite(port: number, width: AccessWidth, value: number): void;
  /** `address` is guest-physical, below 2^52. An 8-byte access arrives as two of 4, low half first. */
  mmioRead(address: number, width: AccessWidth): number;
  mmioWrite(address: number, width: AccessWidth, value: number): void;
}
