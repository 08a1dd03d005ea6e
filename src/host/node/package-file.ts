/** Files of the package, from the sources and from the bundles that are published. @module */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The package's folder: bundles lie elsewhere in it than the modules that they are made of. */
function packageFolder(): URL {
  for (let folder = new URL('.', import.meta.url); ; folder = new URL('../', folder)) {
    if (existsSync(new URL('package.json', folder))) return folder;
    if (folder.pathname === '/') throw new Error(`no package.json in any folder above ${import.meta.url}`);
  }
}

let folder: URL | undefined;

/** The path of a file of the package, by its path in it. */
export function packageFile(path: string): string {
  folder ??= packageFolder();
  return fileURLToPath(new URL(path, folder));
}
