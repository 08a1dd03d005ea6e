/**
 * The configuration space of one PCI function (PCI Local Bus 3.0, section 6): 256 bytes of registers, of which the
 * guest may write some bits and clear others by writing ones.
 *
 * @module
 */
import type { AccessWidth } from '../../bus/bus-device.ts';
import { allOnes } from '../../bus/bus.ts';

export const PCI_CONFIG_BYTES = 256;

/** Offsets in the header, type 0. */
export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
export const PCI_REVISION_ID = 0x08;
export const PCI_CLASS_PROG = 0x09;
export const PCI_SUBCLASS = 0x0a;
export const PCI_CLASS = 0x0b;
export const PCI_CACHE_LINE_SIZE = 0x0c;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_BASE_ADDRESS = 0x10;
export const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
export const PCI_SUBSYSTEM_ID = 0x2e;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;

/** Bits of the command and status registers. */
export const PCI_COMMAND_MEMORY = 0x0002;
export const PCI_COMMAND_MASTER = 0x0004;
export const PCI_COMMAND_INTX_DISABLE = 0x0400;
export const PCI_STATUS_INTERRUPT = 0x0008;
export const PCI_STATUS_CAP_LIST = 0x0010;

/** Capability identifiers. */
export const PCI_CAP_ID_VENDOR = 0x09;
export const PCI_CAP_ID_MSIX = 0x11;

/** What a PCI root reaches: one function. Offsets may lie anywhere in 0..4095; must not throw. */
export interface PciFunction {
  readConfig(offset: number, width: AccessWidth): number;
  writeConfig(offset: number, width: AccessWidth, value: number): void;
  /** Registers that vCPUs may read without asking, all but the 4 bytes at each of the offsets `asks`; absent: none. */
  readonly shared?: { readonly config: PciConfigSpace; readonly asks: readonly number[] };
}

export class PciConfigSpace implements PciFunction {
  #bytes: Uint8Array = new Uint8Array(PCI_CONFIG_BYTES);
  /** Bits that a write replaces, and bits that writing a one clears. */
  readonly #writable = new Uint8Array(PCI_CONFIG_BYTES);
  readonly #clearable = new Uint8Array(PCI_CONFIG_BYTES);
  readonly shared: { readonly config: PciConfigSpace; readonly asks: readonly number[] } = { config: this, asks: [] };

  /** Keeps the registers in these bytes from now on, which other threads may read. */
  moveTo(bytes: Uint8Array): void {
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }

  /** Sets a register's value; `width` in bytes, little-endian. For the device, past all masks. */
  set(offset: number, width: AccessWidth, value: number): void {
    put(this.#bytes, offset, width, value);
  }

  get(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value |= (this.#bytes[offset + byte] ?? 0) << (byte * 8);
    return value >>> 0;
  }

  /** Declares which bits of a register a guest may write. */
  setWritable(offset: number, width: AccessWidth, mask: number): void {
    put(this.#writable, offset, width, mask);
  }

  /** Declares which bits of a register a guest clears by writing ones. */
  setClearable(offset: number, width: AccessWidth, mask: number): void {
    put(this.#clearable, offset, width, mask);
  }

  /** Past the 256 bytes of a conventional function nobody answers. */
  readConfig(offset: number, width: AccessWidth): number {
    return offset + width <= PCI_CONFIG_BYTES ? this.get(offset, width) : allOnes(width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    if (offset + width > PCI_CONFIG_BYTES) return;
    for (let byte = 0; byte < width; byte++) {
      const at = offset + byte;
      const written = (value >>> (byte * 8)) & 0xff;
      const writable = this.#writable[at]!;
      const kept = this.#bytes[at]! & ~(written & this.#clearable[at]!);
      this.#bytes[at] = (kept & ~writable) | (written & writable);
    }
  }

  save(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  restore(bytes: Uint8Array): void {
    this.#bytes.set(bytes.subarray(0, PCI_CONFIG_BYTES));
  }
}

function put(bytes: Uint8Array, offset: number, width: AccessWidth, value: number): void {
  for (let byte = 0; byte < width; byte++) bytes[offset + byte] = (value >>> (byte * 8)) & 0xff;
}
