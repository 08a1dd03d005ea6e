import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OptionSpec, parseArguments } from './arguments.ts';
import { UsageError } from './usage-error.ts';

const SPECS: readonly OptionSpec[] = [
  { name: '--initrd', short: '-i', value: 'PATH', help: '' },
  { name: '--params', short: '-p', value: 'STRING', repeatable: true, help: '' },
  { name: '--stats', help: '' },
];
const parse = (...args: string[]): unknown => {
  const { options, positionals, help } = parseArguments(args, SPECS);
  return { ...Object.fromEntries(options), positionals, ...(help && { help }) };
};
const refused = (args: string[], message: string): void =>
  assert.throws(
    () => parseArguments(args, SPECS),
    (error) => error instanceof UsageError && error.message === message,
  );

test('options may stand before and behind positionals', () => {
  assert.deepEqual(parse('--stats', 'kernel', '-i', 'ird'), {
    '--stats': [],
    '--initrd': ['ird'],
    positionals: ['kernel'],
  });
});

test('a value may follow an equal sign, after a long and after a short name', () => {
  assert.deepEqual(parse('--initrd=a=b', '-p=init=/bin/sh'), {
    '--initrd': ['a=b'],
    '--params': ['init=/bin/sh'],
    positionals: [],
  });
});

test('an option takes the next argument even when that looks like an option', () => {
  assert.deepEqual(parse('-p', '--stats', '-p', '-x=1'), { '--params': ['--stats', '-x=1'], positionals: [] });
});

test('a repeatable option keeps its values in order', () => {
  assert.deepEqual(parse('-p', 'a', '--params', 'b', '-p=c'), { '--params': ['a', 'b', 'c'], positionals: [] });
});

test('two dashes end the options', () => {
  assert.deepEqual(parse('--', '-i', '--stats'), { positionals: ['-i', '--stats'] });
});

test('a request for help is seen wherever it stands', () => {
  assert.deepEqual(parse('kernel', '-h'), { positionals: ['kernel'], help: true });
  assert.deepEqual(parse('--help'), { positionals: [], help: true });
});

test('a switch may be repeated', () => {
  assert.deepEqual(parse('--stats', '--stats'), { '--stats': [], positionals: [] });
});

test('an option that does not repeat is refused the second time, under either name', () => {
  refused(['-i', 'a', '--initrd', 'b'], 'option --initrd is given twice, with "a" and "b"');
});

test('an option without its value is refused', () => {
  refused(['kernel', '-i'], 'option -i needs a value: -i PATH');
});

test('a switch with a value is refused', () => {
  refused(['--stats=yes'], 'option --stats takes no value, but has "yes"');
});

test('an unknown option is refused with the one that was probably meant', () => {
  refused(['--initd', 'x'], 'unknown option "--initd", did you mean "--initrd"?');
  refused(['--hepl'], 'unknown option "--hepl", did you mean "--help"?');
  refused(['--zebra'], 'unknown option "--zebra"');
  refused(['-'], 'unknown option "-"');
});

test('a value that hangs on a short name is refused with the right spelling', () => {
  refused(['-ifile'], 'unknown option "-ifile", did you mean "-i file"?');
});

test('a message stays on one line and bounded whatever the argument is', () => {
  assert.throws(
    () => parseArguments([`--a\n${'b'.repeat(5000)}`], SPECS),
    (error) => error instanceof UsageError && !error.message.includes('\n') && error.message.length < 200,
  );
});
