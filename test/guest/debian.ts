/**
 * Debian's own kernels and a busybox initrd for whole-system tests, from packages in the cache (tools/debian-packages.ts).
 * Every function returns what it prepared or the reason why not, which is the test's reason to skip:
 *
 *     const cloud = debianKernel('cloud');
 *     test('…', { skip: skipReason(cloud) }, () => { boot(need(cloud).bzImage) });
 *
 * @module
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { type CpioEntry, writeCpio } from '../../guest/cpio.ts';
import {
  cacheFolder,
  dependencyOf,
  fetchPackage,
  type Prepared,
  prepared,
  unpack,
} from '../../tools/debian-packages.ts';
import { extractVmlinux } from '../../tools/extract-vmlinux.ts';

export type { Prepared } from '../../tools/debian-packages.ts';

export interface DebianKernel {
  /** What `uname -r` says: "6.1.0-30-cloud-amd64". */
  readonly release: string;
  /** Path of the bzImage. */
  readonly bzImage: string;
}

/** The meta packages: the kernel for virtual machines, whose virtio drivers are modules, and the full one. */
const META_PACKAGES = { cloud: 'linux-image-cloud-amd64', full: 'linux-image-amd64' } as const;
export type KernelFlavour = keyof typeof META_PACKAGES;

/** node:test's `skip` option for something prepared. */
export const skipReason = (what: Prepared<unknown>): string | false => (what.ok ? false : what.reason);

/** What was prepared; for the bodies of tests that are skipped when it was not. */
export function need<T>(what: Prepared<T>): T {
  if (!what.ok) throw new Error(`not prepared: ${what.reason}`);
  return what.value;
}

/** node:test's `skip` option for a command that a test runs. */
export function skipWithout(command: string): string | false {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.some((folder) => existsSync(join(folder, command))) ? false : `${command} is not installed`;
}

/** Writes a file so that another process sees all of it or nothing. */
function writeWhole(path: string, data: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.partial-${process.pid}`;
  writeFileSync(partial, data);
  renameSync(partial, path);
}

/** The name of the real package behind a meta package. Kept in the cache: asking apt takes half a second. */
function realPackage(flavour: KernelFlavour, refresh: boolean): Prepared<string> {
  const note = join(cacheFolder(), 'debian', `${META_PACKAGES[flavour]}.txt`);
  if (!refresh && existsSync(note)) return prepared(readFileSync(note, 'utf8').trim());
  const real = dependencyOf(META_PACKAGES[flavour], 'linux-image-');
  if (real.ok) writeWhole(note, `${real.value}\n`);
  return real;
}

/** Debian's kernel of a flavour. `refresh` asks apt for the newest one. */
export function debianKernel(flavour: KernelFlavour, refresh = false): Prepared<DebianKernel> {
  const name = realPackage(flavour, refresh);
  if (!name.ok) return name;
  const source = fetchPackage(name.value, refresh);
  if (!source.ok) return source;
  const root = unpack(source.value, 'boot', ['./boot']);
  if (!root.ok) return root;
  const image = readdirSync(join(root.value, 'boot')).find((entry) => entry.startsWith('vmlinuz-'));
  if (image === undefined) return { ok: false, reason: `package ${name.value} has no /boot/vmlinuz-*` };
  return prepared({ release: image.slice('vmlinuz-'.length), bzImage: join(root.value, 'boot', image) });
}

/** The ELF vmlinux of a Debian kernel. */
export function debianVmlinux(flavour: KernelFlavour): Prepared<string> {
  const kernel = debianKernel(flavour);
  if (!kernel.ok) return kernel;
  const path = join(dirname(kernel.value.bzImage), `vmlinux-${kernel.value.release}`);
  if (!existsSync(path)) writeWhole(path, extractVmlinux(readFileSync(kernel.value.bzImage)));
  return prepared(path);
}

/** A folder with the modules of a Debian kernel below lib/modules/<release>. */
export function debianModules(flavour: KernelFlavour): Prepared<string> {
  const name = realPackage(flavour, false);
  if (!name.ok) return name;
  const source = fetchPackage(name.value);
  return source.ok ? unpack(source.value, 'modules', ['./lib/modules']) : source;
}

/** Path of a statically linked busybox, whether or not one is installed. */
export function staticBusybox(): Prepared<string> {
  const source = fetchPackage('busybox-static');
  if (!source.ok) return source;
  const root = unpack(source.value, 'all', ['.']);
  if (!root.ok) return root;
  const path = ['bin/busybox', 'usr/bin/busybox']
    .map((place) => join(root.value, place))
    .find((place) => existsSync(place));
  return path === undefined ? { ok: false, reason: 'package busybox-static has no busybox' } : prepared(path);
}

/**
 * The test userland's PID 1. Prints "BOOT-OK <uptime>" and the kernel's name, then runs /test when there is one; with
 * `poweroff_now` on the kernel's command line it powers off, otherwise it becomes a shell on the console.
 */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TERM=xterm
echo "BOOT-OK $(cut -d' ' -f1 /proc/uptime)"
uname -a
if [ -x /test ]; then /test; fi
if grep -q poweroff_now /proc/cmdline; then poweroff -f; fi
exec setsid cttyhack sh
`;

export interface InitrdOptions {
  /** A shell script that the init runs as /test. */
  readonly script?: string;
  /** What else is to be in the archive. */
  readonly entries?: readonly CpioEntry[];
}

/** The bytes of a busybox initrd, uncompressed. */
export function busyboxInitrd(options: InitrdOptions = {}): Prepared<Uint8Array> {
  const busybox = staticBusybox();
  if (!busybox.ok) return busybox;
  const { script, entries = [] } = options;
  return prepared(
    writeCpio([
      ...['bin', 'dev', 'proc', 'sys', 'tmp'].map((path) => ({ kind: 'directory', path }) as const),
      { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
      { kind: 'file', path: 'init', data: INIT, mode: 0o755 },
      { kind: 'file', path: 'bin/busybox', data: readFileSync(busybox.value), mode: 0o755 },
      ...(script === undefined
        ? []
        : [{ kind: 'file', path: 'test', data: `#!/bin/sh\n${script}\n`, mode: 0o755 } as const]),
      ...entries,
    ]),
  );
}

/** Path of the plain busybox initrd in the cache. */
export function busyboxInitrdFile(): Prepared<string> {
  const archive = busyboxInitrd();
  if (!archive.ok) return archive;
  const path = join(cacheFolder(), 'busybox-initrd.cpio');
  if (!existsSync(path) || !readFileSync(path).equals(archive.value)) writeWhole(path, archive.value);
  return prepared(path);
}
