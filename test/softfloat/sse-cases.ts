/**
 * Cases for SSE operations: machine code on XMM0 and XMM1 (or RAX, or memory), operands and MXCSR.
 *
 * @module
 */
import { blank } from './machine.ts';
import type { Exchange, Outcome } from './machine.ts';
import type { Random } from './operands.ts';
import { ieeePair, toBytes } from './operands.ts';

export interface SseForm {
  readonly name: string;
  /** Machine code for `op xmm0, xmm1` and the like, without the immediate. */
  readonly code: readonly number[];
  /** Bytes of the two sources and the result that count. */
  readonly first: number;
  readonly second: number;
  readonly result: number;
  readonly operands: 'single' | 'double' | 'int32' | 'int64';
  /** Where the second source and the result live: XMM, or RAX, or RFLAGS. MMX forms take memory and MM0. */
  readonly from: 'xmm' | 'rax' | 'memory';
  readonly to: 'xmm' | 'rax' | 'flags' | 'mm';
  readonly immediate: boolean;
}

const PREFIX: Readonly<Record<string, readonly number[]>> = { ps: [], ss: [0xf3], pd: [0x66], sd: [0xf2] };
const BYTES: Readonly<Record<string, number>> = { ps: 16, ss: 4, pd: 16, sd: 8 };

function family(
  name: string,
  opcode: number,
  first: boolean,
  immediate = false,
  suffixes = ['ps', 'ss', 'pd', 'sd'],
): SseForm[] {
  return suffixes.map((suffix) => ({
    name: name + suffix,
    code: [...PREFIX[suffix]!, 0x0f, opcode, 0xc1],
    first: first ? BYTES[suffix]! : 0,
    second: BYTES[suffix]!,
    result: BYTES[suffix]!,
    operands: suffix.endsWith('s') ? 'single' : 'double',
    from: 'xmm',
    to: 'xmm',
    immediate,
  }));
}

function form(
  name: string,
  code: readonly number[],
  operands: SseForm['operands'],
  first: number,
  second: number,
  result: number,
  options: Partial<SseForm> = {},
): SseForm {
  return { name, code, operands, first, second, result, from: 'xmm', to: 'xmm', immediate: false, ...options };
}

const rounding = (name: string, opcode: number, bytes: number, operands: 'single' | 'double'): SseForm =>
  form(name, [0x66, 0x0f, 0x3a, opcode, 0xc1], operands, 0, bytes, bytes, { immediate: true });

const RAX_FROM: Partial<SseForm> = { from: 'rax' };
const RAX_TO: Partial<SseForm> = { to: 'rax' };

// biome-ignore format: one instruction a line
export const sseForms: readonly SseForm[] = [
  ...family('add', 0x58, true), ...family('mul', 0x59, true), ...family('sub', 0x5c, true), ...family('min', 0x5d, true),
  ...family('div', 0x5e, true), ...family('max', 0x5f, true), ...family('sqrt', 0x51, false), ...family('cmp', 0xc2, true, true),
  ...family('rsqrt', 0x52, false, false, ['ps', 'ss']), ...family('rcp', 0x53, false, false, ['ps', 'ss']),
  form('addsubpd', [0x66, 0x0f, 0xd0, 0xc1], 'double', 16, 16, 16), form('addsubps', [0xf2, 0x0f, 0xd0, 0xc1], 'single', 16, 16, 16),
  form('haddpd', [0x66, 0x0f, 0x7c, 0xc1], 'double', 16, 16, 16), form('haddps', [0xf2, 0x0f, 0x7c, 0xc1], 'single', 16, 16, 16),
  form('hsubpd', [0x66, 0x0f, 0x7d, 0xc1], 'double', 16, 16, 16), form('hsubps', [0xf2, 0x0f, 0x7d, 0xc1], 'single', 16, 16, 16),
  rounding('roundps', 0x08, 16, 'single'), rounding('roundpd', 0x09, 16, 'double'),
  rounding('roundss', 0x0a, 4, 'single'), rounding('roundsd', 0x0b, 8, 'double'),
  form('dpps', [0x66, 0x0f, 0x3a, 0x40, 0xc1], 'single', 16, 16, 16, { immediate: true }),
  form('dppd', [0x66, 0x0f, 0x3a, 0x41, 0xc1], 'double', 16, 16, 16, { immediate: true }),
  form('ucomiss', [0x0f, 0x2e, 0xc1], 'single', 4, 4, 8, { to: 'flags' }), form('ucomisd', [0x66, 0x0f, 0x2e, 0xc1], 'double', 8, 8, 8, { to: 'flags' }),
  form('comiss', [0x0f, 0x2f, 0xc1], 'single', 4, 4, 8, { to: 'flags' }), form('comisd', [0x66, 0x0f, 0x2f, 0xc1], 'double', 8, 8, 8, { to: 'flags' }),
  form('cvtss2sd', [0xf3, 0x0f, 0x5a, 0xc1], 'single', 0, 4, 8), form('cvtps2pd', [0x0f, 0x5a, 0xc1], 'single', 0, 8, 16),
  form('cvtsd2ss', [0xf2, 0x0f, 0x5a, 0xc1], 'double', 0, 8, 4), form('cvtpd2ps', [0x66, 0x0f, 0x5a, 0xc1], 'double', 0, 16, 16),
  form('cvtdq2ps', [0x0f, 0x5b, 0xc1], 'int32', 0, 16, 16), form('cvtdq2pd', [0xf3, 0x0f, 0xe6, 0xc1], 'int32', 0, 8, 16),
  form('cvtps2dq', [0x66, 0x0f, 0x5b, 0xc1], 'single', 0, 16, 16), form('cvttps2dq', [0xf3, 0x0f, 0x5b, 0xc1], 'single', 0, 16, 16),
  form('cvtpd2dq', [0xf2, 0x0f, 0xe6, 0xc1], 'double', 0, 16, 16), form('cvttpd2dq', [0x66, 0x0f, 0xe6, 0xc1], 'double', 0, 16, 16),
  form('cvtpi2ps', [0x0f, 0x2a, 0x07], 'int32', 0, 8, 8, { from: 'memory' }), form('cvtpi2pd', [0x66, 0x0f, 0x2a, 0x07], 'int32', 0, 8, 16, { from: 'memory' }),
  form('cvtps2pi', [0x0f, 0x2d, 0xc1], 'single', 0, 8, 8, { to: 'mm' }), form('cvttps2pi', [0x0f, 0x2c, 0xc1], 'single', 0, 8, 8, { to: 'mm' }),
  form('cvtpd2pi', [0x66, 0x0f, 0x2d, 0xc1], 'double', 0, 16, 8, { to: 'mm' }), form('cvttpd2pi', [0x66, 0x0f, 0x2c, 0xc1], 'double', 0, 16, 8, { to: 'mm' }),
  form('cvtsi2ss_32', [0xf3, 0x0f, 0x2a, 0xc0], 'int32', 0, 4, 4, RAX_FROM), form('cvtsi2ss_64', [0xf3, 0x48, 0x0f, 0x2a, 0xc0], 'int64', 0, 8, 4, RAX_FROM),
  form('cvtsi2sd_32', [0xf2, 0x0f, 0x2a, 0xc0], 'int32', 0, 4, 8, RAX_FROM), form('cvtsi2sd_64', [0xf2, 0x48, 0x0f, 0x2a, 0xc0], 'int64', 0, 8, 8, RAX_FROM),
  form('cvtss2si_32', [0xf3, 0x0f, 0x2d, 0xc1], 'single', 0, 4, 8, RAX_TO), form('cvtss2si_64', [0xf3, 0x48, 0x0f, 0x2d, 0xc1], 'single', 0, 4, 8, RAX_TO),
  form('cvttss2si_32', [0xf3, 0x0f, 0x2c, 0xc1], 'single', 0, 4, 8, RAX_TO), form('cvttss2si_64', [0xf3, 0x48, 0x0f, 0x2c, 0xc1], 'single', 0, 4, 8, RAX_TO),
  form('cvtsd2si_32', [0xf2, 0x0f, 0x2d, 0xc1], 'double', 0, 8, 8, RAX_TO), form('cvtsd2si_64', [0xf2, 0x48, 0x0f, 0x2d, 0xc1], 'double', 0, 8, 8, RAX_TO),
  form('cvttsd2si_32', [0xf2, 0x0f, 0x2c, 0xc1], 'double', 0, 8, 8, RAX_TO), form('cvttsd2si_64', [0xf2, 0x48, 0x0f, 0x2c, 0xc1], 'double', 0, 8, 8, RAX_TO),
];

export interface SseCase {
  readonly form: SseForm;
  readonly immediate: number;
  readonly mxcsr: number;
  readonly first: Uint8Array;
  readonly second: Uint8Array;
}

/** What is kept of a run. */
export interface SseResult {
  readonly result: Uint8Array;
  readonly mxcsr: number;
  readonly fault: number;
}

export function randomSseCase(random: Random, form: SseForm): SseCase {
  const first = new Uint8Array(16),
    second = new Uint8Array(16);
  if (form.operands === 'single') {
    for (let i = 0; i < 4; i++) {
      const [a, b] = ieeePair(random, 8, 23);
      first.set(toBytes(a, 4), 4 * i);
      second.set(toBytes(b, 4), 4 * i);
    }
  } else if (form.operands === 'double') {
    for (let i = 0; i < 2; i++) {
      const [a, b] = ieeePair(random, 11, 52);
      first.set(toBytes(a, 8), 8 * i);
      second.set(toBytes(b, 8), 8 * i);
    }
  } else {
    const bytes = form.operands === 'int32' ? 4 : 8;
    for (let i = 0; i < 16; i += bytes) {
      const shift = BigInt(random.below(8 * bytes));
      const value = BigInt.asIntN(8 * bytes, random.chance(4) ? 1n << shift : random.bits(8 * bytes)) >> shift;
      second.set(toBytes(BigInt.asUintN(8 * bytes, value + BigInt(random.below(3) - 1)), bytes), i);
    }
  }
  let mxcsr = 0x1f80 | (random.below(4) << 13);
  if (random.chance(4)) mxcsr |= 1 << 6;
  if (random.chance(4)) mxcsr |= 1 << 15;
  if (random.chance(4)) mxcsr ^= random.below(64) << 7;
  if (random.chance(8)) mxcsr |= random.below(64);
  return {
    form,
    mxcsr,
    first,
    second,
    immediate: form.immediate ? random.below(form.name.startsWith('cmp') ? 8 : 256) : 0,
  };
}

export function sseExchange(c: SseCase): Exchange {
  const e = blank(c.form.immediate ? [...c.form.code, c.immediate] : c.form.code);
  e.mxcsr = c.mxcsr;
  e.xmm[0]!.set(c.first);
  e.xmm[1]!.set(c.second);
  e.memory.set(c.second);
  e.rax = new DataView(c.second.buffer).getBigUint64(0, true);
  return e;
}

/** The part of the outcome that is the operation's. On a fault there is no result. */
export function sseResult(form: SseForm, outcome: Outcome): SseResult {
  const result = new Uint8Array(16);
  if (!outcome.fault) {
    switch (form.to) {
      case 'xmm':
        result.set(outcome.xmm[0]!);
        break;
      case 'rax':
        result.set(toBytes(outcome.rax, 8));
        break;
      case 'flags':
        result.set(toBytes(BigInt(outcome.rflags & 0x8d5), 8));
        break;
      case 'mm':
        result.set(outcome.st[0]!.subarray(0, 8));
        break;
    }
  }
  return { result: result.slice(0, form.result), mxcsr: outcome.mxcsr, fault: outcome.fault };
}
