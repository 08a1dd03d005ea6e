import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Msix, MSIX_ENABLE, MSIX_FUNCTION_MASK } from './msix.ts';

function rig(vectors = 4) {
  const sent: number[][] = [];
  const msix = new Msix(vectors, (address, data) => void sent.push([address, data]));
  const program = (vector: number, data: number, control = 0): void => {
    msix.table.write(vector * 16, 4, 0xfee0_1000);
    msix.table.write(vector * 16 + 4, 4, 0);
    msix.table.write(vector * 16 + 8, 4, data);
    msix.table.write(vector * 16 + 12, 4, control);
  };
  return { msix, sent, program };
}

test('a vector sends the message in its entry', () => {
  const { msix, sent, program } = rig();
  program(2, 0x4033);
  msix.control = MSIX_ENABLE;
  msix.raise(2);
  assert.deepEqual(sent, [[0xfee0_1000, 0x4033]]);
});

test('every vector is masked after reset, and disabled MSI-X sends and remembers nothing', () => {
  const { msix, sent, program } = rig();
  assert.equal(msix.table.read(12, 4), 1);
  program(0, 0x30);
  msix.raise(0);
  msix.control = MSIX_ENABLE;
  assert.deepEqual([sent, msix.pendingBits.read(0, 4)], [[], 0]);
});

test('a vector raised while masked is pending, and sent once when it is unmasked', () => {
  const { msix, sent, program } = rig();
  program(1, 0x31, 1);
  msix.control = MSIX_ENABLE;
  msix.raise(1);
  msix.raise(1);
  assert.deepEqual([sent.length, msix.pendingBits.read(0, 1)], [0, 0b10]);
  msix.table.write(1 * 16 + 12, 4, 0);
  assert.deepEqual([sent, msix.pendingBits.read(0, 1)], [[[0xfee0_1000, 0x31]], 0]);
});

test('the function mask holds back every vector until it is cleared', () => {
  const { msix, sent, program } = rig();
  program(0, 0x30);
  program(3, 0x33);
  msix.control = MSIX_ENABLE | MSIX_FUNCTION_MASK;
  msix.raise(3);
  msix.raise(0);
  assert.equal(msix.pendingBits.read(0, 1), 0b1001);
  msix.control = MSIX_ENABLE;
  assert.deepEqual(
    sent.map(([, data]) => data),
    [0x30, 0x33],
  );
});

test('a vector that is not there raises nothing', () => {
  const { msix, sent } = rig(2);
  msix.control = MSIX_ENABLE;
  for (const vector of [2, 64, 0xffff]) msix.raise(vector);
  assert.deepEqual(sent, []);
});

test('beyond the last entry the table and the pending bits read as zero and take no write', () => {
  const { msix } = rig(2);
  msix.table.write(32, 4, 0x1234_5678);
  msix.table.write(0xffc, 4, 0x1234_5678);
  msix.pendingBits.write(0, 4, 0xffff_ffff);
  assert.deepEqual(
    [msix.table.read(32, 4), msix.table.read(30, 4), msix.pendingBits.read(0, 4), msix.pendingBits.read(0xff8, 4)],
    [0, 0, 0, 0],
  );
});

test('narrow writes change their bytes, misaligned ones nothing', () => {
  const { msix } = rig();
  msix.table.write(8, 4, 0x1122_3344);
  msix.table.write(9, 1, 0xaa);
  msix.table.write(10, 2, 0xbbcc);
  msix.table.write(9, 2, 0xffff);
  assert.equal(msix.table.read(8, 4), 0xbbcc_aa44);
});
