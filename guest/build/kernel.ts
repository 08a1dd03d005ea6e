/** Builds the embedded guest's kernel from Debian's linux-source-6.1. @module */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type DebianPackage, fetchPackage, unpack } from '../../tools/debian-packages.ts';
import { checkConfig, GUEST, mergeConfig, orFail, step } from './step.ts';

const SOURCE_PACKAGE = 'linux-source-6.1';
/** lz4 packs the kernel; libelf is for objtool, the kernel's own tool. */
export const KERNEL_TOOLS = [
  'bc',
  'binutils',
  'bison',
  'flex',
  'gcc',
  'libc6-dev',
  'libelf-dev',
  'lz4',
  'make',
  'xz-utils',
];

/** The package with the kernel's source; building needs it, naming it in SOURCES.md too. */
export const kernelPackage = (): DebianPackage => orFail(fetchPackage(SOURCE_PACKAGE));

/** Unpacks the source once per version; returns its folder and the time of the package. */
function sourceTree(work: string, source: DebianPackage): { folder: string; time: Date } {
  const archive = join(orFail(unpack(source, 'all', ['.'])), 'usr/src', `${SOURCE_PACKAGE}.tar.xz`);
  const folder = join(work, `linux-${source.version}`);
  if (!existsSync(folder)) {
    const partial = `${folder}.partial`;
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(partial, { recursive: true });
    console.log(`unpacking ${SOURCE_PACKAGE} ${source.version}`);
    step(partial, 'tar', ['-xf', archive, '--strip-components=1']);
    renameSync(partial, folder);
  }
  return { folder, time: statSync(archive).mtime };
}

/** Writes `vmlinuz` into the folder `out`. */
export function buildKernel(work: string, out: string, jobs: number): void {
  const { folder, time } = sourceTree(work, kernelPackage());
  const environment = {
    ARCH: 'x86_64',
    KBUILD_BUILD_TIMESTAMP: time.toUTCString(),
    KBUILD_BUILD_USER: 'typervisor',
    KBUILD_BUILD_HOST: 'typervisor',
    KBUILD_BUILD_VERSION: '1',
  };
  const config = join(folder, '.config');
  const fragment = readFileSync(join(GUEST, 'kernel.config'), 'utf8');
  step(folder, 'make', ['-s', 'tinyconfig'], environment);
  writeFileSync(config, mergeConfig(readFileSync(config, 'utf8'), fragment));
  step(folder, 'make', ['-s', 'olddefconfig'], environment);
  checkConfig('kernel.config', readFileSync(config, 'utf8'), fragment);
  console.log('building the kernel: four minutes on two cores the first time');
  step(folder, 'make', [`-j${jobs}`, '-s', 'bzImage'], environment);
  copyFileSync(join(folder, 'arch/x86/boot/bzImage'), join(out, 'vmlinuz'));
}
