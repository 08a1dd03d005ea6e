/**
 * Turns decoded instructions into records (record.ts), in the arena of one vCPU.
 *
 * Decoding is a large part of what a boot costs, since most of its code runs only a few times: a record is put together
 * in local numbers and written as eight words.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import type { OperandSpec } from '../decode/table.ts';
import { RIP_BASE } from '../mmu/layout.ts';
import { DS, EA, FPR, FS, gprOffset, GS, SEG_SELECTOR, segmentOffset, SS, xmmOffset, ZERO } from '../state.ts';
import { operandShape } from './forms.ts';
import {
  AUX_ALIGNED,
  AUX_MMX,
  AUX_SCALE,
  AUX_STACK,
  HANDLER_ADDRESS,
  HANDLER_ADDRESS16,
  HANDLER_ADDRESS32,
  HANDLER_ADDRESS_ABSOLUTE,
  HANDLER_ADDRESS_LEGACY,
  HANDLER_FORWARD,
  HANDLER_GOTO,
  HANDLER_RAISE,
  HANDLER_REGION,
  RECORD_BYTES,
} from './record.ts';

const RSP = 4;

export class Assembler {
  readonly #words: Int32Array;
  readonly #cpu: number;
  /** Where the next record goes, as an offset in linear memory. */
  at = 0;

  /** `cpu`: offset of the vCPU's private area. */
  constructor(buffer: ArrayBufferLike, cpu: number) {
    this.#words = new Int32Array(buffer);
    this.#cpu = cpu;
  }

  #write(
    handler: number,
    offset: number,
    operand0: number,
    operand1: number,
    base: number,
    immediateLow: number,
    immediateHigh: number,
    displacement: number,
    length: number,
    count: number,
    aux: number,
  ): void {
    const words = this.#words;
    const at = this.at >>> 2;
    words[at] = handler | (offset << 16);
    words[at + 1] = operand0;
    words[at + 2] = operand1;
    words[at + 3] = base;
    words[at + 4] = immediateLow;
    words[at + 5] = immediateHigh;
    words[at + 6] = displacement;
    words[at + 7] = length | (count << 8) | (aux << 16);
    this.at += RECORD_BYTES;
  }

  /** Puts another handler into the record before the last one. */
  fuse(handler: number): void {
    const at = (this.at - 2 * RECORD_BYTES) >>> 2;
    this.#words[at] = ((this.#words[at] as number) & ~0xffff) | handler;
  }

  /** Falls through to `target`, an offset from the start of the page. `count` instructions came before. */
  goto(offset: number, target: number, count: number): void {
    this.#write(HANDLER_GOTO, offset, 0, 0, 0, 0, 0, target, 0, count, 0);
  }

  /** A record without operands. */
  plain(handler: number, offset: number, count: number): void {
    this.#write(handler, offset, 0, 0, 0, 0, 0, 0, 0, count, 0);
  }

  /** Calls a translated region in place of the block that follows. */
  region(offset: number, index: number): void {
    this.#write(HANDLER_REGION, offset, 0, 0, 0, index, 0, 0, 0, 0, 0);
  }

  /** Overwrites the record at `from`: the block is at `to` now. */
  forward(from: number, offset: number, to: number): void {
    const end = this.at;
    this.at = from;
    this.#write(HANDLER_FORWARD, offset, 0, 0, 0, to, 0, 0, 0, 0, 0);
    this.at = end;
  }

  raise(offset: number, count: number, vector: number, error: number): void {
    this.#write(HANDLER_RAISE, offset, 0, 0, 0, vector, error, 0, 0, count, 0);
  }

  /** A system instruction; `handler` is HANDLER_SYSTEM or one that tries a fast path first. */
  system(handler: number, offset: number, count: number, length: number, index: number): void {
    this.#write(handler, offset, 0, 0, 0, index, 0, 0, length, count, 0);
  }

  /**
   * An instruction with a lift. `offset` is where it starts in its page, `bytes` how many bytes its memory operand spans
   * and `write` whether it is written (both only for segment limits in 16- and 32-bit code).
   */
  instruction(
    d: Decoded,
    handler: number,
    offset: number,
    count: number,
    bytes: number,
    write: boolean,
    legacy: boolean,
    indexed: boolean,
  ): void {
    const { encoding, hasMemory } = d;
    const { row, operands } = encoding;
    const cpu = this.#cpu;
    let base = 0;
    let displacement = 0;
    let aux = 0;
    if (hasMemory && row.ignoresMemory !== true && !encoding.vsib) {
      if (!indexed && !this.#isPlain(d, legacy)) {
        this.#address(d, offset, count, bytes, write, legacy);
        base = cpu + EA;
      } else if (d.ripRelative) {
        base = cpu + RIP_BASE;
        displacement = offset + d.length + d.displacement;
      } else {
        base = d.base < 0 ? cpu + ZERO : cpu + gprOffset(d.base);
        displacement = d.displacement;
      }
    }
    let immediateLow = d.immediateLow;
    let immediateHigh = d.immediateHigh;
    let operand0 = 0;
    let operand1 = 0;
    for (let i = 0; i < operands.length; i++) {
      const operand = operands[i] as OperandSpec;
      if (operand.kind === 'J') {
        displacement = (offset + d.length + immediateLow) | 0;
        immediateLow = 0;
        immediateHigh = 0;
      } else if (operandShape(operand, hasMemory) === 'r') {
        if (i === 0) operand0 = this.#slot(d, operand);
        // CL behind two operands is known to the lift.
        else if (i === 1 || operand.kind !== 'implicit') operand1 = this.#slot(d, operand);
      } else if (operand.kind === 'H' || operand.kind === 'B') {
        immediateHigh = cpu + (operand.kind === 'H' ? xmmOffset(d.vvvv) : gprOffset(d.vvvv));
      } else if (operand.kind === 'L') {
        immediateLow = cpu + xmmOffset(d.immediateRegister);
      } else if (operand.kind === 'implicit') {
        immediateLow = 1;
        immediateHigh = 0;
      }
    }
    if (indexed) {
      const slot = cpu + (d.index >= 0 ? gprOffset(d.index) : segmentOffset(d.segment));
      if (operandShape(operands[0] as OperandSpec, true) === 'm') operand0 = slot;
      else operand1 = slot;
      aux = d.index >= 0 ? d.scale : 0;
    }
    if (encoding.vsib) {
      operand1 = cpu + xmmOffset(d.index);
      base = cpu + (d.base < 0 ? ZERO : gprOffset(d.base));
      displacement = d.displacement;
      const based = d.segment === FS || d.segment === GS;
      immediateLow = cpu + (based ? segmentOffset(d.segment) : ZERO);
      aux = d.segment | (d.scale << AUX_SCALE) | (d.segment === SS ? AUX_STACK : 0);
    } else if (hasMemory) {
      if (d.segment === SS) aux |= AUX_STACK;
      if (row.rawOffset === true && legacy) aux = d.segment;
    } else if (row.rep !== undefined || row.modal === true) {
      const segment = d.segmentOverride >= 0 ? d.segmentOverride : DS;
      aux = segment;
      base = cpu + (segment === FS || segment === GS ? segmentOffset(segment) : ZERO);
    } else if (row.d64 === true || row.f64 === true) aux = AUX_STACK;
    aux |= d.immediate2;
    this.#write(
      handler,
      offset,
      operand0,
      operand1,
      base,
      immediateLow,
      immediateHigh,
      displacement,
      d.length,
      count,
      aux,
    );
  }

  /** True when the memory operand is base + displacement as it stands. */
  #isPlain(d: Decoded, legacy: boolean): boolean {
    if (legacy || d.index >= 0 || d.addressSize !== 8 || d.encoding.absolute) return false;
    return d.encoding.isLea || (d.segment !== FS && d.segment !== GS);
  }

  #address(d: Decoded, offset: number, count: number, bytes: number, write: boolean, legacy: boolean): void {
    const cpu = this.#cpu;
    const { absolute } = d.encoding;
    const bare = d.encoding.isLea || (legacy && d.row.rawOffset === true);
    const { segment } = d;
    let displacement = d.displacement;
    let base = cpu + (d.base < 0 ? ZERO : gprOffset(d.base));
    if (d.ripRelative) {
      base = cpu + RIP_BASE;
      displacement = (displacement + offset + d.length) | 0;
    } else if (d.base === RSP && d.row.name === 'pop') {
      // POP to memory computes its address with the stack pointer already moved.
      displacement += d.operandSize;
    }
    const index = cpu + (d.index < 0 ? ZERO : gprOffset(d.index));
    // An address micro-operation is no instruction of its own: its count is that of the instruction it belongs to.
    if (legacy && !bare) {
      if (absolute) {
        base = cpu + ZERO;
        displacement = d.immediateLow;
      }
      const kind = (d.row.aligned === true ? AUX_ALIGNED : 0) | (d.operands.some((o) => o.kind === 'P') ? AUX_MMX : 0);
      const aux = d.scale | (d.addressSize === 2 ? 4 : 0) | (segment << 3) | (write ? 0x40 : 0) | kind;
      this.#write(HANDLER_ADDRESS_LEGACY, offset, cpu + ZERO, index, base, bytes, 0, displacement, 0, count, aux);
      return;
    }
    const based = !bare && (segment === FS || segment === GS);
    const segmentBase = cpu + (based ? segmentOffset(segment) : ZERO);
    if (absolute) {
      this.#write(HANDLER_ADDRESS_ABSOLUTE, offset, segmentBase, 0, 0, d.immediateLow, d.immediateHigh, 0, 0, count, 0);
      return;
    }
    const handler = d.addressSize === 8 ? HANDLER_ADDRESS : d.addressSize === 4 ? HANDLER_ADDRESS32 : HANDLER_ADDRESS16;
    this.#write(handler, offset, segmentBase, index, base, 0, 0, displacement, 0, count, d.scale);
  }

  /** Offset in linear memory of a register operand. */
  #slot(d: Decoded, operand: OperandSpec): number {
    const { kind } = operand;
    const number = kind === 'G' || kind === 'V' || kind === 'P' ? d.reg : d.rm;
    switch (kind) {
      case 'V':
      case 'W':
      case 'U':
        return this.#cpu + xmmOffset(number);
      case 'P':
      case 'Q':
      case 'N':
        return this.#cpu + FPR + (number & 7) * 16;
      case 'S':
        return this.#cpu + segmentOffset(d.reg & 7) + SEG_SELECTOR;
      case 'implicit':
        return this.#cpu + gprOffset(operand.register);
      default:
        if (operand.size === 'b' && d.rex === 0 && number >= 4 && number < 8)
          return this.#cpu + gprOffset(number - 4) + 1;
        return this.#cpu + gprOffset(number);
    }
  }
}
