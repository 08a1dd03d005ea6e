import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CountingBus, tracedBus } from './traced-bus.ts';

test('accesses go through, and those that waited are slices', () => {
  let calls = 0;
  const seen: string[] = [];
  const bus: CountingBus = {
    get calls() {
      return calls;
    },
    portRead: (port, width) => {
      seen.push(`port read ${port} ${width}`);
      // Port 2 is answered at once.
      if (port !== 2) calls++;
      return port * 10;
    },
    portWrite: (port, width, value) => void seen.push(`port write ${port} ${width} ${value}`),
    mmioRead: (address, width) => {
      seen.push(`mmio read ${address} ${width}`);
      calls++;
      return 7;
    },
    mmioWrite: (address, width, value) => {
      seen.push(`mmio write ${address} ${width} ${value}`);
      calls++;
    },
  };
  let now = 0;
  const slices: unknown[] = [];
  const traced = tracedBus(bus, {
    now: () => ++now,
    slice: (...slice) => slices.push(slice),
    mark: () => assert.fail(),
    counters: () => assert.fail(),
  });
  assert.equal(traced.portRead(0x3f8, 1), 10_160);
  assert.equal(traced.portRead(2, 2), 20);
  traced.portWrite(4, 4, 5);
  assert.equal(traced.mmioRead(0xfee0_0000, 4), 7);
  traced.mmioWrite(0xfec0_0000, 2, 6);
  assert.deepEqual(seen, [
    'port read 1016 1',
    'port read 2 2',
    'port write 4 4 5',
    `mmio read ${0xfee0_0000} 4`,
    `mmio write ${0xfec0_0000} 2 6`,
  ]);
  assert.deepEqual(slices, [
    ['port read', 1, 2, { address: '0x3f8' }],
    ['MMIO read', 5, 6, { address: '0xfee00000' }],
    ['MMIO write', 7, 8, { address: '0xfec00000' }],
  ]);
});
