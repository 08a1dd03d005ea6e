/** What the build's parts share: running a step, failing, merging configuration fragments, where things lie. @module */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Prepared } from '../../tools/debian-packages.ts';

export const GUEST: string = fileURLToPath(new URL('..', import.meta.url));

export class BuildError extends Error {
  override readonly name = 'BuildError';
}

export function orFail<T>(what: Prepared<T>): T {
  if (!what.ok) throw new BuildError(what.reason);
  return what.value;
}

/** Nothing of this machine's user, name, language or clock may get into the images. */
const ENVIRONMENT = { ...process.env, LC_ALL: 'C', TZ: 'UTC', KCONFIG_NOTIMESTAMP: '1' };

/** Runs a build step, its output going to the terminal. `more` is added to its environment. */
export function step(
  folder: string,
  command: string,
  args: readonly string[],
  more: Record<string, string> = {},
): void {
  const options = { cwd: folder, env: { ...ENVIRONMENT, ...more } };
  const done = spawnSync(command, args, { ...options, stdio: ['ignore', 'inherit', 'inherit'] });
  if (done.error) throw new BuildError(`${command}: ${done.error.message}`);
  if (done.status !== 0) throw new BuildError(`${command} ${args.join(' ')}: status ${done.status ?? done.signal}`);
}

/** The option that a line of a Kconfig file sets or turns off. */
function optionOf(line: string): string | undefined {
  return /^(?:# )?(CONFIG_\w+)(?:=| is not set$)/.exec(line)?.[1];
}

/** A configuration with a fragment's lines in place of its own. */
export function mergeConfig(config: string, fragment: string): string {
  const own = fragment.split('\n').filter((line) => optionOf(line) !== undefined);
  const replaced = new Set(own.map(optionOf));
  const kept = config.split('\n').filter((line) => !replaced.has(optionOf(line) ?? ''));
  return `${[...kept, ...own].join('\n')}\n`;
}

/** Lines of a fragment that Kconfig did not follow: an option that was renamed, or that lacks what it depends on. */
export function ignoredLines(config: string, fragment: string): string[] {
  const set = new Map(config.split('\n').map((line) => [optionOf(line), line]));
  return fragment.split('\n').filter((line) => {
    const option = optionOf(line);
    if (option === undefined) return false;
    const result = set.get(option);
    return line.startsWith('#') ? result !== undefined && !result.startsWith('#') : result !== line;
  });
}

export function checkConfig(file: string, config: string, fragment: string): void {
  const ignored = ignoredLines(config, fragment);
  if (ignored.length > 0) throw new BuildError(`${file} has lines without effect:\n  ${ignored.join('\n  ')}`);
}
