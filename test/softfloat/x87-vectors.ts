/**
 * x87 cases as records: the state before with only the registers that matter, and what the instruction changed.
 *
 * @module
 */
import type { X87Encoding } from '../../src/hypervisor/wasm/x87/encodings.ts';
import { filler, rowOf, untouchedMemory } from './x87-cases.ts';
import type { X87Case, X87Result } from './x87-cases.ts';
import type { ByteReader, ByteWriter } from './vectors.ts';
import { sameBytes } from './vectors.ts';

export const X87_VECTORS = 'x87.bin.gz';

export interface X87Header {
  readonly processor: string;
  readonly encodings: readonly X87Encoding[];
}

const REGISTER_BYTES = 10;

/** How much of memory an instruction can touch. */
function memoryBytes(encoding: X87Encoding): number {
  switch (rowOf(encoding).memory) {
    case undefined:
      return 0;
    case 'environment':
      return 28;
    case 'state':
      return 108;
    default:
      return 10;
  }
}

/** A memory operand above this is an environment or a state. */
const MAX_NUMBER = 10;

/** 1 and 2 have a meaning (machine.ts) and are frequent. */
function writePointer(writer: ByteWriter, value: number): void {
  if (value === 1 || value === 2) {
    writer.u8(value);
  } else {
    writer.u8(0);
    writer.u16(value);
    writer.u16(value >>> 16);
  }
}

function readPointer(reader: ByteReader): number {
  return reader.u8() || (reader.u16() | (reader.u16() << 16)) >>> 0;
}

/** Registers of `registers` that differ from `from`: a mask, then their bytes. */
function writeRegisters(writer: ByteWriter, registers: readonly Uint8Array[], from: readonly Uint8Array[]): void {
  writer.u8(registers.reduce((mask, register, p) => (sameBytes(register, from[p]!) ? mask : mask | (1 << p)), 0));
  registers.forEach((register, p) => {
    if (!sameBytes(register, from[p]!)) writer.bytes(register);
  });
}

function readRegisters(reader: ByteReader, from: readonly Uint8Array[]): Uint8Array[] {
  const mask = reader.u8();
  return from.map((register, p) => (mask & (1 << p) ? reader.bytes(REGISTER_BYTES) : register));
}

const fillers: readonly Uint8Array[] = Array.from({ length: 8 }, (_, p) => filler(p));

export function writeX87Vector(writer: ByteWriter, index: number, c: X87Case, r: X87Result): void {
  const bytes = memoryBytes(c.encoding);
  const reads = bytes > 0 && rowOf(c.encoding).store === undefined;
  writer.u8(index);
  writer.u8(c.modrm);
  writer.u16(c.fcw);
  writer.u16(c.fsw);
  writer.u8(c.ftw);
  writer.u16(c.rflags);
  writeRegisters(writer, c.registers, fillers);
  if (bytes > MAX_NUMBER) writer.u8(Number(c.narrow));
  if (reads) writer.bytes(c.memory.subarray(0, bytes));

  writer.u8(r.fault);
  writer.u16(r.fcw);
  writer.u16(r.fsw);
  writer.u8(r.ftw);
  writer.u16(r.rflags);
  writer.u16(r.ax);
  writePointer(writer, r.fip);
  writePointer(writer, r.fdp);
  writer.u16(r.fop);
  writeRegisters(writer, r.registers, c.registers);
  if (bytes > 0 && !reads) writer.bytes(r.memory.subarray(0, bytes));
}

export function readX87Vector(header: X87Header, reader: ByteReader): { before: X87Case; after: X87Result } {
  const encoding = header.encodings[reader.u8()]!;
  const bytes = memoryBytes(encoding);
  const reads = bytes > 0 && rowOf(encoding).store === undefined;
  const modrm = reader.u8(),
    fcw = reader.u16(),
    fsw = reader.u16(),
    ftw = reader.u8(),
    rflags = reader.u16();
  const registers = readRegisters(reader, fillers);
  const memory = untouchedMemory();
  const narrow = bytes > MAX_NUMBER && reader.u8() === 1;
  if (reads) memory.set(reader.bytes(bytes));
  const before: X87Case = { encoding, modrm, fcw, fsw, ftw, rflags, registers, memory, narrow };

  const fault = reader.u8(),
    fcwAfter = reader.u16(),
    fswAfter = reader.u16(),
    ftwAfter = reader.u8();
  const rflagsAfter = reader.u16(),
    ax = reader.u16();
  const fip = readPointer(reader),
    fdp = readPointer(reader),
    fop = reader.u16();
  const registersAfter = readRegisters(reader, registers);
  const memoryAfter = memory.slice();
  if (bytes > 0 && !reads) memoryAfter.set(reader.bytes(bytes));
  const after: X87Result = {
    fault,
    fcw: fcwAfter,
    fsw: fswAfter,
    ftw: ftwAfter,
    registers: registersAfter,
    memory: memoryAfter,
    ax,
    rflags: rflagsAfter,
    fip,
    fdp,
    fop,
  };
  return { before, after };
}
