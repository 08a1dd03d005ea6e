/**
 * The 8259A pair of a PC and its edge/level control registers (Intel 8259A data sheet; ELCR as in the PIIX3).
 *
 * Inputs carry assertion, not voltage: true means the interrupt is asked for. As in QEMU and KVM an edge stays
 * latched when its line drops before it is acknowledged. 8080 mode (ICW4 bit 0 clear) is not modelled.
 * The caller holds the irqchip's lock.
 *
 * @module
 */

/** i32 fields of one controller. */
const IRR = 0;
const ISR = 1;
const IMR = 2;
const ELCR = 3;
/** Input lines as they stand. */
const LINES = 4;
/** ICW2: vector of input 0. */
const VECTOR_BASE = 5;
/** The input with the highest priority; 0 after initialisation. */
const PRIORITY = 6;
/** The ICW that the next write to the odd port is: 0 when none is awaited (OCW1). */
const INIT_STATE = 7;
const INIT_NEEDS_ICW4 = 8;
const SINGLE = 9;
const AUTO_EOI = 10;
const ROTATE_ON_AUTO_EOI = 11;
const SPECIAL_MASK = 12;
const SPECIAL_FULLY_NESTED = 13;
const READ_ISR = 14;
const POLL = 15;
const FIELDS = 16;

const MASTER = 0;
const SLAVE = FIELDS;

const ICW1 = 0x10;
const ICW1_ICW4 = 0x01;
const ICW1_SINGLE = 0x02;
// ICW1's level bit (08h) has no effect where there is an ELCR.
const ICW4_AUTO_EOI = 0x02;
const ICW4_SPECIAL_FULLY_NESTED = 0x10;
const OCW3 = 0x08;

/** The slave's output is wired to this input of the master. */
const CASCADE = 2;
/** Inputs whose trigger mode can be changed: not the timer, keyboard, cascade, clock and coprocessor. */
const ELCR_MASK_MASTER = 0xf8;
const ELCR_MASK_SLAVE = 0xde;
/** What an acknowledge or poll finds when the request is gone. */
const SPURIOUS = 7;

export class Pic {
  readonly #state: Int32Array;

  /** `state`: the controllers' part of the irqchip block, 32 words. */
  constructor(state: Int32Array) {
    this.#state = state;
  }

  /**
   * The state in which a PC's firmware hands over: everything masked, vectors 08h and 70h. Straight after power-up an
   * 8259A has no vectors and is not to be used; here no firmware runs that would know.
   */
  reset(): void {
    this.#state.fill(0);
    this.#state[MASTER + IMR] = 0xff;
    this.#state[SLAVE + IMR] = 0xff;
    this.#state[MASTER + VECTOR_BASE] = 0x08;
    this.#state[SLAVE + VECTOR_BASE] = 0x70;
  }

  /** Drives input 0..15. Input 2 is the cascade and not free. */
  setLine(irq: number, level: boolean): void {
    const chip = irq < 8 ? MASTER : SLAVE;
    this.#input(chip, 1 << (irq & 7), level);
    if (chip === SLAVE) this.#cascade();
  }

  /** The INTR output to the processor. */
  get output(): boolean {
    return this.#request(MASTER) >= 0;
  }

  /** The two INTA cycles of the processor: returns the vector, that of a spurious IRQ 7 or 15 when the request is gone. */
  acknowledge(): number {
    const irq = this.#request(MASTER);
    if (irq < 0) return this.#state[MASTER + VECTOR_BASE]! + SPURIOUS;
    if (irq !== CASCADE) {
      this.#accept(MASTER, irq);
      return this.#state[MASTER + VECTOR_BASE]! + irq;
    }
    const slaveIrq = this.#request(SLAVE);
    if (slaveIrq >= 0) this.#accept(SLAVE, slaveIrq);
    this.#accept(MASTER, CASCADE);
    this.#cascade();
    return this.#state[SLAVE + VECTOR_BASE]! + (slaveIrq < 0 ? SPURIOUS : slaveIrq);
  }

  /** Reads port 20h, 21h, A0h or A1h. */
  read(port: number): number {
    const chip = (port & 0x80) === 0 ? MASTER : SLAVE;
    const state = this.#state;
    if (state[chip + POLL] !== 0) {
      state[chip + POLL] = 0;
      return this.#poll(chip);
    }
    if ((port & 1) !== 0) return state[chip + IMR]!;
    return state[chip + READ_ISR] !== 0 ? state[chip + ISR]! : state[chip + IRR]!;
  }

  /** Writes port 20h, 21h, A0h or A1h. */
  write(port: number, value: number): void {
    const chip = (port & 0x80) === 0 ? MASTER : SLAVE;
    if ((port & 1) !== 0) this.#writeData(chip, value);
    else if ((value & ICW1) !== 0) this.#initialize(chip, value);
    else if ((value & OCW3) !== 0) this.#operation3(chip, value);
    else this.#operation2(chip, value);
    this.#cascade();
  }

  /** Reads the edge/level control register of the master (0) or the slave (1). */
  readElcr(which: number): number {
    return this.#state[(which === 0 ? MASTER : SLAVE) + ELCR]!;
  }

  writeElcr(which: number, value: number): void {
    const chip = which === 0 ? MASTER : SLAVE;
    this.#state[chip + ELCR] = value & (which === 0 ? ELCR_MASK_MASTER : ELCR_MASK_SLAVE);
    // An input that turned level-triggered asks for as long as it is asserted, whatever edge it saw.
    this.#state[chip + IRR] = (this.#state[chip + IRR]! & ~this.#levelMask(chip)) | this.#levelRequests(chip);
    this.#cascade();
  }

  #levelMask(chip: number): number {
    return this.#state[chip + ELCR]!;
  }

  #levelRequests(chip: number): number {
    return this.#state[chip + LINES]! & this.#levelMask(chip);
  }

  #input(chip: number, bit: number, level: boolean): void {
    const state = this.#state;
    const lines = state[chip + LINES]!;
    if (level) {
      if ((lines & bit) === 0 || (this.#levelMask(chip) & bit) !== 0) state[chip + IRR] = state[chip + IRR]! | bit;
      state[chip + LINES] = lines | bit;
    } else {
      if ((this.#levelMask(chip) & bit) !== 0) state[chip + IRR] = state[chip + IRR]! & ~bit;
      state[chip + LINES] = lines & ~bit;
    }
  }

  /** Carries the slave's output to the master. The cascade input follows the level: the slave holds it while it asks. */
  #cascade(): void {
    const state = this.#state;
    const bit = 1 << CASCADE;
    if (this.#request(SLAVE) >= 0) {
      state[MASTER + IRR] = state[MASTER + IRR]! | bit;
      state[MASTER + LINES] = state[MASTER + LINES]! | bit;
    } else {
      state[MASTER + IRR] = state[MASTER + IRR]! & ~bit;
      state[MASTER + LINES] = state[MASTER + LINES]! & ~bit;
    }
  }

  /** 0 for the highest priority ... 7 for the lowest, 8 for an empty mask. */
  #rank(chip: number, mask: number): number {
    if (mask === 0) return 8;
    const first = this.#state[chip + PRIORITY]!;
    let rank = 0;
    while ((mask & (1 << ((rank + first) & 7))) === 0) rank++;
    return rank;
  }

  /** The input that may interrupt now; -1 when none. */
  #request(chip: number): number {
    const state = this.#state;
    if (state[chip + INIT_STATE] !== 0) return -1;
    const rank = this.#rank(chip, state[chip + IRR]! & ~state[chip + IMR]!);
    if (rank === 8) return -1;
    let serving = state[chip + ISR]!;
    // Special mask mode: inputs that are masked do not hold the others back.
    if (state[chip + SPECIAL_MASK] !== 0) serving &= ~state[chip + IMR]!;
    // Special fully nested: the slave may interrupt its own service, for a higher input of its own.
    if (state[chip + SPECIAL_FULLY_NESTED] !== 0 && chip === MASTER) serving &= ~(1 << CASCADE);
    return rank < this.#rank(chip, serving) ? (rank + state[chip + PRIORITY]!) & 7 : -1;
  }

  #accept(chip: number, irq: number): void {
    const state = this.#state;
    const bit = 1 << irq;
    if (state[chip + AUTO_EOI] !== 0) {
      if (state[chip + ROTATE_ON_AUTO_EOI] !== 0) state[chip + PRIORITY] = (irq + 1) & 7;
    } else {
      state[chip + ISR] = state[chip + ISR]! | bit;
    }
    // A level-triggered request stands while its line does.
    if ((this.#levelMask(chip) & bit) === 0) state[chip + IRR] = state[chip + IRR]! & ~bit;
  }

  #poll(chip: number): number {
    const irq = this.#request(chip);
    if (irq < 0) return SPURIOUS;
    this.#accept(chip, irq);
    this.#cascade();
    return 0x80 | irq;
  }

  #initialize(chip: number, icw1: number): void {
    const state = this.#state;
    state[chip + IMR] = 0;
    state[chip + ISR] = 0;
    // The edge detectors are reset: a line that is high must fall and rise again, unless it is level-triggered.
    state[chip + IRR] = this.#levelRequests(chip);
    state[chip + PRIORITY] = 0;
    state[chip + AUTO_EOI] = 0;
    state[chip + ROTATE_ON_AUTO_EOI] = 0;
    state[chip + SPECIAL_MASK] = 0;
    state[chip + SPECIAL_FULLY_NESTED] = 0;
    state[chip + READ_ISR] = 0;
    state[chip + POLL] = 0;
    state[chip + SINGLE] = icw1 & ICW1_SINGLE;
    state[chip + INIT_NEEDS_ICW4] = icw1 & ICW1_ICW4;
    state[chip + INIT_STATE] = 2;
  }

  #writeData(chip: number, value: number): void {
    const state = this.#state;
    switch (state[chip + INIT_STATE]) {
      case 0:
        state[chip + IMR] = value;
        break;
      case 2:
        state[chip + VECTOR_BASE] = value & 0xf8;
        state[chip + INIT_STATE] = state[chip + SINGLE] === 0 ? 3 : state[chip + INIT_NEEDS_ICW4] !== 0 ? 4 : 0;
        break;
      case 3:
        // The wiring of the cascade is fixed on a PC.
        state[chip + INIT_STATE] = state[chip + INIT_NEEDS_ICW4] !== 0 ? 4 : 0;
        break;
      default:
        state[chip + AUTO_EOI] = value & ICW4_AUTO_EOI;
        state[chip + SPECIAL_FULLY_NESTED] = value & ICW4_SPECIAL_FULLY_NESTED;
        state[chip + INIT_STATE] = 0;
    }
  }

  /** OCW2: end of interrupt and rotation. The top three bits are R, SL and EOI. */
  #operation2(chip: number, value: number): void {
    const state = this.#state;
    const named = value & 7;
    switch (value >> 5) {
      case 0: // clear rotation in automatic EOI mode
      case 4: // set it
        state[chip + ROTATE_ON_AUTO_EOI] = value >> 7;
        break;
      case 1: // EOI of the highest in service
      case 5: {
        // In special mask mode an in-service input that is masked is not touched by an unspecific EOI.
        const mask = state[chip + SPECIAL_MASK] !== 0 ? ~state[chip + IMR]! : 0xff;
        const rank = this.#rank(chip, state[chip + ISR]! & mask & 0xff);
        if (rank === 8) break;
        const irq = (rank + state[chip + PRIORITY]!) & 7;
        state[chip + ISR] = state[chip + ISR]! & ~(1 << irq);
        if (value >> 5 === 5) state[chip + PRIORITY] = (irq + 1) & 7;
        break;
      }
      case 3: // EOI of the named input
      case 7:
        state[chip + ISR] = state[chip + ISR]! & ~(1 << named);
        if (value >> 5 === 7) state[chip + PRIORITY] = (named + 1) & 7;
        break;
      case 6: // the named input becomes the lowest priority
        state[chip + PRIORITY] = (named + 1) & 7;
        break;
      default: // no operation
        break;
    }
  }

  /** OCW3: poll, register to read, special mask mode. */
  #operation3(chip: number, value: number): void {
    const state = this.#state;
    if ((value & 0x04) !== 0) state[chip + POLL] = 1;
    if ((value & 0x02) !== 0) state[chip + READ_ISR] = value & 1;
    if ((value & 0x40) !== 0) state[chip + SPECIAL_MASK] = (value >> 5) & 1;
  }
}
