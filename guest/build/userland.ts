/** Builds the embedded guest's userland: busybox from Debian's source, linked with musl, and an init of our own. @module */
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../tools/debian-packages.ts';
import { type DebianSource, fetchSource } from '../../tools/debian-source.ts';
import { type CpioEntry, writeCpio } from '../cpio.ts';
import { checkConfig, GUEST, mergeConfig, orFail, step } from './step.ts';

/** dpkg-dev unpacks source packages; linux-libc-dev has the kernel's headers. */
export const USERLAND_TOOLS = ['binutils', 'dpkg-dev', 'gcc', 'libc6-dev', 'linux-libc-dev', 'make', 'musl-tools'];

// The init uses no library; these keep the compiler from adding what only a library's programs need.
// biome-ignore format: one purpose per line
const INIT_FLAGS = [
  '-Os', '-Wall', '-Wextra', '-Werror',
  '-static', '-nostdlib', '-ffreestanding', '-fno-pie', '-no-pie',
  '-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-fomit-frame-pointer',
  '-s', '-Wl,--build-id=none', '-Wl,-z,noseparate-code', '-Wl,-z,noexecstack',
];

/** The kernel's headers, which musl's compiler wrapper does not look for, and nothing of glibc's beside them. */
// biome-ignore format: a table
const KERNEL_HEADERS = [
  ['linux',       '/usr/include/linux'],
  ['mtd',         '/usr/include/mtd'],
  ['asm-generic', '/usr/include/asm-generic'],
  ['asm',         '/usr/include/x86_64-linux-gnu/asm'],
] as const;

// biome-ignore format: a list
const FOLDERS = ['bin', 'dev', 'etc', 'etc/udhcpc', 'mnt', 'proc', 'root', 'run', 'sys', 'tmp', 'usr', 'var', 'var/log'];

export const busyboxSource = (): DebianSource => orFail(fetchSource('busybox'));

/** Builds busybox; returns the path of the program. */
function buildBusybox(work: string, jobs: number): string {
  const { folder: pristine, version } = busyboxSource();
  const folder = join(work, `busybox-${version.replaceAll(':', '_')}`);
  if (!existsSync(folder)) cpSync(pristine, folder, { recursive: true });
  const headers = join(work, 'headers');
  mkdirSync(headers, { recursive: true });
  for (const [name, target] of KERNEL_HEADERS) {
    if (!existsSync(join(headers, name))) symlinkSync(target, join(headers, name));
  }
  const config = join(folder, '.config');
  const fragment = readFileSync(join(GUEST, 'busybox.config'), 'utf8');
  // Both list every option they know.
  step(folder, 'sh', ['-c', 'make -s defconfig > defconfig.log']);
  writeFileSync(config, mergeConfig(readFileSync(config, 'utf8'), fragment));
  step(folder, 'sh', ['-c', 'yes "" | make -s oldconfig > oldconfig.log']);
  checkConfig('busybox.config', readFileSync(config, 'utf8'), fragment);
  const settings = [`CC=musl-gcc -idirafter ${headers}`, `BB_EXTRA_VERSION=Debian ${version}`, 'SKIP_STRIP=n'];
  step(folder, 'make', [`-j${jobs}`, '-s', ...settings, 'busybox']);
  return join(folder, 'busybox');
}

/** The files of the userland; a directory comes before what is in it. */
function entries(init: Uint8Array, busybox: Uint8Array, applets: readonly string[]): CpioEntry[] {
  const etc = (name: string, mode = 0o644): CpioEntry => {
    return { kind: 'file', path: `etc/${name}`, data: readFileSync(join(GUEST, 'userland/etc', name)), mode };
  };
  return [
    ...FOLDERS.map((path) => ({ kind: 'directory', path, mode: path === 'root' ? 0o700 : 0o755 }) as const),
    // The kernel gives PID 1 this as its standard streams.
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'init', data: init, mode: 0o755 },
    { kind: 'file', path: 'bin/busybox', data: busybox, mode: 0o755 },
    ...applets.map((name) => ({ kind: 'symlink', path: `bin/${name}`, target: 'busybox' }) as const),
    { kind: 'symlink', path: 'sbin', target: 'bin' },
    { kind: 'symlink', path: 'usr/bin', target: '../bin' },
    { kind: 'symlink', path: 'usr/sbin', target: '../bin' },
    { kind: 'symlink', path: 'etc/mtab', target: '/proc/mounts' },
    ...['passwd', 'group', 'hosts', 'profile'].map((name) => etc(name)),
    etc('udhcpc/default.script', 0o755),
  ];
}

/** Writes `initrd.img` into the folder `out`. */
export function buildUserland(work: string, out: string, jobs: number): void {
  console.log('building the userland');
  const busybox = buildBusybox(work, jobs);
  const init = join(work, 'init');
  step(work, 'gcc', [...INIT_FLAGS, '-o', init, join(GUEST, 'userland/init.c')]);
  const applets = orFail(run(busybox, ['--list']))
    .trim()
    .split('\n')
    .sort();
  const named = applets.filter((name) => name !== 'busybox');
  writeFileSync(join(out, 'initrd.img'), writeCpio(entries(readFileSync(init), readFileSync(busybox), named)));
}
