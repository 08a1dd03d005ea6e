/**
 * An instruction of a region, with all that its translation asks of it again and again: found once, for the same code may be in several
 * frames, and accesses are looked for ahead.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import type { Form } from '../insn/lift-builder.ts';
import type { AddressParts } from './guest-address.ts';
import { type Access, accessesOf, displacementOf, partsOf } from './insn-accesses.ts';
import type { InsnForm } from './insn-forms.ts';
import { isHighByte, numberOf } from './operand-registers.ts';
import type { Traits } from './traits.ts';

const NO_ACCESSES: readonly Access[] = [];
/** Of a register's number in `#numbers`. */
const NUMBER_BITS = 5;

export class RegionInsn {
  readonly delta: number;
  readonly decoded: Decoded;
  readonly insnForm: InsnForm;
  readonly form: Form;
  readonly traits: Traits;
  /** Executed by the interpreter's handler rather than translated. */
  readonly called: boolean;
  /** A system instruction: one that the region goes on behind as a rule, or one that it leaves with. */
  readonly system: 'stays' | 'leaves' | undefined;
  /** After it translations, or the bases of segments, may be others. */
  readonly forgets: boolean;
  /** Registers that it touches, and those of them that it writes, by bit; `highs` are upper halves of YMM registers that are operands. */
  readonly gprs: number;
  readonly gprsWritten: number;
  readonly xmms: number;
  readonly xmmsWritten: number;
  readonly highs: number;
  /** What its memory operand's address is made of, if that is all, and its displacement. */
  readonly parts: AddressParts | undefined;
  readonly displacement: number;
  readonly accesses: readonly Access[];
  /** Numbers of operands that are registers as the encoding has them, of 5 bits each; which of them are AH to BH, by bit. */
  readonly #numbers: number;
  readonly #highBytes: number;

  constructor(delta: number, decoded: Decoded, insnForm: InsnForm, system: 'stays' | 'leaves' | undefined) {
    const { form, traits, called } = insnForm;
    this.delta = delta;
    this.decoded = decoded;
    this.insnForm = insnForm;
    this.form = form;
    this.traits = traits;
    this.called = called;
    this.system = system;
    this.forgets = insnForm.forgets;
    let gprs = traits.gprs;
    let { gprsWritten } = traits;
    let { xmms } = traits;
    let xmmsWritten = traits.xmms;
    let highs = 0;
    let numbers = 0;
    let highBytes = 0;
    for (const { index, bank, written } of insnForm.registers) {
      const number = numberOf(decoded, index);
      numbers |= number << (index * NUMBER_BITS);
      if (bank === 'general') {
        const isHigh = isHighByte(decoded, index);
        const bit = 1 << (isHigh ? number - 4 : number);
        if (isHigh) highBytes |= 1 << index;
        gprs |= bit;
        if (written) gprsWritten |= bit;
      } else if (bank === 'vector') {
        const bit = 1 << number;
        xmms |= bit;
        if (written) xmmsWritten |= bit;
        if (form.vector === 32) highs |= bit;
      }
    }
    if (decoded.hasMemory || called) {
      if (decoded.base >= 0) gprs |= 1 << decoded.base;
      if (decoded.index >= 0 && !decoded.encoding.vsib) gprs |= 1 << decoded.index;
    }
    this.gprs = gprs;
    this.gprsWritten = gprsWritten;
    this.xmms = xmms;
    this.xmmsWritten = xmmsWritten;
    this.highs = highs;
    this.parts = decoded.encoding.isLea ? undefined : partsOf(decoded);
    this.displacement = displacementOf(decoded, delta);
    this.accesses = system === undefined ? accessesOf(decoded, insnForm, this.parts, this.displacement) : NO_ACCESSES;
    this.#numbers = numbers;
    this.#highBytes = highBytes;
  }

  /** The number of the register that operand `index` is, as the encoding has it: AH to BH are 4 to 7. */
  numberOf(index: number): number {
    return (this.#numbers >> (index * NUMBER_BITS)) & 0x1f;
  }

  /** True for AH CH DH BH. */
  isHighByte(index: number): boolean {
    return ((this.#highBytes >> index) & 1) !== 0;
  }

  /** The number of the general register that holds operand `index`. */
  generalNumberOf(index: number): number {
    return this.numberOf(index) - (this.isHighByte(index) ? 4 : 0);
  }
}
