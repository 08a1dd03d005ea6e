/**
 * Decodes one instruction (SDM volume 2A, chapter 2).
 *
 * The decoder owns one `Decoded` and fills it anew each time: read what you need before the next call.
 *
 * @module
 */
import { CS, DS, ES, FS, GS, SS } from '../state.ts';
import { type DecodeTable, type Encoding, type OperandSpec, VEX_MAP } from './table.ts';

export type CodeSize = 16 | 32 | 64;

/** Why bytes do not decode: unknown or invalid (#UD), longer than 15 bytes (#GP), or the bytes ran out. */
export type DecodeFailure = 'undefined' | 'too-long' | 'truncated';

export class Decoded {
  encoding!: Encoding;
  length = 0;
  /** Operand size in bytes: 2, 4, 8; 1 for byte instructions. */
  operandSize = 4;
  addressSize: 2 | 4 | 8 = 8;
  rex = 0;
  lock = false;
  /** Last of F2 / F3, or 0. */
  rep = 0;
  operandPrefix = false;
  addressPrefix = false;
  /** Segment override, or -1. */
  segmentOverride = -1;
  modrm = 0;
  mod = 0;
  /** ModRM.reg and ModRM.rm (or the opcode's register), REX applied. */
  reg = 0;
  rm = 0;
  /** Register in VEX.vvvv, and the one in the upper half of the immediate byte. */
  vvvv = 0;
  immediateRegister = 0;
  /** Memory operand: register numbers or -1; scale is log2. With `encoding.vsib` the index is an XMM register. */
  base = -1;
  index = -1;
  scale = 0;
  /** Signed 32-bit displacement; for moffs the whole offset is in the immediate. */
  displacement = 0;
  ripRelative = false;
  /** Segment of the memory operand: override, or SS for RSP/RBP bases, else DS. */
  segment = DS;
  /** Immediate as two signed halves, extended as the encoding says; branch displacement; moffs; far pointer offset. */
  immediateLow = 0;
  immediateHigh = 0;
  /** Second immediate: ENTER's level, a far pointer's selector. */
  immediate2 = 0;
  /** True when ModRM names memory. */
  hasMemory = false;
  opcode = 0;

  get row() {
    return this.encoding.row;
  }

  /** A copy that the next instruction does not overwrite. */
  clone(): Decoded {
    const copy = new Decoded();
    copy.encoding = this.encoding;
    copy.length = this.length;
    copy.operandSize = this.operandSize;
    copy.addressSize = this.addressSize;
    copy.rex = this.rex;
    copy.lock = this.lock;
    copy.rep = this.rep;
    copy.operandPrefix = this.operandPrefix;
    copy.addressPrefix = this.addressPrefix;
    copy.segmentOverride = this.segmentOverride;
    copy.modrm = this.modrm;
    copy.mod = this.mod;
    copy.reg = this.reg;
    copy.rm = this.rm;
    copy.vvvv = this.vvvv;
    copy.immediateRegister = this.immediateRegister;
    copy.base = this.base;
    copy.index = this.index;
    copy.scale = this.scale;
    copy.displacement = this.displacement;
    copy.ripRelative = this.ripRelative;
    copy.segment = this.segment;
    copy.immediateLow = this.immediateLow;
    copy.immediateHigh = this.immediateHigh;
    copy.immediate2 = this.immediate2;
    copy.hasMemory = this.hasMemory;
    copy.opcode = this.opcode;
    return copy;
  }

  get operands(): readonly OperandSpec[] {
    return this.encoding.operands;
  }
}

/** What a byte is in front of an opcode: nothing, a prefix of the kinds below, or the override of segment `kind - SEGMENT_PREFIX`. */
// biome-ignore format: a table
const NO_PREFIX = 0, OPERAND_SIZE = 1, ADDRESS_SIZE = 2, LOCK = 3, REPEAT = 4, REX = 5, SEGMENT_PREFIX = 6;
const PREFIXES = new Uint8Array(256);
PREFIXES[0x66] = OPERAND_SIZE;
PREFIXES[0x67] = ADDRESS_SIZE;
PREFIXES[0xf0] = LOCK;
PREFIXES[0xf2] = REPEAT;
PREFIXES[0xf3] = REPEAT;
PREFIXES.fill(REX, 0x40, 0x50);
for (const [byte, segment] of [
  [0x26, ES],
  [0x2e, CS],
  [0x36, SS],
  [0x3e, DS],
  [0x64, FS],
  [0x65, GS],
] as const) {
  PREFIXES[byte] = SEGMENT_PREFIX + segment;
}
/** Mandatory prefixes as VEX.pp has them. */
const VEX_PREFIX = [1, 0x66, 0xf3, 0xf2];
/** Base and index of 16-bit addressing, SDM volume 2A, table 2-1. */
const BASE16 = [3, 3, 5, 5, -1, -1, 5, 3];
const INDEX16 = [6, 7, 6, 7, 6, 7, -1, -1];

export class Decoder {
  readonly table: DecodeTable;
  readonly result = new Decoded();
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #in64 = false;

  constructor(table: DecodeTable) {
    this.table = table;
  }

  /**
   * Decodes the instruction at `offset` of `bytes`, reading no further than `end`. On 'truncated' the instruction goes on
   * past `end`; bytes beyond are not looked at.
   */
  decode(bytes: Uint8Array, offset: number, end: number, codeSize: CodeSize): Decoded | DecodeFailure {
    this.#bytes = bytes;
    this.#in64 = codeSize === 64;
    this.#at = offset;
    this.#end = Math.min(end, offset + 15);
    const failure = this.#instruction(codeSize);
    if (failure !== undefined) {
      if (failure === 'truncated' && this.#at - offset >= 15) return 'too-long';
      return failure;
    }
    this.result.length = this.#at - offset;
    return this.result;
  }

  #instruction(codeSize: CodeSize): DecodeFailure | undefined {
    const d = this.result;
    const bytes = this.#bytes;
    const end = this.#end;
    d.rex = 0;
    d.lock = false;
    d.rep = 0;
    d.operandPrefix = false;
    d.addressPrefix = false;
    d.segmentOverride = -1;
    let byte: number;
    for (;;) {
      if (this.#at >= end) return 'truncated';
      byte = bytes[this.#at++] as number;
      const prefix = PREFIXES[byte] as number;
      if (prefix === NO_PREFIX) break;
      if (prefix === REX) {
        if (codeSize !== 64) break;
        d.rex = byte;
        continue;
      }
      d.rex = 0;
      if (prefix === OPERAND_SIZE) d.operandPrefix = true;
      else if (prefix === ADDRESS_SIZE) d.addressPrefix = true;
      else if (prefix === LOCK) d.lock = true;
      else if (prefix === REPEAT) d.rep = byte;
      // In 64-bit code only FS and GS mean anything, and the others do not cancel them.
      else if (codeSize !== 64 || prefix >= SEGMENT_PREFIX + FS) d.segmentOverride = prefix - SEGMENT_PREFIX;
    }
    let map = 0;
    if (byte === 0x0f) {
      if (this.#at >= end) return 'truncated';
      byte = bytes[this.#at++] as number;
      map = 1;
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3;
        if (this.#at >= end) return 'truncated';
        byte = bytes[this.#at++] as number;
      }
    } else if ((byte & 0xfe) === 0xc4 && this.table.hasVex) {
      if (this.#at >= end) return 'truncated';
      // Outside 64-bit mode VEX takes the ModRM bytes of LES and LDS that name registers.
      if (codeSize === 64 || (bytes[this.#at] as number) >= 0xc0) return this.#vex(byte, codeSize);
    }
    d.opcode = byte;
    const candidates = this.table.candidates(map, byte);
    if (candidates === undefined) return 'undefined';
    let modrm = -1;
    const first = candidates[0] as Encoding;
    if (first.hasModrm) {
      if (this.#at >= end) return 'truncated';
      modrm = bytes[this.#at++] as number;
    }
    const encoding = this.#choose(candidates, modrm, codeSize);
    if (encoding === undefined) return 'undefined';
    d.encoding = encoding;
    d.operandSize = this.#operandSize(encoding, codeSize, (d.rex & 8) !== 0);
    const failure = this.#operands(encoding, modrm, codeSize);
    if (failure !== undefined) return failure;
    if (encoding.hasSegment && (d.modrm & 0x38) > 0x28) return 'undefined';
    if (d.lock && !(encoding.row.lock === true && d.hasMemory)) return 'undefined';
    return undefined;
  }

  /** What follows a C4 or C5 byte (SDM volume 2A, 2.3.5). */
  #vex(lead: number, codeSize: CodeSize): DecodeFailure | undefined {
    const d = this.result;
    const bytes = this.#bytes;
    // What makes the instruction invalid is found once all of it has been fetched.
    let valid = !d.lock && !d.operandPrefix && d.rep === 0 && d.rex === 0;
    const first = bytes[this.#at++] as number;
    let payload = first;
    let map = 1;
    let rex = (~first >> 5) & 4;
    let w = 0;
    if (lead === 0xc4) {
      map = first & 31;
      rex = (~first >> 5) & 7;
      if (this.#at >= this.#end) return 'truncated';
      payload = bytes[this.#at++] as number;
      w = payload >> 7;
    }
    d.vvvv = (~payload >> 3) & 15;
    if (codeSize !== 64) {
      d.vvvv &= 7;
      rex = 0;
    } else if (w !== 0) rex |= 8;
    d.rex = rex;
    if (this.#at >= this.#end) return 'truncated';
    const opcode = bytes[this.#at++] as number;
    d.opcode = opcode;
    const candidates = map >= 1 && map <= 3 ? this.table.candidates(map + VEX_MAP, opcode) : undefined;
    if (candidates === undefined) return 'undefined';
    let modrm = -1;
    if ((candidates[0] as Encoding).hasModrm) {
      if (this.#at >= this.#end) return 'truncated';
      modrm = bytes[this.#at++] as number;
    }
    let encoding = this.#chooseVex(candidates, modrm, payload & 3, w, (payload >> 2) & 1);
    if (encoding === undefined) {
      // Its neighbour is as long.
      encoding = candidates[0] as Encoding;
      valid = false;
    }
    if (!encoding.usesVvvv && (payload & 0x78) !== 0x78) valid = false;
    if (encoding.vsib && (modrm & 7) !== 4) valid = false;
    d.encoding = encoding;
    d.operandSize = (rex & 8) !== 0 ? 8 : 4;
    const failure = this.#operands(encoding, modrm, codeSize);
    if (failure !== undefined) return failure;
    if (!valid) return 'undefined';
    // Destination, mask and indices of a gather must be three registers.
    if (encoding.vsib && (d.reg === d.vvvv || d.reg === d.index || d.vvvv === d.index)) return 'undefined';
    return undefined;
  }

  #chooseVex(candidates: readonly Encoding[], modrm: number, pp: number, w: number, l: number): Encoding | undefined {
    const prefix = VEX_PREFIX[pp];
    for (const e of candidates) {
      if (e.prefix !== prefix) continue;
      if (e.l >= 0 && e.l !== l) continue;
      if (e.w >= 0 && e.w !== w) continue;
      if (e.digit >= 0 && ((modrm >> 3) & 7) !== e.digit) continue;
      if (e.form === 'register' && modrm < 0xc0) continue;
      if (e.form === 'memory' && modrm >= 0xc0) continue;
      return e;
    }
    return undefined;
  }

  /** ModRM's operands and immediates. */
  #operands(encoding: Encoding, modrm: number, codeSize: CodeSize): DecodeFailure | undefined {
    const d = this.result;
    d.addressSize = codeSize === 64 ? (d.addressPrefix ? 4 : 8) : (codeSize === 32) !== d.addressPrefix ? 4 : 2;
    d.hasMemory = false;
    d.base = -1;
    d.index = -1;
    d.scale = 0;
    d.displacement = 0;
    d.ripRelative = false;
    d.immediateLow = 0;
    d.immediateHigh = 0;
    d.immediate2 = 0;
    if (modrm >= 0) {
      d.modrm = modrm;
      d.mod = modrm >> 6;
      d.reg = ((modrm >> 3) & 7) | ((d.rex & 4) << 1);
      d.rm = (modrm & 7) | ((d.rex & 1) << 3);
      if (d.mod !== 3 && !encoding.ignoresMod) {
        d.hasMemory = true;
        const failure = this.#memory(modrm, encoding.vsib);
        if (failure !== undefined) return failure;
      }
    } else {
      d.modrm = -1;
      d.mod = 3;
      d.rm = (d.opcode & 7) | ((d.rex & 1) << 3);
    }
    for (const operand of encoding.immediates) {
      const failure = this.#immediate(operand, codeSize);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  #choose(candidates: readonly Encoding[], modrm: number, codeSize: CodeSize): Encoding | undefined {
    const d = this.result;
    for (const e of candidates) {
      if (e.row.no64 === true && codeSize === 64) continue;
      if (e.row.only64 === true && codeSize !== 64) continue;
      if (e.prefix !== 0) {
        if (e.prefix === 1) {
          if (d.operandPrefix || d.rep !== 0) continue;
        } else if (e.prefix === 2) {
          if (d.rep !== 0) continue;
        } else if (e.prefix === 0x66) {
          if (!d.operandPrefix || d.rep !== 0) continue;
        } else if (d.rep !== e.prefix) continue;
      }
      if (e.exact >= 0 && modrm !== e.exact) continue;
      if (e.digit >= 0 && ((modrm >> 3) & 7) !== e.digit) continue;
      if (e.form === 'register' && modrm < 0xc0) continue;
      if (e.form === 'memory' && modrm >= 0xc0) continue;
      if (e.noRexB && (d.rex & 1) !== 0) continue;
      if (e.w >= 0 && ((d.rex >> 3) & 1) !== e.w) continue;
      return e;
    }
    return undefined;
  }

  #operandSize(encoding: Encoding, codeSize: CodeSize, w: boolean): number {
    const { row } = encoding;
    if (row.size !== undefined) return row.size;
    const d = this.result;
    if (codeSize === 64) {
      if (row.f64 === true) return 8;
      if (w) return 8;
      if (d.operandPrefix && encoding.prefix !== 0x66) return 2;
      return row.d64 === true ? 8 : 4;
    }
    return (codeSize === 32) !== (d.operandPrefix && encoding.prefix !== 0x66) ? 4 : 2;
  }

  #memory(modrm: number, vsib: boolean): DecodeFailure | undefined {
    const d = this.result;
    const { mod } = d;
    const rm = modrm & 7;
    let displacementBytes = mod === 1 ? 1 : 0;
    let stackBase = false;
    if (d.addressSize === 2) {
      // 16-bit addresses have no SIB byte.
      if (vsib) return 'undefined';
      d.base = BASE16[rm] as number;
      d.index = INDEX16[rm] as number;
      if (d.base < 0) {
        d.base = d.index;
        d.index = -1;
      }
      if (mod === 2) displacementBytes = 2;
      if (mod === 0 && rm === 6) {
        d.base = -1;
        displacementBytes = 2;
      }
      stackBase = d.base === 5;
    } else {
      if (mod === 2) displacementBytes = 4;
      if (rm === 4) {
        if (this.#at >= this.#end) return 'truncated';
        const sib = this.#bytes[this.#at++] as number;
        d.scale = sib >> 6;
        const index = ((sib >> 3) & 7) | ((d.rex & 2) << 2);
        d.index = index === 4 && !vsib ? -1 : index;
        const base = sib & 7;
        if (base === 5 && mod === 0) displacementBytes = 4;
        else d.base = base | ((d.rex & 1) << 3);
      } else if (rm === 5 && mod === 0) {
        displacementBytes = 4;
        d.ripRelative = this.#in64;
      } else {
        d.base = d.rm;
      }
      stackBase = d.base === 4 || d.base === 5;
    }
    d.segment = d.segmentOverride >= 0 ? d.segmentOverride : stackBase ? SS : DS;
    if (displacementBytes > 0) {
      if (!this.#signed(displacementBytes)) return 'truncated';
      d.displacement = this.#low;
    }
    return undefined;
  }

  #low = 0;
  #high = 0;

  /** Reads a sign-extended value of 1, 2, 4 or 8 bytes into #low and #high; false when the bytes run out. */
  #signed(bytes: number): boolean {
    if (this.#at + bytes > this.#end) {
      this.#at = this.#end;
      return false;
    }
    const at = this.#at;
    this.#at += bytes;
    const b = this.#bytes;
    if (bytes === 1) this.#low = ((b[at] as number) << 24) >> 24;
    else if (bytes === 2) this.#low = (((b[at] as number) | ((b[at + 1] as number) << 8)) << 16) >> 16;
    else this.#low = this.#word(at);
    this.#high = bytes === 8 ? this.#word(at + 4) : this.#low >> 31;
    return true;
  }

  #word(at: number): number {
    const b = this.#bytes;
    return (
      (b[at] as number) | ((b[at + 1] as number) << 8) | ((b[at + 2] as number) << 16) | ((b[at + 3] as number) << 24)
    );
  }

  #immediate(operand: OperandSpec, codeSize: CodeSize): DecodeFailure | undefined {
    const d = this.result;
    const size = d.operandSize;
    if (operand.kind === 'O') {
      d.hasMemory = true;
      d.segment = d.segmentOverride >= 0 ? d.segmentOverride : DS;
      if (!this.#signed(d.addressSize)) return 'truncated';
      d.immediateLow = d.addressSize === 2 ? this.#low & 0xffff : this.#low;
      d.immediateHigh = d.addressSize === 8 ? this.#high : 0;
      return undefined;
    }
    if (operand.kind === 'A') {
      if (!this.#signed(size === 2 ? 2 : 4)) return 'truncated';
      d.immediateLow = size === 2 ? this.#low & 0xffff : this.#low;
      if (!this.#signed(2)) return 'truncated';
      d.immediate2 = this.#low & 0xffff;
      return undefined;
    }
    let bytes: number;
    let unsigned = false;
    switch (operand.kind === 'L' ? 'b' : operand.size) {
      case 'b':
        bytes = 1;
        unsigned = operand.kind !== 'J';
        break;
      case 'bs':
        bytes = 1;
        break;
      case 'w':
        bytes = 2;
        unsigned = true;
        break;
      case 'v':
        bytes = size;
        break;
      default:
        bytes = size === 2 ? 2 : 4;
        if (operand.kind === 'J' && codeSize === 64) bytes = 4;
    }
    if (!this.#signed(bytes)) return 'truncated';
    let low = this.#low;
    if (unsigned) {
      low &= bytes === 1 ? 0xff : 0xffff;
      this.#high = 0;
    }
    if (operand.kind === 'L') {
      d.immediateRegister = (low >> 4) & (codeSize === 64 ? 15 : 7);
      return undefined;
    }
    // ENTER has two immediates: a word and a byte.
    if (operand.size === 'b' && d.row.ops.startsWith('Iw,')) d.immediate2 = low;
    else {
      d.immediateLow = low;
      d.immediateHigh = this.#high;
    }
    return undefined;
  }
}
