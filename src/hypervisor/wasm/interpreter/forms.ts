/**
 * Forms: which handler an instruction row needs in a given shape.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import type { Encoding, OperandSpec } from '../decode/table.ts';
import type { Form, OperandShape } from '../insn/lift-builder.ts';
import type { Lift, Row } from '../insn/row.ts';

/** True for a memory operand that the handler finds by itself: base + displacement, and an index or a segment base. */
export const canIndex = (encoding: Encoding): boolean =>
  encoding.row.rawOffset !== true && encoding.row.name !== 'pop' && !encoding.absolute && !encoding.vsib;

/** What a form depends on besides its encoding. */
export interface FormContext {
  readonly operandSize: number;
  readonly memory: boolean;
  /** The memory operand has an index register, or a segment base, in 64-bit code. */
  readonly indexed: boolean;
  readonly lock: boolean;
  readonly legacy: boolean;
  readonly addressSize: 2 | 4 | 8;
  readonly rep: number;
}

/** Of an instruction of 64-bit code whose operand is taken as it stands. */
export const contextOf = (decoded: Decoded): FormContext => ({
  operandSize: decoded.operandSize,
  memory: decoded.hasMemory,
  indexed: false,
  lock: decoded.lock,
  legacy: false,
  addressSize: decoded.addressSize,
  rep: decoded.row.rep === undefined ? 0 : decoded.rep,
});

/** Equal for equal contexts; 16 bits. */
export const contextBits = ({ operandSize, memory, indexed, lock, legacy, addressSize, rep }: FormContext): number =>
  operandSize |
  (memory ? 0x10 : 0) |
  (indexed ? 0x2000 : 0) |
  (lock ? 0x20 : 0) |
  (legacy ? 0x40 : 0) |
  (addressSize << 7) |
  (rep === 0 ? 0 : rep === 0xf2 ? 0x800 : 0x1000);

/** The context with given bits. */
export const contextOfBits = (bits: number): FormContext => ({
  operandSize: bits & 0xf,
  memory: (bits & 0x10) !== 0,
  indexed: (bits & 0x2000) !== 0,
  lock: (bits & 0x20) !== 0,
  legacy: (bits & 0x40) !== 0,
  addressSize: ((bits >> 7) & 0xf) as FormContext['addressSize'],
  rep: (bits & 0x800) !== 0 ? 0xf2 : (bits & 0x1000) !== 0 ? 0xf3 : 0,
});

/** Rows whose handlers depend on the mode: stack, branches, strings, implicit memory. */
const isModal = (row: Row): boolean =>
  row.d64 === true || row.f64 === true || row.rep !== undefined || row.modal === true || row.no64 === true;

export function operandShape(operand: OperandSpec, memory: boolean): OperandShape {
  switch (operand.kind) {
    case 'E':
    case 'W':
    case 'Q':
      return memory ? 'm' : 'r';
    case 'M':
    case 'O':
      return 'm';
    case 'B':
    case 'H':
      return 'v';
    case 'L':
      return 'l';
    case 'X':
      return 'g';
    case 'I':
      return 'i';
    case 'implicit':
      return operand.register < 0 ? 'i' : 'r';
    case 'J':
    case 'A':
    case 'T':
      return '-';
    default:
      return 'r';
  }
}

const SIZE: Record<string, number> = { b: 1, w: 2, d: 4, q: 8, o: 16, qq: 32 };

/** Operand size of operand 0, in bytes: what `LiftBuilder.size` is. */
export function primarySize(encoding: Encoding, operandSize: number): number {
  const first = encoding.operands[0];
  if (encoding.row.size !== undefined) return encoding.row.size;
  if (first === undefined || first.kind === 'J' || first.kind === 'I' || first.kind === 'A') return operandSize;
  if (first.size === 'y') return operandSize === 8 ? 8 : 4;
  return SIZE[first.size] ?? operandSize;
}

/** Bytes of the memory operand at `index`. */
export function memorySize(encoding: Encoding, index: number, operandSize: number): number {
  if (encoding.row.size !== undefined) return encoding.row.size;
  const { size } = encoding.operands[index] as OperandSpec;
  if (size === 'y') return operandSize === 8 ? 8 : 4;
  return SIZE[size] ?? operandSize;
}

export function formOf(encoding: Encoding, context: FormContext): Form {
  const { row } = encoding;
  const modal = isModal(row);
  const size = primarySize(encoding, context.operandSize);
  const shapes = encoding.operands.map((o) => operandShape(o, context.memory));
  return {
    size,
    shapes: context.indexed ? shapes.map((shape) => (shape === 'm' ? 'x' : shape)) : shapes,
    lock: context.lock,
    legacy: modal && context.legacy,
    addressSize: modal ? context.addressSize : 8,
    rep: row.rep === undefined ? 0 : context.rep,
    arg: row.arg ?? 0,
    // Few lifts look at it besides their own size; for the others one handler serves every prefix.
    operandSize: row.usesOperandSize === true || row.unit !== undefined ? context.operandSize : size,
    vector: encoding.vex ? (encoding.l === 1 ? 32 : 16) : 0,
  };
}

const liftNumbers = new Map<Lift, number>();

/** Forms with equal keys share a handler. */
export function formKey(lift: Lift, form: Form): string {
  let number = liftNumbers.get(lift);
  if (number === undefined) {
    number = liftNumbers.size;
    liftNumbers.set(lift, number);
  }
  const mode = `${form.lock ? 'l' : ''}${form.legacy ? 'L' : ''}${form.addressSize}${form.rep}`;
  return `${number}.${form.size}.${form.operandSize}.${form.shapes.join('')}.${mode}.${form.arg}.${form.vector}`;
}

/** The forms of a hot row that are worth a place in the main loop: 64-bit code, operands of 1, 4 and 8 bytes. */
export function hotForms(encoding: Encoding): Form[] {
  const { row } = encoding;
  const made: Form[] = [];
  const sizes = row.f64 === true || row.d64 === true ? [8] : [4, 8];
  const memories = encoding.form === 'any' && encoding.hasModrm ? [false, true] : [encoding.form === 'memory'];
  for (const operandSize of sizes) {
    for (const memory of memories) {
      const context = { operandSize, memory, lock: false, legacy: false, addressSize: 8, rep: 0 } as const;
      made.push(formOf(encoding, { ...context, indexed: false }));
      if (memory && row.indexed === true) made.push(formOf(encoding, { ...context, indexed: true }));
    }
  }
  return made;
}
