import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocateMachineMemory, planMachineMemory, WASM_PAGE_BYTES } from './machine-memory.ts';

const MIB = 0x10_0000;

test('guest RAM begins where a huge page of the host may, behind everything else', () => {
  for (const vcpuCount of [1, 3]) {
    const map = planMachineMemory({ ramBytes: 8 * MIB, vcpuCount, vcpuBytes: 5 * WASM_PAGE_BYTES });
    assert.equal(map.ram % (2 * MIB), 0);
    assert.ok(map.ram >= map.vcpus + map.vcpuBytes * vcpuCount);
    assert.equal(allocateMachineMemory(map).buffer.byteLength, map.ram + 8 * MIB);
  }
});

test('RAM that is not made of whole pages, or too large for any memory, is refused with its size', () => {
  const request = { vcpuCount: 1, vcpuBytes: 4096 };
  assert.throws(() => planMachineMemory({ ...request, ramBytes: 4096 }), /^RangeError: guest RAM of 4096 bytes/);
  assert.throws(() => planMachineMemory({ ...request, ramBytes: 2 ** 34 }), /do not fit into 16 GiB/);
});
