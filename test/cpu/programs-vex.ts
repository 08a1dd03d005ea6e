/**
 * Instructions of x86-64-v3 for random programs (programs.ts): AVX and AVX2 on registers and memory, FMA, F16C, BMI, ADX, AES and
 * PCLMULQDQ.
 *
 * @module
 */
import type { Prng } from './prng.ts';

/** What writes a program: random numbers, and its bytes. */
export interface ProgramWriter {
  pick<T>(list: readonly T[]): T;
  below(n: number): number;
  emit(...bytes: readonly number[]): void;
  imm32(value: number): void;
}

/** Fields of a VEX prefix: map 0F, 0F38 or 0F3A; prefix none, 66, F3 or F2; the register in vvvv. */
interface Vex {
  readonly map: 1 | 2 | 3;
  readonly pp: 0 | 1 | 2 | 3;
  readonly w?: number;
  readonly l?: number;
  readonly vvvv?: number;
}

const R14 = 14;

function lead(w: ProgramWriter, v: Vex, reg: number, index: number, rm: number): void {
  const payload = ((~(v.vvvv ?? 0) & 15) << 3) | ((v.l ?? 0) << 2) | v.pp;
  const r = reg > 7 ? 0 : 0x80;
  if (v.map === 1 && !v.w && index < 8 && rm < 8 && w.below(2) === 0) {
    w.emit(0xc5, r | payload);
    return;
  }
  w.emit(0xc4, r | (index > 7 ? 0 : 0x40) | (rm > 7 ? 0 : 0x20) | v.map, ((v.w ?? 0) << 7) | payload);
}

function registers(w: ProgramWriter, v: Vex, opcode: number, reg: number, rm: number): void {
  lead(w, v, reg, 0, rm);
  w.emit(opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7));
}

/** On [R14 + at], or [R14 + index * scale + at]; the index may be a vector. */
function memory(w: ProgramWriter, v: Vex, opcode: number, reg: number, at: number, index = -1, scale = 0): void {
  lead(w, v, reg, Math.max(index, 0), R14);
  if (index < 0) w.emit(opcode, 0x80 | ((reg & 7) << 3) | 6);
  else w.emit(opcode, 0x84 | ((reg & 7) << 3), (scale << 6) | ((index & 7) << 3) | 6);
  w.imm32(at);
}

const PACKED = [0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f, 0x14, 0x15];
const SCALAR = [0x51, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f];
const INTEGER = [0xfe, 0xfa, 0xd4, 0xef, 0xeb, 0xdb, 0xdf, 0x60, 0x6c, 0x6b, 0x74, 0x76, 0xf4, 0xda, 0x65, 0xd3, 0xf2];
/** In the map 0F38: shuffles, additions, minima, variable shifts, multiplications. */
const INTEGER_38 = [0x00, 0x01, 0x0b, 0x28, 0x29, 0x38, 0x3b, 0x40, 0x45, 0x46, 0x47];
/** Extensions and broadcasts: one source. */
const ONE_SOURCE_38 = [0x1c, 0x1e, 0x20, 0x22, 0x30, 0x35, 0x58, 0x59, 0x78, 0x79, 0x18, 0x13];

/** One instruction; `page` is where the first page of data ends. `free` are general registers to compute with. */
export function vexInstruction(w: ProgramWriter, random: Prng, free: readonly number[], page: number): void {
  const [x, y, z] = [w.below(16), w.below(16), w.below(16)];
  const [reg, rm, other] = [w.pick(free), w.pick(free), w.pick(free)];
  const l = random.chance(65) ? 1 : 0;
  const at = w.below(0x800);
  const wide = w.below(2);
  const imm = (value = w.below(256)): void => w.emit(value & 0xff);
  const crossing = (): number => page - w.below(33);
  const kinds: (() => void)[] = [
    () => registers(w, { map: 1, pp: w.pick([0, 1]), l, vvvv: y }, w.pick(PACKED), x, z),
    () => memory(w, { map: 1, pp: w.pick([0, 1]), l, vvvv: y }, w.pick(PACKED), x, at),
    () => registers(w, { map: 1, pp: w.pick([2, 3]), l, vvvv: y }, w.pick(SCALAR), x, z),
    () => memory(w, { map: 1, pp: w.pick([2, 3]), vvvv: y }, w.pick(SCALAR), x, at),
    () => registers(w, { map: 1, pp: w.pick([0, 1]), l }, w.pick([0x51, 0x28, 0x5a, 0x5b]), x, z),
    () => registers(w, { map: 1, pp: w.pick([1, 2, 3]), l }, 0xe6, x, z),
    () => registers(w, { map: 1, pp: 1, l, vvvv: y }, w.pick(INTEGER), x, z),
    () => registers(w, { map: 1, pp: 1, l, vvvv: y }, w.pick(INTEGER), x, z),
    () => memory(w, { map: 1, pp: 1, l, vvvv: y }, w.pick(INTEGER), x, at),
    () => registers(w, { map: 2, pp: 1, l, vvvv: y }, w.pick(INTEGER_38), x, z),
    () => memory(w, { map: 2, pp: 1, l, vvvv: y }, w.pick(INTEGER_38), x, crossing()),
    () => registers(w, { map: 2, pp: 1, l }, w.pick(ONE_SOURCE_38), x, z),
    () => memory(w, { map: 2, pp: 1, l }, w.pick(ONE_SOURCE_38), x, at),
    // Loads and stores, within a page and across its end.
    () => memory(w, { map: 1, pp: w.pick([0, 1]), l }, w.pick([0x10, 0x11]), x, at),
    () => memory(w, { map: 1, pp: w.pick([0, 1]), l }, w.pick([0x10, 0x11]), x, crossing()),
    () => memory(w, { map: 1, pp: w.pick([1, 2]), l }, w.pick([0x6f, 0x7f]), x, at & ~31),
    () => memory(w, { map: 1, pp: 2, l }, w.pick([0x6f, 0x7f]), x, crossing()),
    () => memory(w, { map: 1, pp: w.pick([2, 3]) }, w.pick([0x10, 0x11]), x, at),
    () => {
      const index = w.pick(free);
      w.emit(...(index > 7 ? [0x41] : []), 0x81, 0xe0 | (index & 7));
      w.imm32(0x78);
      memory(w, { map: 1, pp: 2, l }, w.pick([0x6f, 0x7f]), x, at, index, w.below(4));
    },
    // Between the halves.
    () => {
      registers(w, { map: 3, pp: 1, l: 1, vvvv: y }, w.pick([0x06, 0x46, 0x18, 0x38]), x, z);
      imm();
    },
    () => {
      registers(w, { map: 3, pp: 1, l: 1 }, w.pick([0x19, 0x39]), x, z);
      imm();
    },
    () => {
      memory(w, { map: 3, pp: 1, l: 1 }, w.pick([0x19, 0x39]), x, at);
      imm();
    },
    () => {
      registers(w, { map: 3, pp: 1, l: 1, w: 1 }, w.pick([0x00, 0x01]), x, z);
      imm();
    },
    () => registers(w, { map: 2, pp: 1, l: 1, vvvv: y }, w.pick([0x36, 0x16]), x, z),
    // By an immediate.
    () => {
      registers(w, { map: 3, pp: 1, l, vvvv: y }, w.pick([0x02, 0x0c, 0x0d, 0x0e, 0x0f, 0x4a, 0x4b, 0x4c]), x, z);
      imm();
    },
    () => {
      registers(w, { map: 1, pp: w.pick([0, 1]), l, vvvv: y }, w.pick([0xc2, 0xc6]), x, z);
      imm();
    },
    () => {
      registers(w, { map: 1, pp: w.pick([1, 2, 3]), l }, 0x70, x, z);
      imm();
    },
    () => {
      const [opcode, digit] = w.pick([[0x71, 2] as const, [0x72, 4] as const, [0x73, 6] as const, [0x73, 3] as const]);
      registers(w, { map: 1, pp: 1, l, vvvv: y }, opcode, digit, z);
      imm(w.below(70));
    },
    // Masks, tests, and what goes to general registers.
    () => registers(w, { map: 1, pp: 1, l }, w.pick([0x50, 0xd7]), reg, z),
    () => registers(w, { map: 2, pp: 1, l }, w.pick([0x17, 0x0e, 0x0f]), x, z),
    () => registers(w, { map: 1, pp: w.pick([0, 1]) }, w.pick([0x2e, 0x2f]), x, z),
    () => registers(w, { map: 1, pp: 1, w: wide }, 0x6e, x, rm),
    () => registers(w, { map: 1, pp: 1, w: wide }, 0x7e, x, rm),
    () => registers(w, { map: 1, pp: w.pick([2, 3]), w: wide, vvvv: y }, 0x2a, x, rm),
    () => registers(w, { map: 1, pp: w.pick([2, 3]), w: wide }, w.pick([0x2c, 0x2d]), reg, z),
    () => memory(w, { map: 2, pp: 1, l, vvvv: y }, w.pick([0x2c, 0x2d, 0x2e, 0x2f, 0x8c, 0x8e]), x, crossing()),
    // A gather by small indices: its three registers differ.
    () => {
      const index = x;
      const mask = (x + 1 + w.below(7)) & 15;
      const destination = (x + 9 + w.below(6)) & 15;
      registers(w, { map: 1, pp: 1, l: 1, vvvv: index }, w.pick([0x72, 0x73]), 2, index);
      imm(54);
      memory(w, { map: 2, pp: 1, l, w: wide, vvvv: mask }, 0x90 + w.below(4), destination, at, index, w.below(4));
    },
    // VZEROUPPER, now and then VZEROALL.
    () => w.emit(0xc5, w.below(4) === 0 ? 0xfc : 0xf8, 0x77),
    () => w.emit(0xc5, 0xf8, 0x77),
    // Fused.
    () => {
      const opcode = w.pick([0x90, 0xa0, 0xb0]) + 6 + w.below(10);
      registers(w, { map: 2, pp: 1, l, w: wide, vvvv: y }, opcode, x, z);
    },
    () => memory(w, { map: 2, pp: 1, l, w: wide, vvvv: y }, w.pick([0x98, 0x99, 0xa8, 0xa9, 0xb8, 0xb9]), x, at),
    () => {
      registers(w, { map: 3, pp: 1, l }, 0x1d, x, z);
      imm(w.below(8));
    },
    // General registers.
    () => registers(w, { map: 2, pp: 0, w: wide, vvvv: other }, 0xf2, reg, rm),
    () => registers(w, { map: 2, pp: 0, w: wide, vvvv: other }, 0xf3, 1 + w.below(3), rm),
    () => registers(w, { map: 2, pp: w.pick([0, 1, 2, 3]), w: wide, vvvv: other }, 0xf7, reg, rm),
    () => registers(w, { map: 2, pp: w.pick([0, 2, 3]), w: wide, vvvv: other }, 0xf5, reg, rm),
    () => registers(w, { map: 2, pp: 3, w: wide, vvvv: other }, 0xf6, reg, rm),
    () => {
      registers(w, { map: 3, pp: 3, w: wide }, 0xf0, reg, rm);
      imm();
    },
    () => {
      const rex = 0x40 | (wide << 3) | (reg > 7 ? 4 : 0) | (rm > 7 ? 1 : 0);
      const modrm = 0xc0 | ((reg & 7) << 3) | (rm & 7);
      if (w.below(2) === 0) w.emit(0xf3, rex, 0x0f, w.pick([0xbc, 0xbd]), modrm);
      else w.emit(w.pick([0x66, 0xf3]), rex, 0x0f, 0x38, 0xf6, modrm);
    },
    // AES and carry-less products, with VEX and without.
    () => registers(w, { map: 2, pp: 1, vvvv: y }, 0xdc + w.below(4), x, z),
    () => w.emit(0x66, 0x0f, 0x38, 0xdb + w.below(5), 0xc0 | w.below(64)),
    () => {
      registers(w, { map: 3, pp: 1, vvvv: y }, 0x44, x, z);
      imm();
    },
    // A string comparison, which the interpreter does.
    () => {
      registers(w, { map: 3, pp: 1 }, w.pick([0x60, 0x62, 0x63]), x, z);
      imm(w.below(128));
    },
  ];
  w.pick(kinds)();
}

/** Faults of vectors: not aligned, beyond the data, or with a part of it beyond. What is from `end` on can be read for a page. */
export function vexStray(w: ProgramWriter, end: number): void {
  const x = w.below(16);
  const kinds: (() => void)[] = [
    () => memory(w, { map: 1, pp: 2, l: 1 }, w.pick([0x6f, 0x7f]), x, 0x4000),
    () => memory(w, { map: 1, pp: 2, l: 1 }, 0x7f, x, end - 1 - w.below(31)),
    () => memory(w, { map: 1, pp: 0, l: 1, vvvv: w.below(16) }, 0x58, x, end + 0x1000 - 1 - w.below(31)),
    () => memory(w, { map: 1, pp: 1, l: 1 }, w.pick([0x6f, 0x7f]), x, 0x110),
    () => memory(w, { map: 2, pp: 1, l: 1, vvvv: x }, w.pick([0x2c, 0x2e]), x, end - 1 - w.below(31)),
  ];
  w.pick(kinds)();
}
