/**
 * Prepares what whole-system tests need: `node test/guest/setup.ts [--refresh]`. Installs Debian packages when it is root
 * on Debian and some are missing, fetches Debian's kernels and busybox into the cache, and prints what is not to be had and
 * why; the tests that need it skip for the same reason. `--refresh` asks apt for newer kernels. A second run takes moments.
 *
 * @module
 */
import { parseArgs } from 'node:util';
import {
  cacheFolder,
  fetchPackage,
  installPackages,
  missingPackages,
  type Prepared,
  whyNoDebian,
} from '../../tools/debian-packages.ts';
import { busyboxInitrdFile, debianKernel, debianModules, debianVmlinux } from './debian.ts';
import { debianSystem } from './debian-system.ts';

/** Package and what tests use it for. */
// biome-ignore format: a table
const PACKAGES: readonly (readonly [name: string, use: string])[] = [
  ['qemu-system-x86', 'the other machine that guests are run on'],
  ['qemu-utils',      'disk images of other formats'],
  ['e2fsprogs',       'ext4 images'],
  ['fdisk',           'sfdisk, which judges partition tables'],
  ['android-sdk-libsparse-utils', 'img2simg, which makes sparse images'],
  ['acpica-tools',    'iasl, which judges the ACPI tables'],
  ['dmidecode',       'reads the SMBIOS structures'],
  ['binutils',        'objdump, which judges the decoder'],
  ['gcc',             'native programs to compare with'],
  ['libc6-dev',       'native programs to compare with'],
  ['gdb',             'the debugger protocol'],
  ['busybox-static',  'a userland'],
  ['debootstrap',     'a whole Debian system'],
  ['cpio',            'judges the archives written here'],
];

const { values: options } = parseArgs({ options: { refresh: { type: 'boolean', default: false } } });
const skipped: string[] = [];

function attempt(what: string, result: Prepared<unknown>): void {
  if (!result.ok) skipped.push(`${what}: ${result.reason}`);
}

const obstacle = whyNoDebian();
if (obstacle === undefined) {
  const missing = missingPackages(PACKAGES.map(([name]) => name));
  if (missing.length > 0) {
    console.log(`test set-up: installing ${missing.join(' ')}`);
    const reason = installPackages(missing);
    if (reason !== undefined) skipped.push(`packages: ${reason}`);
  }
}
for (const flavour of ['cloud', 'full'] as const) {
  attempt(`Debian's ${flavour} kernel`, debianKernel(flavour, options.refresh));
}
attempt("Debian's cloud kernel as ELF", debianVmlinux('cloud'));
attempt("Debian's kernel modules", debianModules('cloud'));
attempt('busybox initrd', busyboxInitrdFile());
attempt('a Debian system', debianSystem());
attempt('a package to install there', fetchPackage('hello'));

if (skipped.length === 0) {
  console.log(`test set-up: everything is there (${cacheFolder()})`);
} else {
  console.log('test set-up: not to be had, tests that need it are skipped:');
  for (const line of skipped) console.log(`  ${line}`);
}
