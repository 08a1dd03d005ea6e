/**
 * Selectors, far pointers and return frames for the segment instructions.
 *
 * @module
 */
import { bytesOf, type Target, truncate } from './builder.ts';
import type { Drawing, Hook } from './draw.ts';
import { CODE_BYTES, CODE_LOW, DESCRIPTORS, descriptorOf, HIGH, SEL_FLAT_DATA } from './environment.ts';
import { Flag, RCX, RSP } from './machine-state.ts';
import { placeStack } from './hooks.ts';
import { integerValue } from './operand-values.ts';

const TYPE_CODE = 8;

/** A selector: null, one of the descriptors with any RPL, or one outside the tables. */
function anySelector(d: Drawing): number {
  const { prng } = d;
  const roll = prng.below(100);
  if (roll < 12) return prng.below(4);
  if (roll < 80) return prng.pick(DESCRIPTORS).selector;
  if (roll < 92) return (prng.pick(DESCRIPTORS).selector & ~3) | prng.below(4);
  return prng.pick([0x7ff8, 0xfff7, 0x7ffb, 0x0ff7, 0x10]);
}

/** A far pointer: mostly to code that can be fetched. The offset is cut to the operand size by the caller. */
function farPointer(d: Drawing, length: number): { selector: number; offset: bigint } {
  const { builder, prng } = d;
  const codes = DESCRIPTORS.filter((x) => (x.type & TYPE_CODE) !== 0 && x.present);
  const selector = prng.chance(65) ? prng.pick(codes).selector : anySelector(d);
  const descriptor = descriptorOf(selector | 3);
  const base = descriptor?.long === true ? 0 : (descriptor?.base ?? 0);
  const start = Number(truncate(builder.state.rip, 4)) + builder.env.codeBase - CODE_LOW;
  let at: number;
  do at = prng.below(CODE_BYTES);
  while (at >= start && at < start + length);
  const beyond = prng.chance(8) ? 0x3000 : 0;
  const high = descriptor?.long === true && builder.high && prng.chance(70) ? HIGH : 0n;
  return { selector, offset: BigInt(CODE_LOW - base + at + beyond) + high };
}

/** True when some byte of the target lies where its contents cannot be chosen but would be used. */
function unsettled(d: Drawing, target: Target): boolean {
  const first = d.builder.offsetOf(target.linear);
  return first + target.bytes > 0x2000 && first < 0x3000;
}

const load: Hook = {
  begin(d) {
    const { builder, form, prng } = d;
    if (form.operands[0]?.kind === 'S' || form.operands[1]?.kind === 'S')
      builder.modrmReg = prng.below(100) < 96 ? prng.below(6) : 6 + prng.below(2);
    if (form.ops.endsWith('Mp')) d.target = builder.chooseTarget(builder.operandBytes + 2);
  },
  values(d) {
    const { builder, form, prng } = d;
    const size = builder.operandBytes;
    switch (form.name) {
      case 'mov':
        if (form.ops === 'Sw,Ew') d.operands[1].place?.set(BigInt(anySelector(d)));
        return;
      case 'pop': {
        const target = placeStack(d, size, 'pop');
        builder.memory(target).set(integerValue(prng, size));
        builder.memory(target, 0, 2).set(BigInt(anySelector(d)));
        return;
      }
      case 'les':
      case 'lds':
      case 'lss':
      case 'lfs':
      case 'lgs': {
        const target = d.target as Target;
        builder.memory(target, 0, size).set(integerValue(prng, size));
        builder.memory(target, size, 2).set(BigInt(anySelector(d)));
        return;
      }
      default:
        // LAR returns bits 16-19 of the descriptor's upper half "undefined": limit on this processor.
        if (form.name === 'lar') d.extra = { ignoreGprBits: { [d.operands[0].register]: 0xf_0000 } };
        d.operands.at(-1)?.place?.set(BigInt(anySelector(d)));
    }
  },
};

function frameWord(d: Drawing, target: Target, index: number, value: bigint): void {
  const size = d.builder.operandBytes;
  d.builder.memory(target, index * size, size).set(truncate(value, size));
}

const far: Hook = {
  begin(d) {
    if (d.form.ops === 'Mp') d.target = d.builder.chooseTarget(d.builder.operandBytes + 2);
  },
  values(d) {
    const { builder, form, prng } = d;
    const size = builder.operandBytes;
    const pointer = farPointer(d, 15);
    // The words of a frame are read and written in no defined order, and a push may precede a check that fails.
    d.extra = { cr2PageOnly: true, ignorePartial: true };
    if (form.name === 'call') {
      placeStack(d, size * 2, 'push');
      // Between 64-bit and legacy code this processor pushes the return address with the new mode's stack rules: the base
      // ignored, or RSP cut off. Nothing relies on that.
      const target = descriptorOf(pointer.selector | 3);
      if (
        target !== undefined &&
        target.long !== builder.long &&
        (!builder.long || builder.state.gpr[RSP] >= 1n << 32n)
      )
        d.rejected = true;
    }
    if (form.ops === 'Ap') {
      builder.immediate = [...bytesOf(pointer.offset, size), ...bytesOf(BigInt(pointer.selector), 2)];
    } else if (form.ops === 'Mp') {
      const target = d.target as Target;
      if (unsettled(d, target)) d.rejected = true;
      builder.memory(target, 0, size).set(truncate(pointer.offset, size));
      builder.memory(target, size, 2).set(BigInt(pointer.selector));
    } else {
      const words = form.name === 'retf' ? 2 : builder.long ? 5 : 3;
      const target = placeStack(d, size * words, 'pop');
      if (
        unsettled(d, target) ||
        (builder.env.bits === 16 && builder.state.gpr[RSP] !== builder.stackPointer(target.linear))
      )
        d.rejected = true;
      frameWord(d, target, 0, pointer.offset);
      frameWord(d, target, 1, BigInt(pointer.selector) | (integerValue(prng, size) << 16n));
      if (form.name === 'retf') {
        if (form.ops === 'Iw')
          builder.immediate = bytesOf(BigInt(prng.pick([0, 4, 8, 16, 0xffff, prng.below(0x10000)])), 2);
        return;
      }
      // A single step would trap after the INT3 behind this instruction.
      // With a misaligned frame a new AC already checks the rest of it, and Linux retries that #AC for ever.
      const aligned = target.linear % BigInt(size) === 0n;
      frameWord(d, target, 2, BigInt((prng.u32() & ~(Flag.TF | (aligned ? 0 : Flag.AC))) >>> 0));
      if (!builder.long) return;
      frameWord(d, target, 3, integerValue(prng, size));
      frameWord(d, target, 4, BigInt(prng.chance(75) ? SEL_FLAT_DATA : anySelector(d)));
    }
  },
};

/** Vectors 3 and 4 may be called from user mode, and so may Linux's 80h, which is left alone. */
const interrupt: Hook = {
  values(d) {
    const { prng, builder } = d;
    if (d.form.name !== 'int') return;
    let vector = prng.pick([0, 1, 2, 3, 4, 5, 13, 14, prng.below(256)]);
    if (vector === 0x80) vector = 0x81;
    builder.immediate = [vector];
  },
};

/** XGETBV of a register that does not exist; the others' contents are the machine's own. */
export const absentRegister: Hook = {
  values(d) {
    d.builder.state.gpr[RCX] = BigInt(2 + d.prng.below(1000));
  },
};

/** The hook of a segment form. */
export function segmentHook(form: { readonly name: string; readonly words: ReadonlySet<string> }): Hook {
  if (form.words.has('far')) return far;
  return form.name.startsWith('int') ? interrupt : load;
}
