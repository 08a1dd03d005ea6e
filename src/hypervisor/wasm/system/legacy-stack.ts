/**
 * A stack outside 64-bit mode while an instruction or event pushes on it or pops from it: the pointer moves here and reaches
 * the register only with `commit`, so that a fault on the way leaves nothing to undo.
 *
 * @module
 */
import { ATTR_DB, ATTR_UNUSABLE, RSP, SS } from '../state.ts';
import { raise, VECTOR_SS, withinLimit } from './cpu.ts';
import type { Cpu } from './cpu.ts';
import type { Access } from './mmu.ts';

export class LegacyStack {
  readonly #cpu: Cpu;
  readonly #base: number;
  readonly #limit: number;
  readonly #attributes: number;
  /** 0xffff or 0xffffffff, by SS.B. */
  readonly #mask: number;
  readonly #error: number;
  readonly #access: Access;
  pointer: number;

  private constructor(
    cpu: Cpu,
    base: number,
    limit: number,
    attributes: number,
    pointer: number,
    error: number,
    access: Access,
  ) {
    this.#cpu = cpu;
    this.#base = base;
    this.#limit = limit;
    this.#attributes = attributes;
    this.#mask = (attributes & ATTR_DB) !== 0 ? 0xffff_ffff : 0xffff;
    this.#error = error;
    this.#access = access;
    this.pointer = (pointer & this.#mask) >>> 0;
  }

  /** A stack that is not in SS yet; `error` goes with the #SS of a limit violation. */
  static of(
    cpu: Cpu,
    base: number,
    limit: number,
    attributes: number,
    pointer: number,
    error: number,
    access: Access,
  ): LegacyStack {
    return new LegacyStack(cpu, base, limit, attributes, pointer, error, access);
  }

  /** The stack in SS:ESP. */
  static current(cpu: Cpu, error: number, access: Access): LegacyStack {
    const { state } = cpu;
    return new LegacyStack(
      cpu,
      state.baseLo(SS),
      state.limit(SS),
      state.attributes(SS),
      state.gprLo(RSP),
      error,
      access,
    );
  }

  #check(offset: number, bytes: number): void {
    if ((this.#attributes & ATTR_UNUSABLE) !== 0 && this.#cpu.state.protectedMode)
      raise(this.#cpu, VECTOR_SS, this.#error);
    if (!withinLimit(this.#limit, this.#attributes, offset, bytes)) raise(this.#cpu, VECTOR_SS, this.#error);
  }

  /** Raises #SS when fewer than `bytes` can be pushed, before anything is written. */
  need(bytes: number): void {
    const lowest = this.pointer - bytes;
    // A frame that wraps around offset 0 is checked slot by slot.
    if (lowest >= 0) this.#check(lowest, bytes);
  }

  /** Raises #SS when fewer than `bytes` can be popped. */
  available(bytes: number): void {
    if (this.pointer + bytes - 1 <= this.#mask) this.#check(this.pointer, bytes);
  }

  push(bytes: 2 | 4, value: number): void {
    this.pointer = ((this.pointer - bytes) & this.#mask) >>> 0;
    this.#check(this.pointer, bytes);
    const linear = (this.#base + this.pointer) >>> 0;
    this.#cpu.mmu.write(linear, 0, bytes, this.#access, bytes === 2 ? value & 0xffff : value, 0);
  }

  pop(bytes: 2 | 4): number {
    this.#check(this.pointer, bytes);
    const value = this.#cpu.mmu.read((this.#base + this.pointer) >>> 0, 0, bytes, this.#access);
    this.pointer = ((this.pointer + bytes) & this.#mask) >>> 0;
    return value;
  }

  skip(bytes: number): void {
    this.pointer = ((this.pointer + bytes) & this.#mask) >>> 0;
  }

  /** Writes the pointer to a register: 16 bits of it with a 16-bit stack. */
  commit(register: number): void {
    const { state } = this.#cpu;
    if (this.#mask === 0xffff) state.setGpr16(register, this.pointer);
    else state.setGprHalves(register, this.pointer, 0);
  }
}
