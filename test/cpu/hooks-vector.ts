/**
 * What vector and x87 instructions need beyond their operands: control and status words, tags, rounding modes, counts,
 * register images.
 *
 * @module
 */
import type { Target } from './builder.ts';
import type { Drawing, Hook } from './draw.ts';
import type { Form } from './forms/form.ts';
import { counts, drawFused, gather, masked } from './hooks-avx.ts';
import { DS, RAX, RCX, RDI, RDX } from './machine-state.ts';
import { type Flavour, shiftCount } from './operand-values.ts';
import { undefinedConditionCodes } from './undefined-flags.ts';
import { edgeF32, edgeF64, edgeF80 } from './values.ts';

const MXCSR_MASKS = 0x1f80;

/** Rounding modes, FTZ, DAZ, sticky flags, and sometimes unmasked exceptions. */
function drawMxcsr(d: Drawing): number {
  const { prng } = d;
  let value = MXCSR_MASKS;
  if (prng.chance(45)) value |= prng.below(4) << 13;
  if (prng.chance(20)) value |= 0x8000;
  if (prng.chance(20)) value |= 0x40;
  if (prng.chance(25)) value |= prng.below(64);
  if (prng.chance(14)) value = (value & ~MXCSR_MASKS) | (prng.below(64) << 7);
  return value;
}

const setWide = (d: Drawing, n: number, low: bigint, high: bigint): void => {
  d.builder.state.xmm[n * 2] = low;
  d.builder.state.xmm[n * 2 + 1] = high;
};

const controlBegin = (d: Drawing): void => {
  if (d.form.words.has('fp')) d.builder.state.mxcsr = drawMxcsr(d);
  if (d.form.words.has('mmx')) drawMmxState(d);
};

/** MMX runs with any TOP and tags and leaves TOP 0, all valid; a pending x87 exception comes first. */
function drawMmxState(d: Drawing): void {
  const { prng, builder } = d;
  const { state } = builder;
  if (prng.chance(30)) state.fsw = (prng.below(8) << 11) | (prng.chance(50) ? prng.below(8) << 8 : 0);
  if (prng.chance(30)) state.ftw = prng.below(256);
  if (prng.chance(3)) makePending(d);
}

/** An unmasked x87 exception that the next waiting instruction reports. */
function makePending(d: Drawing): void {
  const { state } = d.builder;
  const exception = 1 << d.prng.below(6);
  state.fcw &= ~exception;
  state.fsw |= 0x8080 | exception;
}

const vectorShift: Hook = {
  begin: controlBegin,
  values(d) {
    if (d.form.ops.endsWith('Ib')) {
      d.builder.immediate = [shiftCount(d.prng)];
      return;
    }
    const place = d.operands.at(-1)?.place;
    if (place !== undefined && d.prng.chance(75)) {
      const high = place.bytes === 16 ? d.prng.u64() << 64n : 0n;
      place.set(
        high | BigInt(shiftCount(d.prng)) | (d.prng.chance(10) ? 1n << BigInt(d.prng.pick([8, 31, 32, 63])) : 0n),
      );
    }
  },
};

const immediateOf = (values: (d: Drawing) => number): Hook => ({
  begin: controlBegin,
  values(d) {
    d.builder.immediate = [values(d)];
  },
});

const maskedMove: Hook = {
  begin: controlBegin,
  values(d) {
    const { builder, prng } = d;
    const bytes = d.operands[0].bytes;
    // Which bytes a masked-off page may fault for is up to the processor: faults only with every byte selected.
    const all = prng.chance(40);
    const target: Target = builder.chooseTarget(bytes, { faults: all });
    if (builder.long && builder.addressBytes === 4 && target.linear >= 1n << 32n) {
      d.rejected = true;
      return;
    }
    builder.setPointer(RDI, builder.implicitAddress(target, DS, true));
    d.extra = { cr2PageOnly: true };
    let mask = 0n;
    for (let i = 0; i < bytes; i++)
      mask |= BigInt(prng.below(128) | (all || prng.chance(50) ? 0x80 : 0)) << BigInt(i * 8);
    d.operands[1].place?.set(mask);
  },
};

const fused: Hook = { begin: controlBegin, values: drawFused };

/** Strings over few letters with terminators, so that all four aggregations find something. */
const stringCompare: Hook = {
  begin(d) {
    d.builder.pinned.add(RAX).add(RDX);
  },
  values(d) {
    const { prng, builder } = d;
    const control = prng.below(128);
    builder.immediate = [control];
    const wide = (control & 1) !== 0;
    const letters = prng.pick([
      [0x61, 0x62],
      [0x00, 0x61, 0x62],
      [0x41, 0x5a, 0x61, 0x7a, 0x7f, 0x80, 0xff],
      [0x30, 0x39, 0x35, 0x00],
    ]);
    const text = (): bigint => {
      let value = 0n;
      for (let i = 0; i < 16; i++) {
        const byte = wide && i % 2 === 1 ? (prng.chance(10) ? 0x80 : 0) : prng.pick(letters);
        value |= BigInt(byte) << BigInt(i * 8);
      }
      return value;
    };
    for (const operand of d.operands) operand.place?.set(text());
    if (!/^v?pcmpe/.test(d.form.name)) return;
    const length = (): bigint => {
      const n = BigInt(prng.pick([0, 1, 2, 7, 8, 9, 15, 16, 17, 100, 255])) * (prng.chance(30) ? -1n : 1n);
      return prng.chance(92)
        ? BigInt.asUintN(builder.long ? 64 : 32, n)
        : BigInt.asUintN(builder.long ? 64 : 32, prng.u64());
    };
    builder.state.gpr[RAX] = length();
    builder.state.gpr[RDX] = length();
    // REX.W makes the lengths 64-bit.
    if (builder.long && prng.chance(25)) builder.rex |= 8;
  },
};

const approximate: Hook = {
  values(d) {
    d.extra = { f32RelativeExponent: -10 };
  },
};

const FLAVOURS: Record<string, Flavour> = {
  r32: 'f32',
  r64: 'f64',
  r80: 'f80',
  bcd: 'bcd',
  i16: 'int',
  i32: 'int',
  i64: 'int',
};

function drawX87State(d: Drawing): void {
  const { prng, builder, form } = d;
  const { state } = builder;
  const precision = prng.pick([3, 3, 3, 3, 3, 3, 2, 2, 0, 0, 1]);
  const rounding = prng.chance(50) ? 0 : prng.below(4);
  const masks = prng.chance(82) ? 0x3f : prng.below(64);
  state.fcw = 0x40 | masks | (precision << 8) | (rounding << 10);
  const top = prng.below(8);
  let flags = prng.chance(30) ? prng.below(128) : 0;
  // Flags without a mask mean a pending exception.
  if ((flags & 0x3f & ~masks) !== 0) flags &= prng.chance(85) ? masks : 0x7f;
  const pending = (flags & 0x3f & ~masks) !== 0 ? 0x8080 : 0;
  state.fsw = (top << 11) | flags | pending | (prng.chance(40) ? (prng.below(8) << 8) | (prng.below(2) << 14) : 0);
  state.ftw = prng.chance(75) ? 0xff : prng.below(256);
  if (/^f(i|b)?ld/.test(form.name) && prng.chance(80)) state.ftw &= ~(1 << ((top - 1) & 7));
}

const x87: Hook = {
  begin(d) {
    drawX87State(d);
    const word = [...d.form.words].find((w) => FLAVOURS[w] !== undefined);
    if (word !== undefined) d.flavour = FLAVOURS[word];
    if (d.form.words.has('sti')) d.builder.modrmRm = d.prng.below(8);
    d.extra = { ignoreFsw: undefinedConditionCodes(d.form.name) };
    if (d.form.words.has('inexact')) d.extra = { ...d.extra, x87Ulps: 8 };
  },
  values(d) {
    const { prng, builder, form } = d;
    const { state } = builder;
    if (form.words.has('fcw')) {
      d.operands[0].place?.set(BigInt(0x40 | prng.below(64) | (prng.below(16) << 8) | (prng.below(2) * 0x1000)));
    }
    if (form.name === 'fscale' && prng.chance(60)) {
      // Small and large integers, so that results stay in range or just leave it.
      const exponent = 0x3fff + prng.below(16);
      state.st[2] = prng.u64() | (1n << 63n);
      state.st[3] = BigInt(exponent | (prng.below(2) << 15));
    }
    if (/^(f2xm1|fyl2xp1)$/.test(form.name) && prng.chance(70)) {
      // Both are defined for arguments of small size only.
      state.st[0] = prng.u64() | (1n << 63n);
      state.st[1] = BigInt((0x3fff - 3 - prng.below(20)) | (prng.below(2) << 15));
    }
    if (/^(fsin|fcos|fsincos|fptan)$/.test(form.name) && prng.chance(70)) {
      state.st[0] = prng.u64() | (1n << 63n);
      state.st[1] = BigInt((0x3ffe - prng.below(30)) | (prng.below(2) << 15));
    }
  },
};

const MXCSR_RESERVED = 0xffff_0000;

function pokeImage(d: Drawing, offset: number, bytes: number, value: bigint): void {
  const base = d.builder.offsetOf((d.target as Target).linear) + offset;
  for (let i = 0; i < bytes; i++) d.builder.poke(base + i, Number((value >> BigInt(i * 8)) & 0xffn));
}

/** Bytes of FNSTENV and FNSAVE images by operand size. */
function environmentBytes(d: Drawing): number {
  return d.builder.operandBytes === 2 ? 14 : 28;
}

const images: Hook = {
  begin(d) {
    const { builder, form } = d;
    drawX87State(d);
    if (form.name.startsWith('x')) {
      builder.pinned.add(RAX).add(RDX);
      builder.state.gpr[RAX] = BigInt(d.prng.below(form.words.has('avx') ? 8 : 4));
      builder.state.gpr[RDX] = 0n;
    }
    d.target = chooseImage(d, imageBytes(d));
    d.extra = { ...imageComparison(d), ignorePartial: true, cr2PageOnly: true };
  },
  values(d) {
    const { prng, form } = d;
    if (form.name === 'fldenv' || form.name === 'frstor') {
      fillEnvironment(d);
      if (form.name === 'frstor') fillRegisters(d, environmentBytes(d), 10);
    } else if (form.name === 'fxrstor' || form.name === 'xrstor') {
      pokeImage(d, 0, 2, BigInt(0x40 | prng.below(64) | (prng.below(16) << 8)));
      pokeImage(d, 2, 2, BigInt(prng.below(128) | (prng.below(8) << 11) | (prng.below(8) << 8)));
      pokeImage(d, 4, 1, BigInt(prng.below(256)));
      pokeImage(d, 24, 4, BigInt((drawMxcsr(d) | (prng.chance(6) ? MXCSR_RESERVED : 0)) >>> 0));
      fillRegisters(d, 32, 16);
      if (form.name === 'xrstor') {
        const avx = form.words.has('avx');
        const saved = prng.below(avx ? 8 : 4);
        pokeImage(d, 512, 8, BigInt(saved));
        for (let at = 520; at < 576; at += 8) pokeImage(d, at, 8, 0n);
        if (!avx) return;
        // The compacted form, with what is saved and perhaps more; now and then with less.
        if (prng.chance(40)) {
          const format = prng.chance(85) ? saved | prng.below(8) : prng.below(8);
          pokeImage(d, 520, 8, (1n << 63n) | BigInt(format));
        }
        for (let at = 576; at < 832; at += 8) pokeImage(d, at, 8, prng.u64());
      }
    }
  },
};

function imageBytes(d: Drawing): number {
  switch (d.form.name) {
    case 'fnstenv':
    case 'fldenv':
      return environmentBytes(d);
    case 'fnsave':
    case 'frstor':
      return environmentBytes(d) + 80;
    case 'xsave':
    case 'xsaveopt':
    case 'xsavec':
    case 'xrstor':
      return d.form.words.has('avx') ? 832 : 576;
    default:
      return 512;
  }
}

function chooseImage(d: Drawing, bytes: number): Target {
  const { builder, prng } = d;
  let target: Target;
  // Which end of a large image is touched first is up to the processor: only one of its pages may fault.
  do target = builder.chooseTarget(bytes, { aligned: bytes >= 512 });
  while (builder.offsetOf(target.linear) < 0x3000 && builder.offsetOf(target.linear) + bytes > 0x3000);
  // XSAVE areas are 64-byte aligned.
  if (bytes < 576 || prng.chance(10)) return target;
  return { ...target, linear: target.linear & ~63n };
}

/** Instruction and data pointers, opcode, MXCSR_MASK and XSTATE_BV are not compared. */
function imageComparison(d: Drawing): Drawing['extra'] {
  const at = d.builder.offsetOf((d.target as Target).linear);
  if (at < -0x2000 || at > 0x3000) return {};
  const range = (first: number, end: number): readonly [number, number] => [at + first, at + end];
  switch (d.form.name) {
    case 'fnstenv':
    case 'fnsave':
      return { ignoreMemory: [environmentBytes(d) === 14 ? range(6, 14) : range(12, 28)] };
    case 'fxsave':
      return { ignoreMemory: [range(6, 24), range(28, 32)] };
    case 'xsave':
    case 'xsaveopt':
    case 'xsavec':
      return { ignoreMemory: [range(6, 24), range(28, 32), range(512, 520)] };
    default:
      return {};
  }
}

function fillEnvironment(d: Drawing): void {
  const { prng } = d;
  const step = environmentBytes(d) === 14 ? 2 : 4;
  pokeImage(d, 0, step, BigInt(0x40 | prng.below(64) | (prng.below(16) << 8)));
  pokeImage(d, step, step, BigInt(prng.below(128) | (prng.below(8) << 11) | (prng.below(8) << 8)));
  pokeImage(d, step * 2, step, BigInt(prng.below(0x10000)));
}

function fillRegisters(d: Drawing, first: number, stride: number): void {
  for (let i = 0; i < 8; i++) {
    const [exponent, significand] = edgeF80(d.prng);
    pokeImage(d, first + i * stride, 8, significand);
    pokeImage(d, first + i * stride + 8, 2, BigInt(exponent));
  }
}

const loadMxcsr: Hook = {
  values(d) {
    d.operands[0].place?.set(BigInt((drawMxcsr(d) | (d.prng.chance(12) ? 1 << (16 + d.prng.below(16)) : 0)) >>> 0));
  },
};

/** Integer sources of conversions live in XMM registers of an integer profile; their results need MXCSR modes too. */
const plain: Hook = {
  begin: controlBegin,
  values(d) {
    // Equal magnitudes, and exact cancellation, are rare by chance.
    const [first, second] = d.operands;
    if (!d.form.words.has('fp') || first?.register === undefined || first.register < 0 || !d.prng.chance(10)) return;
    if (second?.place === undefined || first.place === undefined || first.bytes !== second.bytes) return;
    const sign = d.flavour === 'f32' ? 0x8000_0000_8000_0000n : 1n << 63n;
    const value = second.place.get() ^ (first.bytes === 16 ? (sign << 64n) | sign : 0n);
    first.place.set(value);
  },
};

const BY_NAME: Record<string, Hook> = {
  ldmxcsr: loadMxcsr,
  roundps: immediateOf((d) => d.prng.below(16)),
  roundpd: immediateOf((d) => d.prng.below(16)),
  roundss: immediateOf((d) => d.prng.below(16)),
  roundsd: immediateOf((d) => d.prng.below(16)),
  cmpps: immediateOf((d) => d.prng.below(8)),
  cmppd: immediateOf((d) => d.prng.below(8)),
  cmpss: immediateOf((d) => d.prng.below(8)),
  cmpsd: immediateOf((d) => d.prng.below(8)),
  vcmpps: immediateOf((d) => d.prng.below(32)),
  vcmppd: immediateOf((d) => d.prng.below(32)),
  vcmpss: immediateOf((d) => d.prng.below(32)),
  vcmpsd: immediateOf((d) => d.prng.below(32)),
  palignr: immediateOf((d) => d.prng.below(40)),
};

/** The hook of a vector, x87 or state form. */
export function vectorHook(form: Form): Hook {
  const { words } = form;
  if (words.has('image')) return images;
  if (words.has('x87')) return x87;
  if (words.has('vshift')) return vectorShift;
  if (words.has('maskmov')) return maskedMove;
  if (words.has('strcmp')) return stringCompare;
  if (words.has('fused')) return fused;
  if (words.has('masked')) return masked;
  if (words.has('counts')) return counts;
  if (words.has('gather')) return gather;
  if (words.has('approximate')) return approximate;
  return BY_NAME[form.name] ?? BY_NAME[form.name.replace(/^v/, '')] ?? plain;
}

export { edgeF32, edgeF64, RCX, setWide };
