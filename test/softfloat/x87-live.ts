/**
 * Compares the x87 implementation with this machine's processor on fresh random cases.
 *
 *   node test/softfloat/x87-live.ts HARNESS [CASES-PER-ENCODING [SEED [MNEMONIC]]]
 *
 * @module
 */
import { runOnMachine } from './machine.ts';
import { Random } from './operands.ts';
import { isApproximate, randomX87Case, testedEncodings, topOf, x87Exchange, x87Result } from './x87-cases.ts';
import { difference, X87Runner } from './x87-run.ts';
import { hex } from './vectors.ts';

const [harness = '', count = '200', seed = '1', only = ''] = process.argv.slice(2);
const random = new Random(Number(seed));
const runner = new X87Runner();
let wrong = 0,
  total = 0;
for (const encoding of testedEncodings) {
  if (only !== '' && encoding.mnemonic !== only) continue;
  const cases = Array.from({ length: Number(count) }, () => randomX87Case(random, encoding));
  const outcomes = runOnMachine(harness, cases.map(x87Exchange));
  let bad = 0;
  cases.forEach((c, i) => {
    total++;
    const problem = difference(x87Result(outcomes[i]!), runner.run(c), isApproximate(encoding));
    if (problem === '') return;
    wrong++;
    if (bad++ < 3) {
      const top = topOf(c.fsw);
      console.log(
        `${encoding.operation} ${encoding.opcode.toString(16)} ${c.modrm.toString(16)} fcw ${c.fcw.toString(16)} fsw ${c.fsw.toString(16)} top ${top} ftw ${c.ftw.toString(2)} st0 ${hex(c.registers[top]!)} st1 ${hex(c.registers[(top + 1) & 7]!)} sti ${hex(c.registers[(top + (c.modrm & 7)) & 7]!)} mem ${hex(c.memory.subarray(0, 10))}\n   ${problem}`,
      );
    }
  });
  if (bad) console.log(`${encoding.operation}: ${bad} of ${cases.length} differ`);
}
console.log(`${total} cases, ${wrong} differ`);
