/**
 * What is known of vector registers at a place of a region's code.
 *
 * @module
 */

const FORMS = ['ss', 'sd', 'ps', 'pd'];
const ALL_FORMS = (1 << FORMS.length) - 1;

const formBit = (register: number, form: string): number => 1 << ((register & 7) * 4 + FORMS.indexOf(form));

export class VectorFacts {
  /** Lanes that are zero or ordinary numbers, by register and form: registers 0 to 7, and 8 to 15. */
  #tameLow = 0;
  #tameHigh = 0;
  /** Upper halves of YMM registers that are zero in the state record, by bit. */
  #clear = 0;

  copy(): VectorFacts {
    const copy = new VectorFacts();
    copy.#tameLow = this.#tameLow;
    copy.#tameHigh = this.#tameHigh;
    copy.#clear = this.#clear;
    return copy;
  }

  isTame(register: number, form: string): boolean {
    return ((register < 8 ? this.#tameLow : this.#tameHigh) & formBit(register, form)) !== 0;
  }

  setTame(register: number, form: string): void {
    if (register < 8) this.#tameLow |= formBit(register, form);
    else this.#tameHigh |= formBit(register, form);
  }

  /** The register is written. */
  wrote(register: number): void {
    const mask = ~(ALL_FORMS << ((register & 7) * 4));
    if (register < 8) this.#tameLow &= mask;
    else this.#tameHigh &= mask;
  }

  isClear(register: number): boolean {
    return ((this.#clear >> register) & 1) !== 0;
  }

  setClear(registers: number): void {
    this.#clear |= registers;
  }

  /**
   * Where several ways lead to, and behind a called instruction: what the block that dominates it has cleared stays clear. `everything`: some
   * instruction on one of the ways may write any register in the state record.
   */
  forget(everything: boolean): void {
    this.#tameLow = 0;
    this.#tameHigh = 0;
    if (everything) this.#clear = 0;
  }
}
