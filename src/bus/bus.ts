/**
 * Dispatch of port or MMIO accesses to the device whose range they fall into.
 *
 * A read that no device claims gives all ones and a write vanishes, as on PCI and ISA. An access that crosses the
 * edge of a range is split into bytes, each going where it belongs. Devices must not throw (BusDevice).
 *
 * @module
 */
import type { AccessWidth, BusDevice } from './bus-device.ts';

/** A device and the addresses it answers to. */
export interface BusRange {
  readonly name: string;
  readonly base: number;
  readonly bytes: number;
  readonly device: BusDevice;
}

/** The value that nobody driving the data lines gives. */
export const allOnes = (width: AccessWidth): number => (width === 4 ? 0xffff_ffff : width === 2 ? 0xffff : 0xff);

export class Bus {
  readonly #ranges: BusRange[] = [];
  /** The range of the last hit: accesses come in runs to one device. */
  #last: BusRange | undefined;

  /** @throws RangeError when the range is empty or overlaps one that is there. */
  add(name: string, base: number, bytes: number, device: BusDevice): void {
    if (!(bytes > 0)) throw new RangeError(`bus range of "${name}" at 0x${base.toString(16)} is empty`);
    const rival = this.overlapping(base, bytes);
    if (rival) {
      throw new RangeError(
        `bus range of "${name}" at 0x${base.toString(16)}+0x${bytes.toString(16)} overlaps "${rival.name}" ` +
          `at 0x${rival.base.toString(16)}+0x${rival.bytes.toString(16)}`,
      );
    }
    let at = this.#ranges.length;
    while (at > 0 && this.#ranges[at - 1]!.base > base) at--;
    this.#ranges.splice(at, 0, { name, base, bytes, device });
  }

  /** Takes away the range that starts at `base`. */
  remove(base: number): void {
    const at = this.#ranges.findIndex((range) => range.base === base);
    if (at >= 0) this.#ranges.splice(at, 1);
    this.#last = undefined;
  }

  /** The first range that shares an address with this one. */
  overlapping(base: number, bytes: number): BusRange | undefined {
    return this.#ranges.find((range) => range.base < base + bytes && base < range.base + range.bytes);
  }

  /** What is attached, by rising address. */
  get ranges(): readonly BusRange[] {
    return this.#ranges;
  }

  /** The range that holds one address. */
  find(address: number): BusRange | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.base && address < last.base + last.bytes) return last;
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle]!;
      if (address < range.base) high = middle;
      else if (address >= range.base + range.bytes) low = middle + 1;
      else {
        this.#last = range;
        return range;
      }
    }
    return undefined;
  }

  /** True when any of the bytes belongs to a device here. */
  touches(address: number, width: AccessWidth): boolean {
    for (let byte = 0; byte < width; byte++) if (this.find(address + byte) !== undefined) return true;
    return false;
  }

  /** True when one device here has all of the bytes. */
  holds(address: number, width: AccessWidth): boolean {
    const range = this.find(address);
    return range !== undefined && address + width <= range.base + range.bytes;
  }

  /** Unsigned. */
  read(address: number, width: AccessWidth): number {
    const range = this.find(address);
    if (range !== undefined && address + width <= range.base + range.bytes) {
      return (range.device.read(address - range.base, width) & allOnes(width)) >>> 0;
    }
    if (!this.touches(address, width)) return allOnes(width);
    let value = 0;
    for (let byte = 0; byte < width; byte++) {
      const part = this.find(address + byte);
      const bits = part === undefined ? 0xff : part.device.read(address + byte - part.base, 1) & 0xff;
      value |= bits << (byte * 8);
    }
    return value >>> 0;
  }

  write(address: number, width: AccessWidth, value: number): void {
    const range = this.find(address);
    if (range !== undefined && address + width <= range.base + range.bytes) {
      range.device.write(address - range.base, width, (value & allOnes(width)) >>> 0);
      return;
    }
    for (let byte = 0; byte < width; byte++) {
      const part = this.find(address + byte);
      part?.device.write(address + byte - part.base, 1, (value >>> (byte * 8)) & 0xff);
    }
  }

  /** An 8-byte access is two of 4, low half first: no device here has wider registers. */
  readU64(address: number): bigint {
    const low = this.read(address, 4);
    return (BigInt(this.read(address + 4, 4)) << 32n) | BigInt(low);
  }

  writeU64(address: number, value: bigint): void {
    this.write(address, 4, Number(value & 0xffff_ffffn));
    this.write(address + 4, 4, Number((value >> 32n) & 0xffff_ffffn));
  }
}

/** Registers that are 8 bits wide, as most on the ISA bus. */
export interface ByteRegisters {
  readByte(offset: number): number;
  writeByte(offset: number, value: number): void;
}

/** Wider accesses to an 8-bit device become byte accesses at rising offsets, as an ISA bridge makes them. */
export function byteDevice(registers: ByteRegisters): BusDevice {
  return {
    read(offset, width) {
      let value = registers.readByte(offset) & 0xff;
      for (let byte = 1; byte < width; byte++) value |= (registers.readByte(offset + byte) & 0xff) << (byte * 8);
      return value >>> 0;
    },
    write(offset, width, value) {
      for (let byte = 0; byte < width; byte++) registers.writeByte(offset + byte, (value >>> (byte * 8)) & 0xff);
    },
  };
}
