/**
 * Keeps the promises of SPECIFICATION.md honest: every row of a table there whose last column is "Test" names a test file
 * that exists, or says "none yet". Prints one line per problem; exit status 1 when there is one.
 *
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';

const TEST = /`([^`]+\.test\.ts)`/g;

/** The cells of a table's row; undefined for any other line. `\|` is no border. */
function cellsOf(line: string): string[] | undefined {
  if (!line.startsWith('|')) return undefined;
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** The problems of a document; `exists` answers for paths relative to the repository. */
export function checkPromises(document: string, exists: (path: string) => boolean): string[] {
  const problems: string[] = [];
  let previous: string[] | undefined;
  let inTests = false;
  for (const line of document.split('\n')) {
    const cells = cellsOf(line);
    const isRule = cells?.every((cell) => /^:?-+:?$/.test(cell)) ?? false;
    if (isRule) inTests = previous?.at(-1) === 'Test';
    else if (cells === undefined) inTests = false;
    else if (inTests) {
      const proof = cells.at(-1) ?? '';
      const tests = [...proof.matchAll(TEST)].map(([, path = '']) => path);
      if (tests.length === 0 && !proof.includes('none yet')) problems.push(`no test is named for "${cells[0]}"`);
      for (const path of tests) if (!exists(path)) problems.push(`${path}, named for "${cells[0]}", does not exist`);
    }
    previous = cells;
  }
  return problems;
}

if (import.meta.main) {
  const root = new URL('../', import.meta.url);
  const document = readFileSync(new URL('SPECIFICATION.md', root), 'utf8');
  const problems = checkPromises(document, (path) => existsSync(new URL(path, root)));
  for (const problem of problems) console.error(`SPECIFICATION.md: ${problem}`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
