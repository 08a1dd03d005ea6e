/**
 * Draws cases of a form: mode, operand size, registers, memory operand, values, prefixes. What an instruction needs
 * beyond its operands (counts, dividends, stack pointers, control words) comes from hooks by mnemonic (hooks.ts).
 *
 * @module
 */
import { bytesOf, CaseBuilder, truncate, type Place, type Target } from './builder.ts';
import type { CaseInput, Comparison } from './case.ts';
import { CODE16, COMPAT, LONG, PAGE_BYTES, SEGMENTED } from './environment.ts';
import { type Form, formName, type OperandSpec, type VexSpec } from './forms/form.ts';
import { COMPARED_FLAGS, Flag } from './machine-state.ts';
import { type Flavour, flavourOf, integerValue, operandValue } from './operand-values.ts';
import { hashName, Prng } from './prng.ts';
import { undefinedFlags } from './undefined-flags.ts';

/** One operand of a case being drawn. */
export interface BoundOperand {
  readonly spec: OperandSpec;
  readonly bytes: number;
  /** Register number, or -1. */
  readonly register: number;
  /** Undefined for immediates and implicit operands without a place. */
  readonly place: Place | undefined;
  readonly isMemory: boolean;
}

/** A case while it is drawn. */
export interface Drawing {
  readonly form: Form;
  readonly builder: CaseBuilder;
  readonly prng: Prng;
  readonly operands: BoundOperand[];
  /** Ordinal of the draw within the form, for cycling through variants. */
  readonly ordinal: number;
  /** Memory operand's linear address; hooks may move it before it is encoded. */
  target: Target | undefined;
  flavour: Flavour;
  /** No prefixes beyond the form's own. */
  plain: boolean;
  /** Give up on this draw. */
  rejected: boolean;
  /** Added to the comparison. */
  extra: Partial<Comparison>;
  /** Shift count, for the undefined flags. */
  count: number;
}

export interface Hook {
  /** Before operands are bound: choose sizes, pin registers. */
  begin?(d: Drawing): void;
  /** After operands have values, before the memory operand is encoded. */
  values?(d: Drawing): void;
  /** After everything, just before the bytes are put together. */
  after?(d: Drawing): void;
}

const HIGH_BYTE = new Set([4, 5, 6, 7]);

function chooseEnvironment(form: Form, prng: Prng): number {
  if (form.words.has('only64')) return LONG;
  if (form.words.has('no64')) return prng.pick([COMPAT, COMPAT, COMPAT, CODE16, SEGMENTED]);
  const vector = form.words.has('vector');
  const roll = prng.below(100);
  if (roll < (vector ? 88 : 74)) return LONG;
  if (roll < (vector ? 95 : 88)) return COMPAT;
  return roll < 95 ? CODE16 : SEGMENTED;
}

/** Operand sizes that make a difference to a form, in bytes; empty when none does. */
export function operandSizes(form: Form, long: boolean): readonly (2 | 4 | 8)[] {
  const { words } = form;
  if (words.has('f64') && long) return [8];
  if (words.has('d64')) return long ? [8, 8, 8, 2] : [4, 2];
  const letters = form.operands.map((o) => (o.text === 'rAX' ? 'v' : o.size)).join('');
  if (words.has('sized') || /[vz]/.test(letters)) return long ? [4, 8, 2, 4, 8] : [4, 2, 4];
  if (letters.includes('y')) return long ? [4, 8] : [4];
  return [];
}

/** Bytes of an operand by its size letter. */
export function operandBytes(spec: OperandSpec, operandSize: number): number {
  if (spec.size === 'qq') return 32;
  switch (spec.size[0]) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
      return 4;
    case 'q':
      return 8;
    case 'o':
      return 16;
    case 't':
      return 10;
    case 'v':
      return operandSize;
    case 'z':
      return Math.min(operandSize, 4);
    case 'y':
      return operandSize === 8 ? 8 : 4;
    case 'a':
      return operandSize * 2;
    default:
      return operandSize;
  }
}

function bindRegister(d: Drawing, spec: OperandSpec, bytes: number): number {
  const { builder, prng } = d;
  let n = prng.below(builder.registers);
  if (bytes === 1) {
    // AH..BH exist only without REX; SPL..DIL only with it.
    if (builder.noRex) n %= 8;
    else if (HIGH_BYTE.has(n) && builder.long) {
      if (builder.rex === 0 && !builder.forceRex && prng.chance(50)) builder.noRex = true;
      else builder.forceRex = true;
    } else if (!builder.long && HIGH_BYTE.has(n)) {
      builder.noRex = true;
    }
  }
  if (builder.noRex) n %= 8;
  if (spec.kind === 'B') builder.vvvv = n;
  else if (spec.kind === 'G') {
    builder.modrmReg = n;
    if (n >= 8) builder.rex |= 4;
  } else {
    builder.modrmMod = 3;
    builder.modrmRm = n;
    if (n >= 8) builder.rex |= 1;
  }
  return n;
}

const VECTOR_KINDS = new Set(['V', 'W', 'U', 'P', 'Q', 'N', 'H', 'L']);
const MEMORY_KINDS = new Set(['E', 'W', 'Q', 'M']);

function vectorPlace(d: Drawing, kind: string, n: number, bytes: number): Place {
  const { state } = d.builder;
  if ('PQN'.includes(kind)) {
    // MMn is the significand of physical register n; FXSAVE order counts from TOP.
    const slot = (): number => ((n - ((state.fsw >> 11) & 7)) & 7) * 2;
    return {
      bytes,
      get: () => truncate(state.st[slot()], bytes),
      set: (v) => {
        state.st[slot()] = bytes === 8 ? v : (state.st[slot()] & ~0xffff_ffffn) | v;
      },
    };
  }
  const { xmm, ymmHigh } = state;
  return {
    bytes,
    get: () =>
      truncate(xmm[n * 2] | (xmm[n * 2 + 1] << 64n) | (ymmHigh[n * 2] << 128n) | (ymmHigh[n * 2 + 1] << 192n), bytes),
    set: (v) => {
      if (bytes === 32) {
        ymmHigh[n * 2] = BigInt.asUintN(64, v >> 128n);
        ymmHigh[n * 2 + 1] = v >> 192n;
      }
      if (bytes >= 16) state.xmm[n * 2 + 1] = BigInt.asUintN(64, v >> 64n);
      const low = BigInt.asUintN(64, v);
      state.xmm[n * 2] = bytes >= 8 ? low : (state.xmm[n * 2] & ~((1n << BigInt(bytes * 8)) - 1n)) | low;
    },
  };
}

function bindVectorRegister(d: Drawing, spec: OperandSpec): number {
  const { builder, prng } = d;
  const n = prng.below('PQN'.includes(spec.kind) ? 8 : builder.registers);
  if (spec.kind === 'H') builder.vvvv = n;
  else if (spec.kind === 'L') builder.immediate.push((n << 4) | prng.below(16));
  else if (spec.kind === 'V' || spec.kind === 'P') {
    builder.modrmReg = n;
    if (n >= 8) builder.rex |= 4;
  } else {
    builder.modrmMod = 3;
    builder.modrmRm = n;
    if (n >= 8) builder.rex |= 1;
  }
  return n;
}

function bindOperand(d: Drawing, spec: OperandSpec, useMemory: boolean): BoundOperand {
  const { builder, form, prng } = d;
  const bytes = operandBytes(spec, builder.operandBytes);
  const bound = (register: number, place: Place | undefined, isMemory = false): BoundOperand => ({
    spec,
    bytes,
    register,
    place,
    isMemory,
  });
  const memory = (): BoundOperand => {
    const size = spec.kind === 'M' && spec.size === '' ? 1 : bytes;
    const aligned = form.words.has('aligned');
    d.target ??= builder.chooseTarget(size, { aligned });
    if (size === 32 && aligned && prng.chance(90)) d.target = { ...d.target, linear: d.target.linear & ~31n };
    return bound(-1, builder.memory(d.target, 0, size), true);
  };
  switch (spec.kind) {
    case 'M':
      return memory();
    case 'O':
      return memory();
    case 'E':
    case 'W':
    case 'Q':
      if (useMemory) return memory();
      break;
    case 'I':
    case 'J':
    case 'A':
    case 'S':
      return bound(-1, undefined);
    case 'Z': {
      const n = form.opcode.at(-1) === 0xb0 ? bindByteInOpcode(d) : d.prng.below(builder.registers);
      if (n >= 8) builder.rex |= 1;
      builder.opcode = [...form.opcode.slice(0, -1), (form.opcode.at(-1) as number) + (n % 8)];
      return bound(n, builder.gpr(n, bytes));
    }
    case 'implicit':
      return bound(implicitRegister(spec.text), implicitPlace(d, spec.text));
    case 'G':
    case 'R':
    case 'V':
    case 'U':
    case 'P':
    case 'N':
    case 'B':
    case 'H':
    case 'L':
      break;
    case 'X':
      return bound(-1, undefined);
  }
  if (VECTOR_KINDS.has(spec.kind)) {
    const n = bindVectorRegister(d, spec);
    return bound(n, vectorPlace(d, spec.kind, n, Math.min(bytes, 'PQN'.includes(spec.kind) ? 8 : 32)));
  }
  const n = bindRegister(d, spec, bytes);
  return bound(n, undefined);
}

/** MOV r8, imm8: the register is in the opcode. */
function bindByteInOpcode(d: Drawing): number {
  const { builder, prng } = d;
  const n = prng.below(builder.registers);
  if (HIGH_BYTE.has(n) && builder.long && prng.chance(50)) builder.forceRex = true;
  else if (HIGH_BYTE.has(n)) builder.noRex = true;
  return n;
}

const implicitRegister = (text: string): number => ({ AL: 0, rAX: 0, CL: 1, DX: 2 })[text] ?? -1;

function implicitPlace(d: Drawing, text: string): Place | undefined {
  const { builder } = d;
  if (text === 'AL') return builder.gpr(0, 1);
  if (text === 'CL') return builder.gpr(1, 1);
  return text === 'rAX' ? builder.gpr(0, builder.operandBytes) : undefined;
}

/** Gives operands explicit values in some draws; in the others the default state's stand. */
function setValues(d: Drawing): void {
  const { prng, operands } = d;
  const explicit = prng.chance(40);
  for (const operand of operands) {
    if (operand.place === undefined) continue;
    if (operand.isMemory || explicit) operand.place.set(operandValue(prng, d.flavour, operand.place.bytes));
  }
  const [first, second] = operands;
  if (first?.place !== undefined && second?.place !== undefined && prng.chance(8)) {
    first.place.set(truncate(second.place.get(), first.place.bytes));
  }
}

function immediateBytes(d: Drawing, spec: OperandSpec): number[] {
  const { builder, prng } = d;
  const bytes =
    spec.size.length > 1 && spec.size.endsWith('s')
      ? spec.size[0] === 'b'
        ? 1
        : Math.min(builder.operandBytes, 4)
      : operandBytes(spec, builder.operandBytes);
  return bytesOf(integerValue(prng, bytes), bytes);
}

/** Prefixes that change nothing, or make the instruction invalid. */
function addNoise(d: Drawing): void {
  const { builder, form, prng } = d;
  const destination = d.operands[0];
  if (form.words.has('lock') && destination?.isMemory === true) {
    if (prng.chance(25)) builder.prefixes.push(0xf0);
  } else if (prng.chance(2) && !d.plain) {
    builder.prefixes.push(0xf0);
  }
  if (form.vex !== undefined) {
    addVexNoise(d);
    return;
  }
  if (d.plain) return;
  // FS and GS would move a memory operand; the others do not count in 64-bit mode.
  if (builder.long && prng.chance(4)) builder.prefixes.push(prng.pick([0x26, 0x2e, 0x36, 0x3e]));
  const oneByte = form.opcode[0] !== 0x0f && form.mandatory === 0;
  if (oneByte && !form.words.has('norep') && prng.chance(3)) builder.prefixes.push(prng.pick([0xf2, 0xf3]));
  if (oneByte && operandSizes(form, builder.long).length === 0 && !form.words.has('x87') && prng.chance(5))
    builder.prefixes.push(0x66);
  if (builder.operandBytes === 8 && (builder.rex & 8) !== 0 && form.mandatory === 0 && prng.chance(5) && oneByte)
    builder.prefixes.push(0x66);
  if (
    builder.long &&
    !builder.noRex &&
    !builder.forceRex &&
    builder.rex === 0 &&
    d.operands.every((o) => o.bytes !== 1) &&
    prng.chance(4)
  )
    builder.forceRex = true;
  shuffle(builder.prefixes, prng);
  // A REX prefix that another prefix follows is ignored.
  if (builder.long && builder.prefixes.length > 0 && builder.prefixes.length < 4 && prng.chance(4))
    builder.prefixes.unshift(0x40 + prng.below(16));
}

/** Bits that VEX forms ignore, and what makes them invalid. */
function addVexNoise(d: Drawing): void {
  const { builder, form, prng } = d;
  builder.vexNoise.l = prng.below(2);
  builder.vexNoise.short = prng.chance(60);
  builder.vexNoise.b = prng.below(2);
  // In 64-bit code the size of a general register depends on W.
  const sized = form.operands.some((o) => o.size === 'y');
  builder.vexNoise.w = sized && builder.long ? 0 : prng.below(2);
  if (builder.long && prng.chance(4)) builder.prefixes.push(prng.pick([0x26, 0x2e, 0x36, 0x3e]));
  if (!prng.chance(5)) return;
  const invalid = prng.below(4);
  const { vex } = form as { readonly vex: VexSpec };
  if (invalid === 0) builder.prefixes.push(prng.pick([0x66, 0xf2, 0xf3]));
  else if (invalid === 1 && builder.long) builder.prefixes.push(0x40 + prng.below(16));
  else if (invalid === 2 && !form.operands.some((o) => o.kind === 'B' || o.kind === 'H')) builder.vvvv = prng.below(16);
  // This processor has AES and PCLMULQDQ on YMM registers, which are extensions of their own.
  else if (!/^v(aes|pclmul)/.test(form.name))
    builder.vex = { ...vex, w: vex.w < 0 ? vex.w : 1 - vex.w, l: vex.l < 0 || prng.chance(50) ? vex.l : 1 - vex.l };
}

/** Repeats prefixes until the instruction is about as long as it may be. */
function stretch(d: Drawing): void {
  const { builder, prng } = d;
  // The last segment prefix counts, and a memory operand may need the one it has.
  const filler = [0x66, 0xf2, 0xf3].filter((byte) => byte !== 0x66 || builder.prefixes.includes(0x66));
  const wanted = prng.pick([13, 14, 15, 15, 15, 16]);
  while (builder.length < wanted) builder.prefixes.unshift(prng.pick(filler));
}

function shuffle(list: number[], prng: Prng): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = prng.below(i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
}

export interface DrawOptions {
  /** Sets RFLAGS.AC. */
  readonly alignmentCheck?: boolean;
  /** The state has YMM registers. */
  readonly ymm?: boolean;
}

/** Puts some instructions across the end of a code page; behind the second page nothing is mapped. */
function moveCode(builder: CaseBuilder): void {
  const roll = builder.prng.below(100);
  if (roll < 3) builder.placeCode(PAGE_BYTES - 1 - builder.prng.below(10));
  else if (roll < 5) builder.placeCode(2 * PAGE_BYTES - 1 - builder.prng.below(8));
}

/** Draw number `ordinal` of a form; undefined when the dice made something that cannot be encoded. */
export function draw(
  form: Form,
  hook: Hook,
  ordinal: number,
  seed: number,
  options: DrawOptions = {},
): CaseInput | undefined {
  const { alignmentCheck = false, ymm = false } = options;
  const prng = new Prng(hashName(formName(form)) + (alignmentCheck ? 1 : 0), ordinal);
  const builder = new CaseBuilder(prng, chooseEnvironment(form, prng), seed, form.profile, ymm);
  const d: Drawing = {
    form,
    builder,
    prng,
    ordinal,
    operands: [],
    target: undefined,
    flavour: flavourOf(form.profile),
    plain: form.words.has('plain'),
    rejected: false,
    extra: {},
    count: 0,
  };
  const sizes = operandSizes(form, builder.long);
  if (sizes.length > 0)
    builder.setOperandSize(sizes[ordinal % sizes.length], form.words.has('d64') || form.words.has('f64'));
  builder.opcode = form.opcode;
  builder.vex = form.vex;
  builder.mandatory = Math.max(form.mandatory, 0);
  if (form.digit >= 0) builder.modrmReg = form.digit;
  const fixed = /digit(\d)/.exec([...form.words].join(' '));
  if (fixed !== null) builder.modrmReg = Number(fixed[1]);
  if (form.exact >= 0) {
    builder.modrmReg = (form.exact >> 3) & 7;
    builder.modrmRm = form.exact & 7;
  }
  // Whether a prefix of an undefined opcode faults before its next byte is fetched is up to the processor.
  if (!['branch', 'segment', 'undefined'].some((word) => form.words.has(word))) moveCode(builder);
  if (alignmentCheck) builder.state.rflags |= Flag.AC;
  const hasMemory = form.operands.some((o) => MEMORY_KINDS.has(o.kind) || o.kind === 'O') || form.words.has('memory');
  if (hasMemory && prng.chance(builder.long ? 12 : 10)) builder.flipAddressSize();
  hook.begin?.(d);

  const useMemory =
    form.operands.some((o) => o.kind === 'M' || o.kind === 'O') || prng.chance(form.words.has('registers') ? 15 : 45);
  for (const spec of form.operands) d.operands.push(bindOperand(d, spec, useMemory));
  // Byte registers are bound to places last: which ones they are depends on REX.
  d.operands.forEach((operand, i) => {
    if (operand.place === undefined && operand.register >= 0) {
      d.operands[i] = { ...operand, place: builder.gpr(operand.register, operand.bytes) };
    }
    if (operand.register >= 0 && !VECTOR_KINDS.has(operand.spec.kind) && prng.chance(85))
      builder.reserved.add(operand.register);
  });
  // ModRM.reg says nothing here.
  if (builder.modrmReg < 0 && form.operands.some((o) => 'ERMWUQNX'.includes(o.kind[0]) && o.kind !== 'implicit'))
    builder.modrmReg = prng.below(8);
  setValues(d);
  for (const operand of d.operands) {
    if (operand.spec.kind === 'I') builder.immediate.push(...immediateBytes(d, operand.spec));
  }
  hook.values?.(d);
  if (d.rejected) return undefined;
  if (d.target !== undefined) {
    if (d.operands.some((o) => o.spec.kind === 'O')) builder.moffs(d.target);
    else if (builder.modrmReg >= 0 || d.operands.some((o) => MEMORY_KINDS.has(o.spec.kind))) builder.address(d.target);
  }
  addNoise(d);
  if (form.words.has('long')) stretch(d);
  hook.after?.(d);
  if (d.rejected) return undefined;
  const bits = (d.operands[0]?.bytes ?? builder.operandBytes) * 8;
  builder.comparison = { flags: COMPARED_FLAGS & ~undefinedFlags(form.name, bits, d.count), ...d.extra };
  builder.state.rflags |= Flag.IF | Flag.ONE;
  return builder.finish(formName(form), form.words.has('long') ? 16 : 15);
}
