/**
 * bin/typervisor with command lines of the test's own: which Node runs it, and what passes through to the caller.
 * What needs an old Node is skipped where PATH has none.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));

/** A package with the real launcher and the given command line. */
function packageWith(main: string): { folder: string; launcher: string } {
  const folder = mkdtempSync(join(tmpdir(), 'typervisor-launcher-'));
  after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, 'src/cli'), { recursive: true });
  for (const file of ['bin/typervisor', 'bin/package.json']) copyFileSync(join(REPOSITORY, file), join(folder, file));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(folder, 'src/cli/main.ts'),
    `export async function main(args: string[]): Promise<number> { ${main} }`,
  );
  return { folder, launcher: join(folder, 'bin/typervisor') };
}

function oldNode(): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const { stdout } = spawnSync(join(folder, 'node'), ['-p', 'process.versions.node'], { encoding: 'utf8' });
    const major = Number.parseInt(stdout ?? '', 10);
    if (major >= 18 && major < 24) return join(folder, 'node');
  }
  return undefined;
}

const OLD_NODE = oldNode();
const OLD = OLD_NODE ?? '';
const needsOldNode = { skip: OLD_NODE === undefined && 'there is no Node 18 to 23 on PATH' };
const REPORT = 'console.log(JSON.stringify([process.version, process.ppid, args])); return 7;';

const run = (
  node: string,
  launcher: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): ReturnType<typeof spawnSync> =>
  spawnSync(node, [launcher, ...args], { encoding: 'utf8', env: { PATH: process.env['PATH'], ...env } });

test('a new Node runs the command line in its own process and exits with its status', () => {
  const { launcher } = packageWith(REPORT);
  const { status, stdout } = run(process.execPath, launcher, ['a b', '--c']);
  assert.equal(status, 7);
  assert.deepEqual(JSON.parse(String(stdout)), [process.version, process.pid, ['a b', '--c']]);
});

test('an old Node hands over to the pinned one, with the arguments and the status', needsOldNode, () => {
  const { folder, launcher } = packageWith(REPORT);
  symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
  const { status, stdout } = run(OLD, launcher, ['a b'], { PATH: '' });
  assert.equal(status, 7);
  const [version, parent, args] = JSON.parse(String(stdout)) as [string, number, string[]];
  assert.notEqual(parent, process.pid);
  assert.deepEqual(args, ['a b']);
  assert.match(version, /^v2[4-9]|^v[3-9]/);
});

test('an old Node finds the pinned one that is hoisted above the package', needsOldNode, () => {
  const { folder } = packageWith(REPORT);
  const inner = join(folder, 'deep/typervisor');
  mkdirSync(join(folder, 'deep'));
  symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
  spawnSync('cp', ['-r', packageWith(REPORT).folder, inner]);
  assert.equal(run(OLD, join(inner, 'bin/typervisor'), [], { PATH: '' }).status, 7);
});

test('an old Node takes a new one from PATH, past those that are too old', needsOldNode, () => {
  const { folder, launcher } = packageWith(REPORT);
  mkdirSync(join(folder, 'old'));
  mkdirSync(join(folder, 'new'));
  symlinkSync(OLD, join(folder, 'old/node'));
  symlinkSync(process.execPath, join(folder, 'new/node'));
  assert.equal(run(OLD, launcher, [], { PATH: `${folder}/old:${folder}/new` }).status, 7);
});

test('an old Node with no other in reach says in one line what to do', needsOldNode, () => {
  const { status, stderr } = run(OLD, packageWith(REPORT).launcher, [], { PATH: '' });
  assert.equal(status, 1);
  assert.match(
    String(stderr),
    /^typervisor: this is Node \S+, but Node 24\.12 or newer is needed: [^\n]*TYPERVISOR_NODE[^\n]*\n$/,
  );
});

test('TYPERVISOR_NODE is used even where the running Node would do', () => {
  const { folder, launcher } = packageWith(REPORT);
  const node = join(folder, 'wrapper');
  writeFileSync(node, `#!/bin/sh\necho wrapped\nexec '${process.execPath}' "$@"\n`);
  chmodSync(node, 0o755);
  const { status, stdout } = run(process.execPath, launcher, [], { TYPERVISOR_NODE: node });
  assert.equal(status, 7);
  assert.match(String(stdout), /^wrapped\n\[/);
});

test('a TYPERVISOR_NODE that is too old or missing is refused in one line', needsOldNode, () => {
  const { launcher } = packageWith(REPORT);
  const tooOld = run(process.execPath, launcher, [], { TYPERVISOR_NODE: OLD });
  assert.deepEqual([tooOld.status, String(tooOld.stderr).split('\n').length], [1, 2]);
  assert.match(String(tooOld.stderr), /^typervisor: TYPERVISOR_NODE is Node \S+; it must be Node 24\.12 or newer\n$/);
  const missing = run(process.execPath, launcher, [], { TYPERVISOR_NODE: '/nonexistent/node' });
  assert.equal(missing.status, 1);
  assert.match(String(missing.stderr), /^typervisor: cannot start \/nonexistent\/node: [^\n]*\n$/);
});

test('without sources the built command line runs', () => {
  const { folder, launcher } = packageWith('return 1;');
  rmSync(join(folder, 'src'), { recursive: true });
  mkdirSync(join(folder, 'dist'));
  writeFileSync(join(folder, 'dist/main.js'), 'export const main = async () => 9;');
  assert.equal(run(process.execPath, launcher, []).status, 9);
});

test('compiled code is kept in the cache folder of the user, for workers too, unless Node is told not to', () => {
  const { folder, launcher } = packageWith("console.log(process.env['NODE_COMPILE_CACHE'] ?? 'none'); return 0;");
  const compiled = join(folder, 'cache/typervisor/compiled');
  const cached = run(process.execPath, launcher, [], { XDG_CACHE_HOME: join(folder, 'cache') });
  assert.equal(cached.stdout, `${compiled}\n`);
  assert.equal(readdirSync(compiled).length, 1);
  const env = { XDG_CACHE_HOME: join(folder, 'other'), NODE_DISABLE_COMPILE_CACHE: '1' };
  assert.equal(run(process.execPath, launcher, [], env).stdout, 'none\n');
  assert.equal(existsSync(join(folder, 'other')), false);
});

/** Starts the launcher on an old Node and waits until the command line is up. */
async function start(main: string): Promise<ChildProcess> {
  const { folder, launcher } = packageWith(
    `${main} console.log('up'); await new Promise((end) => setTimeout(end, 20_000)); return 1;`,
  );
  symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'));
  const child = spawn(OLD, [launcher], { stdio: ['ignore', 'pipe', 'inherit'] });
  after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

test('a signal that the command line handles reaches it', needsOldNode, async () => {
  const child = await start(
    "for (const s of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.on(s, () => process.exit(20 + s.length));",
  );
  child.kill('SIGHUP');
  assert.deepEqual(await once(child, 'exit'), [26, null]);
});

test('a signal that ends the command line ends the launcher the same way', needsOldNode, async () => {
  const child = await start('');
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM']);
});
