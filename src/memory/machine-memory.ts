/**
 * The one shared `WebAssembly.Memory` of a machine: what lies where in it.
 *
 * Every thread of a machine (the VMM, one worker per vCPU) maps the same memory and finds its parts through
 * `MachineMemoryMap`, a plain object that crosses `postMessage`. Guest RAM lies at the top so that the parts below
 * keep their offsets whatever the RAM size. Offsets and sizes are in bytes.
 *
 *     0             guard page, never mapped to anything: a stray zero pointer reads zeroes
 *     control       VcpuControl records, mailboxes, posted-write ring   (bus/)
 *     ports         one u16 per I/O port: shadow value and attributes    (bus/)
 *     irqchip       local APICs, IO-APIC, PIC, PIT, timers               (irqchip/)
 *     codeMap       one u32 per guest page frame: which 128-byte chunks hold translated code
 *     vcpus         per-vCPU private areas of the hypervisor
 *     ram           guest RAM, guest-physical address 0 first; what is above 4 GiB directly behind the rest; persistent memory at the end
 *
 * @module
 */

export const WASM_PAGE_BYTES = 65536;
export const GUEST_PAGE_BYTES = 4096;
/** Guest RAM begins at a multiple of this, as V8's memories do: where a huge page of the host is one of the guest's memory too, KVM maps it as a whole. */
const HUGE_PAGE_BYTES = 0x20_0000;

/**
 * What guest RAM is to the host: memory of this process alone, which Linux readily gives in huge pages, or a file without a name, which other processes
 * can be given.
 */
export type RamBacking = 'anonymous' | 'memfd';

/** crosvm's guest-physical layout: RAM ends at the latest where the low PCI window starts. */
export const LOW_RAM_LIMIT = 0xd000_0000;
/** What does not fit below starts here. */
export const FOUR_GIB = 0x1_0000_0000;

/** How RAM of a given size is split around the PCI hole. */
export interface RamSplit {
  /** End of the RAM that starts at 0. */
  readonly lowEnd: number;
  /** End of the RAM that starts at 4 GiB; 4 GiB when there is none. */
  readonly highEnd: number;
}

export function splitRam(ramBytes: number): RamSplit {
  const lowEnd = Math.min(ramBytes, LOW_RAM_LIMIT);
  return { lowEnd, highEnd: FOUR_GIB + (ramBytes - lowEnd) };
}

export interface MachineMemoryMap {
  readonly control: number;
  readonly controlBytes: number;
  readonly ports: number;
  readonly irqchip: number;
  readonly irqchipBytes: number;
  readonly codeMap: number;
  readonly vcpus: number;
  readonly vcpuBytes: number;
  readonly vcpuCount: number;
  readonly ram: number;
  /** All that the guest finds memory in: RAM, and persistent memory behind it. */
  readonly ramBytes: number;
  /** Size of the whole memory in WebAssembly pages of 64 KiB. */
  readonly pages: number;
}

export interface MachineMemoryRequest {
  /** Guest RAM, and persistent memory behind it, in bytes, a multiple of 64 KiB. */
  readonly ramBytes: number;
  readonly vcpuCount: number;
  /** Bytes of private area the hypervisor wants for each vCPU. */
  readonly vcpuBytes: number;
}

/** Pages of the largest memory with 32-bit addresses, and with 64-bit ones (V8's limit). */
const MAX_PAGES_32 = 65_536,
  MAX_PAGES = 262_144;

const CONTROL_BYTES = 2 * WASM_PAGE_BYTES,
  PORTS_BYTES = 2 * WASM_PAGE_BYTES,
  IRQCHIP_BYTES = 2 * WASM_PAGE_BYTES;
/** The code map is at the same place in every machine: it is part of compiled code. */
export const CODE_MAP_OFFSET: number = WASM_PAGE_BYTES + CONTROL_BYTES + PORTS_BYTES + IRQCHIP_BYTES;

const align = (value: number, to = WASM_PAGE_BYTES): number => Math.ceil(value / to) * to;

/** Lays the parts out. Throws RangeError when they do not fit into the largest memory that there is. */
export function planMachineMemory(request: MachineMemoryRequest): MachineMemoryMap {
  const { ramBytes, vcpuCount } = request;
  if (!Number.isInteger(ramBytes) || ramBytes <= 0 || ramBytes % WASM_PAGE_BYTES !== 0) {
    throw new RangeError(`guest RAM of ${ramBytes} bytes is not a positive multiple of 64 KiB`);
  }
  const vcpuBytes = align(request.vcpuBytes);
  const control = WASM_PAGE_BYTES;
  const controlBytes = CONTROL_BYTES;
  const ports = control + controlBytes;
  const irqchip = ports + PORTS_BYTES;
  const irqchipBytes = IRQCHIP_BYTES;
  const codeMap = CODE_MAP_OFFSET;
  const vcpus = codeMap + align((LOW_RAM_LIMIT / GUEST_PAGE_BYTES) * 4);
  const ram = align(vcpus + vcpuBytes * vcpuCount, HUGE_PAGE_BYTES);
  const pages = (ram + align(ramBytes)) / WASM_PAGE_BYTES;
  if (pages > MAX_PAGES) {
    throw new RangeError(`${ramBytes} bytes of guest RAM and ${vcpuCount} vCPUs do not fit into 16 GiB`);
  }
  return {
    control,
    controlBytes,
    ports,
    irqchip,
    irqchipBytes,
    codeMap,
    vcpus,
    vcpuBytes,
    vcpuCount,
    ram,
    ramBytes,
    pages,
  };
}

/**
 * Allocates the shared memory of a map. Beyond 4 GiB it has 64-bit addresses: code on it is 1.4 times as slow, and compiled code of
 * this project takes 32 bits, so that it is for hypervisors only whose guests do not run as WebAssembly.
 */
export function allocateMachineMemory({ pages }: MachineMemoryMap): WebAssembly.Memory {
  if (pages <= MAX_PAGES_32) return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const limit = BigInt(pages);
  return new WebAssembly.Memory({ initial: limit, maximum: limit, shared: true, address: 'i64' });
}

/** Offset of vCPU `index`'s private area. */
export const vcpuArea = (map: MachineMemoryMap, index: number): number => map.vcpus + index * map.vcpuBytes;
