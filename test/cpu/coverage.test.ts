import assert from 'node:assert/strict';
import test from 'node:test';
import { Decoder } from '../../src/hypervisor/wasm/decode/decoder.ts';
import { DecodeTable } from '../../src/hypervisor/wasm/decode/table.ts';
import { rowsOf } from '../../src/hypervisor/wasm/insn/index.ts';
import type { Row } from '../../src/hypervisor/wasm/insn/row.ts';
import { ENVIRONMENTS } from './environment.ts';
import { readVectors, vectorFiles, vectorModel } from './replay.ts';

/** Rows of instructions whose results are not the same on every machine, or that leave user mode. */
const NOT_RECORDABLE = new Set([
  // The kernel answers: system calls, and UMIP's emulation of the table stores.
  'syscall',
  'sysenter',
  'sgdt',
  'sidt',
  'sldt',
  'str',
  'smsw',
  // The machine's own identity, clocks and noise.
  'cpuid',
  'rdtsc',
  'rdtscp',
  'rdpid',
  'rdrand',
  'rdseed',
]);
const LEAST_CASES = 6;

test('every instruction row of the implementation has recorded cases', () => {
  // Bytes of x86-64-v2 files may mean something else to a later processor.
  const rows = rowsOf('v3');
  const decoders = { v2: new Decoder(new DecodeTable(rowsOf('v2'))), v3: new Decoder(new DecodeTable(rows)) };
  const cases = new Map<Row, number>();
  for (const name of vectorFiles()) {
    const decoder = decoders[vectorModel(name)];
    for (const c of readVectors(name)) {
      const decoded = decoder.decode(c.code, 0, c.code.length, ENVIRONMENTS[c.environment].bits);
      if (typeof decoded !== 'string') cases.set(decoded.row, (cases.get(decoded.row) ?? 0) + 1);
    }
  }
  const missing = rows
    .filter((row) => !NOT_RECORDABLE.has(row.name) && (cases.get(row) ?? 0) < LEAST_CASES)
    .map((row) => `${row.enc} ${row.name} ${row.ops}: ${cases.get(row) ?? 0}`);
  assert.deepEqual(missing, []);
});
