/**
 * A PCI function with a header of type 0 (PCI Local Bus 3.0, sections 6.1 and 6.2): identity, memory base address registers
 * that the guest sizes and moves, a list of capabilities, MSI-X and an interrupt pin.
 *
 * Its base address registers answer while COMMAND.MEMORY is set. There is no I/O space and no expansion ROM. The pin is
 * asserted while the function asks for it, unless the guest disabled it or uses MSI-X.
 *
 * @module
 */
import type { AccessWidth, BusDevice, InterruptLine } from '../../bus/bus-device.ts';
import * as P from './config-space.ts';
import type { PciMapping, PciMemory } from './memory.ts';
import type { Msix } from './msix.ts';

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** Base class, subclass and programming interface: 0x018000. */
  readonly classCode: number;
  readonly subsystemVendor: number;
  readonly subsystem: number;
}

/** A memory base address register. */
export interface PciBar {
  /** 0 to 5; one of 64 bits takes the next number too. */
  readonly index: number;
  /** A power of two, 16 at least. */
  readonly bytes: number;
  readonly is64Bit: boolean;
  readonly prefetchable?: boolean;
  readonly device: BusDevice;
  /** Told where the register begins to answer, and when it ends to. */
  readonly onMoved?: (address: number | undefined) => void;
}

export interface PciEndpointOptions {
  /** For messages about it. */
  readonly name: string;
  readonly identity: PciIdentity;
  readonly memory: PciMemory;
  readonly bars: readonly PciBar[];
  /** Pin INTA#, and the GSI it is wired to. */
  readonly interrupt?: { readonly line: InterruptLine; readonly gsi: number };
  readonly msix?: {
    readonly msix: Msix;
    readonly bar: number;
    readonly tableOffset: number;
    readonly pendingOffset: number;
  };
}

const FIRST_CAPABILITY = 0x40;
const MSIX_CAPABILITY_BYTES = 12;
const MSIX_CONTROL = 2;
const INTERRUPT_PIN_A = 1;

const BAR_64BIT = 0x4;
const BAR_PREFETCHABLE = 0x8;

export class PciEndpoint implements P.PciFunction {
  readonly config: P.PciConfigSpace = new P.PciConfigSpace();
  readonly #options: PciEndpointOptions;
  readonly #mappings: (PciMapping | undefined)[];
  /** The configuration space at power-up. */
  #pristine: Uint8Array | undefined;
  #lastCapability = 0;
  #freeCapability = FIRST_CAPABILITY;
  #msixCapability = 0;
  #asserted = false;

  constructor(options: PciEndpointOptions) {
    this.#options = options;
    this.#mappings = options.bars.map(() => undefined);
    const { config } = this;
    const { identity, bars, interrupt, msix } = options;
    config.set(P.PCI_VENDOR_ID, 2, identity.vendor);
    config.set(P.PCI_DEVICE_ID, 2, identity.device);
    config.set(P.PCI_REVISION_ID, 1, identity.revision);
    config.set(P.PCI_CLASS_PROG, 1, identity.classCode & 0xff);
    config.set(P.PCI_SUBCLASS, 1, (identity.classCode >> 8) & 0xff);
    config.set(P.PCI_CLASS, 1, identity.classCode >> 16);
    config.set(P.PCI_SUBSYSTEM_VENDOR_ID, 2, identity.subsystemVendor);
    config.set(P.PCI_SUBSYSTEM_ID, 2, identity.subsystem);
    config.setWritable(P.PCI_COMMAND, 2, P.PCI_COMMAND_MEMORY | P.PCI_COMMAND_MASTER | P.PCI_COMMAND_INTX_DISABLE);
    config.setWritable(P.PCI_CACHE_LINE_SIZE, 1, 0xff);
    config.setWritable(P.PCI_INTERRUPT_LINE, 1, 0xff);
    for (const bar of bars) this.#declareBar(bar);
    if (interrupt !== undefined) {
      config.set(P.PCI_INTERRUPT_PIN, 1, INTERRUPT_PIN_A);
      config.set(P.PCI_INTERRUPT_LINE, 1, interrupt.gsi);
    }
    if (msix !== undefined) {
      const body = new Uint8Array(MSIX_CAPABILITY_BYTES - 2);
      const view = new DataView(body.buffer);
      view.setUint16(0, msix.msix.vectors - 1, true);
      view.setUint32(2, msix.tableOffset | msix.bar, true);
      view.setUint32(6, msix.pendingOffset | msix.bar, true);
      this.#msixCapability = this.addCapability(P.PCI_CAP_ID_MSIX, body);
      config.setWritable(this.#msixCapability + MSIX_CONTROL, 2, 0xc000);
    }
  }

  #declareBar({ index, bytes, is64Bit, prefetchable }: PciBar): void {
    const isPowerOfTwo = bytes >= 16 && Number.isInteger(Math.log2(bytes));
    if (!isPowerOfTwo || index < 0 || index + (is64Bit ? 1 : 0) > 5 || (!is64Bit && bytes > 0x8000_0000)) {
      throw new RangeError(`PCI function "${this.#options.name}": BAR ${index} of ${bytes} bytes`);
    }
    const at = P.PCI_BASE_ADDRESS + index * 4;
    this.config.set(at, 4, (is64Bit ? BAR_64BIT : 0) | (prefetchable ? BAR_PREFETCHABLE : 0));
    // The bits below the size are fixed: a guest that writes all ones reads the size back.
    this.config.setWritable(at, 4, bytes > 0x8000_0000 ? 0 : -bytes >>> 0);
    if (is64Bit) this.config.setWritable(at + 4, 4, bytes > 0x8000_0000 ? -(bytes / 0x1_0000_0000) >>> 0 : 0xffff_ffff);
  }

  /** Appends a capability, `body` being what follows its identifier and link; gives its offset. Only before the guest looks. */
  addCapability(id: number, body: Uint8Array): number {
    const at = this.#freeCapability;
    const end = at + 2 + body.length;
    if (end > P.PCI_CONFIG_BYTES) throw new RangeError(`PCI function "${this.#options.name}": too many capabilities`);
    this.config.set(at, 1, id);
    for (const [index, byte] of body.entries()) this.config.set(at + 2 + index, 1, byte);
    this.config.set(this.#lastCapability === 0 ? P.PCI_CAPABILITY_LIST : this.#lastCapability + 1, 1, at);
    this.config.set(P.PCI_STATUS, 2, this.config.get(P.PCI_STATUS, 2) | P.PCI_STATUS_CAP_LIST);
    this.#lastCapability = at;
    this.#freeCapability = (end + 3) & ~3;
    return at;
  }

  /** Sets a base address register, as firmware does before the guest starts. */
  assign(index: number, address: number): void {
    const at = P.PCI_BASE_ADDRESS + index * 4;
    this.config.set(at, 4, ((address & ~0xf) | (this.config.get(at, 4) & 0xf)) >>> 0);
    if ((this.config.get(at, 4) & BAR_64BIT) !== 0) this.config.set(at + 4, 4, Math.floor(address / 0x1_0000_0000));
  }

  readConfig(offset: number, width: AccessWidth): number {
    return this.config.readConfig(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#pristine ??= this.config.save();
    this.config.writeConfig(offset, width, value);
    const touches = (from: number, bytes: number): boolean => offset < from + bytes && from < offset + width;
    if (touches(P.PCI_BASE_ADDRESS, 24) || touches(P.PCI_COMMAND, 2)) this.#decode();
    if (this.#msixCapability !== 0 && touches(this.#msixCapability + MSIX_CONTROL, 2)) {
      this.#options.msix!.msix.control = this.config.get(this.#msixCapability + MSIX_CONTROL, 2);
    }
    this.#driveLine();
  }

  /** Asks for the interrupt pin, or ceases to. */
  set interrupt(asserted: boolean) {
    this.#asserted = asserted;
    this.#driveLine();
  }

  get command(): number {
    return this.config.get(P.PCI_COMMAND, 2);
  }

  reset(): void {
    if (this.#pristine !== undefined) this.config.restore(this.#pristine);
    this.#options.msix?.msix.reset();
    this.#asserted = false;
    this.#decode();
    this.#driveLine();
  }

  #driveLine(): void {
    const { interrupt, msix } = this.#options;
    const status = this.config.get(P.PCI_STATUS, 2) & ~P.PCI_STATUS_INTERRUPT;
    this.config.set(P.PCI_STATUS, 2, this.#asserted ? status | P.PCI_STATUS_INTERRUPT : status);
    const enabled = (this.command & P.PCI_COMMAND_INTX_DISABLE) === 0 && msix?.msix.enabled !== true;
    interrupt?.line.set(this.#asserted && enabled);
  }

  /** Puts the base address registers where they say, as far as they have moved. */
  #decode(): void {
    const { bars, memory, name } = this.#options;
    const decodes = (this.command & P.PCI_COMMAND_MEMORY) !== 0;
    for (const [n, bar] of bars.entries()) {
      const address = decodes ? this.#barAddress(bar) : undefined;
      const mapping = this.#mappings[n];
      if (mapping?.address === address) continue;
      if (mapping !== undefined) memory.remove(mapping);
      this.#mappings[n] = undefined;
      if (address === undefined) continue;
      const { bytes, device, onMoved } = bar;
      const onAnswering = onMoved && ((answers: boolean): void => onMoved(answers ? address : undefined));
      const made: PciMapping = { name: `${name} BAR ${bar.index}`, address, bytes, device, onAnswering };
      this.#mappings[n] = made;
      memory.add(made);
    }
  }

  #barAddress({ index, is64Bit }: PciBar): number {
    const at = P.PCI_BASE_ADDRESS + index * 4;
    const low = (this.config.get(at, 4) & ~0xf) >>> 0;
    return is64Bit ? low + this.config.get(at + 4, 4) * 0x1_0000_0000 : low;
  }
}
