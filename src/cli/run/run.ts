/** `typervisor run`: arguments to a configuration, and a machine from it. @module */
import { runMachine } from '../../host/node/machine.ts';
import { entry, optionEntry, section, wrap, HELP_COLUMNS } from '../help.ts';
import { parseRunArguments, RUN_OPTIONS } from './options.ts';
import { formatStats } from './stats.ts';

export function runHelp(): string {
  const lines = [
    'Usage: typervisor run [OPTIONS] [KERNEL]',
    '',
    ...wrap(
      'Boots a virtual machine with its console on this terminal. KERNEL is a Linux kernel for x86-64 (a bzImage, or a vmlinux as an ELF file), a PVH kernel, or a Multiboot kernel; which of them it is, its header tells. Without KERNEL the embedded guest boots: a small Linux with a shell.',
      HELP_COLUMNS,
    ),
    ...section(
      'Options, before or behind KERNEL:',
      ...RUN_OPTIONS.map(optionEntry),
      entry('-h, --help', 'Prints this.'),
    ),
    '',
    ...wrap(
      'A value of keys is a list as in type=file,path=log,num=2: the name of the first key may be left out, a key without a value means true, a value with commas or brackets stands in quotes, numbers may be decimal, 0x, 0o or 0b.',
      HELP_COLUMNS,
    ),
    ...section(
      'Keys on the terminal:',
      entry('Ctrl-A x', 'Leaves: ends the virtual machine at once.'),
      entry('Ctrl-A a', 'Sends Ctrl-A to the guest.'),
      entry('Ctrl-A h', 'Lists these keys.'),
    ),
    ...section(
      'Exit status:',
      entry('0', 'The guest powered off, or Ctrl-A x was pressed.'),
      entry('1', 'A file cannot be read or is malformed.'),
      entry('32', 'The guest reset, and --no-reboot was given.'),
      entry('33', 'The guest crashed (triple fault).'),
      entry('34', 'The guest panicked.'),
      entry('35', 'The arguments are wrong.'),
      entry('36', 'Translated code was found to be wrong (--check-translation).'),
      entry('141', 'The reader of standard output is gone.'),
      entry('128 + n', 'Signal n ended typervisor.'),
      entry('odd', 'The guest wrote V to the --debug-exit port: (V << 1) | 1, modulo 256.'),
    ),
    ...section(
      'Examples:',
      ['  typervisor run', '  typervisor run vmlinuz -i initrd.gz -p "quiet root=/dev/ram0" -m 1024'],
      [
        '  typervisor run vmlinuz -i initrd.img -b debian.ext4,root -b data.img,ro -m 512',
        "  echo 'uname -a; poweroff -f' | typervisor run",
        '  typervisor run -p loglevel=7 --serial type=file,path=boot.log,num=2',
      ],
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** Runs a machine to its end and returns the exit status. Throws UsageError. */
export async function runCommand(args: readonly string[]): Promise<number> {
  const config = parseRunArguments(args);
  if (config === 'help') {
    process.stdout.write(runHelp());
    return 0;
  }
  const { status, vcpus, seconds } = await runMachine(config);
  if (config.stats && vcpus.length > 0) process.stderr.write(formatStats(vcpus, seconds));
  return status;
}
