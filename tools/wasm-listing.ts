/**
 * Lists a function of a WebAssembly module in a form that people can read: one statement a line, expressions as calls, branches to
 * named blocks. For the modules of translated regions; an instruction that `emit` does not know is refused.
 *
 * The instructions are those of the module, in their order: `x = i64.add(y, 1)` is local.get y, i64.const 1, i64.add, local.set x.
 * Their names come from the factories of `emit`, which are nearly those of the specification.
 *
 * @module
 */
import { ByteWriter } from '../src/hypervisor/wasm/emit/byte-writer.ts';
import { type Expr, f32, f64, i32, i64 } from '../src/hypervisor/wasm/emit/expr.ts';
import * as simd from '../src/hypervisor/wasm/emit/simd.ts';

export interface ListingNames {
  /** A field of the CPU state record by its offset. */
  readonly field: (offset: number) => string | undefined;
  readonly local: (index: number) => string | undefined;
  /** Imported functions and constants, in their order. */
  readonly functions: readonly { readonly name: string; readonly params: number; readonly results: number }[];
  readonly constants: readonly string[];
}

interface Shape {
  readonly name: string;
  readonly inputs: number;
  /** Bytes behind the opcode: lanes, or alignment and offset of an access, the only ones that are two. */
  readonly immediates: number;
}

class Reader {
  readonly bytes: Uint8Array;
  at: number;
  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }
  byte(): number {
    return this.bytes[this.at++];
  }
  take(count: number): Uint8Array {
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }
  view(bytes: number): DataView {
    return new DataView(this.bytes.buffer, this.take(bytes).byteOffset);
  }
  u32(): number {
    return Number(this.leb(false));
  }
  /** Prefixed opcodes as in expr.ts: 0xfcXX, 0xfdXX, 0xfeXX. */
  opcode(): number {
    const first = this.byte();
    return first >= 0xfc && first <= 0xfe ? (first << 8) | this.u32() : first;
  }
  leb(signed: boolean): bigint {
    let value = 0n;
    let shift = 0n;
    for (;;) {
      const byte = BigInt(this.byte());
      value |= (byte & 0x7fn) << shift;
      shift += 7n;
      if (byte < 0x80n) return signed ? BigInt.asIntN(Number(shift), value) : value;
    }
  }
}

/** Every factory of `emit`, called with operands that write nothing: what is left is the opcode and its immediates. */
function shapesOfFactories(): Map<number, Shape> {
  const shapes = new Map<number, Shape>();
  let inputs = 0;
  // Sixteen zeros too, for what takes lane numbers.
  const operand = Object.assign(new Array(16).fill(0), { type: 'i32', write: () => void inputs++ });
  for (const [type, factories] of Object.entries({ i32, i64, f32, f64, ...simd })) {
    for (const [key, make] of Object.entries(factories as Record<string, (...operands: unknown[]) => Expr>)) {
      if (key === 'const' || key === 'zero') continue;
      inputs = 0;
      const out = new ByteWriter();
      make(...Array.from({ length: make.length }, () => operand)).write(out);
      const reader = new Reader(out.toBytes(), 0);
      const opcode = reader.opcode();
      const name = `${type}.${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
      shapes.set(opcode, { name, inputs, immediates: out.length - reader.at });
    }
  }
  return shapes;
}

/** What has no factory: stores, atomic accesses of lift-builder.ts. */
// biome-ignore format: a table
const ACCESSES: readonly (readonly [opcode: number, name: string, inputs: number])[] = [
  [0x36, 'i32.store', 2], [0x37, 'i64.store', 2], [0x38, 'f32.store', 2], [0x39, 'f64.store', 2], [0x3a, 'i32.store8', 2],
  [0x3b, 'i32.store16', 2], [0x3c, 'i64.store8', 2], [0x3d, 'i64.store16', 2], [0x3e, 'i64.store32', 2], [0xfd0b, 'v128.store', 2],
  [0xfe12, 'i32.atomic_load8_u', 1], [0xfe13, 'i32.atomic_load16_u', 1], [0xfe48, 'i32.cmpxchg', 3], [0xfe49, 'i64.cmpxchg', 3],
  [0xfe4a, 'i32.cmpxchg8_u', 3], [0xfe4b, 'i32.cmpxchg16_u', 3],
];

const shapes = shapesOfFactories();
for (const [opcode, name, inputs] of ACCESSES) shapes.set(opcode, { name, inputs, immediates: 2 });
shapes.set(0x1b, { name: 'select', inputs: 3, immediates: 0 });

/** Offsets in the function of the branches that are hinted to be unlikely; leaves the reader in front of the function's size. */
function readHints(reader: Reader): Set<number> {
  const unlikely = new Set<number>();
  for (let id = reader.byte(); id !== 10; id = reader.byte()) {
    const end = reader.u32() + reader.at;
    if (id === 0) {
      // The section's name, the number of functions, which is one, and its index.
      reader.take(reader.byte() + 1);
      reader.u32();
      for (let count = reader.u32(); count > 0; count--) {
        unlikely.add(reader.u32());
        reader.take(2);
      }
    }
    reader.at = end;
  }
  // The section's size, and again one function.
  reader.u32();
  reader.take(1);
  return unlikely;
}

/** Lists the one function of a region's module. */
export function listFunction(module: Uint8Array, names: ListingNames): string[] {
  const reader = new Reader(module, 8);
  const unlikely = readHints(reader);
  const end = reader.u32() + reader.at;
  const start = reader.at;
  for (let runs = reader.u32(); runs > 0; runs--) {
    reader.u32();
    reader.take(1);
  }
  const out: string[] = [];
  const stack: string[] = [];
  const open: string[] = ['function'];
  let blocks = 0;
  const line = (text: string, depth = open.length): void => void out.push('  '.repeat(depth - 1) + text);
  const args = (count: number): string[] => stack.splice(stack.length - count, count);
  const top = (): string => stack.pop() as string;
  const label = (): string => open[open.length - 1 - reader.u32()];
  const local = (): string => {
    const index = reader.u32();
    return names.local(index) ?? (index === 0 ? 'cpu' : `t${index}`);
  };
  const global = (): string => {
    const index = reader.u32();
    return names.constants[index] ?? `seen${index - names.constants.length}`;
  };
  const result = (text: string, results = 1): void => (results > 0 ? void stack.push(text) : line(text));
  const invoke = (name: string, params: number, results: number): void =>
    result(`${name}(${args(params).join(', ')})`, results);
  const begin = (text: string, name: string): void => {
    reader.take(1);
    line(text);
    open.push(name);
  };
  const finish = (): void => {
    if (open.pop() !== 'function') line('end');
  };
  const operation = (opcode: number): void => {
    const shape = shapes.get(opcode);
    if (shape === undefined) throw new Error(`there is no name for opcode ${opcode.toString(16)}`);
    const operands = args(shape.inputs);
    if (shape.immediates === 2) {
      reader.u32();
      const offset = reader.u32();
      const field = operands[0] === 'cpu' ? names.field(offset) : undefined;
      if (field !== undefined) operands[0] = `cpu.${field}`;
      else if (offset > 0) operands[0] += ` + 0x${offset.toString(16)}`;
    } else for (let n = 0; n < shape.immediates; n++) operands.push(`#${reader.byte()}`);
    result(`${shape.name}(${operands.join(', ')})`, shape.name.includes('.store') ? 0 : 1);
  };
  while (reader.at < end) {
    const hint = unlikely.has(reader.at - start) ? '    ;; unlikely' : '';
    const opcode = reader.opcode();
    // biome-ignore format: a table
    switch (opcode) {
      case 0x00: line('unreachable'); break;
      case 0x02: begin(`block @${++blocks}`, `@${blocks}`); break;
      case 0x03: begin(`loop @${++blocks}`, `@${blocks}`); break;
      case 0x04: begin(`if ${top()}${hint}`, 'if'); break;
      case 0x05: line('else', open.length - 1); break;
      case 0x0b: finish(); break;
      case 0x0c: line(`br ${label()}`); break;
      case 0x0d: line(`br_if ${label()} ${top()}`); break;
      case 0x0f: line(`return ${top()}`); break;
      case 0x10: { const { name, params, results } = names.functions[reader.u32()]; invoke(name, params, results); break; }
      // Behind these two a type and a table; the last operand is the index. Handlers take two parameters, regions one.
      case 0x11: reader.take(2); invoke('call_indirect', 3, 1); break;
      case 0x13: reader.take(2); invoke('return_call_indirect', 2, 0); break;
      case 0x1a: line(`drop ${top()}`); break;
      case 0x20: result(local()); break;
      case 0x21: line(`${local()} = ${top()}`); break;
      case 0x23: result(global()); break;
      case 0x24: line(`${global()} = ${top()}`); break;
      case 0x41: case 0x42: result(String(reader.leb(true))); break;
      case 0x43: result(`f32.const(${reader.view(4).getFloat32(0, true)})`); break;
      case 0x44: result(`f64.const(${reader.view(8).getFloat64(0, true)})`); break;
      case 0xfd0c: result(`v128.const(${reader.take(16).toHex()})`); break;
      default: operation(opcode);
    }
  }
  return out;
}
