/**
 * Builds the embedded guest from Debian packages:
 *
 *     node guest/build.ts [--only kernel|userland] [--jobs N] [--work DIR] [--out DIR]
 *
 * Runs on Debian 12 for amd64; root is needed only to install missing build tools. Writes guest/images (--out): the kernel, the
 * initial root file system, their checksums, and SOURCES.md, which says what they were made from. The same packages and
 * the same compiler give the same bytes: users, host names, times and orders are fixed.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheFolder, installPackages, run } from '../tools/debian-packages.ts';
import { buildKernel, KERNEL_TOOLS, kernelPackage } from './build/kernel.ts';
import { BuildError, GUEST, orFail } from './build/step.ts';
import { buildUserland, busyboxSource, USERLAND_TOOLS } from './build/userland.ts';

/** The images and what they may weigh at most, in bytes: they are committed. */
const LIMITS = { vmlinuz: 5_000_000, 'initrd.img': 3_000_000 } as const;

const versionOf = (name: string): string => orFail(run('dpkg-query', ['-W', '-f', '${Version}', name]));

/** What the images contain, under which licences, and where the source is. */
function sourcesPage(): string {
  const kernel = kernelPackage();
  const busybox = busyboxSource();
  const musl = versionOf('musl-dev');
  const compiler = `gcc-12 ${versionOf('gcc-12')} and binutils ${versionOf('binutils')}`;
  return `# Where the images come from

Written by \`guest/build.ts\`. Everything is compiled from packages of Debian 12 (bookworm), with ${compiler}.

| part | source package of Debian | configured by | licence |
|--|--|--|--|
| vmlinuz | linux ${kernel.version} (as package ${kernel.name}) | guest/kernel.config | GPL-2.0 with the Linux syscall note |
| initrd.img: /bin/busybox | busybox ${busybox.version} | guest/busybox.config | GPL-2.0 |
| initrd.img: linked into /bin/busybox | musl ${musl} | | MIT |
| initrd.img: /init, /etc | guest/userland in this repository | | Apache-2.0 |

## The source

Nothing is changed beyond Debian's own patches. On Debian 12, \`apt-get download ${kernel.name}\` fetches the complete source of the kernel,
and \`apt-get source busybox musl\` the rest (with a \`deb-src\` line among the package sources; \`tools/debian-source.ts\` does without).
Versions that Debian has replaced are kept in its snapshot archive. \`node guest/build.ts\` rebuilds the images; from the same versions it makes
the same bytes.
`;
}

function writeSums(out: string): void {
  const sums = Object.keys(LIMITS).map((name) => {
    const digest = createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex');
    return `${digest}  ${name}\n`;
  });
  writeFileSync(join(out, 'SHA256SUMS'), sums.join(''));
}

function build(only: string | undefined, jobs: number, work: string, out: string): void {
  const obstacle = installPackages([...new Set([...KERNEL_TOOLS, ...USERLAND_TOOLS])]);
  if (obstacle !== undefined) throw new BuildError(obstacle);
  mkdirSync(work, { recursive: true });
  mkdirSync(out, { recursive: true });
  if (only !== 'kernel') buildUserland(work, out, jobs);
  if (only !== 'userland') buildKernel(work, out, jobs);
  writeSums(out);
  writeFileSync(join(out, 'SOURCES.md'), sourcesPage());
  for (const [name, limit] of Object.entries(LIMITS)) {
    const { size } = statSync(join(out, name));
    console.log(`${name}: ${size} bytes`);
    if (size > limit) throw new BuildError(`${name} has ${size} bytes, more than ${limit}`);
  }
}

const { values: options } = parseArgs({
  options: { only: { type: 'string' }, jobs: { type: 'string' }, work: { type: 'string' }, out: { type: 'string' } },
});
const jobs = Number(options.jobs ?? availableParallelism());
if (options.only !== undefined && options.only !== 'kernel' && options.only !== 'userland') {
  console.error(`--only "${options.only}": expected kernel or userland`);
  process.exit(2);
}
if (!Number.isInteger(jobs) || jobs < 1) {
  console.error(`--jobs "${options.jobs}": expected a positive whole number`);
  process.exit(2);
}
try {
  const work = resolve(options.work ?? join(cacheFolder(), 'guest-build'));
  build(options.only, jobs, work, resolve(options.out ?? join(GUEST, 'images')));
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`guest build: ${error.message}`);
  process.exit(1);
}
