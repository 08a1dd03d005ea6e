import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Measurements, SampleTable } from './measurements.ts';
import { digits, markdownTable, report } from './report.ts';

const MEASUREMENTS: Measurements = {
  environment: [['processor', 'a | b']],
  systems: ['native', 'qemu', 'typervisor'],
  rounds: 3,
  nativeWork: 1,
  guestWork: 0.5,
  rows: [
    {
      name: 'crc32',
      group: 'integer',
      title: '30 × CRC-32',
      seconds: { native: [0.1, 0.1, 0.2], qemu: [0.2, 0.2, 0.4], typervisor: [0.4, 0.44, 0.8] },
    },
    {
      name: 'nbody',
      group: 'float',
      title: '20 × n-body',
      seconds: { native: [1, 1, 1], qemu: [16, 16, 16], typervisor: [2, 2, undefined] },
    },
    { name: 'start', group: 'boot', title: 'first guest instruction', seconds: { qemu: [0.5], typervisor: [0.25] } },
    { name: 'debian', group: 'boot', title: 'Debian to init', seconds: { qemu: [2.5], typervisor: [10.5] } },
  ],
  mips: [199, 250, 260],
  residentMib: { qemu: [100], typervisor: [400, 500, undefined] },
  guestRamMib: { qemu: [80], typervisor: [160, 250, undefined] },
  clockShare: { qemu: [0.99], typervisor: [0.98] },
  failures: [],
};

const lineOf = (page: string, start: string): string | undefined =>
  page.split('\n').find((line) => line.startsWith(`| ${start} |`));

test('a program has a row with the medians and the quotients of every pair of systems', () => {
  assert.equal(
    lineOf(report(MEASUREMENTS), 'crc32'),
    '| crc32 | 30 × CRC-32 | 0.100 | 0.200 | 0.440 | 2.00 | 4.00 | 2.00 | ±45 % |',
  );
});

test('geometric means are given for each group and for all programs', () => {
  const page = report(MEASUREMENTS);
  assert.equal(lineOf(page, 'integer loops'), '| integer loops | 1 | 2.00 | 4.00 | 2.00 |');
  assert.equal(lineOf(page, '**all programs**'), '| **all programs** | 2 | 5.66 | 2.83 | 0.50 |');
});

test('boots have no native column', () => {
  assert.equal(
    lineOf(report(MEASUREMENTS), 'start'),
    '| start | first guest instruction | 0.500 | 0.250 | 0.50 | ±0 % |',
  );
});

test('a goal is met, missed or not measured', () => {
  const page = report(MEASUREMENTS);
  assert.match(page, /to the first guest instruction \| ≤ 0.4 s \| 0.250 s \| yes \|/);
  assert.match(page, /cloud kernel to init \| ≤ 10 s \| 10.5 s \| \*\*no\*\* \|/);
  assert.match(page, /shell's prompt \| ≤ 2.5 s \| – \| not measured \|/);
  assert.match(page, /beside the guest RAM touched \| ≤ 250 MiB \| 245 MiB \| yes \|/);
  assert.match(page, /instructions a second \| ≥ 200 \| 250 \| yes \|/);
});

test('the memory beside guest RAM is that of the same round', () => {
  const page = report(MEASUREMENTS);
  assert.match(page, /^\| MiB resident after all programs \| 100 \| 450 \|$/m);
  assert.match(page, /^\| of it guest RAM that was touched \| 80.0 \| 205 \|$/m);
  assert.match(page, /^\| and the rest \| 20.0 \| 245 \|$/m);
});

test('failures are listed on one line each, and only when there are any', () => {
  assert.doesNotMatch(report(MEASUREMENTS), /Failures/);
  assert.match(report({ ...MEASUREMENTS, failures: ['crc32: wrong\nchecksum'] }), /^- crc32: wrong \/ checksum$/m);
});

test('a system that was not asked has no column', () => {
  const page = report({ ...MEASUREMENTS, systems: ['native', 'typervisor'] });
  assert.equal(lineOf(page, 'crc32'), '| crc32 | 30 × CRC-32 | 0.100 | 0.440 | 4.00 | ±45 % |');
  assert.doesNotMatch(page, /QEMU/);
});

test('what would end a cell is escaped', () => {
  assert.match(report(MEASUREMENTS), /^\| processor \| a \\\| b \|$/m);
});

test('numbers are aligned to the right of the first column', () => {
  assert.equal(markdownTable(['a', 'b'], [['x', '1']]), '| a | b |\n|--|--:|\n| x | 1 |');
});

test('numbers have three significant digits, small ones three decimals', () => {
  assert.deepEqual([0.0123, 1.234, 12.34, 1234.5, undefined].map(digits), ['0.012', '1.23', '12.3', '1235', '–']);
});

test('samples are kept by round, and a system without any is absent', () => {
  const table = new SampleTable(3);
  table.set('crc32', 'qemu', 2, 7);
  assert.deepEqual(table.row('crc32', ['native', 'qemu']), { qemu: [undefined, undefined, 7] });
});
