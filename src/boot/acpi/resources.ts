/**
 * Resource descriptors, the contents of _CRS (ACPI 6.3, section 6.4).
 *
 * @module
 */
import { concat, littleEndian } from '../table-writer.ts';
import { buffer, type Data } from './aml.ts';

/** One encoded descriptor. */
export type Resource = Uint8Array & { readonly __resource: true };

const IRQ_NO_FLAGS = 0x22;
const IO_PORT = 0x47;
const END_TAG = 0x79;
const MEMORY_32_FIXED = 0x86;
const EXTENDED_INTERRUPT = 0x89;
const DWORD_ADDRESS = 0x87;
const WORD_ADDRESS = 0x88;
const QWORD_ADDRESS = 0x8a;

const DECODE_16 = 1;
const READ_WRITE = 1;

/** Resource types and flags of the address space descriptors (6.4.3.5). */
const TYPE_MEMORY = 0;
const TYPE_IO = 1;
const TYPE_BUS_NUMBER = 2;
/** The window starts and ends where it says, and the device passes it on to its children. */
const PRODUCER_FIXED = 0x0c;
const IO_ENTIRE_RANGE = 0x03;

const resource = (...parts: readonly (readonly number[])[]): Resource => concat(...parts) as Resource;

/** Ports that a device always decodes. */
export const io = (port: number, bytes: number): Resource =>
  resource([IO_PORT, DECODE_16], littleEndian(port, 2), littleEndian(port, 2), [1, bytes]);

/** An ISA interrupt: edge-triggered, active high, not shared. */
export const irq = (line: number): Resource => resource([IRQ_NO_FLAGS], littleEndian(1 << line, 2));

/** A GSI as PCI's lines are: level-triggered, active low, shared; the device consumes it (6.4.3.6). */
const LEVEL_LOW_SHARED_CONSUMER = 0x0d;
export const levelInterrupt = (gsi: number): Resource =>
  resource([EXTENDED_INTERRUPT], littleEndian(6, 2), [LEVEL_LOW_SHARED_CONSUMER, 1], littleEndian(gsi, 4));

export const memory32Fixed = (address: number, bytes: number): Resource =>
  resource([MEMORY_32_FIXED], littleEndian(9, 2), [READ_WRITE], littleEndian(address, 4), littleEndian(bytes, 4));

/** An address space descriptor: granularity, first, last, translation and length, each of `width` bytes. */
function window(tag: number, width: number, type: number, flags: number, first: number, last: number): Resource {
  const fields = [0, first, last, 0, last - first + 1].map((value) => littleEndian(value, width));
  return resource([tag], littleEndian(3 + 5 * width, 2), [type, PRODUCER_FIXED, flags], ...fields);
}

/** Windows that a bridge passes on; `last` is inside. */
export const busNumbers = (first: number, last: number): Resource =>
  window(WORD_ADDRESS, 2, TYPE_BUS_NUMBER, 0, first, last);
export const ioWindow = (first: number, last: number): Resource =>
  window(WORD_ADDRESS, 2, TYPE_IO, IO_ENTIRE_RANGE, first, last);
export const memoryWindow32 = (first: number, last: number): Resource =>
  window(DWORD_ADDRESS, 4, TYPE_MEMORY, READ_WRITE, first, last);
export const memoryWindow64 = (first: number, last: number): Resource =>
  window(QWORD_ADDRESS, 8, TYPE_MEMORY, READ_WRITE, first, last);

/** A resource template: the descriptors and an end tag whose zero checksum says "not computed". */
export const resourceTemplate = (...resources: readonly Resource[]): Data => buffer(concat(...resources, [END_TAG, 0]));
