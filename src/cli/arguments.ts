/**
 * Splits a command's arguments into options and positionals by crosvm's rules: both may come in any order, `--` ends the
 * options, an option takes the next argument whatever that looks like, `--option=value` and `-o=value` are the same as two
 * arguments, and an option that does not repeat may be given once.
 *
 * @module
 */
import { suggest } from '../util/suggestion.ts';
import { quote, UsageError } from './usage-error.ts';

/** One option of a command. */
export interface OptionSpec {
  /** With its dashes: `--initrd`. */
  readonly name: string;
  /** With its dash: `-i`. */
  readonly short?: string;
  /** How help calls the value; absent for a switch, which takes none. */
  readonly value?: string;
  readonly repeatable?: boolean;
  /** What the option does, for help; paragraphs are separated by newlines. */
  readonly help: string;
  /** The keys of a structured value, for help: how to write one, and what it does. */
  readonly keys?: readonly (readonly [key: string, help: string])[];
}

export interface ParsedArguments {
  /** The values of each option that was given, in order; a switch has the values []. Keys are long names. */
  readonly options: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
  /** `-h` or `--help` came up: nothing else counts. */
  readonly help: boolean;
}

function unknownOption(name: string, specs: readonly OptionSpec[]): UsageError {
  const names = specs.flatMap(({ name: long, short }) => (short === undefined ? [long] : [long, short]));
  const attached = names.find((candidate) => candidate.length === 2 && name.startsWith(candidate));
  const meant =
    attached !== undefined && !name.startsWith('--')
      ? `${attached} ${name.slice(2)}`
      : suggest(
          name,
          [...names, '--help'].filter((candidate) => candidate.length > 2),
        );
  return new UsageError(`unknown option ${quote(name)}${meant === undefined ? '' : `, did you mean "${meant}"?`}`);
}

/** Throws UsageError for an option that is unknown, lacks its value, has one too many or is repeated. */
export function parseArguments(args: readonly string[], specs: readonly OptionSpec[]): ParsedArguments {
  const options = new Map<string, string[]>();
  const positionals: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? '';
    if (argument === '--') {
      positionals.push(...args.slice(index + 1));
      break;
    }
    if (!argument.startsWith('-')) {
      positionals.push(argument);
      continue;
    }
    const equal = argument.indexOf('=');
    const name = equal < 0 ? argument : argument.slice(0, equal);
    if (name === '-h' || name === '--help') return { options, positionals, help: true };
    const spec = specs.find((candidate) => candidate.name === name || candidate.short === name);
    if (spec === undefined) throw unknownOption(name, specs);
    if (spec.value === undefined) {
      if (equal >= 0)
        throw new UsageError(`option ${name} takes no value, but has ${quote(argument.slice(equal + 1))}`);
      options.set(spec.name, []);
      continue;
    }
    const value = equal < 0 ? args[++index] : argument.slice(equal + 1);
    if (value === undefined) throw new UsageError(`option ${name} needs a value: ${name} ${spec.value}`);
    const values = options.get(spec.name) ?? [];
    if (values.length > 0 && spec.repeatable !== true) {
      throw new UsageError(`option ${spec.name} is given twice, with ${quote(values[0] ?? '')} and ${quote(value)}`);
    }
    values.push(value);
    options.set(spec.name, values);
  }
  return { options, positionals, help: false };
}
