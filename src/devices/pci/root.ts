/**
 * The PCI root: finds a function by its address, and the two ways there (PCI Local Bus 3.0, section 3.2.2.3.2,
 * configuration mechanism 1 at ports CF8h-CFFh; PCI Express 5.0, section 7.2.2, the memory-mapped window "ECAM").
 *
 * A function that is not there reads as all ones.
 *
 * @module
 */
import type { AccessWidth, BusDevice } from '../../bus/bus-device.ts';
import { allOnes, type ByteRegisters } from '../../bus/bus.ts';
import { PciConfigTable } from '../../bus/pci-config.ts';
import type { PciFunction } from './config-space.ts';

export const PCI_CONFIG_ADDRESS_PORT = 0xcf8;
export const PCI_CONFIG_DATA_PORT = 0xcfc;
/** Offset of port CF9h in the address register. */
const RESET_OFFSET = 1;

const ECAM_FUNCTION_BYTES = 4096;

export class PciRoot {
  readonly #functions = new Map<number, PciFunction>();
  readonly #config: PciConfigTable;

  /** `config`: where vCPUs look. */
  constructor(config: PciConfigTable = new PciConfigTable()) {
    this.#config = config;
  }

  /** @throws RangeError when the place is taken or not a place. */
  add(bus: number, device: number, fn: number, at: PciFunction): void {
    if (bus < 0 || bus > 255 || device < 0 || device > 31 || fn < 0 || fn > 7) {
      throw new RangeError(`no such PCI address: ${bus}:${device}.${fn}`);
    }
    const key = (bus << 8) | (device << 3) | fn;
    if (this.#functions.has(key)) throw new RangeError(`PCI address ${bus}:${device}.${fn} is taken`);
    this.#functions.set(key, at);
    this.#config.add(key, at.shared?.config, at.shared?.asks);
  }

  /** `routing`: bus << 8 | device << 3 | function. */
  read(routing: number, offset: number, width: AccessWidth): number {
    if (offset + width > ECAM_FUNCTION_BYTES) return allOnes(width);
    return this.#functions.get(routing)?.readConfig(offset, width) ?? allOnes(width);
  }

  write(routing: number, offset: number, width: AccessWidth, value: number): void {
    if (offset + width <= ECAM_FUNCTION_BYTES) this.#functions.get(routing)?.writeConfig(offset, width, value);
  }

  /**
   * Ports CF8h-CFBh. The address register takes 32-bit accesses only; narrower ones belong to whatever lies at those
   * ports on the bus below, which is the reset control register at CF9h.
   */
  addressPorts(reset: ByteRegisters): BusDevice {
    return {
      read: (offset, width) => {
        if (width === 4) return this.#config.address;
        let value = 0;
        for (let byte = 0; byte < width; byte++) {
          value |= (offset + byte === RESET_OFFSET ? reset.readByte(0) : 0xff) << (byte * 8);
        }
        return value;
      },
      write: (offset, width, value) => {
        if (width === 4) {
          this.#config.address = value;
          return;
        }
        const byte = RESET_OFFSET - offset;
        if (byte >= 0 && byte < width) reset.writeByte(0, (value >>> (byte * 8)) & 0xff);
      },
    };
  }

  /** Ports CFCh-CFFh: a window on the addressed register. */
  get dataPorts(): BusDevice {
    const config = this.#config;
    const register = (offset: number): number => (config.address & 0xfc) + offset;
    return {
      read: (offset, width) => {
        const { routing } = config;
        return routing === undefined ? allOnes(width) : this.read(routing, register(offset), width);
      },
      write: (offset, width, value) => {
        const { routing } = config;
        if (routing !== undefined) this.write(routing, register(offset), width, value);
      },
    };
  }

  /** The memory-mapped window: 4 KiB a function, from bus 0 on. */
  get ecam(): BusDevice {
    return {
      read: (offset, width) => this.read(Math.floor(offset / ECAM_FUNCTION_BYTES), offset % ECAM_FUNCTION_BYTES, width),
      write: (offset, width, value) =>
        this.write(Math.floor(offset / ECAM_FUNCTION_BYTES), offset % ECAM_FUNCTION_BYTES, width, value),
    };
  }

  reset(): void {
    this.#config.address = 0;
  }

  /** The address register, for a snapshot; the functions save themselves. */
  save(): number {
    return this.#config.address;
  }

  restore(address: number): void {
    this.#config.address = address;
  }
}
