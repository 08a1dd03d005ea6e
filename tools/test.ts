/**
 * Runs the tests: `node tools/test.ts [--fast] [PART-OF-A-PATH...]`.
 *
 * First the set-up, which fetches what whole-system tests need from Debian; then every `*.test.ts` through node:test, one
 * process a file. With `--fast`, no set-up, and only the tests beside the sources. With path parts, only the files whose
 * path contains one of them; some files take so long that they run only then. At the end the skipped tests are counted by reason.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { sourceFiles } from './source-files.ts';

const ROOT = new URL('../', import.meta.url);
const SET_UP = fileURLToPath(new URL('test/guest/setup.ts', ROOT));
/** No test file may take longer; a guest that hangs fails its test instead of the machine that runs it. */
const FILE_LIMIT_MS = 15 * 60_000;

const { values: options, positionals: parts } = parseArgs({
  allowPositionals: true,
  options: { fast: { type: 'boolean', default: false } },
});

/** Dozens of boots in a host that is emulated itself: `npm run test:nested`. */
const ONLY_WHEN_NAMED = ['test/nested/embedded.test.ts'];

const files = sourceFiles(ROOT)
  .filter((path) => path.endsWith('.test.ts'))
  .filter((path) => !options.fast || !path.startsWith('test/'))
  .filter((path) => (parts.length === 0 ? !ONLY_WHEN_NAMED.includes(path) : parts.some((part) => path.includes(part))))
  .map((path) => fileURLToPath(new URL(path, ROOT)));

if (files.length === 0) {
  console.error('no test file matches');
  process.exit(1);
}

if (!options.fast && existsSync(SET_UP)) {
  const { status } = spawnSync(process.execPath, [SET_UP], { stdio: 'inherit' });
  if (status !== 0) {
    console.error(`the test set-up failed with status ${status}`);
    process.exit(1);
  }
}

// Every test file is a process of its own; this saves each the stripping of the types of what it imports.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('.cache/compiled/', ROOT));

/** Hosts in QEMU with several processors: beside another test file, on two cores, their guests' guests now and then come to a stop. */
const isAlone = (path: string): boolean => path.includes('/test/nested/');

const skipped = new Map<string, number>();
let failed = 0;

/** Runs test files, so many at once; resolves when all is reported. */
async function runFiles(some: readonly string[], concurrency: number): Promise<void> {
  if (some.length === 0) return;
  const events = run({ files: [...some], concurrency, timeout: FILE_LIMIT_MS });
  events.on('test:pass', ({ skip }) => {
    if (skip === undefined || skip === false) return;
    const reason = typeof skip === 'string' ? skip : 'no reason given';
    skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
  });
  events.on('test:fail', ({ todo }) => {
    if (todo === undefined || todo === false) failed++;
  });
  const report = events.compose(spec);
  report.pipe(process.stdout, { end: false });
  await new Promise((resolve) => {
    report.on('end', resolve);
  });
}

await runFiles(
  files.filter((path) => !isAlone(path)),
  availableParallelism(),
);
await runFiles(files.filter(isAlone), 1);
for (const [reason, count] of skipped) console.log(`skipped ${count}: ${reason}`);
if (failed > 0) process.exitCode = 1;
