/**
 * The package as npm publishes it: packed, installed into a project of its own without a network, type-checked and imported
 * there, and its command started.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hostKvm } from '../../src/hypervisor/kvm/testing.ts';
import { exitKernel } from '../e2e/kernels.ts';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER = mkdtempSync(join(tmpdir(), 'typervisor-package-'));
const PROJECT = join(FOLDER, 'consumer');
const INSTALLED = join(PROJECT, 'node_modules/typervisor');
after(() => rmSync(FOLDER, { recursive: true }));

/** Runs npm without a network; its caches and logs stay in the test's folder. */
function npm(folder: string, ...args: string[]): string {
  const env = { ...process.env, npm_config_cache: join(FOLDER, 'cache'), npm_config_offline: 'true' };
  return execFileSync('npm', [...args, '--loglevel=error', '--no-audit', '--no-fund'], {
    cwd: folder,
    env,
    encoding: 'utf8',
  });
}

function write(name: string, contents: string): void {
  writeFileSync(join(PROJECT, name), contents);
}

/** The name and contents of every manifest entry that leads to a file. */
function exportedFiles(exports: unknown): string[] {
  if (typeof exports === 'string') return [exports];
  return Object.values(exports as Record<string, unknown>).flatMap(exportedFiles);
}

before(() => {
  mkdirSync(PROJECT);
  npm(REPOSITORY, 'pack', '--pack-destination', FOLDER);
  const [tarball] = readdirSync(FOLDER).filter((name) => name.endsWith('.tgz'));
  write('package.json', '{ "name": "consumer", "version": "1.0.0", "type": "module", "private": true }');
  npm(PROJECT, 'install', '--ignore-scripts', join(FOLDER, tarball));
});

test('the package holds JavaScript with declarations, and neither sources nor tests', () => {
  const files = readdirSync(INSTALLED, { recursive: true, encoding: 'utf8' });
  assert.deepEqual(
    files.filter((name) => /(?<!\.d)\.ts$|\.test\.|\/(testing|test-[^/]*)\.|^(src|test|tools)\b/.test(name)),
    [],
  );
  const interpreters = ['dist/interpreter.bin', 'dist/interpreter-measuring.bin'];
  for (const name of ['README.md', 'LICENSE', 'bin/typervisor', 'dist/index.js', 'dist/index.d.ts', ...interpreters]) {
    assert.ok(files.includes(name), name);
  }
});

test('every file that the exports name is there', () => {
  const manifest = JSON.parse(readFileSync(join(INSTALLED, 'package.json'), 'utf8')) as { exports: unknown };
  for (const name of exportedFiles(manifest.exports)) assert.ok(existsSync(join(INSTALLED, name)), name);
});

test('the package installs without a network, and without the optional dependency that needs one', () => {
  assert.deepEqual(
    readdirSync(join(PROJECT, 'node_modules')).filter((name) => !name.startsWith('.')),
    ['typervisor'],
  );
});

test('a TypeScript project checks against the declarations in strict mode, with and without the DOM', () => {
  write(
    'check.ts',
    `import { DEFAULT_CONFIG, ExitCode, type RunConfig } from 'typervisor';
     export const config: RunConfig = { ...DEFAULT_CONFIG, kernel: 'vmlinuz', params: ['quiet'] };
     export const status: number = ExitCode.Reset;
     // @ts-expect-error: the declarations are real types, not any
     export const wrong: RunConfig = { ...DEFAULT_CONFIG, memBytes: '256' };`,
  );
  mkdirSync(join(PROJECT, 'node_modules/@types'));
  symlinkSync(join(REPOSITORY, 'node_modules/@types/node'), join(PROJECT, 'node_modules/@types/node'));
  symlinkSync(join(REPOSITORY, 'node_modules/undici-types'), join(PROJECT, 'node_modules/undici-types'));
  for (const environment of ['--lib esnext,dom --types *', '--lib esnext --types node']) {
    const options =
      '--noEmit --strict --module nodenext --target es2025 --skipLibCheck false --exactOptionalPropertyTypes';
    const args = [...options.split(' '), ...environment.split(' '), 'check.ts'];
    const { status, stdout } = spawnSync(join(REPOSITORY, 'node_modules/.bin/tsc'), args, {
      cwd: PROJECT,
      encoding: 'utf8',
    });
    assert.equal(status, 0, `${environment}: ${stdout}`);
  }
});

test('a project imports it, and requires it', () => {
  write(
    'use.js',
    "import { ExitCode, DEFAULT_CONFIG } from 'typervisor'; console.log(ExitCode.Panic, DEFAULT_CONFIG.cpus);",
  );
  write('use.cjs', "const { ExitCode } = require('typervisor'); console.log(ExitCode.Reset);");
  const run = (file: string): string => execFileSync(process.execPath, [file], { cwd: PROJECT, encoding: 'utf8' });
  assert.equal(run('use.js'), '34 1\n');
  assert.equal(run('use.cjs'), '32\n');
});

test('without koffi its command runs a machine on KVM by node:ffi', { skip: (await hostKvm()).skip }, () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(INSTALLED, 'bin/typervisor'),
      ...['run', '--hypervisor', 'kvm', '--log-level', 'info', '--debug-exit', '0xf4', exitKernel(FOLDER, 3)],
    ],
    { cwd: PROJECT, encoding: 'utf8', input: '' },
  );
  assert.deepEqual([status, stdout], [7, '']);
  assert.equal(stderr, 'typervisor: hypervisor: KVM (system calls by node:ffi)\n');
});

test('its threads are files that import nothing but Node, and what is optional', () => {
  const threads = readdirSync(join(INSTALLED, 'dist')).filter((name) => name.endsWith('-worker.js'));
  assert.deepEqual(threads.sort(), [
    'kvm-vcpu-worker.js',
    'region-compiler-worker.js',
    'sampler-worker.js',
    'vcpu-worker.js',
  ]);
  for (const name of threads) {
    const text = readFileSync(join(INSTALLED, 'dist', name), 'utf8');
    const taken =
      /^import [^;]*?"([^"]+)";$|\b(?:import|getBuiltinModule|createRequire\d*\(import\.meta\.url\))\("([^"]+)"\)/gm;
    const imported = [...text.matchAll(taken)].map((match) => match[1] ?? match[2] ?? '');
    assert.ok(imported.length > 0, name);
    assert.deepEqual(
      imported.filter((specifier) => !specifier.startsWith('node:') && specifier !== 'koffi'),
      [],
      name,
    );
  }
});

test('its files import none of the modules of Node, whose every export would be loaded', () => {
  const files = readdirSync(join(INSTALLED, 'dist')).filter((name) => name.endsWith('.js'));
  const taken = files.map((name) => readFileSync(join(INSTALLED, 'dist', name), 'utf8'));
  assert.deepEqual(taken.join('\n').match(/^import [^;]*"node:[^;]*;$/gm), null);
  assert.match(taken.join('\n'), /^const \{ readFileSync \} = process\.getBuiltinModule\("node:fs"\);$/m);
});

test('its command boots the embedded guest, on the interpreter that it brings along, and translates', () => {
  const cache = join(FOLDER, 'compiled');
  // Were there none, one would be made.
  const interpreter = join(INSTALLED, 'dist/interpreter-measuring.bin');
  const before = statSync(interpreter);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(INSTALLED, 'bin/typervisor'), 'run', '--hypervisor', 'wasm', '--stats'],
    {
      cwd: PROJECT,
      encoding: 'utf8',
      input: "echo 'pow''er'; poweroff -f\n",
      env: { ...process.env, NODE_COMPILE_CACHE: cache },
    },
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^power\r?$/m);
  assert.match(stderr, /^ +regions built +[1-9]/m);
  assert.deepEqual([statSync(interpreter).ino, statSync(interpreter).mtimeMs], [before.ino, before.mtimeMs]);
  assert.deepEqual(
    readdirSync(cache).filter((name) => name.startsWith('interpreter')),
    [],
  );
});

test('its command starts', () => {
  const command = join(PROJECT, 'node_modules/.bin/typervisor');
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` };
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as { version: string };
  assert.equal(execFileSync(command, ['version'], { cwd: PROJECT, env, encoding: 'utf8' }), `typervisor ${version}\n`);
  assert.match(execFileSync(command, ['run', '--help'], { env, encoding: 'utf8' }), /^Usage: typervisor run /);
});
