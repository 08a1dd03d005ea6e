/** Finds the project's TypeScript files for the checks and the test runner. @module */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SKIPPED = new Set(['node_modules', 'dist', '.cache', '.git']);

/** Paths of the `.ts` files (declaration files aside) below a folder, relative to it, with forward slashes, sorted. */
export function sourceFiles(folder: URL): string[] {
  const found: string[] = [];
  const visit = (path: string): void => {
    for (const entry of readdirSync(new URL(path, folder), { withFileTypes: true })) {
      if (entry.isDirectory() && !SKIPPED.has(entry.name)) visit(`${path}${entry.name}/`);
      else if (entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts')) found.push(path + entry.name);
    }
  };
  if (existsSync(fileURLToPath(folder))) visit('');
  return found.sort();
}

/** Folders below a folder that hold at least one file, at any depth, relative to it, sorted. */
export function sourceFolders(folder: URL): string[] {
  const folders = new Set<string>();
  for (const file of sourceFiles(folder)) {
    const parts = file.split('/').slice(0, -1);
    for (let depth = 1; depth <= parts.length; depth++) folders.add(parts.slice(0, depth).join('/'));
  }
  return [...folders].sort();
}
