/**
 * Builds one WebAssembly function: locals, structured control flow, stores, calls.
 *
 * Statements are written in the order of the calls; expressions are trees (expr.ts) written where they are consumed.
 *
 * @module
 */
import { ByteWriter, sizeOfU32 } from './byte-writer.ts';
import { type Expr, type I32, VAL_TYPE_BYTE, type ValType, writeOpcode } from './expr.ts';

/** Something that holds a value; as an expression it reads that. */
abstract class Variable<T extends ValType> implements Expr<T> {
  readonly type: T;
  readonly index: number;
  constructor(type: T, index: number) {
    this.type = type;
    this.index = index;
  }
  abstract write(out: ByteWriter): void;
}

/** A local variable. */
export class Local<T extends ValType = ValType> extends Variable<T> {
  write(out: ByteWriter): void {
    out.byte(0x20);
    out.u32(this.index);
  }
}

/** A variable of a module's instance, or a constant that it is given. */
export class Global<T extends ValType = ValType> extends Variable<T> {
  write(out: ByteWriter): void {
    out.byte(0x23);
    out.u32(this.index);
  }
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

/** The instruction that stores the low `width` bytes of a value. */
function storeOpcode(type: ValType, width: number): number {
  switch (type) {
    case 'i32':
      if (width === 4) return 0x36;
      if (width === 1) return 0x3a;
      if (width === 2) return 0x3b;
      break;
    case 'i64':
      if (width === 8) return 0x37;
      if (width === 4) return 0x3e;
      if (width === 1) return 0x3c;
      if (width === 2) return 0x3d;
      break;
    case 'v128':
      if (width === 16) return 0xfd0b;
      break;
    case 'f32':
      if (width === 4) return 0x38;
      break;
    case 'f64':
      if (width === 8) return 0x39;
  }
  throw new Error(`no store of ${width} bytes from ${type}`);
}

/** What a function is written into; whoever builds one function after the other hands over the same, empty again. */
export interface FunctionBuffers {
  readonly code: ByteWriter;
  readonly prologue: ByteWriter;
}

export class FunctionBuilder implements Callee {
  readonly index: number;
  readonly params: readonly ValType[];
  readonly result: ValType | undefined;
  /** Where statements go: the body, or what is written in front of it. */
  code: ByteWriter;
  readonly #body: ByteWriter;
  readonly #prologue: ByteWriter;
  /** Places in the body, and in what is in front of it, of branches that are seldom taken. */
  readonly #unlikely: number[] = [];
  readonly #unlikelyInPrologue: number[] = [];
  /** Locals as they are declared: types, and how many of each behind the other. */
  readonly #runs: { readonly type: ValType; count: number }[] = [];
  #locals: number;
  readonly #free: Record<ValType, Local[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  #scope: Local[] | undefined;
  #depth = 0;

  constructor(index: number, params: readonly ValType[], result: ValType | undefined, buffers?: FunctionBuffers) {
    this.index = index;
    this.params = params;
    this.result = result;
    this.#locals = params.length;
    buffers?.code.clear();
    buffers?.prologue.clear();
    this.#body = buffers?.code ?? new ByteWriter(512);
    this.#prologue = buffers?.prologue ?? new ByteWriter(0);
    this.code = this.#body;
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
    const local = (this.#free[type].pop() as Local<T> | undefined) ?? this.ownLocal(type);
    this.#scope?.push(local);
    return local;
  }

  /** A variable that nothing else uses, before or after: it keeps its value from turn to turn of any loop. */
  ownLocal<T extends ValType>(type: T): Local<T> {
    const last = this.#runs.at(-1);
    if (last?.type === type) last.count++;
    else this.#runs.push({ type, count: 1 });
    return new Local(type, this.#locals++);
  }

  /** Runs `body`; the variables it made may be reused afterwards. */
  scope(body: () => void): void {
    this.release(this.collect(body));
  }

  /** Runs `body`; returns the variables it made, which stay in use until they are released. */
  collect(body: () => void): Local[] {
    const mine: Local[] = [];
    const outer = this.collectInto(mine);
    body();
    this.collectInto(outer);
    return mine;
  }

  /** Gathers the variables that are made from here on in another list, or in none; returns the one before. */
  collectInto(locals: Local[] | undefined): Local[] | undefined {
    const before = this.#scope;
    this.#scope = locals;
    return before;
  }

  /** The variables that the innermost `collect` has gathered so far. */
  collected(): readonly Local[] {
    return this.#scope ?? [];
  }

  /** Lets variables be reused. */
  release(locals: readonly Local[]): void {
    for (const local of locals) this.releaseOne(local);
  }

  releaseOne(local: Local): void {
    this.#free[local.type].push(local);
  }

  /** Evaluates now, into a fresh variable. */
  let<T extends ValType>(value: Expr<T>): Local<T> {
    const local = this.local(value.type);
    this.set(local, value);
    return local;
  }

  set<T extends ValType>(local: Local<T>, value: Expr<T>): void {
    const { code } = this;
    value.write(code);
    code.byte(0x21);
    code.u32(local.index);
  }

  /** Stores the low `width` bytes of `value`. */
  store(width: 1 | 2 | 4 | 8 | 16, address: I32, value: Expr, offset = 0): void {
    const { code } = this;
    address.write(code);
    value.write(code);
    writeOpcode(code, storeOpcode(value.type, width));
    code.byte(0);
    code.u32(offset);
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
    this.code.pair(opcode, 0x40);
    this.#depth++;
    return { depth: this.#depth };
  }

  /** What is written next is a branch that is seldom taken. */
  #noteUnlikely(): void {
    const { code } = this;
    (code === this.#body ? this.#unlikely : this.#unlikelyInPrologue).push(code.length);
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
    this.beginUnlikely(condition);
    then();
    if (otherwise !== undefined) {
      this.else();
      otherwise();
    }
    this.endBlock();
  }

  /** The same without closures, for what is written very often; `endBlock` closes it. */
  beginUnlikely(condition: I32): void {
    condition.write(this.code);
    this.#noteUnlikely();
    this.#open(0x04);
  }

  /** Otherwise, of the `if` that is open. */
  else(): void {
    this.code.byte(0x05);
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
    this.#noteUnlikely();
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

  /** Writes what `body` builds in front of everything else; its control structures are closed again. Once. */
  prologue(body: () => void): void {
    const depth = this.#depth;
    this.code = this.#prologue;
    this.#depth = 0;
    body();
    this.#depth = depth;
    this.code = this.#body;
  }

  /** Where in the code section's entry of this function branches are seldom taken, in order. */
  unlikelyAt(): number[] {
    const start = this.#runs.reduce((sum, { count }) => sum + sizeOfU32(count) + 1, sizeOfU32(this.#runs.length));
    const rest = start + this.#prologue.length;
    return [...this.#unlikelyInPrologue.map((at) => start + at), ...this.#unlikely.map((at) => rest + at)];
  }

  /** Writes the code section's entry of this function, without its length. */
  writeBody(out: ByteWriter): void {
    out.u32(this.#runs.length);
    for (const { type, count } of this.#runs) {
      out.u32(count);
      out.byte(VAL_TYPE_BYTE[type]);
    }
    out.bytes(this.#prologue.view());
    out.bytes(this.#body.view());
    out.byte(0x0b);
  }
}
