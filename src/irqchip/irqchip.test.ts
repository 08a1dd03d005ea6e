import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enableApic, initializePics, testMachine } from './testing.ts';

test('a saved state goes on in another machine with the time that was left', () => {
  const one = testMachine(2);
  for (const vcpu of one.vcpus) enableApic(vcpu);
  one.route(10, 0x8051);
  one.chip.line(10).set(true);
  one.vcpus[1]!.apicWrite(0x320, 4, 0xec);
  one.vcpus[1]!.apicWrite(0x3e0, 4, 0xb);
  one.vcpus[1]!.apicWrite(0x380, 4, 5000);
  one.out(0x43, 0x34);
  one.out(0x40, 0);
  one.out(0x40, 1);
  one.advance(2000);
  const state = one.chip.save();

  const other = testMachine(2);
  other.now = 77e9;
  const line = other.chip.line(10);
  other.chip.restore(state);
  assert.equal(other.vcpus[0]!.acknowledge(), 0x51);
  assert.equal(other.vcpus[1]!.nextDeadline(), 77e9 + 3000);
  assert.ok(Math.abs(other.vcpus[0]!.nextDeadline() - 77e9 - (one.vcpus[0]!.nextDeadline() - one.now)) < 0.01);
  assert.equal(other.in(0x608, 4), one.in(0x608, 4));
  line.set(false);
  other.vcpus[0]!.apicWrite(0xb0, 4, 0);
  assert.equal(other.vcpus[0]!.pending(), false);
});

test('saving twice gives the same bytes', () => {
  const machine = testMachine();
  initializePics(machine);
  assert.deepEqual(machine.chip.save(), machine.chip.save());
});

test('a state of another size, kind, version or machine is refused by name', () => {
  const machine = testMachine();
  const state = machine.chip.save();
  assert.throws(() => machine.chip.restore(state.subarray(1)), { name: 'IrqChipStateError', message: /bytes, not/ });
  const bad = (offset: number): Uint8Array => {
    const copy = state.slice();
    copy[offset] = copy[offset]! ^ 0x40;
    return copy;
  };
  assert.throws(() => machine.chip.restore(bad(0)), /magic is/);
  assert.throws(() => machine.chip.restore(bad(4)), /version is 65, not 1/);
  assert.throws(() => machine.chip.restore(bad(8)), /number of vCPUs is 65, not 1/);
});

test('reset puts every part into its power-up state and releases lines', () => {
  const machine = testMachine();
  initializePics(machine);
  enableApic(machine.vcpus[0]!);
  machine.route(10, 0x8051);
  machine.chip.line(10).set(true);
  machine.chip.reset();
  assert.equal(machine.vcpus[0]!.pending(), false);
  assert.equal(machine.ioapicRead(0x24), 0x1_0000);
  assert.equal(machine.vcpus[0]!.apicRead(0xf0, 4), 0xff);
});

test('the PM timer counts at 3.579545 MHz in 32 bits', () => {
  const machine = testMachine();
  const before = machine.in(0x608, 4);
  machine.advance(1e9);
  assert.ok(Math.abs(machine.in(0x608, 4) - before - 3_579_545) <= 1);
  machine.advance(1200e9);
  const seconds = Math.floor((1201 * 3_579_545) % 2 ** 32);
  assert.ok(Math.abs(machine.in(0x608, 4) - before - seconds) <= 2);
});

test('bytes of the PM timer can be read', () => {
  const machine = testMachine();
  machine.advance(123e9);
  const value = machine.in(0x608, 4);
  assert.equal(machine.in(0x60a), (value >>> 16) & 0xff);
});

test('an interrupt line that does not change takes no lock and changes nothing', () => {
  const machine = testMachine();
  initializePics(machine);
  const line = machine.chip.line(4);
  line.set(true);
  machine.vcpus[0]!.acknowledge();
  machine.out(0x20, 0x20);
  line.set(true);
  assert.equal(machine.vcpus[0]!.pending(), false);
});

test('an x87 error raises interrupt 13 until port F0h is written, which lets it pass until it is gone', () => {
  const machine = testMachine();
  initializePics(machine);
  const [vcpu] = machine.vcpus;
  const requested = (): number => {
    machine.out(0xa0, 0x0a);
    return machine.in(0xa0) & 0x20;
  };
  assert.equal(vcpu!.ferr(false), false);
  assert.equal(requested(), 0);
  assert.equal(vcpu!.ferr(true), true);
  assert.equal(vcpu!.ferr(true), true);
  assert.equal(requested(), 0x20);
  machine.out(0xf0, 0);
  assert.equal(vcpu!.ferr(true), false);
  assert.equal(vcpu!.ferr(false), false);
  assert.equal(vcpu!.ferr(true), true);
});

test('a write to port F0h without an error means nothing', () => {
  const machine = testMachine();
  machine.out(0xf0, 0);
  assert.equal(machine.vcpus[0]!.ferr(true), true);
  machine.out(0xf0, 0);
  machine.chip.reset();
  assert.equal(machine.vcpus[0]!.ferr(true), true);
});
