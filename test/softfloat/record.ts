/**
 * Records the vectors of this folder from the machine's own processor (Intel, with gcc installed):
 *
 *   node test/softfloat/record.ts
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runOnMachine } from './machine.ts';
import { Random } from './operands.ts';
import { randomSseCase, sseExchange, sseForms, sseResult } from './sse-cases.ts';
import { SSE_VECTORS, writeSseVector } from './sse-vectors.ts';
import type { SseHeader } from './sse-vectors.ts';
import { isApproximate, randomX87Case, testedEncodings, x87Exchange, x87Result } from './x87-cases.ts';
import { X87_VECTORS, writeX87Vector } from './x87-vectors.ts';
import type { X87Header } from './x87-vectors.ts';
import { ByteWriter, packVectors } from './vectors.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const SSE_CASES_PER_FORM = 200;
const X87_CASES_PER_ENCODING = 120;

function processorName(): string {
  return /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
}

function save(name: string, header: unknown, writer: ByteWriter): void {
  const packed = packVectors(header, writer.take());
  writeFileSync(here(`vectors/${name}`), packed);
  console.log(`${name}: ${packed.length} bytes`);
}

function recordSse(harness: string): void {
  const random = new Random(20_250_101);
  const writer = new ByteWriter();
  sseForms.forEach((form, index) => {
    const cases = Array.from({ length: SSE_CASES_PER_FORM }, () => randomSseCase(random, form));
    const outcomes = runOnMachine(harness, cases.map(sseExchange));
    cases.forEach((c, i) => writeSseVector(writer, index, c, sseResult(form, outcomes[i]!)));
  });
  const forms = sseForms.map(({ name, first, second, result }) => ({ name, first, second, result }));
  save(SSE_VECTORS, { processor: processorName(), forms } satisfies SseHeader, writer);
}

function recordX87(harness: string): void {
  const random = new Random(20_250_102);
  const writer = new ByteWriter();
  testedEncodings.forEach((encoding, index) => {
    const count = isApproximate(encoding) ? 2 * X87_CASES_PER_ENCODING : X87_CASES_PER_ENCODING;
    const cases = Array.from({ length: count }, () => randomX87Case(random, encoding));
    const outcomes = runOnMachine(harness, cases.map(x87Exchange));
    cases.forEach((c, i) => writeX87Vector(writer, index, c, x87Result(outcomes[i]!)));
  });
  save(X87_VECTORS, { processor: processorName(), encodings: testedEncodings } satisfies X87Header, writer);
}

const folder = mkdtempSync(join(tmpdir(), 'softfloat-'));
try {
  const harness = join(folder, 'harness');
  execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-o', harness, here('harness.c')], { stdio: 'inherit' });
  mkdirSync(here('vectors'), { recursive: true });
  recordSse(harness);
  recordX87(harness);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
