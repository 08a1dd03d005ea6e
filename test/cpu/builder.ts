/**
 * Puts one case together: registers, memory operand, prefixes, bytes.
 *
 * The order is: `begin`, operands and their values, `address` for a memory operand (it takes base and index registers
 * over), then `finish`. A builder is used for one case and thrown away.
 *
 * @module
 */
import type { CaseInput, Comparison, Patch } from './case.ts';
import { fillDefault, type Profile } from './default-state.ts';
import {
  CODE_LOW,
  DATA_LOW,
  DATA_START,
  DATA_WRITABLE_BYTES,
  ENVIRONMENTS,
  HIGH,
  LONG,
  PAGE_BYTES,
  segmentBase,
  type Environment,
} from './environment.ts';
import { CS, DS, ES, FS, GS, MachineState, RBP, RBX, RDI, RSI, RSP, SS } from './machine-state.ts';
import type { VexSpec } from './forms/form.ts';
import type { Prng } from './prng.ts';
import { INTEGER_EDGES } from './values.ts';

const SEGMENT_PREFIX = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
/** Base and index by ModRM.rm of 16-bit addressing, SDM vol. 2A, table 2-1. */
const PAIR16: readonly (readonly [number, number])[] = [
  [RBX, RSI],
  [RBX, RDI],
  [RBP, RSI],
  [RBP, RDI],
  [-1, RSI],
  [-1, RDI],
  [RBP, -1],
  [RBX, -1],
];

/** Where a memory operand lies and what comes of it. */
export interface Target {
  /** Linear address. */
  readonly linear: bigint;
  readonly bytes: number;
}

/** An operand that can be read and written before the case is finished. */
export interface Place {
  readonly bytes: number;
  get(): bigint;
  set(value: bigint): void;
}

const mask = (bytes: number): bigint => (1n << BigInt(bytes * 8)) - 1n;
export const truncate = (value: bigint, bytes: number): bigint => BigInt.asUintN(bytes * 8, value);

/** Bits 63..47 are equal. */
const isCanonical = (address: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;

export class CaseBuilder {
  readonly prng: Prng;
  readonly environment: number;
  readonly env: Environment;
  readonly state = new MachineState();
  readonly long: boolean;
  readonly #seed: number;
  readonly #profile: Profile;

  /** Legacy prefixes in order, without the mandatory one. */
  prefixes: number[] = [];
  /** F2, F3 or 66 that belongs to the opcode, or 0. */
  mandatory = 0;
  /** REX bits WRXB. */
  rex = 0;
  /** Emit a REX prefix even when no bit is set (SPL..DIL). */
  forceRex = false;
  opcode: readonly number[] = [];
  modrmReg = -1;
  modrmMod = 3;
  modrmRm = 0;
  #sib = -1;
  #displacement: number[] = [];
  #ripTarget: bigint | undefined;
  immediate: number[] = [];
  /** Segment of the memory operand, after overrides. */
  segment: number = DS;

  /** Operand and address size in bytes. */
  operandBytes: number;
  addressBytes: number;
  /** Registers with a role of their own, which `address` avoids mostly; pinned ones it never takes. */
  readonly reserved = new Set<number>();
  readonly pinned = new Set<number>();
  /** No REX prefix may be emitted: AH..BH are in use. */
  noRex = false;
  comparison: Comparison = { flags: -1 };
  target: Target | undefined;
  readonly #memory = new Map<number, number>();

  /** A VEX prefix instead of REX, mandatory prefix and escape bytes. */
  vex: VexSpec | undefined;
  /** Register in VEX.vvvv. */
  vvvv = 0;

  constructor(prng: Prng, environment: number, seed: number, profile: Profile, ymm: boolean) {
    this.prng = prng;
    this.environment = environment;
    this.env = ENVIRONMENTS[environment];
    this.long = environment === LONG;
    this.#seed = seed;
    this.#profile = profile;
    this.operandBytes = this.env.bits === 16 ? 2 : 4;
    this.addressBytes = this.env.bits / 8;
    fillDefault(this.state, environment, seed, profile, ymm);
  }

  /** Number of general registers of the mode. */
  get registers(): number {
    return this.long ? 16 : 8;
  }

  /** True when code and data of this case are at the upper mapping. */
  get high(): boolean {
    return this.state.rip >= HIGH;
  }

  /** Sets the operand size and the prefixes it takes; 8 needs 64-bit mode. `default64`: PUSH, near branches. */
  setOperandSize(bytes: 2 | 4 | 8, default64 = false): void {
    this.operandBytes = bytes;
    const natural = this.env.bits === 16 ? 2 : 4;
    if (bytes === 8) {
      if (!default64) this.rex |= 8;
    } else if (bytes !== natural) {
      this.prefixes.push(0x66);
    }
  }

  /** Uses the other address size (67 prefix). */
  flipAddressSize(): void {
    this.prefixes.push(0x67);
    this.addressBytes = this.long ? 4 : this.env.bits === 32 ? 2 : 4;
  }

  /** A general register as an operand. Byte registers 4..7 are AH..BH unless a REX prefix is there. */
  gpr(n: number, bytes: number): Place {
    const { gpr } = this.state;
    const highByte = bytes === 1 && n >= 4 && n < 8 && !this.forceRex && this.rex === 0;
    const at = highByte ? n - 4 : n,
      shift = highByte ? 8n : 0n;
    return {
      bytes,
      get: () => truncate(gpr[at] >> shift, bytes),
      set: (value) => {
        gpr[at] = (gpr[at] & ~(mask(bytes) << shift)) | (truncate(value, bytes) << shift);
      },
    };
  }

  /** The memory operand at `target` as a place; writes outside the writable pages vanish. */
  memory(target: Target, at = 0, bytes = target.bytes): Place {
    const first = this.offsetOf(target.linear) + at;
    return {
      bytes,
      get: () => {
        let value = 0n;
        for (let i = 0; i < bytes; i++) value |= BigInt(this.#memory.get(first + i) ?? 0) << BigInt(i * 8);
        return value;
      },
      set: (value) => {
        for (let i = 0; i < bytes; i++) this.poke(first + i, Number((value >> BigInt(i * 8)) & 0xffn));
      },
    };
  }

  /** Offset from DATA_START of a linear address in either mapping. */
  offsetOf(linear: bigint): number {
    return Number((linear >= HIGH ? linear - HIGH : linear) - BigInt(DATA_START));
  }

  /** Sets a byte of the writable pages; others are left alone. */
  poke(offset: number, byte: number): void {
    if (offset >= 0 && offset < DATA_WRITABLE_BYTES) this.#memory.set(offset, byte);
  }

  pokeAll(offset: number, bytes: Uint8Array): void {
    bytes.forEach((byte, i) => this.poke(offset + i, byte));
  }

  /** A place in memory for an access: mostly fine, sometimes misaligned, over a page's end, or faulting. */
  chooseTarget(bytes: number, options: { readonly aligned?: boolean; readonly faults?: boolean } = {}): Target {
    const { prng } = this;
    const roll = options.faults === false ? prng.below(options.aligned === true ? 60 : 80) : prng.below(100);
    const inside = (unit: number): number =>
      PAGE_BYTES + Math.floor(prng.below(DATA_WRITABLE_BYTES - bytes) / unit) * unit;
    const unit = Math.min(bytes & -bytes, 16);
    const straddle = (at: number): number => at - (bytes > 1 ? 1 + prng.below(Math.min(bytes, 64) - 1) : 1);
    const limit = options.aligned === true ? 74 : 60;
    let offset: number;
    if (roll < limit) offset = inside(Math.max(unit, options.aligned === true ? 16 : 1));
    else if (roll < 76) offset = inside(1);
    else if (roll < 81) offset = straddle(2 * PAGE_BYTES);
    else if (roll < 84) offset = straddle(PAGE_BYTES);
    else if (roll < 88) offset = straddle(3 * PAGE_BYTES);
    else if (roll < 91) offset = 3 * PAGE_BYTES + prng.below(PAGE_BYTES - bytes);
    else if (roll < 93) offset = straddle(4 * PAGE_BYTES);
    else if (roll < 97 || !this.long) offset = prng.below(2) * 4 * PAGE_BYTES + prng.below(PAGE_BYTES);
    else {
      // Not canonical: bits 63..47 differ. Far enough from the boundary that the whole access is.
      const top = 1n + (prng.u64() % 0xfffen);
      return {
        linear: (top << 48n) | (prng.u64() & 0x3fff_ffff_f000n) | 0x4000_0000_0000n | BigInt(prng.below(0x800) * 2),
        bytes,
      };
    }
    const high = this.long && (this.high ? prng.chance(85) : prng.chance(30));
    return { linear: BigInt(DATA_LOW + offset) + (high ? HIGH : 0n), bytes };
  }

  /**
   * Encodes a memory operand at `target` and gives base and index registers the values it takes. The segment may get
   * an override prefix.
   */
  address(target: Target): void {
    this.target = target;
    const override = this.#chooseOverride();
    if (this.addressBytes === 2) this.#address16(target, override);
    else this.#address32(this.#reachable(target, override), override);
  }

  /**
   * In 64-bit mode a 32-bit address reaches only the low mapping unless FS or GS adds to it. Cutting the address
   * off would point the access at the recorder's own memory.
   */
  #reachable(target: Target, override: number): Target {
    if (!this.long || this.addressBytes !== 4 || override >= FS || target.linear < 1n << 32n) return target;
    const low = target.linear - HIGH;
    const near = low >= 0n && low < BigInt(DATA_LOW + 5 * PAGE_BYTES);
    return { ...target, linear: near ? low : BigInt(DATA_LOW + 0x80) };
  }

  /** An override prefix (or -1), already among the prefixes. */
  #chooseOverride(): number {
    const { prng } = this;
    const rate = this.addressBytes === 2 && this.env.bits === 32 ? 80 : this.long ? 14 : 25;
    if (!prng.chance(rate)) return -1;
    let segment: number;
    if (this.addressBytes === 2 && this.env.bits === 32) segment = prng.pick([FS, FS, FS, GS]);
    else segment = prng.pick([FS, GS, FS, GS, ES, CS, SS, DS]);
    this.prefixes.push(SEGMENT_PREFIX[segment]);
    return segment;
  }

  /** Effective address that reaches `linear` through a segment; FS and GS of 64-bit mode get a base that fits. */
  #effective(linear: bigint, segment: number): bigint {
    if (!this.long) return BigInt.asUintN(32, linear - BigInt(segmentBase(this.env, segment)));
    if (segment !== FS && segment !== GS) return linear;
    const { prng, state } = this;
    let base = segment === FS ? state.fsBase : state.gsBase;
    if (this.addressBytes === 4) {
      // A 32-bit effective address is zero-extended before the base is added.
      const wanted = BigInt.asUintN(64, linear - BigInt(prng.u32()));
      if (isCanonical(wanted)) base = wanted;
    }
    if (segment === FS) state.fsBase = base;
    else state.gsBase = base;
    return BigInt.asUintN(64, linear - base);
  }

  /** ES, CS, SS and DS overrides mean nothing in 64-bit mode. */
  #segmentFor(override: number, base: number): number {
    const natural = base === RSP || base === RBP ? SS : DS;
    if (override < 0 || (this.long && override < FS)) return natural;
    return override;
  }

  #address16(target: Target, override: number): void {
    const { prng, state } = this;
    this.modrmMod = prng.below(3);
    do this.modrmRm = prng.below(8);
    while (PAIR16[this.modrmRm].some((n) => this.pinned.has(n)));
    const [base, index] = PAIR16[this.modrmRm];
    const absolute = this.modrmMod === 0 && this.modrmRm === 6;
    this.segment = this.#segmentFor(override, absolute ? -1 : base);
    const wanted = truncate(this.#effective(target.linear, this.segment), 2);
    let rest = wanted;
    if (this.modrmMod === 1) {
      const displacement = prng.below(256);
      this.#displacement = [displacement];
      rest -= BigInt.asIntN(8, BigInt(displacement));
    } else if (this.modrmMod === 2) {
      const displacement = BigInt(prng.below(0x10000));
      this.#displacement = bytesOf(displacement, 2);
      rest -= displacement;
    } else if (absolute) {
      this.#displacement = bytesOf(wanted, 2);
      return;
    }
    const set = (n: number, value: bigint): void => {
      state.gpr[n] = (state.gpr[n] & ~0xffffn) | truncate(value, 2);
    };
    if (base >= 0 && index >= 0) {
      const value = prng.pick(INTEGER_EDGES);
      set(index, value);
      rest -= value;
      set(base, rest);
    } else {
      set(base >= 0 ? base : index, rest);
    }
  }

  #pickRegister(not: number): number {
    for (let tries = 0; ; tries++) {
      const n = this.prng.below(this.noRex ? 8 : this.registers);
      if (n === not || this.pinned.has(n) || (tries < 20 && this.reserved.has(n))) continue;
      // RSP and RBP have encodings of their own: make them as frequent as the rest together.
      if (this.prng.chance(12)) {
        const special = this.prng.pick(this.long && !this.noRex ? [RSP, RBP, 12, 13] : [RSP, RBP]);
        if (special !== not && !this.reserved.has(special) && !this.pinned.has(special)) return special;
      }
      return n;
    }
  }

  /** A register value: the given one in the address size, with anything above it in 64-bit mode. */
  #setAddressRegister(n: number, value: bigint): void {
    const { state, prng } = this;
    if (!this.long) state.gpr[n] = truncate(value, 4);
    else if (this.addressBytes === 4) state.gpr[n] = truncate(value, 4) | (BigInt(prng.u32()) << 32n);
    else state.gpr[n] = truncate(value, 8);
  }

  #address32(target: Target, override: number): void {
    const { prng } = this;
    const size = this.addressBytes;
    const shape = prng.below(10);
    const low = target.linear < 0x7fff_0000n;
    if (this.long && shape === 0 && this.#tryRip(target, override)) return;
    if (shape <= 1 && low && override < FS) {
      this.#absolute(target, override);
      return;
    }
    if (shape === 2 && this.#indexOnly(target, override)) return;

    const base = this.#pickRegister(-1);
    this.segment = this.#segmentFor(override, base);
    const wanted = this.#effective(target.linear, this.segment);
    let rest = wanted;
    const mod = base % 8 === RBP ? 1 + prng.below(2) : prng.below(3);
    if (mod === 1) {
      const displacement = prng.pick([0, 1, 0x7f, 0x80, 0xff, prng.below(256)]);
      this.#displacement = [displacement];
      rest -= BigInt.asIntN(8, BigInt(displacement));
    } else if (mod === 2) {
      const displacement = prng.pick([0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, prng.u32(), prng.u32() >>> 16]);
      this.#displacement = bytesOf(BigInt(displacement), 4);
      rest -= BigInt.asIntN(32, BigInt(displacement));
    }
    this.modrmMod = mod;
    const indexed = prng.chance(45);
    if (indexed) {
      let index = this.#pickRegister(base);
      while (index === RSP) index = this.#pickRegister(base);
      const scale = prng.below(4);
      const value = prng.chance(50) ? prng.pick(INTEGER_EDGES) : prng.u64();
      this.#setAddressRegister(index, value);
      rest -= truncate(this.state.gpr[index], size) << BigInt(scale);
      this.#encodeSib(base, index, scale);
    } else if (base % 8 === RSP) {
      this.#encodeSib(base, -1, prng.below(4));
    } else if (prng.chance(8)) {
      this.#encodeSib(base, -1, prng.below(4));
    } else {
      this.modrmRm = base % 8;
      if (base >= 8) this.rex |= 1;
    }
    this.#setAddressRegister(base, truncate(rest, size));
  }

  #encodeSib(base: number, index: number, scale: number): void {
    this.modrmRm = 4;
    this.#sib = (scale << 6) | ((index < 0 ? 4 : index % 8) << 3) | (base % 8);
    if (base >= 8) this.rex |= 1;
    if (index >= 8) this.rex |= 2;
  }

  #tryRip(target: Target, override: number): boolean {
    if (override >= FS) return false;
    // With a 67 prefix the sum is cut to 32 bits, so the low mapping can be reached from code in the high one.
    const from = this.addressBytes === 4 ? truncate(this.state.rip, 4) : this.state.rip;
    const distance = target.linear - from;
    if (distance > 0x7000_0000n || distance < -0x7000_0000n) return false;
    this.segment = DS;
    this.modrmMod = 0;
    this.modrmRm = 5;
    this.#displacement = [0, 0, 0, 0];
    this.#ripTarget = target.linear;
    return true;
  }

  /** disp32 alone: by ModRM in legacy modes, by a SIB without base and index in 64-bit mode. */
  #absolute(target: Target, override: number): void {
    this.segment = this.#segmentFor(override, -1);
    const wanted = this.#effective(target.linear, this.segment);
    this.modrmMod = 0;
    this.#displacement = bytesOf(wanted, 4);
    if (this.long || this.prng.chance(30)) {
      this.modrmRm = 4;
      this.#sib = (this.prng.below(4) << 6) | 0x25;
    } else {
      this.modrmRm = 5;
    }
  }

  /** index * scale + disp32, no base. */
  #indexOnly(target: Target, override: number): boolean {
    const { prng } = this;
    let index = this.#pickRegister(RSP);
    while (index === RSP) index = this.#pickRegister(RSP);
    this.segment = this.#segmentFor(override, -1);
    const wanted = this.#effective(target.linear, this.segment);
    const scale = prng.below(4);
    const step = (1n << BigInt(scale)) - 1n;
    let displacement = BigInt.asIntN(32, BigInt(prng.u32()));
    displacement = (displacement & ~step) | (wanted & step);
    const size = this.addressBytes;
    const value = truncate(wanted - displacement, size) >> BigInt(scale);
    this.modrmMod = 0;
    this.modrmRm = 4;
    this.#sib = (scale << 6) | ((index % 8) << 3) | 5;
    if (index >= 8) this.rex |= 2;
    this.#displacement = bytesOf(BigInt.asUintN(32, displacement), 4);
    this.#setAddressRegister(index, value);
    return true;
  }

  /** An absolute offset after the opcode (MOV AL, moffs). */
  moffs(target: Target): void {
    this.target = target;
    const override = this.#chooseOverride();
    this.segment = this.#segmentFor(override, -1);
    const wanted = truncate(this.#effective(target.linear, this.segment), this.addressBytes);
    this.immediate = bytesOf(wanted, this.addressBytes);
  }

  /** Segment override for implicit memory operands (XLAT, string sources); returns the effective address for `linear`. */
  implicitAddress(target: Target, natural: number, allowOverride: boolean): bigint {
    this.target = target;
    const override = allowOverride ? this.#chooseOverride() : -1;
    this.segment = override < 0 || (this.long && override < FS) ? natural : override;
    return truncate(this.#effective(target.linear, this.segment), this.addressBytes);
  }

  /** Puts an address-size value into a register, with noise above it where that is ignored. */
  setPointer(n: number, value: bigint): void {
    if (this.addressBytes === 2) this.state.gpr[n] = (this.state.gpr[n] & ~0xffffn) | truncate(value, 2);
    else this.#setAddressRegister(n, value);
  }

  /** Encodes [rSP + disp8] without touching RSP. */
  addressOnStack(displacement: number): void {
    this.modrmMod = 1;
    this.#encodeSib(RSP, -1, 0);
    this.#displacement = [displacement & 0xff];
  }

  /** Value of RSP that puts `linear` on top of the stack. */
  stackPointer(linear: bigint): bigint {
    if (this.long) return linear;
    return BigInt.asUintN(32, linear - BigInt(segmentBase(this.env, SS)));
  }

  /** Moves the instruction to a linear offset in the code pages, keeping the mapping. */
  placeCode(offset: number): void {
    this.state.rip = BigInt(CODE_LOW + offset - this.env.codeBase) + (this.high ? HIGH : 0n);
  }

  /** Code bytes so far. */
  #assemble(): Uint8Array {
    const out = [...this.prefixes];
    if (this.mandatory !== 0) out.push(this.mandatory);
    if (this.vex !== undefined) out.push(...this.#vexBytes(this.vex));
    else if (this.rex !== 0 || this.forceRex) out.push(0x40 | this.rex);
    out.push(...this.opcode);
    if (this.modrmReg >= 0) {
      out.push((this.modrmMod << 6) | ((this.modrmReg & 7) << 3) | (this.modrmRm & 7));
      if (this.#sib >= 0) out.push(this.#sib);
      if (this.#ripTarget !== undefined) {
        const length = BigInt(out.length + 4 + this.immediate.length);
        out.push(...bytesOf(BigInt.asUintN(32, this.#ripTarget - this.state.rip - length), 4));
      } else {
        out.push(...this.#displacement);
      }
    }
    out.push(...this.immediate);
    return Uint8Array.from(out);
  }

  /** Ignored bits of VEX, for every assembly of the case alike. */
  readonly vexNoise = { l: 0, w: 0, short: true, b: 0 };

  #vexBytes({ l, pp, map, w }: VexSpec): number[] {
    const { rex, vexNoise } = this;
    const wide = w >= 0 ? w : (rex & 8) !== 0 ? 1 : vexNoise.w;
    const low = ((~this.vvvv & 15) << 3) | ((l >= 0 ? l : vexNoise.l) << 2) | pp;
    if (map === 1 && wide === 0 && (rex & 3) === 0 && vexNoise.short) return [0xc5, ((~rex & 4) << 5) | low];
    const inverted = (~rex & 7) ^ (this.long ? 0 : vexNoise.b);
    return [0xc4, (inverted << 5) | map, (wide << 7) | low];
  }

  /** A memory operand at `target` with a vector register as index: base register + vector * scale + displacement. Returns the value of the base and displacement. */
  addressWithVector(target: Target, index: number, scale: number): bigint {
    const { prng } = this;
    this.target = target;
    const override = this.#chooseOverride();
    const at = this.#reachable(target, override);
    let base = this.#pickRegister(-1);
    while (base % 8 === RSP) base = this.#pickRegister(-1);
    this.segment = this.#segmentFor(override, base);
    const wanted = this.#effective(at.linear, this.segment);
    let rest = wanted;
    this.modrmMod = base % 8 === RBP ? 1 + prng.below(2) : prng.below(3);
    if (this.modrmMod === 1) {
      const displacement = prng.below(256);
      this.#displacement = [displacement];
      rest -= BigInt.asIntN(8, BigInt(displacement));
    } else if (this.modrmMod === 2) {
      const displacement = prng.u32();
      this.#displacement = bytesOf(BigInt(displacement), 4);
      rest -= BigInt.asIntN(32, BigInt(displacement));
    }
    this.modrmRm = 4;
    this.#sib = (scale << 6) | ((index % 8) << 3) | (base % 8);
    if (base >= 8) this.rex |= 1;
    if (index >= 8) this.rex |= 2;
    this.#setAddressRegister(base, truncate(rest, this.addressBytes));
    return at.linear;
  }

  /** Length of the instruction as it stands. */
  get length(): number {
    return this.#assemble().length;
  }

  /** The finished case, or undefined when its bytes do not fit (too long, or REX with AH..BH). */
  finish(form: string, limit = 15): CaseInput | undefined {
    if (this.vex === undefined && this.noRex && (this.rex !== 0 || this.forceRex)) return undefined;
    const code = this.#assemble();
    if (code.length > limit) return undefined;
    return this.finishRaw(form, code);
  }

  /** A case of given bytes. */
  finishRaw(form: string, code: Uint8Array): CaseInput {
    return {
      form,
      environment: this.environment,
      seed: this.#seed,
      profile: this.#profile,
      code,
      initial: this.state,
      patches: this.#patches(),
      comparison: this.comparison,
    };
  }

  #patches(): Patch[] {
    const patches: Patch[] = [];
    const offsets = [...this.#memory.keys()].sort((a, b) => a - b);
    for (let i = 0; i < offsets.length; ) {
      let end = i + 1;
      while (end < offsets.length && offsets[end] === offsets[end - 1] + 1) end++;
      const bytes = offsets.slice(i, end).map((at) => this.#memory.get(at) as number);
      patches.push({ offset: offsets[i], bytes: Uint8Array.from(bytes) });
      i = end;
    }
    return patches;
  }
}

export function bytesOf(value: bigint, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Number((value >> BigInt(i * 8)) & 0xffn));
}

export { CS, DS, ES, FS, GS, SS };
