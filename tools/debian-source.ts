/**
 * Debian source packages by name. Few machines have `deb-src` lines among their package sources, so apt is given lists of
 * its own, derived from the binary ones and kept in the cache; neither root nor a change to the machine is needed.
 *
 * @module
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, type Prepared, prepared, refuse, run, whyNoDebian } from './debian-packages.ts';

export interface DebianSource {
  readonly name: string;
  readonly version: string;
  /** The unpacked source with Debian's patches applied. Not to be built in: copy it. */
  readonly folder: string;
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Options that make apt use lists of its own, with the source counterparts of the machine's Debian archives. */
function aptOptions(): Prepared<string[]> {
  const format = '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)';
  const targets = run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  if (!targets.ok) return targets;
  const archives = targets.value.split('\n').filter((row) => row.startsWith('Debian '));
  if (archives.length === 0) return refuse('apt knows no Debian archive: run apt-get update first');
  const signed = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : '';
  const lines = new Set(archives.map((row) => `deb-src ${signed}${row.slice('Debian '.length)}`));
  const folder = join(cacheFolder(), 'apt');
  for (const part of ['lists/partial', 'archives/partial']) mkdirSync(join(folder, part), { recursive: true });
  writeFileSync(join(folder, 'sources.list'), `${[...lines].join('\n')}\n`);
  return prepared([
    `-oDir::Etc::SourceList=${join(folder, 'sources.list')}`,
    '-oDir::Etc::SourceParts=/dev/null',
    `-oDir::State::Lists=${join(folder, 'lists')}`,
    `-oDir::Cache=${folder}`,
    '-oAPT::Sandbox::User=root',
    '-q',
  ]);
}

/** Fetches and unpacks a source package, or takes it from the cache. Needs dpkg-source, of the package dpkg-dev. */
export function fetchSource(name: string): Prepared<DebianSource> {
  const folder = join(cacheFolder(), 'source', name);
  if (!existsSync(folder)) {
    const obstacle = whyNoDebian();
    if (obstacle !== undefined) return refuse(obstacle);
    const options = aptOptions();
    if (!options.ok) return options;
    const partial = `${folder}.partial-${process.pid}`;
    mkdirSync(partial, { recursive: true });
    try {
      const update = run('apt-get', [...options.value, 'update']);
      if (!update.ok) return refuse(`source ${name}: ${update.reason}`);
      const fetched = run('apt-get', [...options.value, 'source', '--download-only', name], partial);
      if (!fetched.ok) return refuse(`source ${name}: ${fetched.reason}`);
      const description = readdirSync(partial).find((entry) => entry.endsWith('.dsc'));
      if (description === undefined) return refuse(`source ${name}: apt-get source left no .dsc file`);
      const done = run('dpkg-source', ['--no-check', '-q', '-x', description, 'tree'], partial);
      if (!done.ok) return refuse(`source ${name}: ${done.reason}`);
      renameSync(partial, folder);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
  }
  const description = readdirSync(folder).find((entry) => entry.endsWith('.dsc')) ?? '';
  const version = /^Version: (\S+)$/m.exec(readFileSync(join(folder, description), 'utf8'))?.[1];
  if (version === undefined) return refuse(`source ${name}: ${description} names no version`);
  return prepared({ name, version, folder: join(folder, 'tree') });
}
