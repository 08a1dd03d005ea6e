/** `typervisor disk` and crosvm's commands about images: which of them, and their help. @module */
import { suggest } from '../../util/suggestion.ts';
import { parseArguments } from '../arguments.ts';
import { entry, HELP_COLUMNS, optionEntry, section, wrap } from '../help.ts';
import { quote, UsageError } from '../usage-error.ts';
import { CHECK } from './check.ts';
import type { DiskCommand } from './command.ts';
import { COMMIT } from './commit.ts';
import { CONVERT } from './convert.ts';
import { CREATE_COMPOSITE } from './create-composite.ts';
import { CREATE_QCOW2 } from './create-qcow2.ts';
import { CREATE } from './create.ts';
import { INFO } from './info.ts';
import { RESIZE } from './resize.ts';

/** By the word behind `typervisor disk`. */
const SUBCOMMANDS: readonly DiskCommand[] = [CREATE, INFO, RESIZE, CHECK, CONVERT, COMMIT];
/** Commands of their own. */
const CROSVM_COMMANDS: readonly DiskCommand[] = [CREATE_QCOW2, CREATE_COMPOSITE];

export const DISK_COMMANDS: readonly DiskCommand[] = [...SUBCOMMANDS, ...CROSVM_COMMANDS];

const usage = ({ name, operands }: DiskCommand): string => [name, '[OPTIONS]', ...operands].join(' ');
const wordOf = ({ name }: DiskCommand): string => name.replace('disk ', '');

export function commandHelp(command: DiskCommand): string {
  const lines = [
    `Usage: typervisor ${usage(command)}`,
    '',
    ...wrap(command.help, HELP_COLUMNS),
    ...section('Options:', ...command.options.map(optionEntry), entry('-h, --help', 'Prints this.')),
    ...section(
      'Examples:',
      command.examples.map((example) => `  ${example}`),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

export function diskHelp(): string {
  const lines = [
    'Usage: typervisor disk COMMAND [ARGUMENTS]',
    '',
    'Makes, inspects and changes disk images that no virtual machine uses meanwhile.',
    ...section(
      'Commands:',
      ...SUBCOMMANDS.map((command) => entry(wordOf(command), command.help.replace(/\. .*$/s, '.'))),
    ),
    '',
    'Every command explains its options with --help.',
  ];
  return `${lines.join('\n')}\n`;
}

async function execute(command: DiskCommand, args: readonly string[]): Promise<number> {
  const parsed = parseArguments(args, command.options);
  if (!parsed.help) return command.execute(parsed);
  process.stdout.write(commandHelp(command));
  return 0;
}

/** Runs `typervisor disk ...` and returns the exit status. Throws UsageError. */
export async function diskCommand(args: readonly string[]): Promise<number> {
  const [word, ...rest] = args;
  if (word === '-h' || word === '--help') {
    process.stdout.write(diskHelp());
    return 0;
  }
  const words = SUBCOMMANDS.map(wordOf);
  if (word === undefined) throw new UsageError(`disk: a command is missing: ${words.join(', ')}`);
  const command = SUBCOMMANDS.find((candidate) => wordOf(candidate) === word);
  if (command !== undefined) return execute(command, rest);
  const meant = suggest(word, words);
  const hint = meant === undefined ? `the commands are ${words.join(', ')}` : `did you mean "${meant}"?`;
  throw new UsageError(`unknown command ${quote(`disk ${word}`)}, ${hint}`);
}

/** Runs one of crosvm's commands. Throws UsageError. */
export function crosvmDiskCommand(name: string, args: readonly string[]): Promise<number> {
  const command = CROSVM_COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) throw new UsageError(`unknown command ${quote(name)}`);
  return execute(command, args);
}
