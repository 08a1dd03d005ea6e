/**
 * The state a case starts from before its own operands are put in: a function of a seed and a profile. Vector files
 * store only what differs from it. Frozen together with prng.ts and values.ts.
 *
 * @module
 */
import { CODE_LOW, ENVIRONMENTS, HIGH, LONG, segmentBase } from './environment.ts';
import { CS, Flag, RBP, RSP, STATUS_FLAGS, type MachineState } from './machine-state.ts';
import { Prng } from './prng.ts';
import { edgeF32, edgeF64, edgeF80, edgeInteger } from './values.ts';

/** What the registers of a default state look like. Stored in vector files: append only. */
export const Profile = { Random: 0, Integer: 1, F32: 2, F64: 3, X87: 4, Mmx: 5 } as const;
export type Profile = (typeof Profile)[keyof typeof Profile];

/** MXCSR and x87 control word after reset: everything masked, round to nearest. */
export const MXCSR_DEFAULT = 0x1f80;
export const FCW_DEFAULT = 0x037f;

const prng = new Prng();

/** Fills `state` with the default of (environment, seed, profile); the upper halves of YMM registers are zero without `ymm`. */
export function fillDefault(
  state: MachineState,
  environmentIndex: number,
  seed: number,
  profile: Profile,
  ymm: boolean,
): void {
  const env = ENVIRONMENTS[environmentIndex];
  if (env === undefined) throw new RangeError(`environment ${environmentIndex} is not defined`);
  prng.reseed(seed, profile);
  const long = environmentIndex === LONG;
  state.bytes.fill(0);

  const edges = profile !== Profile.Random;
  for (let i = 0; i < 16; i++) state.gpr[i] = edges && prng.chance(60) ? edgeInteger(prng) : prng.u64();
  // In legacy modes the upper halves and R8..R15 do not exist.
  if (!long) {
    for (let i = 0; i < 16; i++) state.gpr[i] = i < 8 ? (state.gpr[i] as bigint) & 0xffff_ffffn : 0n;
    state.gpr[RSP] = (state.gpr[RSP] as bigint) & 0xffffn;
    state.gpr[RBP] = (state.gpr[RBP] as bigint) & 0xffffn;
  }
  const high = long && prng.chance(40) ? HIGH : 0n;
  const offset = 0x200 + prng.below(0x1a00);
  state.rip = BigInt(CODE_LOW - env.codeBase + offset) + high;
  state.rflags = Flag.IF | Flag.ONE | (prng.u32() & STATUS_FLAGS);
  for (let s = 0; s < 6; s++) state.selectors[s] = env.selectors[s] ?? 0;
  if (long) {
    state.fsBase = prng.u64() >> 17n;
    state.gsBase = prng.u64() >> 17n;
  } else {
    state.fsBase = BigInt(segmentBase(env, 4));
    state.gsBase = BigInt(segmentBase(env, 5));
  }
  fillVectors(state, profile);
  fillX87(state, profile);
  if (ymm) fillRegisters(state.ymmHigh, profile);
}

function fillVectors(state: MachineState, profile: Profile): void {
  state.mxcsr = MXCSR_DEFAULT;
  fillRegisters(state.xmm, profile);
}

function fillRegisters(halves: BigUint64Array, profile: Profile): void {
  for (let i = 0; i < 32; i++) {
    let value: bigint;
    switch (profile) {
      case Profile.F32:
        value = BigInt(edgeF32(prng)) | (BigInt(edgeF32(prng)) << 32n);
        break;
      case Profile.F64:
        value = edgeF64(prng);
        break;
      case Profile.Integer:
        value = prng.chance(50) ? edgeInteger(prng) : prng.u64();
        break;
      case Profile.Random:
      case Profile.X87:
      case Profile.Mmx:
        value = prng.u64();
        break;
    }
    halves[i] = value;
  }
}

function fillX87(state: MachineState, profile: Profile): void {
  state.fcw = FCW_DEFAULT;
  state.fsw = 0;
  state.ftw = profile === Profile.X87 || profile === Profile.Mmx ? 0xff : 0;
  for (let i = 0; i < 8; i++) {
    let exponent: number, significand: bigint;
    if (profile === Profile.X87) {
      [exponent, significand] = edgeF80(prng);
    } else {
      exponent = profile === Profile.Mmx ? 0xffff : prng.below(0x10000);
      significand = profile === Profile.Mmx && prng.chance(60) ? edgeInteger(prng) : prng.u64();
    }
    state.st[i * 2] = significand;
    state.st[i * 2 + 1] = BigInt(exponent);
  }
}

/** Linear address of the instruction of a state. */
export function codeLinear(state: MachineState, environmentIndex: number): bigint {
  const env = ENVIRONMENTS[environmentIndex];
  return state.rip + BigInt(env === undefined ? 0 : segmentBase(env, CS));
}
