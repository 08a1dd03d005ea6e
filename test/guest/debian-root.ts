/**
 * A whole Debian 12 for tests: the root file system of a bootstrapped system with systemd, as an ext4 image, with the kernel and the initrd
 * that Debian's own scripts put into its /boot. Bootstrapping needs root, and takes about a minute; the result is kept in the cache.
 *
 * The system is what its packages make it, but for a password, a host name and a file system table. It says "debian login:" on the serial
 * console that the kernel's command line names.
 *
 * @module
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, isRoot, type Prepared, prepared, refuse, run, whyNoDebian } from '../../tools/debian-packages.ts';

export interface DebianRoot {
  /** Paths: an ext4 file system without a partition table, the kernel, its initrd. Tests work on copies of the image. */
  readonly image: string;
  readonly kernel: string;
  readonly initrd: string;
}

export const ROOT_PASSWORD = 'typervisor';

/** Moves whenever what is built here changes. */
const REVISION = 1;
const SUITE = 'bookworm';
/** The file is sparse. */
const IMAGE_MIB = 1024;

/** What Debian calls a minimal system, and what makes it one that boots. */
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'udev', 'dbus', 'login', 'passwd', 'util-linux', 'e2fsprogs', 'kmod', 'procps'],
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'zstd'],
];

/** What is needed on the host. */
export const DEBIAN_ROOT_TOOLS: readonly string[] = ['mmdebstrap', 'mke2fs'];

const FSTAB = `/dev/vda / ext4 errors=remount-ro 0 1
`;

/** Paths of what is in a folder, or undefined when it is not whole. */
function inFolder(folder: string): DebianRoot | undefined {
  const root = {
    image: join(folder, 'root.ext4'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
  };
  return Object.values(root).every((path) => existsSync(path)) ? root : undefined;
}

/** The system in the cache; a reason when none has been made yet. Makes nothing. */
export function cachedDebianRoot(): Prepared<DebianRoot> {
  const root = inFolder(join(cacheFolder(), `debian-root-${REVISION}`));
  return root === undefined
    ? refuse("a Debian root has not been made: run 'node test/guest/setup.ts' as root")
    : prepared(root);
}

/** Makes the system, or takes it from the cache. `refresh` makes it anew, of today's packages. */
export function debianRoot(refresh = false): Prepared<DebianRoot> {
  const place = join(cacheFolder(), `debian-root-${REVISION}`);
  const there = inFolder(place);
  if (there !== undefined && !refresh) return prepared(there);
  const obstacle = whyNoDebian() ?? (isRoot() ? undefined : 'bootstrapping a Debian needs root');
  if (obstacle !== undefined) return refuse(obstacle);
  mkdirSync(cacheFolder(), { recursive: true });
  const work = mkdtempSync(join(cacheFolder(), '.partial-'));
  try {
    const made = build(work);
    if (!made.ok) return made;
    rmSync(place, { recursive: true, force: true });
    renameSync(join(work, 'result'), place);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return cachedDebianRoot();
}

function build(work: string): Prepared<undefined> {
  const tree = join(work, 'tree');
  const result = join(work, 'result');
  const strapped = run('mmdebstrap', [
    '--quiet',
    '--variant=minbase',
    '--mode=root',
    `--include=${PACKAGES.join(',')}`,
    SUITE,
    tree,
  ]);
  if (!strapped.ok) return strapped;
  writeFileSync(join(tree, 'etc/hostname'), 'debian\n');
  writeFileSync(join(tree, 'etc/fstab'), FSTAB);
  // Packages come from where a test says.
  writeFileSync(join(tree, 'etc/apt/sources.list'), '');
  rmSync(join(tree, 'etc/apt/sources.list.d'), { recursive: true, force: true });
  const salted = run('openssl', ['passwd', '-6', ROOT_PASSWORD]);
  if (!salted.ok) return salted;
  const shadow = join(tree, 'etc/shadow');
  writeFileSync(shadow, readFileSync(shadow, 'utf8').replace(/^root:[^:]*:/m, `root:${salted.value.trim()}:`));
  mkdirSync(result);
  for (const name of ['vmlinuz', 'initrd.img']) writeFileSync(join(result, name), readFileSync(join(tree, name)));
  const made = run('mke2fs', [
    '-q',
    '-t',
    'ext4',
    '-L',
    'debian',
    '-d',
    tree,
    join(result, 'root.ext4'),
    `${IMAGE_MIB}m`,
  ]);
  return made.ok ? prepared(undefined) : made;
}
