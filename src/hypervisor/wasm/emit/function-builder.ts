/**
 * Builds one WebAssembly function: locals, structured control flow, stores, calls.
 *
 * Statements are written in the order of the calls; expressions are trees (expr.ts) written where they are consumed.
 *
 * @module
 */
import { ByteWriter } from './byte-writer.ts';
import { type Expr, type I32, VAL_TYPE_BYTE, type ValType, writeOpcode } from './expr.ts';

/** Something that holds a value; as an expression it reads that. */
abstract class Variable<T extends ValType> implements Expr<T> {
  readonly type: T;
  readonly index: number;
  constructor(type: T, index: number) {
    this.type = type;
    this.index = index;
  }
  /** The instruction that reads it. */
  abstract readonly read: number;
  write(out: ByteWriter): void {
    out.byte(this.read);
    out.u32(this.index);
  }
}

/** A local variable. */
export class Local<T extends ValType = ValType> extends Variable<T> {
  readonly read = 0x20;
}

/** A variable of a module's instance, or a constant that it is given. */
export class Global<T extends ValType = ValType> extends Variable<T> {
  readonly read = 0x23;
}

/** A function that can be called: of this module, imported or not yet built. */
export interface Callee {
  readonly index: number;
  readonly params: readonly ValType[];
  readonly result: ValType | undefined;
}

/** A place to branch to: the end of a block, or the start of a loop. */
export interface Label {
  readonly depth: number;
}

class Call<T extends ValType> implements Expr<T> {
  readonly type: T;
  readonly callee: Callee;
  readonly args: readonly Expr[];
  constructor(type: T, callee: Callee, args: readonly Expr[]) {
    this.type = type;
    this.callee = callee;
    this.args = args;
  }
  write(out: ByteWriter): void {
    for (const arg of this.args) arg.write(out);
    out.byte(0x10);
    out.u32(this.callee.index);
  }
}

/** A call as a value. */
export const call = <T extends ValType>(type: T, callee: Callee, ...args: readonly Expr[]): Expr<T> =>
  new Call(type, callee, args);

class CallIndirect<T extends ValType> implements Expr<T> {
  readonly type: T;
  readonly typeIndex: number;
  readonly target: I32;
  readonly args: readonly Expr[];
  readonly table: number;
  constructor(type: T, typeIndex: number, target: I32, args: readonly Expr[], table: number) {
    this.type = type;
    this.typeIndex = typeIndex;
    this.target = target;
    this.args = args;
    this.table = table;
  }
  write(out: ByteWriter): void {
    for (const arg of this.args) arg.write(out);
    this.target.write(out);
    out.byte(0x11);
    out.u32(this.typeIndex);
    out.u32(this.table);
  }
}

/** A call through table 0 as a value; `typeIndex` from `ModuleBuilder.type`. */
export const callIndirect = <T extends ValType>(
  type: T,
  typeIndex: number,
  target: I32,
  ...args: readonly Expr[]
): Expr<T> => new CallIndirect(type, typeIndex, target, args, 0);

/** The same through another table, by the order of `ModuleBuilder.importTable`. */
export const callTable = <T extends ValType>(
  type: T,
  table: number,
  typeIndex: number,
  target: I32,
  ...args: readonly Expr[]
): Expr<T> => new CallIndirect(type, typeIndex, target, args, table);

const STORE: Record<string, number> = {
  'i32.1': 0x3a,
  'i32.2': 0x3b,
  'i32.4': 0x36,
  'i64.1': 0x3c,
  'i64.2': 0x3d,
  'i64.4': 0x3e,
  'i64.8': 0x37,
  'f32.4': 0x38,
  'f64.8': 0x39,
  'v128.16': 0xfd0b,
};

export class FunctionBuilder implements Callee {
  readonly index: number;
  readonly params: readonly ValType[];
  readonly result: ValType | undefined;
  code: ByteWriter = new ByteWriter(512);
  #prologue: ByteWriter | undefined;
  readonly #unlikely: { readonly code: ByteWriter; readonly at: number }[] = [];
  /** Where in its body a function has branches that are seldom taken; known once `body` has been called. */
  unlikelyAt: readonly number[] = [];
  readonly #locals: ValType[] = [];
  readonly #free: Record<ValType, number[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  #scope: Local[] | undefined;
  #depth = 0;

  constructor(index: number, params: readonly ValType[], result: ValType | undefined) {
    this.index = index;
    this.params = params;
    this.result = result;
  }

  /** Nesting depth of the current position; what `Label.depth` is measured in. */
  get depth(): number {
    return this.#depth;
  }

  param<T extends ValType>(type: T, index: number): Local<T> {
    if (this.params[index] !== type) throw new Error(`parameter ${index} is ${this.params[index]}, not ${type}`);
    return new Local(type, index);
  }

  setGlobal<T extends ValType>(global: Global<T>, value: Expr<T>): void {
    value.write(this.code);
    this.code.byte(0x24);
    this.code.u32(global.index);
  }

  /** A fresh variable (zero, or whatever an earlier scope left in a reused one). */
  local<T extends ValType>(type: T): Local<T> {
    const reused = this.#free[type].pop();
    let index = reused;
    if (index === undefined) {
      this.#locals.push(type);
      index = this.params.length + this.#locals.length - 1;
    }
    const local = new Local(type, index);
    this.#scope?.push(local);
    return local;
  }

  /** A variable that nothing else uses, before or after: it keeps its value from turn to turn of any loop. */
  ownLocal<T extends ValType>(type: T): Local<T> {
    this.#locals.push(type);
    return new Local(type, this.params.length + this.#locals.length - 1);
  }

  /** Runs `body`; the variables it made may be reused afterwards. */
  scope(body: () => void): void {
    this.release(this.collect(body));
  }

  /** Runs `body`; returns the variables it made, which stay in use until they are released. */
  collect(body: () => void): Local[] {
    const outer = this.#scope;
    const mine: Local[] = [];
    this.#scope = mine;
    body();
    this.#scope = outer;
    return mine;
  }

  /** The variables that the innermost `collect` has gathered so far. */
  collected(): readonly Local[] {
    return this.#scope ?? [];
  }

  /** Lets variables be reused. */
  release(locals: readonly Local[]): void {
    for (const local of locals) this.#free[local.type].push(local.index);
  }

  /** Evaluates now, into a fresh variable. */
  let<T extends ValType>(value: Expr<T>): Local<T> {
    const local = this.local(value.type);
    this.set(local, value);
    return local;
  }

  set<T extends ValType>(local: Local<T>, value: Expr<T>): void {
    value.write(this.code);
    this.code.byte(0x21);
    this.code.u32(local.index);
  }

  /** Stores the low `width` bytes of `value`. */
  store(width: 1 | 2 | 4 | 8 | 16, address: I32, value: Expr, offset = 0): void {
    const opcode = STORE[`${value.type}.${width}`];
    if (opcode === undefined) throw new Error(`no store of ${width} bytes from ${value.type}`);
    address.write(this.code);
    value.write(this.code);
    writeOpcode(this.code, opcode);
    this.code.u32(0);
    this.code.u32(offset);
  }

  /** Evaluates for the effect; a value is dropped. */
  run(value: Expr): void {
    value.write(this.code);
    this.code.byte(0x1a);
  }

  /** Calls a function without a result. */
  callVoid(callee: Callee, ...args: readonly Expr[]): void {
    for (const arg of args) arg.write(this.code);
    this.code.byte(0x10);
    this.code.u32(callee.index);
  }

  #open(opcode: number): Label {
    this.code.byte(opcode);
    this.code.byte(0x40);
    this.#depth++;
    return { depth: this.#depth };
  }

  #close(): void {
    this.code.byte(0x0b);
    this.#depth--;
  }

  /** Branching to the label leaves the block. */
  block(body: (end: Label) => void): void {
    const label = this.#open(0x02);
    body(label);
    this.#close();
  }

  /** Branching to the label starts the next turn; falling off the end leaves the loop. */
  loop(body: (next: Label) => void): void {
    const label = this.#open(0x03);
    body(label);
    this.#close();
  }

  if(condition: I32, then: () => void, otherwise?: () => void): void {
    condition.write(this.code);
    this.#open(0x04);
    then();
    if (otherwise !== undefined) {
      this.code.byte(0x05);
      otherwise();
    }
    this.#close();
  }

  /** `if` whose condition seldom holds: compilers keep what is in it off the straight path. */
  unlikely(condition: I32, then: () => void, otherwise?: () => void): void {
    condition.write(this.code);
    this.#unlikely.push({ code: this.code, at: this.code.length });
    this.#open(0x04);
    then();
    if (otherwise !== undefined) {
      this.code.byte(0x05);
      otherwise();
    }
    this.#close();
  }

  br(label: Label): void {
    this.code.byte(0x0c);
    this.code.u32(this.#depth - label.depth);
  }

  brIf(label: Label, condition: I32): void {
    condition.write(this.code);
    this.code.byte(0x0d);
    this.code.u32(this.#depth - label.depth);
  }

  /** `brIf` whose condition seldom holds. */
  brUnlikely(label: Label, condition: I32): void {
    condition.write(this.code);
    this.#unlikely.push({ code: this.code, at: this.code.length });
    this.code.byte(0x0d);
    this.code.u32(this.#depth - label.depth);
  }

  brTable(index: I32, labels: readonly Label[], fallback: Label): void {
    index.write(this.code);
    this.code.byte(0x0e);
    this.code.u32(labels.length);
    for (const label of labels) this.code.u32(this.#depth - label.depth);
    this.code.u32(this.#depth - fallback.depth);
  }

  /** Opens a block that `endBlock` closes; for dispatch tables whose nesting is not lexical. */
  beginBlock(): Label {
    return this.#open(0x02);
  }

  endBlock(): void {
    this.#close();
  }

  /** Leaves the function by a call of a function of the same type, through table `table`. */
  returnCallTable(table: number, typeIndex: number, target: I32, ...args: readonly Expr[]): void {
    for (const arg of args) arg.write(this.code);
    target.write(this.code);
    this.code.byte(0x13);
    this.code.u32(typeIndex);
    this.code.u32(table);
  }

  /** Leaves the function by a call of a function of the same type. */
  returnCall(callee: Callee, ...args: readonly Expr[]): void {
    for (const arg of args) arg.write(this.code);
    this.code.byte(0x12);
    this.code.u32(callee.index);
  }

  return(value?: Expr): void {
    value?.write(this.code);
    this.code.byte(0x0f);
  }

  unreachable(): void {
    this.code.byte(0x00);
  }

  /** `memory.copy`: regions may overlap. */
  memoryCopy(destination: I32, source: I32, bytes: I32): void {
    destination.write(this.code);
    source.write(this.code);
    bytes.write(this.code);
    this.code.bytes([0xfc, 10, 0, 0]);
  }

  /** `memory.fill`. */
  memoryFill(destination: I32, value: I32, bytes: I32): void {
    destination.write(this.code);
    value.write(this.code);
    bytes.write(this.code);
    this.code.bytes([0xfc, 11, 0]);
  }

  /** Writes what `body` builds in front of everything else; its control structures are closed again. */
  prologue(body: () => void): void {
    const rest = this.code;
    const depth = this.#depth;
    this.code = new ByteWriter(256);
    this.#depth = 0;
    body();
    this.#prologue = this.code;
    this.#depth = depth;
    this.code = rest;
  }

  /** The code section's entry of this function. */
  body(): ByteWriter {
    const out = new ByteWriter(this.code.length + 64);
    const runs: { type: ValType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    out.u32(runs.length);
    for (const run of runs) {
      out.u32(run.count);
      out.byte(VAL_TYPE_BYTE[run.type]);
    }
    const start = out.length;
    if (this.#prologue !== undefined) out.bytes(this.#prologue.view());
    const rest = out.length;
    out.bytes(this.code.view());
    this.unlikelyAt = this.#unlikely
      .map(({ code, at }) => at + (code === this.#prologue ? start : rest))
      .sort((x, y) => x - y);
    out.byte(0x0b);
    return out;
  }
}
