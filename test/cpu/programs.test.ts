import assert from 'node:assert/strict';
import test from 'node:test';
import { type CaseInput, type Outcome } from './case.ts';
import { InterpreterExecutor } from './executor.ts';
import { randomProgram } from './programs.ts';

/** Seeds of the programs; ever new ones by hand: `node test/cpu/programs.test.ts FIRST COUNT`. */
const FIRST = Number(process.argv[2] ?? 0);
const COUNT = Number(process.argv[3] ?? 3000);
const PLENTY = 1_000_000;

/** An outcome as text, with what two runs of a program may differ in left out. */
const textOf = (outcome: Outcome): string =>
  JSON.stringify(
    {
      ...outcome,
      state: [...outcome.state.bytes],
      writes: outcome.writes.map(({ offset, bytes }) => [offset, ...bytes]),
    },
    (_, value) => (typeof value === 'bigint' ? value.toString(16) : value),
  );

/** Runs a program; how it ends, and after how many instructions. */
function run(executor: InterpreterExecutor, program: CaseInput, slice: number, hot: boolean): string {
  const count = (): number => executor.vcpu.stats()['instructions'] as number;
  const before = count();
  const outcome = textOf(executor.runProgram(program, slice, hot));
  return `${count() - before} instructions, ${outcome}`;
}

/** Runs a program once as it is met, and then translated, in slices. */
function translated(executor: InterpreterExecutor, program: CaseInput, slice: number, hot: boolean): string {
  executor.load(program);
  executor.vcpu.execute(PLENTY);
  executor.load(program, true);
  return run(executor, program, slice, hot);
}

for (const [name, slice, hot, check] of [
  ['in one go', PLENTY, false, undefined],
  ['in slices that end in the middle of loops', 37, false, undefined],
  ['as hot code', PLENTY, true, undefined],
  ['as hot code in slices', 150, true, undefined],
  ['as hot code that is checked', 400, true, 1],
] as const) {
  test(`${COUNT} random programs do the same translated, ${name}, as interpreted`, () => {
    const interpreter = new InterpreterExecutor('v3');
    const translator = new InterpreterExecutor('v3', 'translator', check);
    let regions = 0;
    for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
      const program = randomProgram(seed);
      interpreter.load(program);
      const expected = run(interpreter, program, PLENTY, false);
      assert.equal(translated(translator, program, slice, hot), expected, `seed ${seed}`);
      regions = translator.vcpu.stats().regions.built;
    }
    assert.ok(regions >= COUNT * 0.9, `${regions} regions`);
  });
}
