/**
 * Random programs: straight code, branches, loops, calls and memory accesses in every size, for the same program to be run by
 * the interpreter and by the translator.
 *
 * R14 holds the address of data, R15 counts loops, RSP is a stack; the program ends with UD2 or with a fault of its own.
 *
 * @module
 */
import type { CaseInput } from './case.ts';
import { fillDefault, Profile } from './default-state.ts';
import { CODE_LOW, DATA_START, LONG, WRITABLE_CODE } from './environment.ts';
import { MachineState, RSP, RDI, RSI, RCX } from './machine-state.ts';
import { Prng } from './prng.ts';
import { vexInstruction, vexStray } from './programs-vex.ts';

const R14 = 14,
  R15 = 15;
const UD2 = [0x0f, 0x0b];
/** Registers that programs compute with. */
const FREE = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13];

class Writer {
  readonly bytes: number[] = [];
  /** The program rewrites itself now and then. */
  readonly rewrites: boolean;
  /** Another processor is to do the same: see `ProgramOptions`. */
  readonly isPortable: boolean;
  /** It has instructions of x86-64-v3. */
  readonly hasVex: boolean;
  /** The instruction that has just been written leaves flags undefined. */
  undefinesFlags = false;
  readonly random: Prng;
  constructor(random: Prng, isPortable: boolean, hasVex: boolean) {
    this.random = random;
    this.rewrites = random.chance(10) && !isPortable;
    this.isPortable = isPortable;
    this.hasVex = hasVex;
  }
  /** Number of an operation of ADD's kind: add, or, adc, sbb, and, sub, xor, cmp. */
  operation(): number {
    const number = this.below(8);
    if (number === 1 || number === 4 || number === 6) this.undefinesFlags = true;
    return number;
  }
  /** Gives all flags a value again. */
  defineFlags(): void {
    if (this.undefinesFlags && this.isPortable) this.registers(8, [], [0x39], R14, this.pick(FREE));
    this.undefinesFlags = false;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)] as T;
  }
  below(n: number): number {
    return this.random.below(n);
  }
  emit(...bytes: readonly number[]): void {
    this.bytes.push(...bytes);
  }
  imm32(value: number): void {
    this.emit(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >>> 24) & 0xff);
  }
  imm8(value: number): void {
    this.emit(value & 0xff);
  }
  /** Prefixes, opcode and ModRM of an instruction on registers. */
  registers(size: number, prefix: readonly number[], opcode: readonly number[], reg: number, rm: number): void {
    this.#lead(size, prefix, reg, 0, rm);
    this.emit(...opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7));
  }
  /** The same on [R14 + displacement], or [R14 + index * scale + displacement]. */
  memory(
    size: number,
    prefix: readonly number[],
    opcode: readonly number[],
    reg: number,
    at: number,
    index = -1,
  ): void {
    this.#lead(size, prefix, reg, index < 0 ? 0 : index, R14);
    this.emit(...opcode);
    if (index < 0) this.emit(0x80 | ((reg & 7) << 3) | 6);
    else this.emit(0x84 | ((reg & 7) << 3), (this.below(4) << 6) | ((index & 7) << 3) | 6);
    this.imm32(at);
  }
  #lead(size: number, prefix: readonly number[], reg: number, index: number, rm: number): void {
    if (size === 2) this.emit(0x66);
    this.emit(...prefix);
    const rex = 0x40 | (size === 8 ? 8 : 0) | (reg > 7 ? 4 : 0) | (index > 7 ? 2 : 0) | (rm > 7 ? 1 : 0);
    if (rex !== 0x40 || size === 1) this.emit(rex);
  }
}

/** From R14: where the first page of data ends. */
const PAGE_END = 0xf00;
/** And where the data that can be written ends. */
const WRITABLE_END = 0x1f00;
/** CF PF AF ZF SF OF. */
const FLAGS = 0x8d5;

const SIZES = [1, 2, 4, 8, 4, 8];
const wide = (size: number): number => (size === 1 ? 0 : 1);

/** The same writer: its next instruction leaves flags undefined. */
function undefining(w: Writer): Writer {
  w.undefinesFlags = true;
  return w;
}

/** One instruction that neither branches nor loops. */
function plain(w: Writer): void {
  if (w.hasVex && w.random.chance(45)) {
    vexInstruction(w, w.random, FREE, PAGE_END);
    return;
  }
  const size = w.pick(SIZES);
  const reg = w.pick(FREE);
  const rm = w.pick(FREE);
  const at = w.below(0x800) & (w.below(4) === 0 ? -1 : -8);
  const word = size === 1 ? 4 : size;
  // What crosses a line of the cache is slow, or refused, under a lock.
  const locked = w.isPortable ? at & ~7 : at;
  const kinds: (() => void)[] = [
    () => w.registers(size, [], [w.operation() * 8 + wide(size)], reg, rm),
    () => w.registers(size, [], [w.operation() * 8 + wide(size)], reg, rm),
    () => w.memory(size, [], [w.operation() * 8 + wide(size)], reg, at),
    () => w.memory(size, [], [w.operation() * 8 + 2 + wide(size)], reg, at),
    () => {
      w.registers(word, [], [0x83], w.operation(), rm);
      w.emit(w.below(256));
    },
    () => w.registers(size, [], [0x88 + wide(size)], reg, rm),
    () => w.memory(size, [], [0x88 + wide(size)], reg, at),
    () => w.memory(size, [], [0x8a + wide(size)], reg, at),
    () => {
      undefining(w).registers(word, [], [0xc1], w.pick([0, 1, 2, 3, 4, 5, 7]), rm);
      w.emit(w.below(66));
    },
    () => undefining(w).registers(size, [], [0xd2 + wide(size)], w.pick([0, 1, 2, 3, 4, 5, 7]), rm),
    () => undefining(w).registers(word, [], [0x0f, 0xaf], reg, rm),
    () => undefining(w).registers(size, [], [0xf6 + wide(size)], w.pick([2, 3, 4, 5]), rm),
    () => w.registers(word, [], [0x0f, 0x40 + w.below(16)], reg, rm),
    () => w.registers(1, [], [0x0f, 0x90 + w.below(16)], 0, rm),
    () => w.registers(word, [], [0x0f, w.pick([0xb6, 0xbe])], reg, rm),
    () => undefining(w).registers(word, [], [0x0f, w.pick([0xa3, 0xab, 0xb3, 0xbb])], reg, rm),
    () => {
      // Of zero, BSF and BSR leave the destination undefined: bts rm, 3.
      if (w.isPortable) {
        w.registers(word, [], [0x0f, 0xba], 5, rm);
        w.emit(3);
      }
      undefining(w).registers(word, [], [0x0f, w.pick([0xbc, 0xbd])], reg, rm);
    },
    () => w.registers(size, [], [0xfe + wide(size)], w.below(2), rm),
    () => undefining(w).registers(size, [], [0x84 + wide(size)], reg, rm),
    () => w.registers(size, [], [0x86 + wide(size)], reg, rm),
    () => w.registers(size, [], [0x0f, 0xb0 + wide(size)], reg, rm),
    () => w.memory(size, [0xf0], [0x0f, 0xc0 + wide(size)], reg, at & ~7),
    () => w.memory(word, [], [0x8d], reg, at),
    () => w.emit(w.pick([0xf5, 0xf8, 0xf9, 0x98, 0x99, 0x9e, 0x9f])),
    () => {
      w.emit(0x40 | (reg > 7 ? 1 : 0), 0x50 + (reg & 7));
      w.emit(0x40 | (rm > 7 ? 1 : 0), 0x58 + (rm & 7));
    },
    // An index that stays within the data.
    () => {
      w.registers(4, [], [0x81], 4, reg);
      w.imm32(0x78);
      if (reg !== 4) w.memory(size, [], [w.operation() * 8 + w.pick([0, 2]) + wide(size)], rm, at, reg);
    },
    // SSE: scalar and packed arithmetic, logic, shuffles, comparisons, conversions.
    () => w.registers(0, [w.pick([0xf2, 0xf3])], [0x0f, w.pick([0x51, 0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f])], reg, rm),
    () => w.registers(0, [], [0x0f, w.pick([0x58, 0x59, 0x5c, 0x54, 0x55, 0x56, 0x57, 0x28, 0x14, 0x15])], reg, rm),
    () => w.registers(0, [0x66], [0x0f, w.pick([0xfe, 0xfa, 0xd4, 0xef, 0xeb, 0xdb, 0x6f, 0x60, 0x6c, 0x74])], reg, rm),
    () => w.registers(0, [0x66].slice(0, w.below(2)), [0x0f, w.pick([0x2e, 0x2f])], reg, rm),
    () => w.registers(w.pick([4, 8]), [w.pick([0xf2, 0xf3])], [0x0f, w.pick([0x2a, 0x2c, 0x2d])], reg, rm),
    () => w.registers(0, [w.pick([0xf2, 0xf3])], [0x0f, w.pick([0x5a, 0xe6])], reg, rm),
    () => w.registers(0, [], [0x0f, w.pick([0x5a, 0x5b])], reg, rm),
    () => w.memory(0, [0xf2], [0x0f, w.pick([0x10, 0x11, 0x58, 0x59])], reg, at),
    () => w.memory(0, [], [0x0f, w.pick([0x10, 0x11])], reg, at),
    () => w.memory(0, [0x66], [0x0f, w.pick([0x6f, 0x7f, 0xd4])], reg, at & ~15),
    // XCHG and locked operations with memory; a pair of sixteen bytes, aligned.
    () => w.memory(size, [], [0x86 + wide(size)], reg, locked),
    () => w.memory(size, [0xf0], [0x0f, 0xb0 + wide(size)], reg, locked),
    () => undefining(w).memory(size, [0xf0], [w.pick([0, 1, 2, 3, 4, 5, 6]) * 8 + wide(size)], reg, locked),
    () => w.memory(8, [0xf0].slice(0, w.below(2)), [0x0f, 0xc7], 1, at & ~15),
    // A bit in memory, as far away as a register says.
    () => {
      w.registers(4, [], [0x81], 4, reg);
      w.imm32(0x3fff);
      undefining(w).memory(word, [], [0x0f, w.pick([0xa3, 0xab, 0xb3, 0xbb])], reg, at & 0x7f8);
    },
    () => {
      undefining(w).memory(word, [], [0x0f, 0xba], 4 + w.below(4), at);
      w.imm8(w.below(256));
    },
    // Where one page ends and the next begins.
    () => w.memory(size, [], [w.operation() * 8 + w.pick([0, 2]) + wide(size)], reg, PAGE_END - w.below(8)),
    () => w.memory(size, [0xf0], [0x0f, 0xc0 + wide(size)], reg, w.isPortable ? locked : PAGE_END - w.below(8)),
    () => w.memory(0, [], [0x0f, w.pick([0x10, 0x11])], reg, PAGE_END - w.below(16)),
    () => w.memory(8, [], [w.pick([0x8b, 0x89])], reg, PAGE_END - w.below(8)),
    // Flags by the stack.
    () => {
      w.emit(0x9c, 0x40 | (reg > 7 ? 1 : 0), 0x58 + (reg & 7));
    },
    () => {
      w.emit(0x68);
      w.imm32(w.below(0x1000) & FLAGS);
      w.emit(0x9d);
    },
    // MMX: arithmetic, loads and stores, from and to other registers.
    () => w.registers(0, [], [0x0f, w.pick([0xfc, 0xfd, 0xfe, 0xef, 0xdb, 0x60, 0x74, 0xd5, 0x6f])], reg & 7, rm & 7),
    () => w.memory(0, [], [0x0f, w.pick([0x6f, 0x7f, 0xfd])], reg & 7, at),
    () => w.registers(w.pick([4, 8]), [], [0x0f, w.pick([0x6e, 0x7e])], reg & 7, rm),
    () => w.emit(0x0f, 0x77),
    // XLAT by a table in the data.
    () => {
      w.emit(0x49, 0x8d, 0x9e);
      w.imm32(at);
      w.emit(0xd7);
    },
  ];
  w.pick(kinds)();
  w.defineFlags();
}

/** Somewhere beyond the data, or what only a supervisor may do: a fault in the middle of everything. */
function stray(w: Writer): void {
  if (w.hasVex && w.random.chance(50)) {
    vexStray(w, WRITABLE_END);
    return;
  }
  const kinds: (() => void)[] = [
    () => w.memory(8, [], [0x8b], w.pick(FREE), 0x4000),
    () => w.memory(8, [], [0x01], w.pick(FREE), 0x1efc),
    () => w.emit(0x0f, 0x01, w.pick([0xca, 0xcb])),
    () => w.emit(0xfa),
    () => w.memory(0, [], [0x0f, 0x28], w.pick(FREE), 0x108),
    () => undefining(w).registers(4, [], [0xf7], 6 + w.below(2), w.pick(FREE)),
  ];
  w.pick(kinds)();
  w.defineFlags();
}

/** Repeated or not, forwards or backwards; from and to somewhere in the data. */
function string(w: Writer): void {
  const isDown = w.below(3) === 0;
  const at = isDown ? 0x300 : 0;
  if (isDown) w.emit(0xfd);
  w.emit(0x49, 0x8d, 0xb6);
  w.imm32(at + w.below(0x400));
  w.emit(0x49, 0x8d, 0xbe);
  w.imm32(w.below(8) === 0 ? PAGE_END - w.below(64) : at + w.below(0x400));
  w.emit(0xb9);
  w.imm32(w.below(5) === 0 ? 0 : w.below(60));
  const prefix = w.pick([0xf3, 0xf3, 0xf2, 0]);
  const opcode = w.pick([0xa4, 0xa6, 0xaa, 0xac, 0xae]);
  if (w.below(4) === 0) w.emit(0x66);
  if (prefix !== 0) w.emit(prefix);
  if (w.below(3) === 0) w.emit(0x48);
  w.emit(opcode + w.below(2));
  if (isDown) w.emit(0xfc);
}

/** LEA RAX, of code that stands `distance` bytes further on. */
function codeAddress(w: Writer, distance: number): void {
  w.emit(0x48, 0x8d, 0x05);
  w.imm32(distance);
}

/** A call or a jump by a table of 32-bit distances, which stands in the code, by the low bits of a register. */
function table(w: Writer, depth: number): void {
  const index = w.pick([1, 2, 3, 6, 7]);
  const isCall = w.below(2) === 0;
  const pieces = Array.from({ length: 4 }, () => part(w, 1 + w.below(4), depth - 1));
  const ending = isCall ? 1 : 5;
  // and index, 3; lea rax, [the table]
  w.registers(4, [], [0x83], 4, index);
  w.emit(3);
  const tail = isCall ? 5 : 0;
  codeAddress(w, 4 + 3 + 2 + (isCall ? 1 : 0) + tail);
  // movsxd r8, [rax + index * 4]; add rax, r8; call or jmp rax
  w.emit(0x4c, 0x63, 0x04, 0x80 | (index << 3), 0x4c, 0x01, 0xc0);
  const total = pieces.reduce((sum, piece) => sum + piece.length + ending, 16);
  if (isCall) {
    w.emit(0x90, 0xff, 0xd0, 0xe9);
    w.imm32(total);
  } else w.emit(0xff, 0xe0);
  let at = 16;
  for (const piece of pieces) {
    w.imm32(at);
    at += piece.length + ending;
  }
  at = 16;
  for (const piece of pieces) {
    w.emit(...piece);
    at += piece.length + ending;
    if (isCall) w.emit(0xc3);
    else {
      w.emit(0xe9);
      w.imm32(total - at);
    }
  }
}

/** Changes the constant of an addition, which comes next, or came before in the same loop. */
function rewriting(w: Writer, depth: number): void {
  const between = part(w, w.below(4), 0);
  const register = w.pick([1, 2, 3, 6, 7]);
  // mov [rax + WRITABLE_CODE], cl
  const store = [0x88, 0x88, WRITABLE_CODE & 0xff, (WRITABLE_CODE >> 8) & 0xff, (WRITABLE_CODE >> 16) & 0xff, 0x08];
  if (depth === 0 || w.below(2) === 0) {
    codeAddress(w, store.length + between.length + 2);
    w.emit(...store, ...between, 0x81, 0xc0 | register);
    w.imm32(w.below(0x1000));
    return;
  }
  const body = 6 + between.length + 7 + store.length;
  w.emit(0x41, 0x57, 0x41, 0xbf);
  w.imm32(1 + w.below(6));
  w.emit(0x81, 0xc0 | register);
  w.imm32(w.below(0x1000));
  w.emit(...between);
  codeAddress(w, -(4 + between.length + 7));
  w.emit(...store, 0x49, 0xff, 0xcf, 0x0f, 0x85);
  w.imm32(-(body + 9));
  w.emit(0x41, 0x5f);
}

function sequence(w: Writer, length: number, depth: number): void {
  for (let i = 0; i < length; i++) {
    const choice = w.below(100);
    if (choice < 12 && depth > 0) {
      // A conditional jump over some code.
      const body = part(w, 1 + w.below(5), depth - 1);
      w.emit(0x0f, 0x80 + w.below(16));
      w.imm32(body.length);
      w.emit(...body);
    } else if (choice < 17 && depth > 0) {
      // Either this or that.
      const first = part(w, 1 + w.below(4), depth - 1);
      const second = part(w, 1 + w.below(4), depth - 1);
      w.emit(0x0f, 0x80 + w.below(16));
      w.imm32(first.length + 5);
      w.emit(...first, 0xe9);
      w.imm32(second.length);
      w.emit(...second);
    } else if (choice < 21 && depth > 1) {
      // A loop: push r15; mov r15d, n; body; dec r15; jnz; pop r15.
      const body = part(w, 1 + w.below(8), depth - 2);
      w.emit(0x41, 0x57, 0x41, 0xbf);
      w.imm32(1 + w.below(60));
      w.emit(...body, 0x49, 0xff, 0xcf, 0x0f, 0x85);
      w.imm32(-(body.length + 9));
      w.emit(0x41, 0x5f);
    } else if (choice < 24 && depth > 0) {
      // A call of code that stands right behind, which is jumped over: call +5; jmp over; body; ret.
      const body = [...part(w, 1 + w.below(6), depth - 1), 0xc3];
      w.emit(0xe8);
      w.imm32(5);
      w.emit(0xe9);
      w.imm32(body.length);
      w.emit(...body);
    } else if (choice === 24 || choice === 25) string(w);
    else if (choice < 28 && depth > 0) table(w, depth);
    else if (choice === 28 && depth > 1) {
      // LOOP, which counts in RCX and reaches 128 bytes: mov ecx, n; push rcx; body; pop rcx; loop.
      const body = part(w, 1 + w.below(5), 0);
      if (body.length > 120) continue;
      w.emit(0xb9);
      w.imm32(1 + w.below(20));
      w.emit(0x51, ...body, 0x59, w.pick([0xe2, 0xe2, 0xe1, 0xe0]), -(body.length + 4) & 0xff);
    } else if (choice === 29 && depth > 0) {
      const body = part(w, 1 + w.below(4), 0);
      if (body.length < 120) w.emit(0xe3, body.length, ...body);
    } else if (choice === 30 && w.rewrites) rewriting(w, depth);
    else plain(w);
  }
}

function part(w: Writer, length: number, depth: number): number[] {
  const before = w.bytes.length;
  sequence(w, length, depth);
  return w.bytes.splice(before);
}

export interface ProgramOptions {
  /**
   * Any processor does the same: undefined flags are given values at once, nothing rewrites itself by another address, locked accesses are
   * aligned, and no instruction is newer than x86-64-v2.
   */
  readonly isPortable?: boolean;
}

/** The program of a seed; those of odd seeds have instructions of x86-64-v3 unless they are portable. */
export function randomProgram(seed: number, { isPortable = false }: ProgramOptions = {}): CaseInput {
  const random = new Prng();
  random.reseed(seed, 77);
  const hasVex = seed % 2 === 1 && !isPortable;
  const initial = new MachineState();
  fillDefault(initial, LONG, seed, [Profile.Integer, Profile.F64, Profile.F32][seed % 3] as Profile, hasVex);
  const w = new Writer(random, isPortable, hasVex);
  sequence(w, 10 + random.below(30), 4);
  if (random.chance(15)) stray(w);
  w.emit(...UD2);
  const data = BigInt(DATA_START);
  initial.gpr[R14] = data + 0x100n;
  initial.gpr[R15] = 0n;
  initial.gpr[RSP] = data + 0x1800n;
  initial.gpr[RSI] = data;
  initial.gpr[RDI] = data + 64n;
  initial.gpr[RCX] = BigInt(random.below(64));
  // Some programs cross from page to page.
  initial.rip = BigInt(CODE_LOW + (random.chance(30) ? 0xf80 + random.below(0x70) : random.below(0x800)));
  return { environment: LONG, initial, code: Uint8Array.from(w.bytes), patches: [] } as unknown as CaseInput;
}
