/**
 * Completes package-lock.json after `npm install` against a registry that keeps only some platforms' packages.
 *
 * Tools like Biome name one optional package per platform. Those a registry does not have npm leaves out of the lock file,
 * and `npm ci` then calls the file out of date, everywhere. This adds an entry for each of them, with the platform read from
 * its name, so that npm knows that it need not be installed here. Run `node tools/complete-lockfile.ts` after changing a
 * dependency; it prints what it added.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';

/** The fields of a package entry that matter here; others are kept as they are. */
interface LockEntry {
  version?: string;
  optionalDependencies?: Record<string, string>;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
}

export interface LockFile {
  packages: Record<string, LockEntry>;
}

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];

/** The platform that a package name such as `binding-linux-arm64-musl` stands for; undefined when it names no system. */
function platformOf(name: string): Pick<LockEntry, 'os' | 'cpu' | 'libc'> | undefined {
  const words = name.split(/[/-]/);
  const os = SYSTEMS.find((system) => words.includes(system));
  if (os === undefined) return undefined;
  const cpu = PROCESSORS.find((processor) => words.includes(processor));
  const libc = words.some((word) => word.startsWith('musl')) ? 'musl' : words.includes('gnu') ? 'glibc' : undefined;
  return { os: [os], ...(cpu && { cpu: [cpu] }), ...(libc && { libc: [libc] }) };
}

/** Adds the missing entries in place and returns the names it added. */
export function completeLockFile(lock: LockFile): string[] {
  const added: string[] = [];
  for (const entry of Object.values(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const path = `node_modules/${name}`;
      const platform = platformOf(name);
      if (lock.packages[path] !== undefined || platform === undefined) continue;
      lock.packages[path] = { version, ...(entry.dev && { dev: true }), optional: true, ...platform };
      added.push(name);
    }
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  return added;
}

if (import.meta.main) {
  const path = new URL('../package-lock.json', import.meta.url);
  const lock = JSON.parse(readFileSync(path, 'utf8')) as LockFile;
  for (const name of completeLockFile(lock)) console.log(name);
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
}
