/**
 * Keeps the code map of ARCHITECTURE.md true: one row for every folder of src, none for a folder that is gone, and every
 * path that the document names in backticks exists. Prints one line per problem; exit status 1 when there is one.
 *
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { sourceFolders } from './source-files.ts';

/** A row of the map: `| `src/boot` | what it is |`. */
const ROW = /^\|\s*`src\/([^`]+?)\/?`\s*\|\s*(.*?)\s*\|\s*$/;
/** A path into the repository, as prose writes it. */
const PATH = /`((?:src|bin|tools|test|docs|guest|bench|tsconfig)\/[A-Za-z0-9_./-]+)`/g;

/** Compares a document with the folders that exist (relative to src); `exists` answers for paths relative to the root. */
export function checkCodeMap(
  document: string,
  folders: readonly string[],
  exists: (path: string) => boolean,
): string[] {
  const problems: string[] = [];
  const rows = new Map<string, string>();
  const [, map = ''] = document.split(/^## Code map$/m);
  for (const line of map.split(/^## /m)[0]?.split('\n') ?? []) {
    const [, folder, purpose] = ROW.exec(line) ?? [];
    if (folder === undefined || purpose === undefined) continue;
    if (rows.has(folder)) problems.push(`src/${folder} has two rows in the code map`);
    if (purpose.length === 0) problems.push(`src/${folder} has an empty row in the code map`);
    rows.set(folder, purpose);
  }
  for (const folder of folders) if (!rows.has(folder)) problems.push(`src/${folder} is missing in the code map`);
  for (const folder of rows.keys()) {
    if (!folders.includes(folder)) problems.push(`src/${folder} is in the code map but holds no source`);
  }
  for (const [, path = ''] of document.matchAll(PATH)) {
    if (!rows.has(path.replace(/^src\/|\/$/g, '')) && !exists(path)) problems.push(`${path} does not exist`);
  }
  return problems;
}

if (import.meta.main) {
  const root = new URL('../', import.meta.url);
  const problems = checkCodeMap(
    readFileSync(new URL('ARCHITECTURE.md', root), 'utf8'),
    sourceFolders(new URL('src/', root)),
    (path) => existsSync(new URL(path, root)),
  );
  for (const problem of problems) console.error(`ARCHITECTURE.md: ${problem}`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
