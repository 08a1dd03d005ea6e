/**
 * Kernel images in miniature for the tests of the loaders: each builder gives a file that loads, and takes the fields that a
 * test wants wrong.
 *
 * @module
 */
import { type ByteFile, fileFromBytes } from '../../src/boot/byte-file.ts';
import { buildE820 } from '../../src/boot/e820.ts';
import type { LoadRequest } from '../../src/boot/load-request.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';

export const MIB = 2 ** 20;

const buffers = new Map<number, SharedArrayBuffer>();

/**
 * RAM that is not zero, as after a reboot in place: what a loader leaves out shows. The bytes are those of the last machine
 * of this size: fresh ones would cost each test thousands of page faults.
 */
export function dirtyMemory(bytes: number): GuestMemory {
  const buffer = buffers.get(bytes) ?? new SharedArrayBuffer(bytes);
  buffers.set(bytes, buffer);
  const memory = new GuestMemory(buffer, 0, bytes);
  memory.ram.fill(0xa5);
  return memory;
}

export function loadRequest(kernel: Uint8Array, more: Partial<LoadRequest> = {}): LoadRequest {
  const memory = more.memory ?? dirtyMemory(32 * MIB);
  return {
    memory,
    kernel: fileFromBytes('kernel', kernel),
    commandLine: 'console=ttyS0',
    e820: buildE820(memory.bytes),
    rsdp: 0xe0000,
    rngSeed: new Uint8Array(256).fill(0x42),
    entry: 'auto',
    ...more,
  };
}

export const initrdFile = (bytes: number): ByteFile =>
  fileFromBytes(
    'initrd',
    new Uint8Array(bytes).map((_, index) => index & 0xff),
  );

export interface SegmentSpec {
  readonly paddr: number | bigint;
  readonly data: Uint8Array;
  readonly vaddr?: number;
  readonly memsz?: number | bigint;
  readonly filesz?: number | bigint;
  readonly offset?: number | bigint;
}

export interface NoteSpec {
  readonly name: string;
  readonly type: number;
  readonly desc: Uint8Array;
}

export interface ElfSpec {
  readonly bits?: 32 | 64;
  readonly entry: number | bigint;
  readonly segments: readonly SegmentSpec[];
  readonly notes?: readonly NoteSpec[];
  /** Put right behind the program headers, for a Multiboot header. */
  readonly prefix?: Uint8Array;
  readonly phnum?: number;
  readonly phoff?: number | bigint;
  readonly type?: number;
  readonly machine?: number;
}

function noteBytes(notes: readonly NoteSpec[]): Uint8Array {
  const words = (length: number): number => Math.ceil(length / 4) * 4;
  const parts = notes.map(({ name, type, desc }) => {
    const text = new TextEncoder().encode(`${name}\0`);
    const part = new Uint8Array(12 + words(text.length) + words(desc.length));
    const view = new DataView(part.buffer);
    view.setUint32(0, text.length, true);
    view.setUint32(4, desc.length, true);
    view.setUint32(8, type, true);
    part.set(text, 12);
    part.set(desc, 12 + words(text.length));
    return part;
  });
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** An ELF executable: header, program headers, prefix, then the segments' bytes. */
export function buildElf(spec: ElfSpec): Uint8Array {
  const bits = spec.bits ?? 64;
  const [ehsize, phsize] = bits === 64 ? [64, 56] : [52, 32];
  const notes = spec.notes ? noteBytes(spec.notes) : undefined;
  const loads = spec.segments.map((segment) => ({ type: 1, ...segment }));
  const all = notes ? [...loads, { type: 4, paddr: 0, data: notes }] : loads;
  const prefix = spec.prefix ?? new Uint8Array(0);
  const start = ehsize + all.length * phsize + prefix.length;
  const file = new Uint8Array(start + all.reduce((sum, { data }) => sum + data.length, 0));
  const view = new DataView(file.buffer);
  const word = (at: number, value: number | bigint): void =>
    bits === 64 ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, Number(value), true);

  file.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
  view.setUint16(16, spec.type ?? 2, true);
  view.setUint16(18, spec.machine ?? (bits === 64 ? 62 : 3), true);
  view.setUint32(20, 1, true);
  word(24, spec.entry);
  word(bits === 64 ? 32 : 28, spec.phoff ?? ehsize);
  const counts = bits === 64 ? 52 : 40;
  view.setUint16(counts, ehsize, true);
  view.setUint16(counts + 2, phsize, true);
  view.setUint16(counts + 4, spec.phnum ?? all.length, true);

  file.set(prefix, ehsize + all.length * phsize);
  let at = start;
  for (const [index, segment] of all.entries()) {
    const header = ehsize + index * phsize;
    const { type, data, paddr } = segment;
    const { vaddr, offset, filesz, memsz } = segment as Partial<SegmentSpec>;
    const fields = [offset ?? at, vaddr ?? paddr, paddr, filesz ?? data.length, memsz ?? data.length];
    view.setUint32(header, type, true);
    if (bits === 64) {
      for (const [i, value] of fields.entries()) view.setBigUint64(header + 8 + i * 8, BigInt(value), true);
      view.setBigUint64(header + 48, 4n, true);
    } else {
      for (const [i, value] of fields.entries()) view.setUint32(header + 4 + i * 4, Number(value), true);
      view.setUint32(header + 28, 4, true);
    }
    file.set(data, at);
    at += data.length;
  }
  return file;
}

/** Little-endian 32-bit words. */
export function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

export const pvhNote = (entry: number): NoteSpec => ({ name: 'Xen', type: 18, desc: words(entry, 0) });

export const MULTIBOOT_MAGIC = 0x1bad_b002;

/** A Multiboot header with a right checksum; five addresses when flags have bit 16. */
export const multibootHeader = (flags: number, ...addresses: number[]): Uint8Array =>
  words(MULTIBOOT_MAGIC, flags, -(MULTIBOOT_MAGIC + flags), ...addresses);

export interface BzImageSpec {
  readonly payload?: Uint8Array;
  readonly setupSects?: number;
  readonly version?: number;
  readonly loadflags?: number;
  readonly xloadflags?: number;
  readonly relocatable?: number;
  readonly code32Start?: number;
  readonly initrdAddrMax?: number;
  readonly cmdlineSize?: number;
  readonly prefAddress?: number | bigint;
  readonly initSize?: number;
  readonly syssize?: number;
  readonly headerLength?: number;
  readonly bootFlag?: number;
}

/** A bzImage of protocol 2.15 with a setup part of two sectors and a 64-bit entry. */
export function buildBzImage(spec: BzImageSpec = {}): Uint8Array {
  const payload = spec.payload ?? new Uint8Array(0x1000).fill(0x90);
  const setupSects = spec.setupSects ?? 1;
  const payloadOffset = ((setupSects || 4) + 1) * 512;
  const file = new Uint8Array(payloadOffset + payload.length);
  const view = new DataView(file.buffer);
  view.setUint8(0x1f1, setupSects);
  view.setUint32(0x1f4, spec.syssize ?? Math.floor(payload.length / 16), true);
  view.setUint16(0x1fe, spec.bootFlag ?? 0xaa55, true);
  view.setUint8(0x200, 0xeb);
  view.setUint8(0x201, spec.headerLength ?? 0x6a);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, spec.version ?? 0x020f, true);
  view.setUint8(0x211, spec.loadflags ?? 1);
  view.setUint32(0x214, spec.code32Start ?? 0x10_0000, true);
  view.setUint32(0x22c, spec.initrdAddrMax ?? 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  view.setUint8(0x234, spec.relocatable ?? 1);
  view.setUint16(0x236, spec.xloadflags ?? 1, true);
  view.setUint32(0x238, spec.cmdlineSize ?? 2047, true);
  view.setBigUint64(0x258, BigInt(spec.prefAddress ?? 0x100_0000), true);
  view.setUint32(0x260, spec.initSize ?? 0x40_0000, true);
  file.set(payload, payloadOffset);
  return file;
}
