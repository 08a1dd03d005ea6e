import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortTable, READ_SHADOWED, UNCLAIMED, WRITE_POSTED } from './port-table.ts';

function table(): PortTable {
  const made = new PortTable(new SharedArrayBuffer(131072), { ports: 0 });
  made.initialize();
  return made;
}

test('every port is unclaimed at first', () => {
  const ports = table();
  assert.equal(ports.entry(0), UNCLAIMED);
  assert.equal(ports.entry(0xffff), UNCLAIMED);
  assert.equal(ports.unclaimed(0xfffe, 4), true);
});

test('an access is unclaimed only when all of its ports are', () => {
  const ports = table();
  ports.claim(0x60, 1);
  assert.equal(ports.unclaimed(0x5d, 4), false);
  assert.equal(ports.unclaimed(0x5d, 2), true);
});

test('shadowing keeps posting and ends apart from it', () => {
  const ports = table();
  ports.claim(0x402, 1);
  ports.post(0x402, true);
  ports.shadow(0x402, 0x1e9);
  assert.equal(ports.entry(0x402), WRITE_POSTED | READ_SHADOWED | 0xe9);
  ports.unshadow(0x402);
  assert.equal(ports.entry(0x402), WRITE_POSTED);
  ports.post(0x402, false);
  assert.equal(ports.entry(0x402), 0);
});
