/**
 * The command line: which command, and how errors look. Every error is one line on standard error.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { packageFile } from '../host/node/package-file.ts';
import { suggest } from '../util/suggestion.ts';
import { ExitCode } from '../vm/exit-code.ts';
import { entry, section } from './help.ts';
import { quote, UsageError } from './usage-error.ts';

/** A command of typervisor; loaded only when it is used, so that the others start quickly. */
interface Command {
  readonly name: string;
  readonly usage: string;
  readonly help: string;
  readonly execute: (args: readonly string[]) => Promise<number>;
}

const COMMANDS: readonly Command[] = [
  {
    name: 'run',
    usage: 'run [OPTIONS] [KERNEL]',
    help: 'Boots a virtual machine.',
    execute: run,
  },
  {
    name: 'doctor',
    usage: 'doctor',
    help: 'Prints what this host offers: KVM and why not, and what else machines can use.',
    execute: async (args) => (await import('./doctor.ts')).doctorCommand(args),
  },
  {
    name: 'disk',
    usage: 'disk COMMAND [ARGUMENTS]',
    help: 'Makes, inspects and changes disk images: create, info, resize, check, convert, commit.',
    execute: async (args) => (await import('./disk/disk.ts')).diskCommand(args),
  },
  {
    name: 'create_qcow2',
    usage: 'create_qcow2 PATH [SIZE]',
    help: "Makes a qcow2 image, with crosvm's arguments.",
    execute: async (args) => (await import('./disk/disk.ts')).crosvmDiskCommand('create_qcow2', args),
  },
  {
    name: 'create_composite',
    usage: 'create_composite PATH PARTITION...',
    help: "Makes a disk whose partitions are files, with crosvm's arguments.",
    execute: async (args) => (await import('./disk/disk.ts')).crosvmDiskCommand('create_composite', args),
  },
  { name: 'help', usage: 'help [COMMAND]', help: 'Explains a command.', execute: help },
  { name: 'version', usage: 'version', help: 'Prints the version.', execute: version },
];

function findCommand(name: string): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command !== undefined) return command;
  const names = COMMANDS.map((candidate) => candidate.name);
  const meant = suggest(name, names);
  const hint = meant === undefined ? `the commands are ${names.join(', ')}` : `did you mean "${meant}"?`;
  throw new UsageError(`unknown command ${quote(name)}, ${hint}`);
}

function overview(): string {
  const lines = [
    'Usage: typervisor COMMAND [ARGUMENTS]',
    '',
    'A virtual machine monitor: boots x86-64 Linux on KVM, or on a CPU of its own, written in WebAssembly.',
    ...section('Commands:', ...COMMANDS.map(({ usage, help: text }) => entry(usage, text))),
    '',
    'Every command explains its options with --help. "typervisor run" boots the embedded guest.',
  ];
  return `${lines.join('\n')}\n`;
}

/** A guess from the arguments before they are parsed. */
function namesHypervisor(args: readonly string[], name: string): boolean {
  return args.some((argument, index) =>
    (args[index - 1] === '--hypervisor' ? argument : argument.replace(/^--hypervisor=/, '')).startsWith(name),
  );
}

async function run(args: readonly string[]): Promise<number> {
  if (!args.some((argument) => argument === '-h' || argument === '--help')) {
    const measures = args.some((argument) => argument === '--stats' || argument.startsWith('--trace-file'));
    const named = (['kvm', 'wasm'] as const).find((name) => namesHypervisor(args, name));
    (await import('../host/node/prepare-vcpu.ts')).prepareVcpu(named ?? 'auto', measures);
  }
  return (await import('./run/run.ts')).runCommand(args);
}

function refuseFurther([argument]: readonly string[]): void {
  if (argument !== undefined) throw new UsageError(`unexpected argument ${quote(argument)}`);
}

async function help(args: readonly string[]): Promise<number> {
  const [name, ...further] = args;
  refuseFurther(further);
  if (name !== undefined && name !== 'help' && name !== 'version') return findCommand(name).execute(['--help']);
  process.stdout.write(overview());
  return 0;
}

async function version(args: readonly string[]): Promise<number> {
  refuseFurther(args);
  const manifest: unknown = JSON.parse(readFileSync(packageFile('package.json'), 'utf8'));
  const known = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  process.stdout.write(`typervisor ${known ? String(manifest.version) : 'unknown'}\n`);
  return 0;
}

/** crosvm's scripts ask for distinct exit statuses with this; here they are always distinct. */
const ACCEPTED_GLOBAL_OPTION = '--extended-status';

async function dispatch(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args[0] === ACCEPTED_GLOBAL_OPTION ? args.slice(1) : args;
  if (name === undefined) {
    process.stderr.write(overview());
    return ExitCode.BadArguments;
  }
  if (name === '--help' || name === '-h') return help(rest);
  if (name === '--version' || name === '-V') return version(rest);
  return findCommand(name).execute(rest);
}

/** Reports an error and says how to exit. A mistake of ours comes with its stack; everything else is one line. */
function report(error: unknown): number {
  const isBug = !(error instanceof Error) || error instanceof TypeError || error instanceof ReferenceError;
  const text = isBug ? `internal error: ${String(error instanceof Error ? error.stack : error)}` : error.message;
  process.stderr.write(`typervisor: ${isBug ? text : text.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  return error instanceof UsageError ? ExitCode.BadArguments : ExitCode.Failure;
}

/** Runs a command and returns the exit status. Does not throw. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    return report(error);
  }
}
