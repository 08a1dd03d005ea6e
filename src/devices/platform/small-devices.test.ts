import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemorySink } from '../testing.ts';
import { debugExit } from './debug-exit.ts';
import { DebugPort } from './debug-port.ts';
import { Pvpanic } from './pvpanic.ts';
import { ResetPort } from './reset-port.ts';

test('a byte written to the debug console reaches the sink, and reads give E9h', () => {
  const sink = new MemorySink();
  const port = new DebugPort(sink);
  port.writeByte(0, 0x48);
  port.writeByte(0, 0x69);
  assert.deepEqual(sink.bytes, [0x48, 0x69]);
  assert.equal(port.readByte(), 0xe9);
});

test('the debug exit status is the value doubled plus one', () => {
  const statuses: number[] = [];
  const device = debugExit({ debugExit: (status) => void statuses.push(status) });
  device.write(0, 4, 0x10);
  device.write(0, 4, 0xffff_ffff);
  assert.deepEqual(statuses, [0x21, 0xffff_ffff]);
});

test('pvpanic tells which events it knows and passes them on', () => {
  const events: string[] = [];
  const device = new Pvpanic({ panic: (event) => void events.push(event) });
  assert.equal(device.readByte(), 3);
  for (const value of [1, 2, 3, 0, 4]) device.writeByte(0, value);
  assert.deepEqual(events, ['panicked', 'crash-loaded', 'panicked']);
});

test('the reset port resets when bit 2 rises, and not again while it stays', () => {
  let resets = 0;
  const port = new ResetPort({ reset: () => void resets++ });
  port.writeByte(0, 0x02);
  assert.equal(resets, 0);
  port.writeByte(0, 0x06);
  port.writeByte(0, 0x06);
  assert.equal(resets, 1);
  assert.equal(port.readByte(), 0x06);
  port.reset();
  port.writeByte(0, 0x06);
  assert.equal(resets, 2);
});
