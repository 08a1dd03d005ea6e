/**
 * Builds what npm publishes: `npm run build` writes `dist`. The program is bundled, for Node takes longer to find and link a module than to
 * run it: one file for each thread of a machine, and for the main thread one for each part that is loaded when it is needed. The interpreter is
 * generated here, once, and lies beside them. Declarations stay one file a module.
 *
 *     dist/index.js                    the library
 *     dist/main.js                     the command line
 *     dist/vcpu-worker.js, ...         what threads are started with (src/host/node/sibling-module.ts)
 *     dist/interpreter*.bin            the interpreter (src/host/node/interpreter-cache.ts)
 *     dist/index.d.ts, .../*.d.ts      declarations
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions, type Plugin } from 'esbuild';
import { compileInterpreter } from '../src/hypervisor/wasm/compiled-interpreter.ts';
import { builtInterpreter, SHIPPED_MODEL } from '../src/host/node/interpreter-cache.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const source = (path: string): string => join(ROOT, 'src', path);

/** Programs on the main thread, which load parts of themselves later. They share none: it would be many small files more. */
const PROGRAMS: readonly Readonly<Record<string, string>>[] = [
  { index: source('index.ts') },
  { main: source('cli/main.ts') },
];
/** Each is a file by itself: a thread waits for nothing else. */
const THREADS: readonly string[] = [
  'host/node/vcpu-worker.ts',
  'host/node/region-compiler-worker.ts',
  'host/node/sampler-worker.ts',
  'host/node/kvm/kvm-vcpu-worker.ts',
].map(source);

/** An import of names, of a default, or of everything, of one of Node's own modules, as esbuild writes it. */
const BUILTIN_IMPORT = /^import (?:(\{[^}]*\})|(?:\* as )?([\w$]+)) from ("node:[\w/]+");$/gm;

/**
 * Node's own modules as they are, not as ECMAScript modules: an import asks them for every export, and so loads what many of these are only
 * for, such as streams and all of cryptography. Without it `version` took 31.6 ms in place of 26.6.
 */
function withoutFacades(code: string): string {
  return code.replaceAll(BUILTIN_IMPORT, (_, names: string | undefined, all: string | undefined, module: string) => {
    const taken = names?.replaceAll(/ as /g, ': ') ?? all ?? '';
    return `const ${taken} = process.getBuiltinModule(${module});`;
  });
}

const facades: Plugin = {
  name: 'without facades',
  setup(bundle) {
    bundle.initialOptions.write = false;
    bundle.onEnd(({ outputFiles = [] }) => {
      for (const { path, text } of outputFiles) writeFileSync(path, withoutFacades(text));
    });
  },
};

const OPTIONS = {
  bundle: true,
  plugins: [facades],
  format: 'esm',
  platform: 'node',
  target: 'node24',
  packages: 'external',
  legalComments: 'none',
  logLevel: 'warning',
} as const satisfies BuildOptions;

/** Writes the program to a folder, which is emptied first: all but the declarations. */
export async function buildProgram(outdir: string): Promise<void> {
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir, { recursive: true });
  await Promise.all([
    ...PROGRAMS.map((entryPoints) => build({ ...OPTIONS, outdir, splitting: true, entryPoints })),
    build({ ...OPTIONS, outdir, entryNames: '[name]', entryPoints: [...THREADS] }),
  ]);
  for (const measures of [false, true]) {
    compileInterpreter(builtInterpreter(outdir, measures), SHIPPED_MODEL, { measures });
  }
}

/**
 * Writes the package to a folder, as it is when it is installed beside this project's own dependencies, but for declarations and the embedded
 * guest, which is a link to this project's.
 */
export async function buildPackage(folder: string): Promise<void> {
  await buildProgram(join(folder, 'dist'));
  for (const name of ['bin', 'package.json']) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  mkdirSync(join(folder, 'guest'), { recursive: true });
  const images = join(folder, 'guest/images');
  rmSync(images, { force: true });
  symlinkSync(join(ROOT, 'guest/images'), images);
}

if (import.meta.main) {
  await buildProgram(join(ROOT, 'dist'));
  execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig/build.json'], { cwd: ROOT, stdio: 'inherit' });
}
