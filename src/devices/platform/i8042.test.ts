import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLine } from '../testing.ts';
import { I8042 } from './i8042.ts';

function rig() {
  const line = new FakeLine();
  const resets = { count: 0 };
  const controller = new I8042({ reset: () => void resets.count++ }, line);
  const command = (value: number): void => controller.command.writeByte(0, value);
  const data = (value: number): void => controller.data.writeByte(0, value);
  const status = (): number => controller.command.readByte(0);
  const read = (): number => controller.data.readByte(0);
  return { controller, line, resets, command, data, status, read };
}

test('FEh resets the machine, and so do the other pulses of line 0', () => {
  const { command, resets } = rig();
  command(0xfe);
  assert.equal(resets.count, 1);
  command(0xff);
  assert.equal(resets.count, 1);
  command(0xf0);
  assert.equal(resets.count, 2);
});

test('the output buffer is empty at first, so that nobody waits for it', () => {
  assert.equal(rig().status() & 0x03, 0);
});

test('the self test passes at once', () => {
  const { command, status, read } = rig();
  command(0xaa);
  assert.equal(status() & 0x01, 0x01);
  assert.equal(read(), 0x55);
  assert.equal(status() & 0x01, 0);
});

test('the command byte can be written and read', () => {
  const { command, data, read } = rig();
  command(0x60);
  data(0x74);
  command(0x20);
  assert.equal(read(), 0x74);
});

test('enabling and disabling the ports shows in the command byte', () => {
  const { command, read } = rig();
  const commandByte = (): number => {
    command(0x20);
    return read();
  };
  assert.equal(commandByte(), 0x34);
  command(0xae);
  command(0xa8);
  assert.equal(commandByte(), 0x04);
  command(0xad);
  command(0xa7);
  assert.equal(commandByte(), 0x34);
});

test("Linux' test for a mouse port finds none, without waiting", () => {
  const { command, data, status, read } = rig();
  command(0xd3);
  data(0x5a);
  assert.equal(status() & 0x21, 0x01); // an answer, and not from the mouse
  read();
  command(0xa9);
  assert.notEqual(read(), 0x00);
});

test('a byte for the absent keyboard is answered with a timeout error', () => {
  const { data, status, read } = rig();
  data(0xff);
  assert.equal(status() & 0x41, 0x41);
  assert.equal(read(), 0xfe);
  assert.equal(status() & 0x41, 0);
});

test('an answer interrupts when the command byte allows it, until it is read', () => {
  const { command, data, line, read } = rig();
  command(0x60);
  data(0x05);
  data(0xf2);
  assert.equal(line.level, true);
  read();
  assert.equal(line.level, false);
});

test('address line 20 can be switched and read back', () => {
  const { command, data, read, resets } = rig();
  command(0xd1);
  data(0xdd);
  command(0xd0);
  assert.equal(read(), 0xdd);
  assert.equal(resets.count, 0);
});

test('pulling the reset line low through the output port resets', () => {
  const { command, data, resets } = rig();
  command(0xd1);
  data(0xde);
  assert.equal(resets.count, 1);
});

test('a saved controller goes on in the middle of a command', () => {
  const one = rig();
  one.command(0x60);
  const other = rig();
  other.controller.restore(JSON.parse(JSON.stringify(one.controller.save())));
  other.data(0x77);
  other.command(0x20);
  assert.equal(other.read(), 0x77);
});
