/**
 * Builds a WebAssembly module: imports, functions, exports, one table (WebAssembly core specification, section 5.5).
 *
 * @module
 */
import { ByteWriter } from './byte-writer.ts';
import { type I32, VAL_TYPE_BYTE, type ValType } from './expr.ts';
import { type Callee, FunctionBuilder } from './function-builder.ts';

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
  readonly #globals: string[] = [];

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

  /** Imports `env.NAME`, a table of functions; the first one is table 0. */
  importTable(name: string): void {
    this.#tables.push(name);
  }

  /** Imports `env.NAME`, a constant known when the module is instantiated. */
  importConstant(name: string): I32 {
    const index = this.#globals.length;
    this.#globals.push(name);
    return {
      type: 'i32',
      write(out) {
        out.byte(0x23);
        out.u32(index);
      },
    };
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
    return out.toBytes();
  }
}
