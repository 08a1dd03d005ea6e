/**
 * Segment descriptors as they lie in GDT and LDT (SDM 3A 3.4.5, 3.5): fetched into a reused record, with the selector's
 * table and limit checks.
 *
 * @module
 */
import { ATTR_DB, ATTR_L, ATTR_P, ATTR_S, ATTR_UNUSABLE, GDTR, LDTR, segmentOffset } from '../state.ts';
import { raise, readSystem, VECTOR_GP, writeSystem } from './cpu.ts';
import type { Cpu } from './cpu.ts';

/** System descriptor types (SDM 3A table 3-2). */
export const TYPE_TSS16 = 1,
  TYPE_LDT = 2,
  TYPE_TSS16_BUSY = 3,
  TYPE_CALL_GATE16 = 4,
  TYPE_TASK_GATE = 5,
  TYPE_INTERRUPT_GATE16 = 6;
export const TYPE_TRAP_GATE16 = 7,
  TYPE_TSS32 = 9,
  TYPE_TSS32_BUSY = 11,
  TYPE_CALL_GATE32 = 12,
  TYPE_INTERRUPT_GATE32 = 14,
  TYPE_TRAP_GATE32 = 15;

/** Attributes of a register loaded with a null selector; the DPL bits are added by the caller where they matter (SS). */
export const NULL_ATTRIBUTES = ATTR_UNUSABLE;

/** A descriptor; `lo` and `hi` are its raw halves. */
export class Descriptor {
  selector = 0;
  lo = 0;
  hi = 0;

  /** The attributes in the layout of state.ts. */
  get attributes(): number {
    return (this.hi >>> 8) & 0xf0ff;
  }
  get type(): number {
    return (this.hi >>> 8) & 15;
  }
  get dpl(): number {
    return (this.hi >>> 13) & 3;
  }
  get present(): boolean {
    return (this.hi & (ATTR_P << 8)) !== 0;
  }
  /** Code or data, not a system descriptor. */
  get isSegment(): boolean {
    return (this.hi & (ATTR_S << 8)) !== 0;
  }
  get isCode(): boolean {
    return (this.hi & 0x1800) === 0x1800;
  }
  get isData(): boolean {
    return (this.hi & 0x1800) === 0x1000;
  }
  get isConforming(): boolean {
    return (this.hi & 0x1c00) === 0x1c00;
  }
  /** Writable data. */
  get isWritable(): boolean {
    return (this.hi & 0x1a00) === 0x1200;
  }
  /** Data, or code that may be read. */
  get isReadable(): boolean {
    return this.isData || (this.hi & 0x1a00) === 0x1a00;
  }
  get long(): boolean {
    return (this.hi & (ATTR_L << 8)) !== 0;
  }
  get big(): boolean {
    return (this.hi & (ATTR_DB << 8)) !== 0;
  }
  get base(): number {
    return ((this.lo >>> 16) | ((this.hi & 0xff) << 16) | (this.hi & 0xff00_0000)) >>> 0;
  }
  /** In bytes. */
  get limit(): number {
    const raw = (this.lo & 0xffff) | (this.hi & 0xf_0000);
    return (this.hi & 0x80_0000) !== 0 ? ((raw << 12) | 0xfff) >>> 0 : raw;
  }
  /** Call and task gates: target selector, offset, parameter count. */
  get gateSelector(): number {
    return this.lo >>> 16;
  }
  get gateOffset(): number {
    return ((this.lo & 0xffff) | (this.hi & 0xffff_0000)) >>> 0;
  }
  get gateParameters(): number {
    return this.hi & 31;
  }
}

/** True when the selector is null (index 0 of the GDT). */
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;

const tableField = (selector: number): number => ((selector & 4) !== 0 ? segmentOffset(LDTR) : GDTR);

/** True when `bytes` at the selector's index lie within its table. */
function inTable(cpu: Cpu, selector: number, bytes: number): boolean {
  const { state } = cpu;
  const last = (selector & 0xfff8) + bytes - 1;
  if ((selector & 4) === 0) return last <= state.tableLimit(GDTR);
  return (state.attributes(LDTR) & ATTR_UNUSABLE) === 0 && last <= state.limit(LDTR);
}

/** Reads a descriptor; false when it lies outside its table (LAR, VERR) or the LDT is not there. Page faults are raised. */
export function tryFetch(cpu: Cpu, selector: number, into: Descriptor): boolean {
  if (!inTable(cpu, selector, 8)) return false;
  into.selector = selector;
  into.lo = readSystem(cpu, tableField(selector), selector & 0xfff8, 8);
  into.hi = cpu.mmu.high;
  return true;
}

/** Reads a descriptor; raises `vector` with the selector (plus `ext`) as error code when it lies outside its table. */
export function fetchDescriptor(
  cpu: Cpu,
  selector: number,
  into: Descriptor,
  vector: number = VECTOR_GP,
  ext = 0,
): void {
  if (!tryFetch(cpu, selector, into)) raise(cpu, vector, (selector & 0xfffc) | ext);
}

/**
 * Reads the second half of a 16-byte system descriptor in IA-32e mode into `upper` (lo: bits 64-95, the base or offset bits
 * 32-63; hi: bits 96-127). False when it lies outside the table.
 */
export function tryFetchUpper(cpu: Cpu, selector: number, upper: Descriptor): boolean {
  if (!inTable(cpu, selector, 16)) return false;
  upper.lo = readSystem(cpu, tableField(selector), (selector & 0xfff8) + 8, 8);
  upper.hi = cpu.mmu.high;
  return true;
}

/** Sets the accessed bit of a code or data descriptor, in memory and in the record, when it is clear (SDM 3A 3.4.5.1). */
export function markAccessed(cpu: Cpu, descriptor: Descriptor): void {
  if ((descriptor.hi & 0x100) !== 0) return;
  descriptor.hi |= 0x100;
  writeSystem(
    cpu,
    tableField(descriptor.selector),
    (descriptor.selector & 0xfff8) + 5,
    1,
    (descriptor.hi >>> 8) & 0xff,
    0,
  );
}

/** Rewrites the type byte of a system descriptor (the busy bit of a TSS). */
export function writeTypeByte(cpu: Cpu, descriptor: Descriptor): void {
  writeSystem(
    cpu,
    tableField(descriptor.selector),
    (descriptor.selector & 0xfff8) + 5,
    1,
    (descriptor.hi >>> 8) & 0xff,
    0,
  );
}

/** Loads a segment register's hidden part from a descriptor. */
export function loadFromDescriptor(cpu: Cpu, register: number, selector: number, descriptor: Descriptor): void {
  cpu.state.setSegment(register, selector, descriptor.base, 0, descriptor.limit, descriptor.attributes);
}

/** CODE_SIZE for the current CS: 64 only in IA-32e mode with L. */
export function codeSizeOf(cpu: Cpu, attributes: number): number {
  if ((attributes & ATTR_L) !== 0 && cpu.state.longMode) return 64;
  return (attributes & ATTR_DB) !== 0 ? 32 : 16;
}
