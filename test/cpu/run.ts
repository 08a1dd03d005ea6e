/**
 * Replays vectors on the interpreter, or on the translator, and prints what differs.
 *
 *     node test/cpu/run.ts [--tier interpreter|translator] [--files integer,x87] [--forms REGEXP] [--every N] [--reports N]
 *
 * @module
 */
import { parseArgs } from 'node:util';
import { InterpreterExecutor } from './executor.ts';
import { type FormResult, readVectors, replay, summarize, vectorFiles, vectorModel } from './replay.ts';

const { values } = parseArgs({
  options: {
    tier: { type: 'string', default: 'interpreter' },
    files: { type: 'string' },
    forms: { type: 'string', default: '' },
    every: { type: 'string', default: '1' },
    reports: { type: 'string', default: '2' },
  },
});
const forms = new RegExp(values.forms);
const wanted = values.files?.split(',') ?? vectorFiles();
const results: FormResult[] = [];
for (const name of wanted) {
  const started = performance.now();
  const executor = new InterpreterExecutor(
    vectorModel(name),
    values.tier === 'translator' ? 'translator' : 'interpreter',
  );
  const found = replay(readVectors(name), executor, {
    every: Number(values.every),
    reports: Number(values.reports),
    forms: (form) => forms.test(form),
  });
  results.push(...found);
  const cases = found.reduce((sum, r) => sum + r.cases, 0);
  const failed = found.reduce((sum, r) => sum + r.failed, 0);
  const translated = values.tier === 'translator' ? ` (${executor.translated} translated)` : '';
  console.log(
    `${name}: ${cases} cases${translated}, ${failed} mismatches, ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
}
console.log(summarize(results));
