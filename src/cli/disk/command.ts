/** What a command about disk images is, and what all of them read from their arguments alike. @module */
import { DISK_FORMATS, type DiskFormat } from '../../disk/formats.ts';
import { KeyValueError, type Parsed, parseKeyValues, type Schema } from '../../util/key-value.ts';
import type { OptionSpec, ParsedArguments } from '../arguments.ts';
import { quote, UsageError } from '../usage-error.ts';

export interface DiskCommand {
  /** Behind `typervisor`: `disk create`. */
  readonly name: string;
  /** Its operands in order. Those in brackets may be left out. */
  readonly operands: readonly string[];
  readonly help: string;
  readonly options: readonly OptionSpec[];
  /** Lines of an example. */
  readonly examples: readonly string[];
  /** Does it and returns the exit status. Throws UsageError for arguments that make no sense. */
  readonly execute: (args: ParsedArguments) => Promise<number>;
}

/** The operands that were given; throws UsageError when one is missing or there are too many. */
export function operandsOf(args: ParsedArguments, names: readonly string[]): string[] {
  const { positionals } = args;
  const extra = positionals[names.length];
  if (extra !== undefined) throw new UsageError(`unexpected argument ${quote(extra)}`);
  for (const [index, name] of names.entries()) {
    const value = positionals[index];
    if (value === undefined && !name.startsWith('[')) throw new UsageError(`${name} is missing`);
    if (value === '') throw new UsageError(`${name} "": the value is empty`);
  }
  return [...positionals];
}

export const optionOf = (args: ParsedArguments, name: string): string | undefined => args.options.get(name)?.[0];

/** The value of an option that is one of a few words. */
export function choiceOf<T extends string>(args: ParsedArguments, name: string, choices: readonly T[]): T | undefined {
  const value = optionOf(args, name);
  const found = choices.find((choice) => choice === value);
  if (value !== undefined && found === undefined)
    throw new UsageError(`${name} ${quote(value)} is not ${choices.join(', ').replace(/, ([^,]*)$/, ' or $1')}`);
  return found;
}

/** The parsed values of a key=value option. */
export function keyValuesOf<const S extends Schema>(args: ParsedArguments, name: string, schema: S): Parsed<S> {
  const text = optionOf(args, name) ?? '';
  try {
    return parseKeyValues(text, schema);
  } catch (error) {
    if (error instanceof KeyValueError) throw new UsageError(`${name} ${quote(text)}: ${error.message}`);
    throw error;
  }
}

export const FORMAT_OPTION: OptionSpec = {
  name: '--format',
  short: '-f',
  value: 'FORMAT',
  help: `What the image is: ${DISK_FORMATS.join(', ')}, or auto, which looks at its contents. A guest can make a raw image look like another: auto is for images that no guest wrote to.`,
};

/** The format that the user says an image has. */
export function formatOf(args: ParsedArguments): DiskFormat | 'auto' {
  const format = choiceOf(args, '--format', [...DISK_FORMATS, 'auto'] as const);
  if (format === undefined) throw new UsageError('option --format is missing: it says what the image is');
  return format;
}

export const BACKING_OPTION: OptionSpec = {
  name: '--allow-backing',
  value: 'NAME',
  repeatable: true,
  help: 'Allows a backing file to be opened, by its name in the image or by its path. Others are refused: an image may name any file of this host.',
};

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40, P: 2 ** 50 };
const SECTOR_BYTES = 512;

/** A size as in 512, 64K, 1.5G, in bytes, rounded up to whole sectors. */
export function parseSize(name: string, text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([KMGTP]?)(?:i?B)?$/i.exec(text) ?? [];
  const bytes = Math.ceil((Number(number || NaN) * (UNITS[unit.toUpperCase()] ?? 1)) / SECTOR_BYTES) * SECTOR_BYTES;
  if (!Number.isSafeInteger(bytes)) throw new UsageError(`${name} ${quote(text)} is no size, as 512M or 1.5G is one`);
  return bytes;
}

/** A size for people to read: exact in bytes, and rounded where that is shorter. */
export function formatSize(bytes: number): string {
  const unit = Object.keys(UNITS).findLast((candidate) => bytes >= (UNITS[candidate] ?? 0));
  if (unit === undefined) return `${bytes} bytes`;
  return `${Number((bytes / (UNITS[unit] ?? 1)).toFixed(2))} ${unit}iB (${bytes} bytes)`;
}
