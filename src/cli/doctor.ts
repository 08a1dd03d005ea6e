/** `typervisor doctor`: what this host offers, and what the absence of the rest means. @module */
import type { Finding } from '../host/node/doctor.ts';
import { HELP_COLUMNS, section, wrap } from './help.ts';
import { quote, UsageError } from './usage-error.ts';

const NAME_COLUMNS = 28;
const STATE_COLUMNS = 8;

function findingLines({ name, state, detail, without }: Finding): string[] {
  const indent = ' '.repeat(NAME_COLUMNS + STATE_COLUMNS);
  const text = [detail, ...(state === 'no' ? [`without it ${without}`] : [])];
  const lines = text.flatMap((paragraph) => wrap(paragraph, HELP_COLUMNS - indent.length)).map((line) => indent + line);
  const [first = '', ...rest] = lines;
  return [name.padEnd(NAME_COLUMNS) + state.padEnd(STATE_COLUMNS) + first.trimStart(), ...rest];
}

export const formatFindings = (findings: readonly Finding[]): string =>
  `${findings.flatMap(findingLines).join('\n')}\n`;

const HELP = [
  'Usage: typervisor doctor',
  '',
  'Prints what this host offers: KVM and why not, ways to the network, ways to confine processes, and',
  'what Node can do; and for what is missing what that means. The exit status is 0 whatever it finds.',
  ...section('Options:', ['  -h, --help               Prints this.']),
];

/** Examines the host. Throws UsageError. */
export async function doctorCommand([argument]: readonly string[]): Promise<number> {
  if (argument === '-h' || argument === '--help') {
    process.stdout.write(`${HELP.join('\n')}\n`);
    return 0;
  }
  if (argument !== undefined) throw new UsageError(`unexpected argument ${quote(argument)}`);
  const { examine } = await import('../host/node/doctor.ts');
  process.stdout.write(formatFindings(await examine()));
  return 0;
}
