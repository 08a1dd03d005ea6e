/**
 * Cases for x87 instructions: an encoding, control, status and tag words, the registers, memory and EFLAGS.
 *
 * @module
 */
import { type X87Encoding, x87Encodings } from '../../src/hypervisor/wasm/x87/encodings.ts';
import { x87Rows } from '../../src/hypervisor/wasm/x87/operations.ts';
import type { X87Row } from '../../src/hypervisor/wasm/x87/row.ts';
import { blank } from './machine.ts';
import type { Exchange, Outcome } from './machine.ts';
import type { Random } from './operands.ts';
import { extended, extendedPair, ieee, toBytes } from './operands.ts';

export interface X87Case {
  readonly encoding: X87Encoding;
  /** ModRM byte; for memory operands the one of [RDI]. */
  readonly modrm: number;
  readonly fcw: number;
  readonly fsw: number;
  /** By physical register, as all registers here. */
  readonly ftw: number;
  readonly registers: readonly Uint8Array[];
  readonly memory: Uint8Array;
  readonly rflags: number;
  /** Environment instructions: with a 66 prefix. */
  readonly narrow: boolean;
}

export interface X87Result {
  readonly fault: number;
  readonly fcw: number;
  readonly fsw: number;
  readonly ftw: number;
  readonly registers: readonly Uint8Array[];
  readonly memory: Uint8Array;
  readonly ax: number;
  readonly rflags: number;
  /** FIP and FDP as in machine.ts. */
  readonly fip: number;
  readonly fdp: number;
  readonly fop: number;
}

export const OLD_OPCODE = 0x123;
export const MEMORY_BYTES = 112;

export function rowOf(encoding: X87Encoding): X87Row {
  const row = x87Rows.find(({ name }) => name === encoding.operation);
  if (row === undefined) throw new Error(`no x87 operation is called ${encoding.operation}`);
  return row;
}

export const topOf = (fsw: number): number => (fsw >> 11) & 7;

/** What a register holds that a case does not care about: known, and different in each. */
export function filler(physical: number): Uint8Array {
  return toBytes((BigInt(0x3fff + physical) << 64n) | 0xc123_4567_89ab_cdefn, 10);
}

/** What memory holds where an instruction does not read it. */
export const untouchedMemory = (): Uint8Array => new Uint8Array(MEMORY_BYTES).fill(0x5a);

/** The transcendentals, whose results are compared within one unit of the last place. */
const APPROXIMATE = /^f(2xm1|yl2x|yl2xp1|ptan|patan|sin|cos|sincos)$/;
export const isApproximate = (encoding: X87Encoding): boolean => APPROXIMATE.test(encoding.mnemonic);

function memoryOperand(random: Random, row: X87Row): bigint {
  switch (row.memory) {
    case 'm32fp':
      return ieee(random, 8, 23);
    case 'm64fp':
      return ieee(random, 11, 52);
    case 'm80fp':
      return extended(random);
    case 'm80bcd': {
      let value = random.bits(1) << 79n;
      for (let i = 0n; i < 72n; i += 4n) value |= BigInt(random.below(random.chance(10) ? 16 : 10)) << i;
      return random.chance(4) ? value & 0x8000_ffff_ffffn : value;
    }
    default: {
      const value = BigInt.asIntN(64, random.bits(64)) >> BigInt(random.below(64));
      return BigInt.asUintN(64, random.chance(4) ? 1n << BigInt(random.below(64)) : value);
    }
  }
}

/** Mostly arguments that the function is made for. */
function transcendentalOperand(random: Random, mnemonic: string, which: 0 | 1): bigint {
  const sign = random.bits(1) << 79n;
  const significand = (1n << 63n) | (random.chance(3) ? random.bits(63) & ~0xfff_ffffn : random.bits(63));
  const at = (low: number, high: number): bigint => BigInt(0x3fff + low + random.below(high - low + 1)) << 64n;
  if (mnemonic === 'f2xm1') return sign | at(random.chance(4) ? -70 : -8, -1) | significand;
  if (mnemonic === 'fyl2xp1' && which === 0) return sign | at(random.chance(4) ? -70 : -8, -3) | significand;
  if (mnemonic === 'fyl2x' && which === 0) {
    // Near one, where cancellation would show, and everywhere.
    if (random.chance(3)) return (0x3fffn << 64n) | (1n << 63n) | (random.bits(63) >> BigInt(random.below(63)));
    if (random.chance(3))
      return (0x3ffen << 64n) | (0xffff_ffff_ffff_ffffn - (random.bits(63) >> BigInt(1 + random.below(62))));
    return at(-16382, 16383) | significand;
  }
  if (mnemonic === 'fpatan' || which === 1) return sign | at(-20, 20) | significand;
  // Sines and their kin: small, moderate, large, and close to multiples of pi/2.
  switch (random.below(4)) {
    case 0:
      return sign | at(-70, 0) | significand;
    case 1:
      return sign | at(0, 64) | significand;
    case 2: {
      const multiple = BigInt(1 + random.below(1000)) * 0xc90f_daa2_2168_c234n;
      let shift = 0n;
      while (multiple >> (64n + shift) !== 0n) shift++;
      return sign | ((BigInt(0x3fff) + shift) << 64n) | (multiple >> shift);
    }
    default:
      return sign | at(-2, 4) | significand;
  }
}

export function randomX87Case(random: Random, encoding: X87Encoding): X87Case {
  const row = rowOf(encoding);
  const modrm =
    encoding.modrm >= 0
      ? encoding.modrm + random.below(encoding.lastModrm - encoding.modrm + 1)
      : (encoding.digit << 3) | 7;
  const top = random.below(8);
  const i = encoding.modrm >= 0 ? modrm & 7 : 0;
  // Instructions without an ST(i) operand take ST(1).
  const second = encoding.modrm === encoding.lastModrm || i === 0 ? 1 : i;
  const registers = Array.from({ length: 8 }, (_, p) => filler(p));

  let [a, b] = extendedPair(random);
  if (isApproximate(encoding) && !random.chance(4)) {
    a = transcendentalOperand(random, encoding.mnemonic, 0);
    b = transcendentalOperand(random, encoding.mnemonic, 1);
  } else if (encoding.mnemonic === 'fscale' && random.chance(2)) {
    b = ((0x3fffn + BigInt(random.below(16))) << 64n) | (random.bits(1) << 79n) | (1n << 63n) | random.bits(63);
  } else if (encoding.mnemonic.startsWith('fprem') && random.chance(2)) {
    a = ((b & (0xffffn << 64n)) + (BigInt(random.below(70) - 2) << 64n)) | (1n << 63n) | random.bits(63);
    a = BigInt.asUintN(80, a);
  } else if (encoding.mnemonic.startsWith('fist') && random.chance(3)) {
    a = ((0x3fffn + BigInt(random.below(66))) << 64n) | (random.bits(1) << 79n) | (1n << 63n) | random.bits(63);
  } else if (encoding.mnemonic === 'fbstp' && random.chance(2)) {
    a = ((0x3fffn + BigInt(random.below(62))) << 64n) | (random.bits(1) << 79n) | (1n << 63n) | random.bits(63);
  }
  registers[top] = toBytes(a, 10);
  registers[(top + second) & 7] = toBytes(b, 10);

  // The operands there and the rest free; now and then anything.
  let ftw = (1 << top) | (1 << ((top + second) & 7));
  const kind = random.below(10);
  if (kind === 0) ftw = random.below(256);
  if (kind === 1) ftw = 0xff;
  let fcw = 0x007f | (random.below(4) << 10) | (random.pick([0, 2, 3, 3]) << 8);
  if (random.chance(3)) fcw &= ~(1 << random.below(6));
  else if (random.chance(4)) fcw &= ~random.below(64);
  let fsw = (top << 11) | (random.below(8) << 8) | (random.below(2) << 14);
  if (random.chance(8)) fsw |= random.below(128);
  // The processor keeps ES and B true to the masks, and so must the state that is loaded.
  if (fsw & ~fcw & 0x3f) {
    if (random.chance(3)) fsw |= 0x8080;
    else fsw &= ~0x3f | fcw;
  }
  const memory = untouchedMemory();
  if (row.store === undefined && row.memory !== undefined) {
    if (row.memory === 'environment' || row.memory === 'state') memory.forEach((_, at) => (memory[at] = random.u32()));
    else memory.set(toBytes(memoryOperand(random, row), 10));
  }
  const rflags = random.below(0x1000) & 0x8d5;
  const narrow = (row.memory === 'environment' || row.memory === 'state') && random.chance(2);
  return { encoding, modrm, fcw, fsw, ftw, registers, memory, rflags, narrow };
}

export function x87Exchange(c: X87Case): Exchange {
  const { encoding } = c;
  const code = encoding.opcode === 0x9b ? [0x9b] : [encoding.opcode, c.modrm];
  const e = blank(c.narrow ? [0x66, ...code] : code);
  e.fcw = c.fcw;
  e.fsw = c.fsw;
  e.ftw = c.ftw;
  e.st = e.st.map((_, i) => c.registers[(topOf(c.fsw) + i) & 7]!);
  e.memory.set(c.memory);
  e.rflags = c.rflags;
  e.fop = OLD_OPCODE;
  return e;
}

export function x87Result(o: Outcome): X87Result {
  return {
    fault: o.fault,
    fcw: o.fcw,
    fsw: o.fsw,
    ftw: o.ftw,
    registers: o.st.map((_, p) => o.st[(p - topOf(o.fsw)) & 7]!),
    memory: o.memory.subarray(0, MEMORY_BYTES),
    ax: Number(o.rax & 0xffffn),
    rflags: o.rflags & 0x8d5,
    fip: o.fip,
    fdp: o.fdp,
    fop: o.fop,
  };
}

export const testedEncodings: readonly X87Encoding[] = x87Encodings;
