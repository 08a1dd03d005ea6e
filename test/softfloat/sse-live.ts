/**
 * Compares the SSE slow path with this machine's processor on fresh random cases.
 *
 *   node test/softfloat/sse-live.ts HARNESS [CASES-PER-FORM [SEED]]
 *
 * @module
 */
import { runOnMachine } from './machine.ts';
import { Random } from './operands.ts';
import { randomSseCase, sseExchange, sseForms, sseResult } from './sse-cases.ts';
import { SseRunner } from './sse-run.ts';
import { hex } from './vectors.ts';

const [harness = '', count = '200', seed = '1'] = process.argv.slice(2);
const random = new Random(Number(seed));
const runner = new SseRunner();
let wrong = 0;
for (const form of sseForms) {
  const cases = Array.from({ length: Number(count) }, () => randomSseCase(random, form));
  const outcomes = runOnMachine(harness, cases.map(sseExchange));
  let shown = 0;
  cases.forEach((c, i) => {
    const theirs = sseResult(form, outcomes[i]!);
    const ours = runner.run(form.name, c.immediate, c.mxcsr, c.first, c.second, form.result);
    if (hex(theirs.result) === hex(ours.result) && theirs.mxcsr === ours.mxcsr && theirs.fault === ours.fault) return;
    wrong++;
    if (shown++ < 3) {
      console.log(`${form.name} imm ${c.immediate} mxcsr ${c.mxcsr.toString(16)} a ${hex(c.first)} b ${hex(c.second)}
   machine ${hex(theirs.result)} ${theirs.mxcsr.toString(16)} fault ${theirs.fault}
   ours    ${hex(ours.result)} ${ours.mxcsr.toString(16)} fault ${ours.fault}`);
    }
  });
}
console.log(`${sseForms.length * Number(count)} cases, ${wrong} differ`);
