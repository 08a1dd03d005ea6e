/**
 * Builds a WebAssembly module: imports, functions, exports, one table (WebAssembly core specification, section 5.5).
 *
 * @module
 */
import { ByteWriter } from './byte-writer.ts';
import { type I32, VAL_TYPE_BYTE, type ValType } from './expr.ts';
import { type Callee, FunctionBuilder, type FunctionBuffers, Global } from './function-builder.ts';

/** 4 GiB in pages of 64 KiB. */
const MAX_PAGES = 65536;

/** Function types and imported functions, as they are written: many modules may begin with the same. */
export class FunctionImports {
  readonly #known: Pick<Callee, 'params' | 'result'>[] = [];
  readonly #types = new ByteWriter(64);
  readonly #imports = new ByteWriter(256);
  #count = 0;

  /** Index of a function type. */
  type(params: readonly ValType[], result: ValType | undefined): number {
    let index = this.#known.findIndex((known) => isSame(known, params, result));
    if (index < 0) {
      index = this.#known.length;
      this.#known.push({ params, result });
      const out = this.#types;
      out.byte(0x60);
      out.u32(params.length);
      for (const param of params) out.byte(VAL_TYPE_BYTE[param]);
      out.u32(result === undefined ? 0 : 1);
      if (result !== undefined) out.byte(VAL_TYPE_BYTE[result]);
    }
    return index;
  }

  /** Imports a function of `env`. */
  import(name: string, params: readonly ValType[], result?: ValType): Callee {
    const out = this.#imports;
    out.name('env');
    out.name(name);
    out.byte(0x00);
    out.u32(this.type(params, result));
    return { index: this.#count++, params, result };
  }

  /** How many functions are imported. */
  get count(): number {
    return this.#count;
  }

  writeTypes(out: ByteWriter): void {
    out.u32(this.#known.length);
    out.bytes(this.#types.view());
  }

  writeImports(out: ByteWriter): void {
    out.bytes(this.#imports.view());
  }
}

const isSame = (known: Pick<Callee, 'params' | 'result'>, params: readonly ValType[], result?: ValType): boolean =>
  known.result === result && known.params.length === params.length && params.every((p, n) => known.params[n] === p);

export class ModuleBuilder {
  readonly #imports: FunctionImports;
  readonly #functions: FunctionBuilder[] = [];
  /** Of each function. */
  readonly #functionTypes: number[] = [];
  readonly #exports: { name: string; index: number }[] = [];
  #importsMemory = false;
  readonly #tables: string[] = [];
  /** Imported ones come first, and are all declared before others. */
  readonly #globals: string[] = [];
  readonly #variables: ('i32' | 'i64')[] = [];
  readonly #names = new Map<number, string>();

  /** With `imports` that are there already, which other modules may share. */
  constructor(imports = new FunctionImports()) {
    this.#imports = imports;
  }

  /** Index of a function type. */
  type(params: readonly ValType[], result: ValType | undefined): number {
    return this.#imports.type(params, result);
  }

  /** Imports `env.memory`, shared, of any size. */
  importMemory(): void {
    this.#importsMemory = true;
  }

  /** Imports a function of `env`. All imports come before the first function. */
  importFunction(name: string, params: readonly ValType[], result?: ValType): Callee {
    if (this.#functions.length > 0) throw new Error('imports come before functions');
    return this.#imports.import(name, params, result);
  }

  /** Starts a function; it is written out by `toBytes`. With `buffers` that are free again afterwards. */
  function(params: readonly ValType[], result?: ValType, buffers?: FunctionBuffers): FunctionBuilder {
    const index = this.#imports.count + this.#functions.length;
    const built = new FunctionBuilder(index, params, result, buffers);
    this.#functions.push(built);
    this.#functionTypes.push(this.type(params, result));
    return built;
  }

  export(name: string, callee: Callee): void {
    this.#exports.push({ name, index: callee.index });
  }

  /** What profilers and debuggers call a function. */
  name(callee: Callee, name: string): void {
    this.#names.set(callee.index, name);
  }

  /** Imports `env.NAME`, a table of functions; the first one is table 0. */
  importTable(name: string): void {
    this.#tables.push(name);
  }

  /** Imports `env.NAME`, a constant known when the module is instantiated. */
  importConstant(name: string): I32 {
    if (this.#variables.length > 0) throw new Error('constants come before variables');
    this.#globals.push(name);
    return new Global('i32', this.#globals.length - 1);
  }

  /** A variable of each instance, zero at first. All constants are imported before. */
  global<T extends 'i32' | 'i64'>(type: T): Global<T> {
    const index = this.#globals.length + this.#variables.length;
    this.#variables.push(type);
    return new Global(type, index);
  }

  /** The module, written into `out`, which is cleared first. */
  toBytes(out = new ByteWriter(4096)): Uint8Array<ArrayBuffer> {
    out.clear();
    out.bytes([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    const section = (id: number, write: () => void): void => {
      out.byte(id);
      out.sized(write);
    };
    section(1, () => this.#imports.writeTypes(out));
    section(2, () => this.#writeImports(out));
    section(3, () => {
      out.u32(this.#functionTypes.length);
      for (const type of this.#functionTypes) out.u32(type);
    });
    if (this.#variables.length > 0) {
      section(6, () => {
        out.u32(this.#variables.length);
        for (const type of this.#variables) out.bytes([VAL_TYPE_BYTE[type], 1, type === 'i32' ? 0x41 : 0x42, 0, 0x0b]);
      });
    }
    section(7, () => {
      out.u32(this.#exports.length);
      for (const entry of this.#exports) {
        out.name(entry.name);
        out.byte(0x00);
        out.u32(entry.index);
      }
    });
    const hints = this.#functions.map((built) => built.unlikelyAt());
    if (hints.some(({ length }) => length > 0)) section(0, () => this.#writeHints(out, hints));
    section(10, () => {
      out.u32(this.#functions.length);
      for (const built of this.#functions) out.sized(() => built.writeBody(out));
    });
    if (this.#names.size > 0) section(0, () => this.#writeNames(out));
    return out.toBytes();
  }

  #writeImports(out: ByteWriter): void {
    const others = (this.#importsMemory ? 1 : 0) + this.#tables.length + this.#globals.length;
    out.u32(this.#imports.count + others);
    if (this.#importsMemory) {
      out.name('env');
      out.name('memory');
      out.bytes([0x02, 0x03]);
      out.u32(1);
      out.u32(MAX_PAGES);
    }
    for (const table of this.#tables) {
      out.name('env');
      out.name(table);
      out.bytes([0x01, 0x70, 0x00, 0x00]);
    }
    for (const name of this.#globals) {
      out.name('env');
      out.name(name);
      out.bytes([0x03, 0x7f, 0x00]);
    }
    this.#imports.writeImports(out);
  }

  /** Branch hints: a custom section in front of the code; each is an offset in a body, and whether the branch is likely. */
  #writeHints(out: ByteWriter, hints: readonly (readonly number[])[]): void {
    out.name('metadata.code.branch_hint');
    out.u32(hints.filter(({ length }) => length > 0).length);
    hints.forEach((places, n) => {
      if (places.length === 0) return;
      out.u32(this.#imports.count + n);
      out.u32(places.length);
      for (const at of places) {
        out.u32(at);
        out.pair(1, 0);
      }
    });
  }

  /** The name section (appendix 7.4): subsection 1 has function names. */
  #writeNames(out: ByteWriter): void {
    out.name('name');
    out.byte(1);
    out.sized(() => {
      out.u32(this.#names.size);
      for (const [index, name] of [...this.#names].sort(([x], [y]) => x - y)) {
        out.u32(index);
        out.name(name);
      }
    });
  }
}
