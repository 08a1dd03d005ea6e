/**
 * A whole Debian system on a disk image: made with debootstrap from the mirror that apt uses, with systemd, Debian's own kernel and
 * the initial RAM disk that its package makes. Needs root, for a chroot; made once, kept in the cache.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { writeCpio } from '../../guest/cpio.ts';
import { moduleFiles, moduleName, PMEM_DRIVERS } from './guest-modules.ts';
import {
  cacheFolder,
  installPackages,
  isRoot,
  type Prepared,
  prepared,
  refuse,
  run,
  whyNoDebian,
} from '../../tools/debian-packages.ts';

export interface DebianSystem {
  /** An ext4 image; copy it before a guest writes to it. */
  readonly image: string;
  readonly kernel: string;
  readonly initrd: string;
  /** Root's password. */
  readonly password: string;
}

const SUITE = 'bookworm';
const IMAGE_SIZE = '1G';
const PASSWORD = 'typervisor';
/** On top of what every Debian has. */
const PACKAGES = ['systemd-sysv', 'linux-image-cloud-amd64', 'initramfs-tools', 'udev', 'e2fsprogs', 'login', 'passwd'];

/** The mirror that apt has the suite from. */
function mirror(): Prepared<string> {
  const targets = run('apt-get', ['indextargets', '--format', '$(SITE) $(CODENAME)']);
  if (!targets.ok) return targets;
  const site = targets.value.split('\n').find((line) => line.endsWith(` ${SUITE}`));
  return site === undefined ? refuse(`apt knows no mirror of ${SUITE}`) : prepared(site.split(' ')[0] ?? '');
}

/** The system, from the cache or made now, which takes minutes. */
export function debianSystem(): Prepared<DebianSystem> {
  const folder = join(cacheFolder(), `debian-system-${SUITE}-1`);
  const system = {
    image: join(folder, 'root.ext4'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
    password: PASSWORD,
  };
  if (existsSync(folder)) return prepared(system);
  const obstacle =
    whyNoDebian() ?? (isRoot() ? undefined : 'debootstrap needs root') ?? installPackages(['debootstrap', 'e2fsprogs']);
  if (obstacle !== undefined) return refuse(obstacle);
  const site = mirror();
  if (!site.ok) return site;
  mkdirSync(cacheFolder(), { recursive: true });
  const work = mkdtempSync(join(cacheFolder(), '.partial-'));
  const root = join(work, 'root');
  try {
    const made = run('debootstrap', ['--variant=minbase', `--include=${PACKAGES.join()}`, SUITE, root, site.value]);
    if (!made.ok) return made;
    const configured = configure(root);
    if (!configured.ok) return configured;
    const boot = readdirSync(join(root, 'boot'));
    for (const [prefix, name] of [
      ['vmlinuz-', 'vmlinuz'],
      ['initrd.img-', 'initrd.img'],
    ] as const) {
      const found = boot.find((entry) => entry.startsWith(prefix));
      if (found === undefined) return refuse(`debootstrap left no /boot/${prefix}*`);
      copyFileSync(join(root, 'boot', found), join(work, name));
    }
    const image = run('mke2fs', ['-q', '-t', 'ext4', '-d', root, join(work, 'root.ext4'), IMAGE_SIZE]);
    if (!image.ok) return image;
    rmSync(root, { recursive: true });
    renameSync(work, folder);
    return prepared(system);
  } finally {
    // debootstrap unmounts what it mounted in its root; if it was killed, that must not be deleted through the mounts.
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    if (!mounts.some((line) => line.split(' ')[1]?.startsWith(work))) rmSync(work, { recursive: true, force: true });
  }
}

/** What an installer would have asked. */
function configure(root: string): Prepared<string> {
  writeFileSync(join(root, 'etc/hostname'), 'debian\n');
  writeFileSync(join(root, 'etc/fstab'), '/dev/vda / ext4 errors=remount-ro 0 1\n');
  // No mirror: there is no network.
  writeFileSync(join(root, 'etc/apt/sources.list'), '');
  rmSync(join(root, 'var/cache/apt/archives'), { recursive: true, force: true });
  return run('chroot', [
    root,
    'sh',
    '-c',
    `mkdir -p /var/cache/apt/archives/partial; echo root:${PASSWORD} | chpasswd`,
  ]);
}

/**
 * The system's initial RAM disk with the drivers of persistent memory, which Debian's tools leave out: an archive behind it
 * has them and a script that loads them, at the place that initramfs-tools(7) has for that.
 */
export function withPmemDrivers({ image, initrd: path }: DebianSystem): Uint8Array {
  const initrd = readFileSync(path);
  const look = (command: string): Buffer =>
    execFileSync('debugfs', ['-R', command, image], { maxBuffer: 2 ** 26, stdio: 'pipe' });
  const [, release = ''] = /\/(\d+\.\d[^/]*)\//.exec(look('ls -p /usr/lib/modules').toString()) ?? [];
  const drivers = `/usr/lib/modules/${release}/kernel/drivers`;
  const load = PMEM_DRIVERS.map((path) => `insmod /pmem/${moduleName(path)}`);
  const script = ['#!/bin/sh', 'modprobe -q virtio_pci', ...load];
  const place = 'scripts/init-premount';
  const archive = writeCpio([
    ...moduleFiles('pmem', PMEM_DRIVERS, (module) => look(`cat ${drivers}/${module}`)),
    { kind: 'directory', path: place },
    { kind: 'file', path: `${place}/pmem`, data: `${script.join('\n')}\n`, mode: 0o755 },
    { kind: 'file', path: `${place}/ORDER`, data: `/${place}/pmem "$@"\n` },
  ]);
  // Archives begin at multiples of four bytes.
  const start = (initrd.length + 3) & ~3;
  const both = new Uint8Array(start + archive.length);
  both.set(initrd);
  both.set(archive, start);
  return both;
}
