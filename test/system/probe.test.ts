import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { expectedLines, PROBE, runProbe } from './probe.ts';

/** Parts of the probe, by the first word of their lines. */
const PARTS: readonly (readonly [string, readonly string[]])[] = [
  ['every kind of descriptor answers every instruction with a selector as recorded', ['seg', 'sys', 'odd']],
  [
    'gates, interrupt stacks and nested exceptions deliver as recorded',
    ['gate', 'ist', 'rsp', 'rsp0', 'tss', 'idt', 'nested'],
  ],
  ['IRET, far RET and the fast system calls return as recorded', ['iret', 'iretq', 'retf', 'syscall', 'sysenter']],
  [
    'page rights, reserved bits and page sizes fault as recorded',
    ['page', 'level', 'large', 'split', 'nxe', 'canonical'],
  ],
  ['single-stepping and breakpoints trap as recorded', ['tf', 'exec', 'data', 'off', 'global', 'dr7']],
];

describe('the system probe', () => {
  let ours: string[] = [];
  let expected: string[] = [];
  before(() => {
    ours = runProbe(PROBE);
    expected = expectedLines();
  });

  const word = (line: string): string => line.slice(0, line.indexOf(' '));
  const isData = (line: string): boolean => line.includes(' data');
  const partOf =
    (words: readonly string[]) =>
    (line: string): boolean =>
      words.includes(isData(line) ? 'data' : word(line));

  for (const [name, words] of PARTS) {
    test(name, () => {
      const recorded = expected.filter(partOf(words));
      assert.ok(recorded.length > 10);
      assert.deepEqual(ours.filter(partOf(words)), recorded);
    });
  }

  test('control registers, privileged instructions and ports answer as recorded', () => {
    const others = (line: string): boolean => PARTS.every(([, words]) => !partOf(words)(line));
    assert.deepEqual(ours.filter(others), expected.filter(others));
  });
});
