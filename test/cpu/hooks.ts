/**
 * What integer instructions need beyond their operands: counts, dividends, matching comparands, stack pointers, branch
 * targets, string extents. One hook per mnemonic or family.
 *
 * @module
 */
import { bytesOf, truncate, type Target } from './builder.ts';
import type { Drawing, Hook } from './draw.ts';
import { CODE_BYTES, CODE_LOW, DATA_LOW, HIGH, PAGE_BYTES } from './environment.ts';
import type { Form } from './forms/form.ts';
import { DS, Flag, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from './machine-state.ts';
import { integerValue, shiftCount } from './operand-values.ts';
import { undefinedDestination } from './undefined-flags.ts';
import { edgeInteger } from './values.ts';

const readGpr = (d: Drawing, n: number, bytes: number): bigint => truncate(d.builder.state.gpr[n], bytes);

/** Writes the low bytes of a register and leaves the rest. */
function writeGpr(d: Drawing, n: number, bytes: number, value: bigint): void {
  const { gpr } = d.builder.state;
  const keep = (1n << BigInt(bytes * 8)) - 1n;
  gpr[n] = (gpr[n] & ~keep) | truncate(value, bytes);
}

const shift: Hook = {
  begin(d) {
    if (d.form.ops.endsWith('CL')) d.builder.pinned.add(RCX);
  },
  values(d) {
    const count = shiftCount(d.prng);
    if (d.form.ops.endsWith('Ib')) d.builder.immediate = [count];
    if (d.form.ops.endsWith('CL')) writeGpr(d, RCX, 1, BigInt(count));
    d.count = d.form.ops.endsWith('1') ? 1 : count;
  },
  after(d) {
    if (d.form.ops.endsWith('CL')) d.count = Number(readGpr(d, RCX, 1));
    const [destination] = d.operands;
    if (!undefinedDestination(d.form.name, destination.bytes * 8, d.count)) return;
    if (destination.register >= 0) d.extra = { ignoreGprs: 1 << destination.register };
    else d.rejected = true;
  },
};

/** Dividends that mostly fit: quotient and remainder are drawn, not the dividend. */
const divide: Hook = {
  begin(d) {
    d.builder.pinned.add(RAX).add(RDX);
  },
  values(d) {
    const { prng } = d;
    const [divisor] = d.operands;
    const { bytes, place } = divisor;
    if (place === undefined || prng.chance(20)) return;
    const signed = d.form.name === 'idiv',
      bits = bytes * 8;
    const as = (v: bigint, n: number): bigint => (signed ? BigInt.asIntN(n, v) : BigInt.asUintN(n, v));
    let by = as(place.get(), bits);
    if (divisor.register === RAX || divisor.register === RDX || (bytes === 1 && divisor.register % 4 === 0))
      by = as(edgeInteger(prng), bits);
    const quotient = as(integerValue(prng, bytes), bits);
    const size = by < 0n ? -by : by;
    let remainder = size === 0n ? 0n : prng.u64() % size;
    if (signed && quotient * by < 0n) remainder = -remainder;
    const dividend = quotient * by + remainder + (prng.chance(15) ? by : 0n);
    if (bytes === 1) writeGpr(d, RAX, 2, dividend);
    else {
      writeGpr(d, RAX, bytes, dividend);
      writeGpr(d, RDX, bytes, dividend >> BigInt(bits));
    }
  },
};

const multiply: Hook = {
  begin(d) {
    if (d.form.operands.length === 1) d.builder.reserved.add(RAX);
  },
};

/** A bit offset in a register reaches memory far from the operand's address. */
const bitTest: Hook = {
  values(d) {
    const [base, offset] = d.operands;
    if (d.form.ops !== 'Ev,Gv' || !base.isMemory || d.target === undefined || offset.place === undefined) return;
    d.builder.pinned.add(offset.register);
    const bits = base.bytes * 8;
    const range = d.prng.pick([bits, bits * 4, 0x4000, base.bytes === 2 ? 0x8000 : 0x10_0000]);
    const value = BigInt(d.prng.below(range * 2) - range);
    offset.place.set(value);
    // In 16-bit addressing the sum wraps in the segment by itself.
    const steps = BigInt.asIntN(bits, value) >> BigInt(Math.log2(bits));
    d.target = { linear: d.target.linear - steps * BigInt(base.bytes), bytes: base.bytes };
    if (d.builder.addressBytes === 2 && (steps < -0x400n || steps > 0x400n)) d.rejected = true;
  },
};

const bitScan: Hook = {
  values(d) {
    const place = d.operands[1].place;
    if (place === undefined) return;
    if (d.prng.chance(12)) place.set(0n);
    else if (d.prng.chance(40)) place.set(1n << BigInt(d.prng.below(place.bytes * 8)));
  },
};

/** The last operand is a count, or for BEXTR two. */
const bitField: Hook = {
  values(d) {
    const place = d.operands.at(-1)?.place;
    if (place === undefined || d.prng.chance(20)) return;
    const junk = place.bytes === 8 ? d.prng.u64() & ~0xffffn : BigInt(d.prng.below(0x10000)) << 16n;
    place.set(junk | BigInt(shiftCount(d.prng)) | (BigInt(shiftCount(d.prng)) << 8n));
  },
};

const multiplyLong: Hook = {
  begin(d) {
    d.builder.pinned.add(RDX);
  },
};

const compareExchange: Hook = {
  begin(d) {
    d.builder.pinned.add(RAX);
  },
  values(d) {
    const { place, bytes } = d.operands[0];
    if (place !== undefined && d.prng.chance(55)) writeGpr(d, RAX, bytes, place.get());
  },
};

const compareExchangeWide: Hook = {
  begin(d) {
    const half = d.builder.operandBytes;
    d.builder.pinned.add(RAX).add(RDX);
    d.target = d.builder.chooseTarget(half * 2, { aligned: half === 8 });
    d.builder.reserved.add(RBX).add(RCX);
  },
  values(d) {
    const half = d.builder.operandBytes;
    const place = d.builder.memory(d.target as Target, 0, half * 2);
    const [low, high] = [integerValue(d.prng, half), integerValue(d.prng, half)];
    place.set(low | (high << BigInt(half * 8)));
    if (!d.prng.chance(60)) return;
    writeGpr(d, RAX, half, low);
    writeGpr(d, RDX, half, d.prng.chance(90) ? high : high ^ 1n);
  },
};

const bound: Hook = {
  values(d) {
    const [index, limits] = d.operands;
    if (index.place === undefined || limits.place === undefined) return;
    const bits = index.bytes * 8;
    const at = BigInt.asIntN(bits, index.place.get());
    if (d.prng.chance(60)) {
      const below = d.prng.pick([0n, 1n, 100n]),
        above = d.prng.pick([0n, 1n, 100n]);
      limits.place.set(truncate(at - below, index.bytes) | (truncate(at + above, index.bytes) << BigInt(bits)));
    }
    d.builder.pinned.add(index.register);
  },
};

const xlat: Hook = {
  values(d) {
    const target = d.builder.chooseTarget(1);
    const ea = d.builder.implicitAddress(target, DS, true);
    const reachable = d.builder.addressBytes !== 4 || !d.builder.long || target.linear < 1n << 32n;
    if (!reachable && d.builder.segment === DS) d.rejected = true;
    d.builder.setPointer(RBX, ea - readGpr(d, RAX, 1));
  },
};

const asciiAdjust: Hook = {
  values(d) {
    d.builder.immediate = [d.prng.pick([0, 1, 10, 10, 10, 16, 255, d.prng.below(256)])];
  },
};

/** AAA, DAA and relatives see decimal digits half of the time. */
const decimal: Hook = {
  values(d) {
    const digits = BigInt((d.prng.below(10) << 4) | d.prng.below(10) | (d.prng.below(256) << 8));
    if (d.prng.chance(50)) writeGpr(d, RAX, 2, digits);
    else writeGpr(d, RAX, 2, BigInt(d.prng.below(0x10000)));
  },
};

const writeBase: Hook = {
  values(d) {
    const value = d.prng.chance(75) ? BigInt.asUintN(64, BigInt.asIntN(48, d.prng.u64())) : d.prng.u64();
    d.operands[0].place?.set(value);
  },
};

const movUndefined: Hook = {
  after(d) {
    if (undefinedDestination(d.form.name, d.operands[0].bytes * 8))
      d.extra = { ignoreGprs: 1 << d.operands[0].register };
  },
};

/** Puts RSP so that `bytes` below (push) or above (pop) it lie at a chosen place. */
export function placeStack(d: Drawing, bytes: number, direction: 'push' | 'pop'): Target {
  const { builder, prng } = d;
  builder.pinned.add(RSP);
  const target = builder.chooseTarget(bytes);
  let pointer = builder.stackPointer(target.linear) + (direction === 'push' ? BigInt(bytes) : 0n);
  if (builder.env.bits === 16 && prng.chance(5)) pointer = BigInt(prng.pick([0, 1, 2, 3, 0xffff, 0xfffe]));
  builder.state.gpr[RSP] = truncate(pointer, builder.long ? 8 : 4);
  return target;
}

const stack: Hook = {
  values(d) {
    const { builder, form, prng } = d;
    const size = builder.operandBytes;
    const push = form.name.startsWith('push') || form.name === 'enter';
    switch (form.name) {
      case 'pusha':
      case 'popa':
        placeStack(d, size * 8, push ? 'push' : 'pop');
        // A fault leaves the parts that were done before it.
        d.extra = { ignorePartial: true, cr2PageOnly: true };
        return;
      case 'enter': {
        const allocation = prng.chance(85) ? prng.below(0x60) : prng.pick([0xffff, 0x8000, 0x1000, 0xfff]);
        const level = prng.pick([0, 0, 1, 1, 2, 3, 5, 30, 31, 32, 33, 255]);
        builder.immediate = [...bytesOf(BigInt(allocation), 2), level];
        placeStack(d, size * ((level & 31) + 1) + (allocation < 0x100 ? allocation : 0), 'push');
        const frame = builder.chooseTarget(size * 32, { faults: prng.chance(30) });
        builder.state.gpr[RBP] = truncate(builder.stackPointer(frame.linear) + BigInt(size * 32), builder.long ? 8 : 4);
        d.extra = { ignorePartial: true, cr2PageOnly: true };
        return;
      }
      case 'leave': {
        const frame = builder.chooseTarget(size);
        builder.state.gpr[RBP] = truncate(builder.stackPointer(frame.linear), builder.long ? 8 : 4);
        return;
      }
      case 'popf': {
        const target = placeStack(d, size, 'pop');
        // TF would trap after the next instruction, which is the INT3 behind this one.
        const image = BigInt(prng.u32()) & ~BigInt(Flag.TF);
        builder.memory(target).set(image | (size === 8 ? prng.u64() << 32n : 0n));
        if (builder.offsetOf(target.linear) >= 0x1ff8) d.rejected = true;
        return;
      }
      default:
    }
    const target = placeStack(d, size, push ? 'push' : 'pop');
    if (!push) builder.memory(target).set(integerValue(prng, size));
    // Memory operands on the stack itself: PUSH sees RSP before, POP after the move.
    if (d.target !== undefined && builder.addressBytes === (builder.long ? 8 : 4) && prng.chance(20)) {
      d.target = undefined;
      builder.addressOnStack(prng.below(256));
    }
  },
  after(d) {
    // RSP may have been the operand; a wild stack pointer could reach the recorder's own memory.
    if (!d.builder.pinned.has(RSP) && d.form.name !== 'leave') d.rejected = true;
  },
};

/** Where a branch goes: an instruction pointer that is safe to fetch from, or one that must fault. */
function branchTarget(d: Drawing, length: number): bigint {
  const { builder, prng } = d;
  const { env } = builder;
  const start = Number(builder.state.rip - (builder.high ? HIGH : 0n)) + env.codeBase - CODE_LOW;
  const high = builder.high ? HIGH : 0n;
  const roll = prng.below(100);
  let linear: number;
  if (roll < 75) {
    do linear = CODE_LOW + prng.below(CODE_BYTES);
    while (linear - CODE_LOW >= start && linear - CODE_LOW < start + length);
  } else if (roll < 83) linear = DATA_LOW + PAGE_BYTES + prng.below(3 * PAGE_BYTES);
  else if (roll < 90) linear = DATA_LOW + prng.below(PAGE_BYTES);
  else if (roll < 95 || !builder.long) linear = CODE_LOW + CODE_BYTES + prng.below(PAGE_BYTES);
  else return 0x0000_8000_0000_0000n + (prng.u64() >> 18n);
  return BigInt(linear - env.codeBase) + high;
}

const branch: Hook = {
  values(d) {
    const { builder, form, prng } = d;
    const size = builder.operandBytes;
    if (form.name === 'call') placeStack(d, size, 'push');
    if (form.ops === 'Ev') {
      // The pointer must survive the address, so it may not be in a register the address takes.
      if (d.operands[0].register >= 0) builder.pinned.add(d.operands[0].register);
      if (d.operands[0].register === RSP) d.rejected = true;
      d.operands[0].place?.set(branchTarget(d, 15));
      // A target in memory that is not the patched one would be random.
      if (
        d.target !== undefined &&
        builder.offsetOf(d.target.linear) + size > 2 * PAGE_BYTES &&
        builder.offsetOf(d.target.linear) < 3 * PAGE_BYTES
      )
        d.rejected = true;
    }
    if (form.name === 'ret') {
      const target = placeStack(d, size, 'pop');
      if (builder.offsetOf(target.linear) + size > 2 * PAGE_BYTES && builder.offsetOf(target.linear) < 3 * PAGE_BYTES)
        d.rejected = true;
      builder.memory(target).set(branchTarget(d, 15));
      if (builder.env.bits === 16 && builder.state.gpr[RSP] !== builder.stackPointer(target.linear)) d.rejected = true;
      if (form.ops === 'Iw')
        builder.immediate = bytesOf(BigInt(prng.pick([0, 8, 16, 0xffff, 0x8000, prng.below(0x10000)])), 2);
    }
    if (form.name === 'jrcxz' || form.name.startsWith('loop')) {
      const count = prng.pick([0n, 1n, 2n, prng.u64()]);
      builder.setPointer(RCX, count);
    }
  },
  after(d) {
    const { builder, form, prng } = d;
    if (form.operands[0]?.kind !== 'J') return;
    const size = builder.operandBytes;
    const width = form.ops === 'Jb' ? 1 : Math.min(size, 4);
    builder.immediate = bytesOf(0n, width);
    const length = builder.length;
    if (width === 1) {
      // Into the instruction itself would run its own tail; to its start would never end.
      let distance: number;
      do distance = prng.below(256) - 128;
      while (distance < 0 && distance >= -length);
      builder.immediate = [distance & 0xff];
      return;
    }
    const next = builder.state.rip + BigInt(length);
    builder.immediate = bytesOf(truncate(branchTarget(d, length) - next, width), width);
    // In 64-bit mode a displacement has 32 bits.
    if (builder.long && form.operands[0].kind === 'J') {
      const reached =
        next + BigInt.asIntN(32, BigInt(builder.immediate.reduce((sum, byte, i) => sum + byte * 2 ** (8 * i), 0)));
      const low = reached >= HIGH ? reached - HIGH : reached;
      if (low < BigInt(CODE_LOW) || low >= BigInt(DATA_LOW + 8 * PAGE_BYTES)) d.rejected = true;
    }
  },
};

/** MOVS, CMPS, STOS, LODS, SCAS with and without REP, both directions, faults in the middle. */
const strings: Hook = {
  values(d) {
    const { builder, form, prng } = d;
    const size = form.words.has('byte') ? 1 : builder.operandBytes;
    const repeat = prng.chance(60) ? prng.pick([0xf3, 0xf3, 0xf2]) : 0;
    const elements = repeat === 0 ? 1 : prng.pick([0, 1, 2, 3, 5, 8, 17, 33]);
    const down = prng.chance(35);
    if (down) builder.state.rflags |= Flag.DF;
    if (repeat !== 0) builder.prefixes.push(repeat);
    const extent = Math.max(elements, 1) * size;
    const usesSource = /movs|cmps|lods/.test(form.name),
      usesDestination = form.name !== 'lods';
    const narrow = builder.long && builder.addressBytes === 4;
    const place = (): Target => {
      for (;;) {
        const target = builder.chooseTarget(extent);
        if (!narrow || target.linear < 1n << 32n) return target;
      }
    };
    const source = place();
    let destination = place();
    if (form.name === 'movs' && prng.chance(25)) {
      destination = { linear: source.linear + BigInt(prng.below(2 * size + 3) - size - 1), bytes: extent };
    }
    const first = (target: Target): Target =>
      down ? { ...target, linear: target.linear + BigInt(extent - size) } : target;
    if (usesSource) builder.setPointer(RSI, builder.implicitAddress(first(source), DS, true));
    if (usesDestination) builder.setPointer(RDI, builder.implicitAddress(first(destination), 0, false));
    let count = BigInt(elements);
    // A count far beyond the mapped pages ends in a page fault part of the way; only where that is near.
    if (repeat !== 0 && builder.offsetOf(destination.linear) > 0x1f00 && usesDestination && !down && prng.chance(20))
      count = BigInt(prng.below(0x7000_0000) + 0x1_0000);
    if (repeat !== 0 || prng.chance(80))
      builder.setPointer(RCX, builder.addressBytes === 2 ? truncate(count, 2) : count);
    if (form.name === 'scas') fillScan(d, destination, size, elements, repeat);
    if (form.name === 'cmps') fillCompare(d, source, destination, size, elements, repeat);
    builder.prefixes.sort(() => prng.below(3) - 1);
  },
};

function fillScan(d: Drawing, at: Target, size: number, elements: number, repeat: number): void {
  const { builder, prng } = d;
  const wanted = readGpr(d, RAX, size);
  // REPE goes on while equal, REPNE while different: make the loop run, then break it somewhere, or nowhere.
  const stop = prng.below(elements + 2);
  for (let i = 0; i < elements; i++) {
    const equal = (repeat === 0xf3) !== (i === stop);
    builder
      .memory({ linear: at.linear + BigInt(i * size), bytes: size })
      .set(equal ? wanted : integerValue(prng, size));
  }
}

function fillCompare(
  d: Drawing,
  source: Target,
  destination: Target,
  size: number,
  elements: number,
  repeat: number,
): void {
  const { builder, prng } = d;
  const stop = prng.below(elements + 2);
  for (let i = 0; i < elements; i++) {
    const value = integerValue(prng, size);
    const equal = (repeat === 0xf3) !== (i === stop);
    builder.memory({ linear: source.linear + BigInt(i * size), bytes: size }).set(value);
    builder
      .memory({ linear: destination.linear + BigInt(i * size), bytes: size })
      .set(equal ? value : integerValue(prng, size));
  }
}

const BY_NAME: Record<string, Hook> = {
  rol: shift,
  ror: shift,
  rcl: shift,
  rcr: shift,
  shl: shift,
  shr: shift,
  sar: shift,
  shld: shift,
  shrd: shift,
  mul: multiply,
  imul: multiply,
  div: divide,
  idiv: divide,
  bt: bitTest,
  bts: bitTest,
  btr: bitTest,
  btc: bitTest,
  bsf: bitScan,
  bsr: bitScan,
  popcnt: bitScan,
  tzcnt: bitScan,
  lzcnt: bitScan,
  blsr: bitScan,
  blsmsk: bitScan,
  blsi: bitScan,
  bextr: bitField,
  bzhi: bitField,
  shlx: bitField,
  shrx: bitField,
  sarx: bitField,
  mulx: multiplyLong,
  cmpxchg: compareExchange,
  cmpxchg8b: compareExchangeWide,
  bound,
  xlat,
  bswap: movUndefined,
  aam: asciiAdjust,
  aad: asciiAdjust,
  aaa: decimal,
  aas: decimal,
  daa: decimal,
  das: decimal,
  wrfsbase: writeBase,
  wrgsbase: writeBase,
};

/** The hook of a form, or an empty one. */
export function integerHook(form: Form): Hook {
  if (form.words.has('stack')) return stack;
  if (form.words.has('branch')) return branch;
  if (form.words.has('string')) return strings;
  return BY_NAME[form.name] ?? {};
}
