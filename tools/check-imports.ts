/**
 * Checks that every import in src/ obeys the layers of ARCHITECTURE.md: nothing imports upward, and the pure folders
 * import neither Node nor packages. Tests and their helpers may import anything, and nothing but tests may import them. Prints one line per violation; exit status 1 when there is one.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { sourceFiles } from './source-files.ts';

/** Pure folders import nothing but other folders of src; the rest may use Node and the package's dependencies. */
interface Layer {
  readonly pure: boolean;
  /** Folders or single files of src that this layer may import besides itself. */
  readonly mayImport: readonly string[];
}

const CORE = ['util', 'memory', 'bus', 'irqchip', 'boot', 'hypervisor', 'disk', 'net', 'devices'];

/** Keys are path prefixes below src; the longest that matches names a file's layer. */
// biome-ignore format: a table
export const LAYERS: Readonly<Record<string, Layer>> = {
  util:             { pure: true,  mayImport: [] },
  memory:           { pure: true,  mayImport: ['util'] },
  bus:              { pure: true,  mayImport: ['util', 'memory'] },
  irqchip:          { pure: true,  mayImport: ['util', 'memory', 'bus', 'hypervisor/interrupts.ts'] },
  boot:             { pure: true,  mayImport: ['util', 'memory'] },
  hypervisor:       { pure: true,  mayImport: ['util', 'memory', 'bus'] },
  disk:             { pure: true,  mayImport: ['util'] },
  net:              { pure: true,  mayImport: ['util'] },
  devices:          { pure: true,  mayImport: ['util', 'memory', 'bus', 'disk/disk.ts'] },
  vm:               { pure: true,  mayImport: CORE },
  'host/node':      { pure: false, mayImport: [...CORE, 'vm'] },
  'host/browser':   { pure: true,  mayImport: [...CORE, 'vm'] },
  cli:              { pure: false, mayImport: [...CORE, 'vm', 'host/node'] },
  'index.ts':       { pure: false, mayImport: [...CORE, 'vm', 'host/node'] },
};

/** A static or re-exporting `from`, a bare `import '…'`, or a dynamic `import('…')`. */
const IMPORT = /^\s*(?:import|export)\b[^'";]*?\bfrom\s*'([^']+)'|^\s*import\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm;

/** Tests, and what only tests use: `x.test.ts`, `testing.ts`, `test-machine.ts`. */
const isTest = (path: string): boolean => /(^|\/)([^/]*\.test|testing|test-[^/]*)\.ts$/.test(path);

const under = (path: string, prefix: string): boolean => path === prefix || path.startsWith(`${prefix}/`);

function layerOf(path: string): string | undefined {
  return Object.keys(LAYERS)
    .filter((prefix) => under(path, prefix))
    .sort((a, b) => b.length - a.length)[0];
}

/** The violations of one file; `path` is relative to src, with forward slashes. */
export function checkFile(path: string, source: string): string[] {
  if (isTest(path)) return [];
  const name = layerOf(path);
  const layer = name === undefined ? undefined : LAYERS[name];
  if (name === undefined || layer === undefined) return [`src/${path}: no layer is named for this file`];
  const problems: string[] = [];
  for (const match of source.matchAll(IMPORT)) {
    const specifier = match[1] ?? match[2] ?? match[3] ?? '';
    if (!specifier.startsWith('.')) {
      if (layer.pure) problems.push(`src/${path}: "${name}" is pure and may not import '${specifier}'`);
      continue;
    }
    const target = posix.join(posix.dirname(path), specifier);
    if (target.startsWith('..')) problems.push(`src/${path}: imports '${specifier}' from outside src`);
    else if (isTest(target)) problems.push(`src/${path}: imports the test '${specifier}'`);
    else if (!under(target, name) && !layer.mayImport.some((allowed) => under(target, allowed))) {
      problems.push(`src/${path}: "${name}" may not import 'src/${target}'`);
    }
  }
  return problems;
}

if (import.meta.main) {
  const root = new URL('../src/', import.meta.url);
  const problems = sourceFiles(root).flatMap((path) => checkFile(path, readFileSync(new URL(path, root), 'utf8')));
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
