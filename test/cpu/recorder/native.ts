/**
 * Builds the native recorder with gcc and runs cases on it.
 *
 * @module
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { VECTOR_NONE, type CaseInput, type Outcome, type Patch } from '../case.ts';
import { codeLinear } from '../default-state.ts';
import { CODE_BYTES, CODE_LOW, DESCRIPTORS, HIGH, memoryBackground } from '../environment.ts';
import { Flag, MachineState, STATE_BYTES } from '../machine-state.ts';

const MAGIC = 0x31525654;
const CASE_HEAD_BYTES = 32 + STATE_BYTES;
/** Bytes of code in a case's head; the rest of a program comes last. */
const HEAD_CODE_BYTES = 16;
const RESULT_HEAD_BYTES = 24 + STATE_BYTES + 4;
const TRAP_NONE = 0xffff_ffff;
const TRAP_TIMEOUT = 0xffff_fffe;
const PAGE_FAULT = 14;

export class RecorderError extends Error {
  override readonly name = 'RecorderError';
}

const here = import.meta.dirname;
const cache = join(here, '../../../.cache');

/** Why the recorder cannot run here, or undefined when it can. */
export function recorderUnavailable(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the recorder needs Linux on x86-64';
  if (spawnSync('gcc', ['--version']).status !== 0) return 'the recorder needs gcc';
  const features = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1'))?.[1]?.split(' ') ?? [];
  const missing = ['fsgsbase', 'avx'].filter((feature) => !features.includes(feature));
  if (missing.length > 0) return `the recorder needs a processor with ${missing.join(' and ')}`;
  return undefined;
}

/** Compiles recorder.c when the program is older than it; returns the program's path. */
export function buildRecorder(): string {
  const source = join(here, 'recorder.c'),
    program = join(cache, 'cpu-recorder');
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  mkdirSync(cache, { recursive: true });
  const fresh = `${program}.${process.pid}`;
  // Fixed addresses below 4 GiB must be free: no position-independent executable, whose heap could lie there.
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-no-pie', '-fno-stack-protector', '-o', fresh, source]);
  renameSync(fresh, program);
  return program;
}

function header(): Buffer {
  const own = DESCRIPTORS.filter((d) => (d.selector & 4) !== 0);
  const background = memoryBackground();
  const out = Buffer.alloc(8 + own.length * 16);
  out.writeUInt32LE(MAGIC, 0);
  out.writeUInt32LE(own.length, 4);
  own.forEach((d, i) => {
    const code = (d.type & 8) !== 0,
      down = !code && (d.type & 4) !== 0;
    const flags =
      (d.big ? 1 : 0) |
      ((code ? 2 : down ? 1 : 0) << 1) |
      (((d.type & 2) !== 0 ? 0 : 1) << 3) |
      ((d.granular ? 1 : 0) << 4) |
      ((d.present ? 0 : 1) << 5);
    const at = 8 + i * 16;
    out.writeUInt32LE(d.selector >> 3, at);
    out.writeUInt32LE(d.base, at + 4);
    out.writeUInt32LE(d.granular ? d.limit >>> 12 : d.limit, at + 8);
    out.writeUInt32LE(flags, at + 12);
  });
  return Buffer.concat([out, background]);
}

function encodeCase(input: CaseInput): Buffer {
  const patchBytes = input.patches.reduce((sum, p) => sum + 4 + p.bytes.length, 0);
  const { code } = input;
  const rest = code.subarray(HEAD_CODE_BYTES);
  const out = Buffer.alloc(CASE_HEAD_BYTES + patchBytes + rest.length);
  const linear = codeLinear(input.initial, input.environment);
  const offset = Number(linear >= HIGH ? linear - HIGH : linear) - CODE_LOW;
  if (code.length === 0 || code.length > CODE_BYTES)
    throw new RecorderError(`${input.form}: ${code.length} bytes of code`);
  if (offset < 0 || offset >= 0x2000)
    throw new RecorderError(`${input.form}: RIP 0x${linear.toString(16)} is outside the code pages`);
  // The recorder itself loads the bases.
  for (const base of [input.initial.fsBase, input.initial.gsBase]) {
    if (BigInt.asUintN(64, BigInt.asIntN(48, base)) !== base)
      throw new RecorderError(`${input.form}: segment base ${base.toString(16)} is not canonical`);
  }
  out.writeUInt32LE(code.length, 0);
  out.writeUInt32LE(offset, 4);
  out.writeUInt16LE(input.patches.length, 8);
  out.set(code.subarray(0, HEAD_CODE_BYTES), 16);
  out.set(input.initial.bytes, 32);
  let at = CASE_HEAD_BYTES;
  for (const patch of input.patches) {
    out.writeUInt16LE(patch.offset, at);
    out.writeUInt16LE(patch.bytes.length, at + 2);
    out.set(patch.bytes, at + 4);
    at += 4 + patch.bytes.length;
  }
  out.set(rest, at);
  return out;
}

/** Runs the cases on this machine's processor. Throws RecorderError when a case hangs or the recorder dies. */
export function recordNative(inputs: readonly CaseInput[]): Outcome[] {
  const run = spawnSync(buildRecorder(), {
    input: Buffer.concat([header(), ...inputs.map(encodeCase)]),
    maxBuffer: 2 ** 31 - 1,
  });
  if (run.status !== 0) {
    throw new RecorderError(`recorder ended with ${run.status ?? run.signal}: ${run.stderr?.toString().trim()}`);
  }
  const output = run.stdout;
  const outcomes: Outcome[] = [];
  let at = 0;
  for (const input of inputs) {
    if (at + RESULT_HEAD_BYTES > output.length)
      throw new RecorderError(`recorder's output ends at case ${outcomes.length}`);
    const trap = output.readUInt32LE(at + 4);
    const state = new MachineState();
    state.bytes.set(output.subarray(at + 24, at + 24 + STATE_BYTES));
    if (trap === TRAP_TIMEOUT) {
      const code = Buffer.from(input.code).toString('hex');
      const at = `RIP ${state.rip.toString(16)}, CS ${state.selectors[1]}, SS ${state.selectors[2]}, RSP ${(state.gpr[4] as bigint).toString(16)}, RFLAGS ${state.rflags.toString(16)}`;
      throw new RecorderError(`${input.form}: ${code} does not end (${at})`);
    }
    state.rflags &= ~Flag.RF;
    const vector = trap === TRAP_NONE ? VECTOR_NONE : trap;
    const cr2 = vector === PAGE_FAULT ? output.readBigUInt64LE(at + 16) : 0n;
    const errorCode = vector === VECTOR_NONE ? 0 : output.readUInt32LE(at + 8);
    const writes: Patch[] = [];
    const count = output.readUInt32LE(at + 24 + STATE_BYTES);
    at += RESULT_HEAD_BYTES;
    for (let i = 0; i < count; i++) {
      const length = output.readUInt16LE(at + 2);
      writes.push({
        offset: output.readUInt16LE(at),
        bytes: Uint8Array.from(output.subarray(at + 4, at + 4 + length)),
      });
      at += 4 + length;
    }
    outcomes.push({ vector, errorCode, cr2, state, writes });
  }
  return outcomes;
}
