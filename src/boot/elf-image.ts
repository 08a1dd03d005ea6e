/**
 * ELF executables as kernels: headers, notes, and PT_LOAD segments into RAM at their physical addresses (System V gABI,
 * chapters 4 and 5; ELF-64 Object File Format 1.5). Knows nothing of boot protocols.
 *
 * Refuses what would make loading slow or ambiguous: more than 256 program headers, segments that overlap or lie below
 * 1 MiB or beyond RAM.
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import { type ByteFile, copyToRam, type LoadProgress, readRange, requireInFile } from './byte-file.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import { HIGH_MEMORY_START, splitRam } from './layout.ts';

const ELF_MAGIC = 0x464c_457f; // "\x7fELF"
const IDENT_BYTES = 16;
const EI_CLASS = 4;
const EI_DATA = 5;
const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;

const MAX_PROGRAM_HEADERS = 256;
const MAX_NOTE_BYTES = 0x1_0000;

export interface ElfSegment {
  readonly fileOffset: number;
  readonly fileBytes: number;
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  readonly memoryBytes: number;
}

export interface ElfImage {
  readonly bits: 32 | 64;
  /** e_entry; undefined when it is a 64-bit address above 2^53, as a kernel's virtual one. */
  readonly entry: number | undefined;
  /** PT_LOAD segments that occupy memory, by ascending physical address. */
  readonly segments: readonly ElfSegment[];
  readonly notes: readonly { readonly offset: number; readonly bytes: number; readonly alignment: number }[];
}

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly descriptor: DataView;
}

/** True when the file starts like an ELF file. */
export function isElf(file: ByteFile): boolean {
  return file.bytes >= IDENT_BYTES && readRange(file, 'e_ident', 0, 4).getUint32(0, true) === ELF_MAGIC;
}

/** Reads the fields of a header by offset, as 32- or 64-bit ones. */
interface FieldReader {
  u16(offset: number): number;
  u32(offset: number): number;
  /** An address or size of the class's width; undefined above 2^53. */
  word(offset: number): number | undefined;
}

function fieldReader(view: DataView, bits: 32 | 64): FieldReader {
  return {
    u16: (offset) => view.getUint16(offset, true),
    u32: (offset) => view.getUint32(offset, true),
    word: (offset) => {
      if (bits === 32) return view.getUint32(offset, true);
      const high = view.getUint32(offset + 4, true);
      return high >= 2 ** 21 ? undefined : high * 2 ** 32 + view.getUint32(offset, true);
    },
  };
}

/** Field offsets: Elf32_Ehdr and Elf64_Ehdr, Elf32_Phdr and Elf64_Phdr. */
const EHDR = {
  32: { bytes: 52, e_type: 16, e_machine: 18, e_entry: 24, e_phoff: 28, e_phentsize: 42, e_phnum: 44 },
  64: { bytes: 64, e_type: 16, e_machine: 18, e_entry: 24, e_phoff: 32, e_phentsize: 54, e_phnum: 56 },
} as const;
const PHDR = {
  32: { bytes: 32, p_type: 0, p_offset: 4, p_vaddr: 8, p_paddr: 12, p_filesz: 16, p_memsz: 20, p_align: 28 },
  64: { bytes: 56, p_type: 0, p_offset: 8, p_vaddr: 16, p_paddr: 24, p_filesz: 32, p_memsz: 40, p_align: 48 },
} as const;

/** Parses and checks the headers of an x86 ELF executable. Does not look at RAM. */
export function parseElf(file: ByteFile): ElfImage {
  const refuse = (field: string, value: number | string, reason: string): never => {
    throw new KernelFormatError(file.name, field, value, reason);
  };
  const ident = new Uint8Array(readRange(file, 'e_ident', 0, IDENT_BYTES).buffer);
  const classByte = ident[EI_CLASS] ?? 0;
  if (classByte !== ELFCLASS32 && classByte !== ELFCLASS64) refuse('EI_CLASS', classByte, 'is neither 32- nor 64-bit');
  if (ident[EI_DATA] !== ELFDATA2LSB) refuse('EI_DATA', ident[EI_DATA] ?? 0, 'is not little-endian');
  const bits = classByte === ELFCLASS64 ? 64 : 32;
  const ehdr = EHDR[bits];
  const header = fieldReader(readRange(file, 'ELF header at', 0, ehdr.bytes), bits);

  const type = header.u16(ehdr.e_type);
  if (type !== ET_EXEC) refuse('e_type', type, 'is not an executable with fixed addresses (ET_EXEC)');
  const machine = header.u16(ehdr.e_machine);
  if (machine !== (bits === 64 ? EM_X86_64 : EM_386)) refuse('e_machine', machine, `is not ${bits}-bit x86`);
  const count = header.u16(ehdr.e_phnum);
  if (count === 0 || count > MAX_PROGRAM_HEADERS) refuse('e_phnum', `${count}`, `is not 1 to ${MAX_PROGRAM_HEADERS}`);
  const phdr = PHDR[bits];
  const entryBytes = header.u16(ehdr.e_phentsize);
  if (entryBytes !== phdr.bytes) refuse('e_phentsize', `${entryBytes}`, `is not ${phdr.bytes}`);
  const tableOffset = header.word(ehdr.e_phoff);
  if (tableOffset === undefined) return refuse('e_phoff', 'above 2^53', 'lies beyond the end of the file');

  const table = readRange(file, 'e_phoff', tableOffset, count * phdr.bytes);
  const segments: ElfSegment[] = [];
  const notes: { offset: number; bytes: number; alignment: number }[] = [];
  for (let index = 0; index < count; index++) {
    const entry = fieldReader(new DataView(table.buffer, index * phdr.bytes, phdr.bytes), bits);
    const segmentType = entry.u32(phdr.p_type);
    if (segmentType !== PT_LOAD && segmentType !== PT_NOTE) continue;
    const field = (name: 'p_offset' | 'p_paddr' | 'p_filesz' | 'p_memsz'): number =>
      entry.word(phdr[name]) ??
      refuse(`program header ${index} ${name}`, 'above 2^53', 'is no address or size of this machine');
    const fileOffset = field('p_offset');
    const fileBytes = field('p_filesz');
    requireInFile(file, `program header ${index} p_offset`, fileOffset, fileBytes);
    if (segmentType === PT_NOTE) {
      if (fileBytes > MAX_NOTE_BYTES)
        refuse(`program header ${index} p_filesz`, fileBytes, 'is too much for notes (64 KiB)');
      notes.push({ offset: fileOffset, bytes: fileBytes, alignment: entry.word(phdr.p_align) === 8 ? 8 : 4 });
      continue;
    }
    const memoryBytes = field('p_memsz');
    if (fileBytes > memoryBytes)
      refuse(`program header ${index} p_filesz`, fileBytes, `exceeds p_memsz 0x${memoryBytes.toString(16)}`);
    if (memoryBytes === 0) continue;
    // Of use only to translate the entry point of a kernel that starts in 32-bit mode: 2^53 is far enough.
    const virtualAddress = entry.word(phdr.p_vaddr) ?? Number.MAX_SAFE_INTEGER;
    segments.push({ fileOffset, fileBytes, virtualAddress, physicalAddress: field('p_paddr'), memoryBytes });
  }
  if (segments.length === 0) refuse('e_phnum', `${count}`, 'program headers hold no PT_LOAD segment');
  segments.sort((a, b) => a.physicalAddress - b.physicalAddress);
  return { bits, entry: header.word(ehdr.e_entry), segments, notes };
}

/** All notes of all PT_NOTE segments. A note that runs over the end of its segment ends the walk through it. */
export function* readNotes(file: ByteFile, image: ElfImage): Generator<ElfNote> {
  for (const { offset, bytes, alignment } of image.notes) {
    const view = readRange(file, 'PT_NOTE p_offset', offset, bytes);
    const align = (value: number): number => Math.ceil(value / alignment) * alignment;
    for (let at = 0; at + 12 <= bytes; ) {
      const nameBytes = view.getUint32(at, true);
      const descriptorBytes = view.getUint32(at + 4, true);
      const descriptorAt = align(at + 12 + nameBytes);
      const end = descriptorAt + descriptorBytes;
      if (end > bytes) break;
      const name = new Uint8Array(view.buffer, at + 12, nameBytes);
      yield {
        name: String.fromCharCode(...name.subarray(0, Math.min(nameBytes, 32))).replace(/\0+$/, ''),
        type: view.getUint32(at + 8, true),
        descriptor: new DataView(view.buffer, descriptorAt, descriptorBytes),
      };
      at = align(end);
    }
  }
}

export interface LoadedRange {
  readonly start: number;
  /** First byte behind it, bss included. */
  readonly end: number;
}

/** Checks that a kernel image may lie at a range of guest-physical addresses: above the first MiB, in low RAM. */
export function requireLoadable(
  file: ByteFile,
  memory: GuestMemory,
  field: string,
  start: number,
  bytes: number,
): void {
  if (start < HIGH_MEMORY_START) {
    throw new KernelFormatError(
      file.name,
      field,
      start,
      'lies in the first MiB, which holds what the loader leaves there',
    );
  }
  const { lowEnd } = splitRam(memory.bytes);
  if (start + bytes > lowEnd) {
    throw new KernelFormatError(
      file.name,
      field,
      start,
      `+ 0x${bytes.toString(16)} lies beyond the end of RAM at 0x${lowEnd.toString(16)}; give the machine more memory`,
    );
  }
}

/** Copies all segments into RAM and clears what the file does not fill. */
export function loadSegments(
  file: ByteFile,
  image: ElfImage,
  memory: GuestMemory,
  progress?: LoadProgress,
): LoadedRange {
  let end = 0;
  // Everything is checked before anything is written, and the sum of all copies cannot exceed RAM.
  for (const segment of image.segments) {
    requireLoadable(file, memory, 'p_paddr', segment.physicalAddress, segment.memoryBytes);
    if (segment.physicalAddress < end) {
      throw new KernelFormatError(
        file.name,
        'p_paddr',
        segment.physicalAddress,
        `overlaps the segment that ends at 0x${end.toString(16)}`,
      );
    }
    end = segment.physicalAddress + segment.memoryBytes;
  }
  for (const { fileOffset, fileBytes, physicalAddress, memoryBytes } of image.segments) {
    copyToRam(file, fileOffset, fileBytes, memory, physicalAddress, progress);
    memory.fill(gpa(physicalAddress + fileBytes), memoryBytes - fileBytes, 0);
  }
  return { start: image.segments[0]?.physicalAddress ?? 0, end };
}

/** True when a physical address lies in a loaded segment. */
export function isLoaded(image: ElfImage, address: number | undefined): address is number {
  return (
    address !== undefined &&
    image.segments.some((s) => address >= s.physicalAddress && address < s.physicalAddress + s.memoryBytes)
  );
}

/**
 * The physical address of the entry point of a kernel that starts without paging. Some are linked with a virtual e_entry:
 * those are translated through their segment, as GRUB does.
 */
export function physicalEntry(file: ByteFile, image: ElfImage): number {
  const { entry } = image;
  if (isLoaded(image, entry)) return entry;
  if (entry !== undefined) {
    for (const s of image.segments) {
      if (entry >= s.virtualAddress && entry < s.virtualAddress + s.memoryBytes) {
        return entry - s.virtualAddress + s.physicalAddress;
      }
    }
  }
  throw new KernelFormatError(file.name, 'e_entry', entry ?? 'above 2^53', 'lies in no PT_LOAD segment');
}
