/**
 * Debian packages by name: asks apt for them, keeps them in a cache outside the tree, unpacks files from them. Downloading
 * needs no privilege; `apt-get update` and installing do. What cannot be had is a reason, not an exception: whoever asked
 * skips what needs it and says why.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Something prepared, or why it could not be. */
export type Prepared<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** The source package, its version, and the sources of what was linked in statically: the fields of the package. */
  readonly source: string;
  readonly builtUsing: string;
  /** Path of the .deb file. */
  readonly file: string;
}

const APT_ENVIRONMENT = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
const OUTPUT_LIMIT_BYTES = 64 << 20;

export const refuse = (reason: string): { readonly ok: false; readonly reason: string } => ({ ok: false, reason });
export const prepared = <T>(value: T): Prepared<T> => ({ ok: true, value });

/** Where fetched and derived files are kept: $TYPERVISOR_CACHE, or `typervisor` in the user's cache folder. */
export function cacheFolder(): string {
  const { TYPERVISOR_CACHE, XDG_CACHE_HOME } = process.env;
  if (TYPERVISOR_CACHE) return TYPERVISOR_CACHE;
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'typervisor');
}

export const isRoot = (): boolean => process.getuid?.() === 0;

/** Why packages cannot be had from apt on this machine, or undefined when they can. */
export function whyNoDebian(): string | undefined {
  if (process.platform !== 'linux') return `Debian packages are not to be had on ${process.platform}`;
  if (process.arch !== 'x64') return `the Debian packages needed are for amd64, this machine is ${process.arch}`;
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return /^ID=debian$/m.test(release) ? undefined : 'this is not Debian';
}

/** Runs a command to its end; its output, or the last line of what it complained about. */
export function run(command: string, args: readonly string[], cwd?: string): Prepared<string> {
  const done = spawnSync(command, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: APT_ENVIRONMENT,
    encoding: 'utf8',
    maxBuffer: OUTPUT_LIMIT_BYTES,
  });
  if (done.error) return refuse(`${command}: ${done.error.message}`);
  if (done.status === 0) return prepared(done.stdout);
  const complaint = done.stderr.trim().split('\n').at(-1) || `status ${done.status ?? done.signal}`;
  return refuse(`${command} ${args[0] ?? ''}: ${complaint}`);
}

let updated = false;

/** Runs an apt query; when it fails and we are root, once more after `apt-get update` (a new container has no lists). */
function query(command: string, args: readonly string[], cwd?: string): Prepared<string> {
  const first = run(command, args, cwd);
  if ((first.ok && first.value.trim() !== '') || updated || !isRoot()) return first;
  updated = true;
  const update = run('apt-get', ['update', '-q']);
  return update.ok ? run(command, args, cwd) : update;
}

/** The first dependency of a package whose name starts with a prefix: what a meta package stands for. */
export function dependencyOf(name: string, prefix: string): Prepared<string> {
  const obstacle = whyNoDebian();
  if (obstacle !== undefined) return refuse(obstacle);
  const listing = query('apt-cache', ['depends', name]);
  if (!listing.ok) return listing;
  const found = [...listing.value.matchAll(/^\s*\|?Depends: (\S+)$/gm)].map((match) => match[1] ?? '');
  const dependency = found.find((candidate) => candidate.startsWith(prefix));
  return dependency === undefined ? refuse(`${name} depends on no ${prefix}*`) : prepared(dependency);
}

/** Moves a finished folder into place; where another process was faster, its result stands. */
function publish(finished: string, place: string): void {
  try {
    renameSync(finished, place);
  } catch (error) {
    if (!existsSync(place)) throw error;
    rmSync(finished, { recursive: true });
  }
}

/** A new empty folder next to where its content will be published. */
function workFolder(parent: string): string {
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, '.partial-'));
}

const DESCRIPTION = 'package.json';

/** The package a folder of the cache holds; the description names the file only, so that the cache can be moved. */
function described(folder: string): DebianPackage {
  const description = JSON.parse(readFileSync(join(folder, DESCRIPTION), 'utf8')) as DebianPackage;
  return { ...description, file: join(folder, description.file) };
}

/** Fetches a package into the cache, or takes it from there. `refresh` asks apt for the newest even when one is cached. */
export function fetchPackage(name: string, refresh = false): Prepared<DebianPackage> {
  const folder = join(cacheFolder(), 'debian', name);
  if (!refresh && existsSync(join(folder, DESCRIPTION))) {
    return prepared(described(folder));
  }
  const obstacle = whyNoDebian();
  if (obstacle !== undefined) return refuse(obstacle);
  const work = workFolder(join(cacheFolder(), 'debian'));
  try {
    const download = query('apt-cache', ['show', '--no-all-versions', name]);
    if (!download.ok) return refuse(`package ${name}: ${download.reason}`);
    const fetched = run('apt-get', ['download', '-q', name], work);
    if (!fetched.ok) return refuse(`package ${name}: ${fetched.reason}`);
    const file = readdirSync(work).find((entry) => entry.endsWith('.deb'));
    if (file === undefined) return refuse(`package ${name}: apt-get download left no file`);
    const format = '${Version}\\n${source:Package} ${source:Version}\\n${Built-Using}\\n';
    const fields = run('dpkg-deb', ['--show', `--showformat=${format}`, join(work, file)]);
    if (!fields.ok) return refuse(`package ${name}: ${fields.reason}`);
    const [version = '', source = '', builtUsing = ''] = fields.value.split('\n');
    const result: DebianPackage = { name, version, source, builtUsing, file };
    writeFileSync(join(work, DESCRIPTION), `${JSON.stringify(result, null, 2)}\n`);
    if (refresh) rmSync(folder, { recursive: true, force: true });
    publish(work, folder);
    return prepared(described(folder));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Unpacks what lies under some paths of a package (".": everything; "./boot": a folder), once; returns the folder it
 * is in, which has the layout of a root file system. `label` tells apart what is unpacked from the same package.
 */
export function unpack(source: DebianPackage, label: string, paths: readonly string[]): Prepared<string> {
  const folder = join(cacheFolder(), 'unpacked', `${source.name}_${source.version.replaceAll(':', '_')}-${label}`);
  if (existsSync(folder)) return prepared(folder);
  const work = workFolder(join(cacheFolder(), 'unpacked'));
  try {
    const script = 'dpkg-deb --fsys-tarfile "$1" | { into=$2; shift 2; tar --no-same-owner -xf - -C "$into" "$@"; }';
    const done = run('sh', ['-c', script, 'unpack', source.file, work, ...paths]);
    if (!done.ok) return refuse(`package ${source.name}: ${done.reason}`);
    publish(work, folder);
    return prepared(folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Which of some packages are not installed, as dpkg knows it. */
export function missingPackages(names: readonly string[]): string[] {
  const listing = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\\n', ...names], {
    encoding: 'utf8',
    env: APT_ENVIRONMENT,
  });
  const installed = new Set(
    (listing.stdout ?? '')
      .split('\n')
      .filter((row) => row.endsWith(' installed'))
      .map((row) => row.split(' ')[0]),
  );
  return names.filter((name) => !installed.has(name));
}

/** Installs packages; undefined when they are there afterwards, else why not. */
export function installPackages(names: readonly string[]): string | undefined {
  const missing = missingPackages(names);
  if (missing.length === 0) return undefined;
  const obstacle = whyNoDebian() ?? (isRoot() ? undefined : 'installing needs root');
  if (obstacle !== undefined) return `${obstacle}; missing: ${missing.join(' ')}`;
  const done = query('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing]);
  return done.ok ? undefined : done.reason;
}
