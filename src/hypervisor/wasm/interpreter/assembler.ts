/**
 * Turns decoded instructions into records (record.ts), in the arena of one vCPU.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import type { OperandSpec } from '../decode/table.ts';
import type { OperandShape } from '../insn/lift-builder.ts';
import { RIP_BASE } from '../mmu/layout.ts';
import { DS, EA, FPR, FS, gprOffset, GS, SEG_SELECTOR, segmentOffset, SS, xmmOffset, ZERO } from '../state.ts';
import { operandShape } from './forms.ts';
import {
  AUX_STACK, HANDLER_ADDRESS, HANDLER_ADDRESS16, HANDLER_ADDRESS32, HANDLER_ADDRESS_ABSOLUTE, HANDLER_ADDRESS_LEGACY, HANDLER_GOTO,
  HANDLER_RAISE, HANDLER_SYSTEM, R_AUX, R_BASE, R_COUNT, R_DISPLACEMENT, R_HANDLER, R_IMMEDIATE, R_LENGTH, R_OFFSET, R_OPERAND0,
  R_OPERAND1, RECORD_BYTES,
} from './record.ts';

const RSP = 4;

export class Assembler {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #cpu: number;
  /** Where the next record goes, as an offset in linear memory. */
  at = 0;

  /** `cpu`: offset of the vCPU's private area. */
  constructor(buffer: ArrayBufferLike, cpu: number) {
    this.#view = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#cpu = cpu;
  }

  #begin(handler: number, offset: number, count: number): number {
    const { at } = this;
    this.#bytes.fill(0, at, at + RECORD_BYTES);
    this.#view.setUint16(at + R_HANDLER, handler, true);
    this.#view.setUint16(at + R_OFFSET, offset, true);
    this.#bytes[at + R_COUNT] = count;
    this.at = at + RECORD_BYTES;
    return at;
  }

  /** Falls through to `target`, an offset from the start of the page. `count` instructions came before. */
  goto(offset: number, target: number, count: number): void {
    const at = this.#begin(HANDLER_GOTO, offset, count);
    this.#view.setInt32(at + R_DISPLACEMENT, target, true);
  }

  /** A record without operands. */
  plain(handler: number, offset: number, count: number): void {
    this.#begin(handler, offset, count);
  }

  raise(offset: number, count: number, vector: number, error: number): void {
    const at = this.#begin(HANDLER_RAISE, offset, count);
    this.#view.setInt32(at + R_IMMEDIATE, vector, true);
    this.#view.setInt32(at + R_IMMEDIATE + 4, error, true);
  }

  system(offset: number, count: number, length: number, index: number): void {
    const at = this.#begin(HANDLER_SYSTEM, offset, count);
    this.#view.setInt32(at + R_IMMEDIATE, index, true);
    this.#bytes[at + R_LENGTH] = length;
  }

  /**
   * An instruction with a lift. `offset` is where it starts in its page, `bytes` how many bytes its memory operand spans
   * and `write` whether it is written (both only for segment limits in 16- and 32-bit code).
   */
  instruction(d: Decoded, handler: number, offset: number, count: number, access: { bytes: number; write: boolean }, legacy: boolean): void {
    const { row } = d;
    let memoryBase = 0;
    let displacement = 0;
    if (d.hasMemory && row.ignoresMemory !== true) {
      if (this.#isPlain(d, legacy)) {
        if (d.ripRelative) {
          memoryBase = this.#cpu + RIP_BASE;
          displacement = offset + d.length + d.displacement;
        } else {
          memoryBase = d.base < 0 ? this.#cpu + ZERO : this.#cpu + gprOffset(d.base);
          displacement = d.displacement;
        }
      } else {
        this.#address(d, offset, count, access, legacy);
        memoryBase = this.#cpu + EA;
      }
    }
    const view = this.#view;
    const at = this.#begin(handler, offset, count);
    this.#bytes[at + R_LENGTH] = d.length;
    view.setUint32(at + R_BASE, memoryBase, true);
    view.setInt32(at + R_DISPLACEMENT, displacement, true);
    view.setBigInt64(at + R_IMMEDIATE, d.immediate, true);
    if (d.hasMemory ? d.segment === SS : row.d64 === true || row.f64 === true) view.setUint16(at + R_AUX, AUX_STACK, true);
    d.operands.forEach((operand, i) => {
      const shape: OperandShape = operandShape(operand, d.hasMemory);
      if (shape === 'r') {
        if (i < 2) view.setUint32(at + (i === 0 ? R_OPERAND0 : R_OPERAND1), this.#slot(d, operand), true);
      } else if (operand.kind === 'J') {
        view.setBigInt64(at + R_IMMEDIATE, 0n, true);
        view.setInt32(at + R_DISPLACEMENT, offset + d.length + Number(d.immediate), true);
      } else if (operand.kind === 'implicit') {
        view.setBigInt64(at + R_IMMEDIATE, 1n, true);
      }
    });
    if (row.rawOffset === true && legacy && d.hasMemory) view.setUint16(at + R_AUX, d.segment, true);
    if (row.rep !== undefined || row.modal === true) {
      if (!d.hasMemory) {
        const segment = d.segmentOverride >= 0 ? d.segmentOverride : DS;
        view.setUint16(at + R_AUX, segment, true);
        const based = segment === FS || segment === GS;
        view.setUint32(at + R_BASE, this.#cpu + (based ? segmentOffset(segment) : ZERO), true);
      }
    }
    if (d.immediate2 !== 0) view.setUint16(at + R_AUX, view.getUint16(at + R_AUX, true) | d.immediate2, true);
  }

  /** True when the memory operand is base + displacement as it stands. */
  #isPlain(d: Decoded, legacy: boolean): boolean {
    if (d.row.name === 'lea') {
      return d.index < 0 && !legacy && d.addressSize === 8;
    }
    if (legacy || d.index >= 0 || d.addressSize !== 8) return false;
    if (d.operands.some((o) => o.kind === 'O')) return false;
    return d.segment !== FS && d.segment !== GS;
  }

  #address(d: Decoded, offset: number, count: number, access: { bytes: number; write: boolean }, legacy: boolean): void {
    const view = this.#view;
    const lea = d.row.name === 'lea' || (legacy && d.row.rawOffset === true);
    const absolute = d.operands.some((o) => o.kind === 'O');
    const segmented = legacy && !lea;
    const handler = segmented
      ? HANDLER_ADDRESS_LEGACY
      : absolute
        ? HANDLER_ADDRESS_ABSOLUTE
        : d.addressSize === 8 ? HANDLER_ADDRESS : d.addressSize === 4 ? HANDLER_ADDRESS32 : HANDLER_ADDRESS16;
    // An address micro-operation is no instruction of its own: its count is that of the instruction it belongs to.
    const at = this.#begin(handler, offset, count);
    const segment = d.segment;
    const based = !lea && !legacy && (segment === FS || segment === GS);
    view.setUint32(at + R_OPERAND0, this.#cpu + (based ? segmentOffset(segment) : ZERO), true);
    view.setUint32(at + R_OPERAND1, this.#cpu + (d.index < 0 ? ZERO : gprOffset(d.index)), true);
    let displacement = d.displacement;
    if (d.ripRelative) {
      view.setUint32(at + R_BASE, this.#cpu + RIP_BASE, true);
      displacement += offset + d.length;
    } else {
      view.setUint32(at + R_BASE, this.#cpu + (d.base < 0 ? ZERO : gprOffset(d.base)), true);
      // POP to memory computes its address with the stack pointer already moved.
      if (d.base === RSP && d.row.name === 'pop') displacement += d.operandSize;
    }
    view.setInt32(at + R_DISPLACEMENT, displacement, true);
    let aux = d.scale;
    if (segmented) {
      aux |= (d.addressSize === 2 ? 4 : 0) | (segment << 3) | (access.write ? 0x40 : 0);
      view.setInt32(at + R_IMMEDIATE, access.bytes, true);
      if (absolute) {
        view.setUint32(at + R_BASE, this.#cpu + ZERO, true);
        view.setInt32(at + R_DISPLACEMENT, Number(BigInt.asIntN(32, d.immediate)), true);
      }
    } else if (absolute) view.setBigInt64(at + R_IMMEDIATE, d.immediate, true);
    view.setUint16(at + R_AUX, aux, true);
  }

  /** Offset in linear memory of a register operand. */
  #slot(d: Decoded, operand: OperandSpec): number {
    const number = operand.kind === 'G' || operand.kind === 'V' || operand.kind === 'P' ? d.reg : d.rm;
    switch (operand.kind) {
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
        if (operand.size === 'b' && d.rex === 0 && number >= 4 && number < 8) return this.#cpu + gprOffset(number - 4) + 1;
        return this.#cpu + gprOffset(number);
    }
  }
}

