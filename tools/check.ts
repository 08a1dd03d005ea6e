/**
 * `npm run check`: types per environment, lint, format, import layers, code map, promises. The checks run side by side; each prints
 * one line, and its output when it fails. Exit status 1 when one failed.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const BIN = `${ROOT}node_modules/.bin/`;

// biome-ignore format: a table
const CHECKS: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['types',    `${BIN}tsc`, '-b'],
  ['lint',     `${BIN}oxlint`, '--type-aware', '--deny-warnings'],
  ['format',   `${BIN}biome`, 'format', '--reporter=summary', '.'],
  ['imports',  process.execPath, 'tools/check-imports.ts'],
  ['code map', process.execPath, 'tools/check-codemap.ts'],
  ['promises', process.execPath, 'tools/check-promises.ts'],
];

/** Runs one check to its end; true when it found nothing. */
function runCheck([name, command, ...args]: (typeof CHECKS)[number]): Promise<boolean> {
  const started = performance.now();
  return new Promise((resolve) => {
    let output = '';
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (error) => {
      output += error.message;
    });
    child.on('close', (status) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name.padEnd(9)} ${seconds} s`);
      if (status !== 0) console.log(output.trimEnd());
      resolve(status === 0);
    });
  });
}

const results = await Promise.all(CHECKS.map(runCheck));
process.exitCode = results.every(Boolean) ? 0 : 1;
