/**
 * What system/ needs of address translation. Implemented over the wasm page walk; a fake stands in for tests.
 *
 * Addresses and 64-bit values travel as two 32-bit halves: a bigint across the wasm boundary costs more than the access.
 * Halves are taken modulo 2^32 (signed or unsigned); what is returned is unsigned.
 *
 * @module
 */

/** The one object thrown to leave a system function with a guest exception. FAULT_VECTOR, FAULT_ERROR (and CR2, DR6) say which. */
export class GuestFault {
  readonly kind = 'guest-fault';
}

/** Thrown and caught by identity; carries nothing, so that raising one costs no stack trace. */
export const guestFault: GuestFault = new GuestFault();

/** Who accesses memory (SDM 3A 4.6.1). */
export const Access = {
  /** User-mode access: CPL 3. */
  User: 0,
  /** Explicit supervisor-mode access: SMAP yields to EFLAGS.AC. */
  Supervisor: 1,
  /** Implicit supervisor-mode access to GDT, LDT, IDT, TSS: SMAP holds whatever EFLAGS.AC says. */
  System: 2,
} as const;
export type Access = (typeof Access)[keyof typeof Access];

export type AccessBytes = 1 | 2 | 4 | 8;

export interface Mmu {
  /** High half of the last 8-byte `read`, unsigned. */
  readonly high: number;
  /**
   * Reads linear memory, across pages and device memory if need be; at 8 bytes the low half, with `high` set.
   * The address is canonical and, outside IA-32e mode, below 2^32 (the access may wrap there).
   * Throws `guestFault` after setting FAULT_VECTOR, FAULT_ERROR and CR2 on a page fault.
   */
  read(lo: number, hi: number, bytes: AccessBytes, access: Access): number;
  /** Writes linear memory; nothing is written when any byte faults. */
  write(lo: number, hi: number, bytes: AccessBytes, access: Access, valueLo: number, valueHi: number): void;
  /** Raises what an access to the range (at most 4096 bytes) would raise, and does nothing else but set accessed and dirty bits. */
  probe(lo: number, hi: number, bytes: number, access: Access, write: boolean): void;
  /**
   * Where a 4-byte aligned range of linear memory lies in `words`, as an index, when all of it is plain RAM in one page; -1
   * otherwise: the caller then goes by `read` and `write`. Raises as `probe`. With `write` the caller writes the range at once.
   * For images of hundreds of bytes.
   */
  window(lo: number, hi: number, bytes: number, access: Access, write: boolean): number;
  /** The memory `window` points into. */
  readonly words: Uint32Array;
  /** 8 aligned bytes of guest-physical memory below 2^52; all ones where there is none. For PDPTEs. */
  readPhysical(address: number): bigint;

  /** Drops every cached translation of every address space, global ones too. */
  flushAll(): void;
  /** Drops the cached translations of one address space (0 while CR4.PCIDE = 0); global ones stay. */
  flushAddressSpace(pcid: number): void;
  /** Drops the cached translations of all address spaces; global ones stay. INVPCID type 3. */
  flushNonGlobal(): void;
  /** Drops what is cached for one linear address in the current address space, and global entries for it. INVLPG. */
  invalidatePage(lo: number, hi: number): void;
  /** Drops what is cached for one linear address in an address space; global entries may stay. INVPCID type 0. */
  invalidatePageIn(pcid: number, lo: number, hi: number): void;

  /**
   * CPL, RFLAGS.AC, CODE_SIZE, a segment base or limit that the decoder or the TLB choice depends on, CR0, CR3, CR4 or EFER
   * changed: recompute TLB_BASE, TLB_TAG, FETCH_TAG. Cheap; flushes nothing.
   */
  modeChanged(): void;
}
