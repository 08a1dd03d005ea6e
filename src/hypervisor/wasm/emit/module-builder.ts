/**
 * Builds a WebAssembly module: imports, functions, exports, one table (WebAssembly core specification, section 5.5).
 *
 * @module
 */
import { ByteWriter } from './byte-writer.ts';
import { type I32, VAL_TYPE_BYTE, type ValType } from './expr.ts';
import { type Callee, FunctionBuilder, Global } from './function-builder.ts';

/** 4 GiB in pages of 64 KiB. */
const MAX_PAGES = 65536;

interface ImportedFunction extends Callee {
  readonly module: string;
  readonly name: string;
}

export class ModuleBuilder {
  readonly #types = new Map<string, number>();
  readonly #typeEntries: { params: readonly ValType[]; result: ValType | undefined }[] = [];
  readonly #imports: ImportedFunction[] = [];
  readonly #functions: FunctionBuilder[] = [];
  readonly #exports: { name: string; index: number }[] = [];
  #importsMemory = false;
  readonly #tables: string[] = [];
  /** Imported ones come first, and are all declared before others. */
  readonly #globals: string[] = [];
  readonly #variables: ('i32' | 'i64')[] = [];
  readonly #names = new Map<number, string>();

  /** Index of a function type. */
  type(params: readonly ValType[], result: ValType | undefined): number {
    const key = `${params.join(',')}:${result ?? ''}`;
    let index = this.#types.get(key);
    if (index === undefined) {
      index = this.#typeEntries.length;
      this.#typeEntries.push({ params, result });
      this.#types.set(key, index);
    }
    return index;
  }

  /** Imports `env.memory`, shared, of any size. */
  importMemory(): void {
    this.#importsMemory = true;
  }

  /** Imports a function of `env`. All imports come before the first function. */
  importFunction(name: string, params: readonly ValType[], result?: ValType): Callee {
    if (this.#functions.length > 0) throw new Error('imports come before functions');
    this.type(params, result);
    const entry = { module: 'env', name, index: this.#imports.length, params, result };
    this.#imports.push(entry);
    return entry;
  }

  /** Starts a function; it is written out by `toBytes`. */
  function(params: readonly ValType[], result?: ValType): FunctionBuilder {
    this.type(params, result);
    const built = new FunctionBuilder(this.#imports.length + this.#functions.length, params, result);
    this.#functions.push(built);
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

  toBytes(): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter(4096);
    out.bytes([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    const section = (id: number, write: (content: ByteWriter) => void): void => {
      const content = new ByteWriter(1024);
      write(content);
      out.byte(id);
      out.sized(content);
    };
    section(1, (c) => {
      c.u32(this.#typeEntries.length);
      for (const entry of this.#typeEntries) {
        c.byte(0x60);
        c.u32(entry.params.length);
        for (const param of entry.params) c.byte(VAL_TYPE_BYTE[param]);
        c.u32(entry.result === undefined ? 0 : 1);
        if (entry.result !== undefined) c.byte(VAL_TYPE_BYTE[entry.result]);
      }
    });
    section(2, (c) => {
      c.u32(this.#imports.length + (this.#importsMemory ? 1 : 0) + this.#tables.length + this.#globals.length);
      if (this.#importsMemory) {
        c.name('env');
        c.name('memory');
        c.bytes([0x02, 0x03]);
        c.u32(1);
        c.u32(MAX_PAGES);
      }
      for (const table of this.#tables) {
        c.name('env');
        c.name(table);
        c.bytes([0x01, 0x70, 0x00, 0x00]);
      }
      for (const name of this.#globals) {
        c.name('env');
        c.name(name);
        c.bytes([0x03, 0x7f, 0x00]);
      }
      for (const entry of this.#imports) {
        c.name(entry.module);
        c.name(entry.name);
        c.byte(0x00);
        c.u32(this.type(entry.params, entry.result));
      }
    });
    section(3, (c) => {
      c.u32(this.#functions.length);
      for (const built of this.#functions) c.u32(this.type(built.params, built.result));
    });
    if (this.#variables.length > 0) {
      section(6, (c) => {
        c.u32(this.#variables.length);
        for (const type of this.#variables) c.bytes([VAL_TYPE_BYTE[type], 1, type === 'i32' ? 0x41 : 0x42, 0, 0x0b]);
      });
    }
    section(7, (c) => {
      c.u32(this.#exports.length);
      for (const entry of this.#exports) {
        c.name(entry.name);
        c.byte(0x00);
        c.u32(entry.index);
      }
    });
    const bodies = this.#functions.map((built) => built.body());
    const hinted = this.#functions.filter(({ unlikelyAt }) => unlikelyAt.length > 0);
    if (hinted.length > 0) {
      // Branch hints: a custom section in front of the code; each is an offset in a body, and whether the branch is likely.
      section(0, (c) => {
        c.name('metadata.code.branch_hint');
        c.u32(hinted.length);
        for (const { index, unlikelyAt } of hinted) {
          c.u32(index);
          c.u32(unlikelyAt.length);
          for (const at of unlikelyAt) {
            c.u32(at);
            c.bytes([1, 0]);
          }
        }
      });
    }
    section(10, (c) => {
      c.u32(bodies.length);
      for (const body of bodies) c.sized(body);
    });
    if (this.#names.size > 0) {
      // The name section (appendix 7.4): subsection 1 has function names.
      section(0, (c) => {
        c.name('name');
        const names = new ByteWriter(64);
        names.u32(this.#names.size);
        for (const [index, name] of [...this.#names].sort(([x], [y]) => x - y)) {
          names.u32(index);
          names.name(name);
        }
        c.byte(1);
        c.sized(names);
      });
    }
    return out.toBytes();
  }
}
