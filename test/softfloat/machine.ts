/**
 * Talks to harness.c: what one instruction does on the processor of this machine. Only for recording vectors.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';

/** State before or after one instruction. Registers are bytes, little-endian; `st` is in stack order. */
export interface Exchange {
  code: readonly number[];
  mxcsr: number;
  fcw: number;
  fsw: number;
  /** Abridged tags by physical register. */
  ftw: number;
  rax: bigint;
  /** Eight registers of 10 bytes, ST(0) first. */
  st: Uint8Array[];
  xmm: Uint8Array[];
  memory: Uint8Array;
  /** Arithmetic flags. */
  rflags: number;
  fop: number;
}

export interface Outcome extends Exchange {
  /** Vector raised, or 0. */
  fault: number;
  /** FIP and FDP: 1 this instruction and its operand, 2 unchanged, otherwise the low half of what they are. */
  fip: number;
  fdp: number;
}

const BYTES = 344;
const ST = 32,
  XMM = 160,
  MEMORY = 192;

export function blank(code: readonly number[]): Exchange {
  return {
    code,
    mxcsr: 0x1f80,
    fcw: 0x37f,
    fsw: 0,
    ftw: 0,
    rax: 0n,
    st: Array.from({ length: 8 }, () => new Uint8Array(10)),
    xmm: [new Uint8Array(16), new Uint8Array(16)],
    memory: new Uint8Array(128),
    rflags: 0,
    fop: 0,
  };
}

function encode(e: Exchange, view: DataView, bytes: Uint8Array, at: number): void {
  view.setUint8(at, e.code.length);
  view.setUint8(at + 2, e.ftw);
  bytes.set(e.code, at + 4);
  view.setUint32(at + 16, e.mxcsr, true);
  view.setUint16(at + 20, e.fcw, true);
  view.setUint16(at + 22, e.fsw, true);
  view.setBigUint64(at + 24, BigInt.asUintN(64, e.rax), true);
  for (let i = 0; i < 8; i++) bytes.set(e.st[i]!, at + ST + 16 * i);
  for (let i = 0; i < 2; i++) bytes.set(e.xmm[i]!, at + XMM + 16 * i);
  bytes.set(e.memory, at + MEMORY);
  view.setUint32(at + 336, e.fop, true);
  view.setUint32(at + 340, e.rflags, true);
}

function decode(view: DataView, bytes: Uint8Array, at: number, code: readonly number[]): Outcome {
  return {
    code,
    fault: view.getUint8(at + 1),
    ftw: view.getUint8(at + 2),
    mxcsr: view.getUint32(at + 16, true),
    fcw: view.getUint16(at + 20, true),
    fsw: view.getUint16(at + 22, true),
    rax: view.getBigUint64(at + 24, true),
    st: Array.from({ length: 8 }, (_, i) => bytes.slice(at + ST + 16 * i, at + ST + 16 * i + 10)),
    xmm: Array.from({ length: 2 }, (_, i) => bytes.slice(at + XMM + 16 * i, at + XMM + 16 * i + 16)),
    memory: bytes.slice(at + MEMORY, at + MEMORY + 128),
    fip: view.getUint32(at + 320, true),
    fdp: view.getUint32(at + 328, true),
    fop: view.getUint32(at + 336, true),
    rflags: view.getUint32(at + 340, true),
  };
}

/** Runs every exchange on the processor; `harness` is the compiled harness.c. */
export function runOnMachine(harness: string, exchanges: readonly Exchange[]): Outcome[] {
  const outcomes: Outcome[] = [];
  const BATCH = 20_000;
  for (let start = 0; start < exchanges.length; start += BATCH) {
    const batch = exchanges.slice(start, start + BATCH);
    const input = new Uint8Array(batch.length * BYTES);
    const view = new DataView(input.buffer);
    batch.forEach((e, i) => encode(e, view, input, i * BYTES));
    const run = spawnSync(harness, [], { input, maxBuffer: input.length + 1024 });
    if (run.error) throw run.error;
    if (run.status !== 0 || run.stdout.length !== input.length) {
      throw new Error(`harness: status ${run.status ?? run.signal}, ${run.stdout.length} of ${input.length} bytes`);
    }
    const output = new Uint8Array(run.stdout);
    const results = new DataView(output.buffer);
    batch.forEach((e, i) => outcomes.push(decode(results, output, i * BYTES, e.code)));
  }
  return outcomes;
}
