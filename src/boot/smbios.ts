/**
 * SMBIOS 3.0 (DMTF DSP0134 3.0): what `dmidecode` and inventory tools read. Entry point at 0xf0000, structures behind it.
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import { cString } from './command-line.ts';
import { FOUR_GIB, SMBIOS_ADDRESS, SMBIOS_END, splitRam } from './layout.ts';
import { checksum, concat, TableWriter } from './table-writer.ts';

/** What the user can say about the machine; crosvm's `--smbios` has the same fields. */
export interface SmbiosOptions {
  readonly biosVendor?: string | undefined;
  readonly biosVersion?: string | undefined;
  readonly manufacturer?: string | undefined;
  readonly productName?: string | undefined;
  readonly serialNumber?: string | undefined;
  /** Text form of a UUID. */
  readonly uuid?: string | undefined;
  readonly oemStrings?: readonly string[] | undefined;
}

const ENTRY_POINT_BYTES = 24;
const STRUCTURES_ADDRESS = SMBIOS_ADDRESS + 32;
const UNKNOWN = 2;
const OTHER = 1;

const Type = {
  Bios: 0,
  System: 1,
  Chassis: 3,
  Processor: 4,
  OemStrings: 11,
  PhysicalMemoryArray: 16,
  MemoryDevice: 17,
  MemoryArrayMappedAddress: 19,
  SystemBoot: 32,
  EndOfTable: 127,
} as const;
type Type = (typeof Type)[keyof typeof Type];

/** Handles are type * 256 + number: easy to tell apart in a dump. */
const handle = (type: Type, index = 0): number => type * 256 + index;

/** One structure: its formatted area is filled by offset, its strings are appended and referred to by number (6.1.3). */
class Structure {
  readonly #area: TableWriter;
  readonly #strings: Uint8Array[] = [];

  /** `length` is that of the formatted area, header included. */
  constructor(type: Type, length: number, index = 0) {
    this.#area = new TableWriter(length).u8(0, type).u8(1, length).u16(2, handle(type, index));
  }
  u8(offset: number, value: number): this {
    this.#area.u8(offset, value);
    return this;
  }
  u16(offset: number, value: number): this {
    this.#area.u16(offset, value);
    return this;
  }
  u32(offset: number, value: number): this {
    this.#area.u32(offset, value);
    return this;
  }
  u64(offset: number, value: number): this {
    this.#area.u64(offset, value);
    return this;
  }
  copy(offset: number, bytes: Uint8Array): this {
    this.#area.copy(offset, bytes);
    return this;
  }
  /** Adds a string and puts its number at `offset`; an empty one gets number 0, "not specified". */
  text(offset: number, text: string): this {
    return this.u8(offset, this.add(text));
  }
  add(text: string): number {
    if (text === '') return 0;
    // A NUL would end the string set early and shift every structure behind it.
    this.#strings.push(cString(text.replaceAll('\0', ' ')));
    return this.#strings.length;
  }
  encode(): Uint8Array {
    const strings = this.#strings.length > 0 ? this.#strings : [Uint8Array.of(0)];
    return concat(this.#area.bytes, ...strings, [0]);
  }
}

/** UUID field (7.2.1): the first three groups are little-endian. Throws RangeError for anything but a UUID. */
function uuidBytes(text: string): Uint8Array {
  const hex = text.replaceAll('-', '');
  if (!/^[0-9a-fA-F]{32}$/.test(hex)) throw new RangeError(`SMBIOS uuid ${text} is not a UUID`);
  const bytes = Uint8Array.from({ length: 16 }, (_, index) => Number.parseInt(hex.slice(2 * index, 2 * index + 2), 16));
  return Uint8Array.from([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15], (index) => bytes[index] ?? 0);
}

/** BIOS characteristics (7.1.1): bit 3 says that the others are not to be had; extension 2 bit 4: a virtual machine. */
const CHARACTERISTICS_NOT_SUPPORTED = 1 << 3;
const EXTENSION_2_VIRTUAL_MACHINE = 1 << 4;
const BIOS_START_SEGMENT = 0xe000;

const bios = (options: SmbiosOptions): Structure =>
  new Structure(Type.Bios, 24)
    .text(4, options.biosVendor ?? 'typervisor')
    .text(5, options.biosVersion ?? '0')
    .u16(6, BIOS_START_SEGMENT)
    .text(8, '01/01/2026')
    .u8(9, 1) // ROM of 128 KiB: 0xe0000 to 0xfffff
    .u64(10, CHARACTERISTICS_NOT_SUPPORTED)
    .u8(19, EXTENSION_2_VIRTUAL_MACHINE)
    .u8(20, 0) // system BIOS release 0.0
    .u8(21, 0)
    .u8(22, 0xff) // no embedded controller
    .u8(23, 0xff);

const POWER_SWITCH = 6;

function system(options: SmbiosOptions): Structure {
  const structure = new Structure(Type.System, 27)
    .text(4, options.manufacturer ?? 'typervisor')
    .text(5, options.productName ?? 'typervisor')
    .text(6, '')
    .text(7, options.serialNumber ?? '')
    .u8(24, POWER_SWITCH)
    .text(25, '')
    .text(26, '');
  // All zeroes: no UUID was set (7.2.1).
  return options.uuid === undefined ? structure : structure.copy(8, uuidBytes(options.uuid));
}

const STATE_SAFE = 3;
const SECURITY_NONE = 3;

const chassis = (options: SmbiosOptions): Structure =>
  new Structure(Type.Chassis, 21)
    .text(4, options.manufacturer ?? 'typervisor')
    .u8(5, OTHER)
    .u8(9, STATE_SAFE)
    .u8(10, STATE_SAFE)
    .u8(11, STATE_SAFE)
    .u8(12, SECURITY_NONE);

const CENTRAL_PROCESSOR = 3;
const SOCKET_POPULATED_ENABLED = 0x41;
const UPGRADE_NONE = 6;
const NO_CACHE_HANDLE = 0xffff;
const PROCESSOR_64_BIT = 1 << 2;
const PROCESSOR_MULTI_CORE = 1 << 3;
const FAMILY_OTHER = 1;

/** One socket with all vCPUs as its cores. Speeds are unknown (0). */
function processor(vcpuCount: number): Structure {
  const cores = Math.min(vcpuCount, 0xff);
  return new Structure(Type.Processor, 48)
    .text(4, 'CPU 0')
    .u8(5, CENTRAL_PROCESSOR)
    .u8(6, FAMILY_OTHER)
    .text(7, 'typervisor')
    .text(16, '')
    .u8(24, SOCKET_POPULATED_ENABLED)
    .u8(25, UPGRADE_NONE)
    .u16(26, NO_CACHE_HANDLE)
    .u16(28, NO_CACHE_HANDLE)
    .u16(30, NO_CACHE_HANDLE)
    .u8(35, cores)
    .u8(36, cores)
    .u8(37, cores)
    .u16(38, PROCESSOR_64_BIT | (vcpuCount > 1 ? PROCESSOR_MULTI_CORE : 0))
    .u16(40, FAMILY_OTHER)
    .u16(42, vcpuCount)
    .u16(44, vcpuCount)
    .u16(46, vcpuCount);
}

function oemStrings(texts: readonly string[]): Structure {
  const structure = new Structure(Type.OemStrings, 5);
  for (const text of texts) structure.add(text);
  return structure.u8(4, texts.filter((text) => text !== '').length);
}

const KIB = 1024;
const MIB = 1024 * KIB;
const LOCATION_MOTHERBOARD = 3;
const USE_SYSTEM_MEMORY = 3;
const ECC_NONE = 3;
const NO_ERROR_HANDLE = 0xfffe;
/** Values that say "see the extended field" where 15 or 31 bits do not do. */
const EXTENDED_CAPACITY = 0x8000_0000;
const EXTENDED_SIZE = 0x7fff;
const EXTENDED_ADDRESS = 0xffff_ffff;

function memoryArray(ramBytes: number): Structure {
  const kib = ramBytes / KIB;
  const array = new Structure(Type.PhysicalMemoryArray, 23)
    .u8(4, LOCATION_MOTHERBOARD)
    .u8(5, USE_SYSTEM_MEMORY)
    .u8(6, ECC_NONE)
    .u16(11, NO_ERROR_HANDLE)
    .u16(13, 1); // one memory device
  return kib < EXTENDED_CAPACITY ? array.u32(7, kib) : array.u32(7, EXTENDED_CAPACITY).u64(15, ramBytes);
}

const FORM_FACTOR_DIMM = 9;
const MEMORY_TYPE_RAM = 7;

function memoryDevice(ramBytes: number): Structure {
  const mib = Math.floor(ramBytes / MIB);
  const device = new Structure(Type.MemoryDevice, 40)
    .u16(4, handle(Type.PhysicalMemoryArray))
    .u16(6, NO_ERROR_HANDLE)
    .u16(8, 64)
    .u16(10, 64)
    .u8(14, FORM_FACTOR_DIMM)
    .text(16, 'DIMM 0')
    .u8(18, MEMORY_TYPE_RAM)
    .u16(19, UNKNOWN << 1) // type detail: bit 2, unknown
    .text(23, 'typervisor');
  return mib < EXTENDED_SIZE ? device.u16(12, mib) : device.u16(12, EXTENDED_SIZE).u32(28, mib);
}

/** One entry for the RAM below the PCI hole, one for what lies above 4 GiB. Ends are inclusive. */
function mappedAddresses(ramBytes: number): Structure[] {
  const { lowEnd, highEnd } = splitRam(ramBytes);
  const ranges = [
    [0, lowEnd],
    [FOUR_GIB, highEnd],
  ] as const;
  return ranges
    .filter(([start, end]) => end > start)
    .map(([start, end], index) => {
      const entry = new Structure(Type.MemoryArrayMappedAddress, 31, index)
        .u16(12, handle(Type.PhysicalMemoryArray))
        .u8(14, 1); // partition width: one device
      const lastKib = Math.ceil(end / KIB) - 1;
      return lastKib < EXTENDED_ADDRESS
        ? entry.u32(4, start / KIB).u32(8, lastKib)
        : entry
            .u32(4, EXTENDED_ADDRESS)
            .u32(8, EXTENDED_ADDRESS)
            .u64(15, start)
            .u64(23, end - 1);
    });
}

/** Boot status 0: no errors detected. */
const systemBoot = (): Structure => new Structure(Type.SystemBoot, 11);

/** All structures, in the order of their handles. */
export function buildSmbiosStructures(ramBytes: number, vcpuCount: number, options: SmbiosOptions = {}): Uint8Array {
  const structures = [
    bios(options),
    system(options),
    chassis(options),
    processor(vcpuCount),
    ...(options.oemStrings?.length ? [oemStrings(options.oemStrings)] : []),
    memoryArray(ramBytes),
    memoryDevice(ramBytes),
    ...mappedAddresses(ramBytes),
    systemBoot(),
    new Structure(Type.EndOfTable, 4),
  ];
  return concat(...structures.map((structure) => structure.encode()));
}

/** Writes entry point and structures. Throws RangeError when the user's strings do not fit into the 64 KiB there are. */
export function writeSmbios(memory: GuestMemory, ramBytes: number, vcpuCount: number, options?: SmbiosOptions): void {
  const structures = buildSmbiosStructures(ramBytes, vcpuCount, options);
  const end = STRUCTURES_ADDRESS + structures.length;
  if (end > SMBIOS_END)
    throw new RangeError(`SMBIOS strings make ${structures.length} bytes: too long for the BIOS area`);
  const entryPoint = new TableWriter(ENTRY_POINT_BYTES)
    .ascii(0, '_SM3_')
    .u8(6, ENTRY_POINT_BYTES)
    .u8(7, 3) // version 3.0
    .u8(8, 0)
    .u8(10, 1) // entry point revision
    .u32(12, structures.length)
    .u64(16, STRUCTURES_ADDRESS);
  entryPoint.u8(5, checksum(entryPoint.bytes));
  memory.fill(gpa(SMBIOS_ADDRESS), SMBIOS_END - SMBIOS_ADDRESS, 0);
  memory.write(gpa(SMBIOS_ADDRESS), entryPoint.bytes);
  memory.write(gpa(STRUCTURES_ADDRESS), structures);
}
