/** Random programs on this machine's own processor: translated code does what the silicon does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CaseInput, Outcome } from './case.ts';
import { memoryBackground } from './environment.ts';
import { InterpreterExecutor } from './executor.ts';
import { COMPARED_FLAGS } from './machine-state.ts';
import { randomProgram } from './programs.ts';
import { recordNative, recorderUnavailable } from './recorder/native.ts';

/** Seeds of the programs; ever new ones by hand: `node test/cpu/native-programs.test.ts FIRST COUNT`. */
const FIRST = Number(process.argv[2] ?? 0);
const COUNT = Number(process.argv[3] ?? 300);
const PLENTY = 1_000_000;
const PAGE_FAULT = 14;

/** An outcome as text, with all of memory: which bytes of it changed is told in pieces that differ. */
function textOf({ vector, errorCode, cr2, state, writes }: Outcome): string {
  const memory = memoryBackground();
  for (const { offset, bytes } of writes) memory.set(bytes, offset);
  const compared = state.clone();
  compared.rflags &= COMPARED_FLAGS;
  const hex = (bytes: Uint8Array): string => (bytes.toHex().match(/.{1,64}/g) ?? []).join('\n');
  const fault = `vector ${vector}, error ${errorCode}${vector === PAGE_FAULT ? `, address ${cr2.toString(16)}` : ''}`;
  return [fault, 'state', hex(compared.bytes), 'memory', hex(memory)].join('\n');
}

const skip = recorderUnavailable() ?? false;
const programs: readonly CaseInput[] = Array.from({ length: skip ? 0 : COUNT }, (_, n) =>
  randomProgram(FIRST + n, { isPortable: true }),
);
const native: readonly string[] = skip ? [] : recordNative(programs).map(textOf);

for (const [name, slice, hot] of [
  ['translated', PLENTY, false],
  ['as hot code in slices', 150, true],
] as const) {
  test(`${COUNT} random programs do what they do on this processor, ${name}`, { skip }, () => {
    const executor = new InterpreterExecutor('v2', 'translator');
    for (const [n, program] of programs.entries()) {
      executor.load(program);
      executor.vcpu.execute(PLENTY);
      executor.load(program, true);
      assert.equal(textOf(executor.runProgram(program, slice, hot)), native[n], `seed ${FIRST + n}`);
    }
  });
}
