import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enableApic, initializePics, type TestMachine, testMachine } from './testing.ts';

const LEVEL = 0x8000;
const MASKED = 0x1_0000;
const LOGICAL = 0x800;
const REMOTE_IRR = 0x4000;

const machine = (vcpus = 1): TestMachine => {
  const m = testMachine(vcpus);
  for (const vcpu of m.vcpus) enableApic(vcpu);
  return m;
};

const eoi = (m: TestMachine, vcpu = 0): void => m.vcpus[vcpu]!.apicWrite(0xb0, 4, 0);
const entry = (m: TestMachine, pin: number): number => m.ioapicRead(0x10 + pin * 2);

test('the version register tells version 20h and 24 inputs', () => {
  assert.equal(machine().ioapicRead(1), 0x0017_0020);
});

test('the ID register keeps bits 24 to 27', () => {
  const m = machine();
  m.ioapicWrite(0, 0xffff_ffff);
  assert.equal(m.ioapicRead(0), 0x0f00_0000);
});

test('inputs are masked after reset', () => {
  assert.equal(entry(machine(), 9), MASKED);
});

test('an edge sends its vector once', () => {
  const m = machine();
  m.route(10, 0x51);
  const line = m.chip.line(10);
  line.set(true);
  assert.equal(m.vcpus[0]!.acknowledge(), 0x51);
  eoi(m);
  assert.equal(m.vcpus[0]!.pending(), false);
  line.set(false);
  line.set(true);
  assert.equal(m.vcpus[0]!.pending(), true);
});

test('an edge at a masked input is lost', () => {
  const m = machine();
  m.route(10, MASKED | 0x51);
  m.chip.line(10).set(true);
  m.route(10, 0x51);
  assert.equal(m.vcpus[0]!.pending(), false);
});

test('a level-triggered input sets remote IRR and interrupts again after the EOI while asserted', () => {
  const m = machine();
  m.route(10, LEVEL | 0x51);
  const line = m.chip.line(10);
  line.set(true);
  assert.equal(entry(m, 10), LEVEL | REMOTE_IRR | 0x51);
  assert.equal(m.vcpus[0]!.acknowledge(), 0x51);
  assert.equal(m.vcpus[0]!.pending(), false);
  eoi(m);
  assert.equal(m.vcpus[0]!.acknowledge(), 0x51);
  line.set(false);
  eoi(m);
  assert.equal(m.vcpus[0]!.pending(), false);
  assert.equal(entry(m, 10), LEVEL | 0x51);
});

test('a level-triggered input asserted while masked interrupts when it is unmasked', () => {
  const m = machine();
  m.route(10, MASKED | LEVEL | 0x51);
  m.chip.line(10).set(true);
  assert.equal(m.vcpus[0]!.pending(), false);
  m.route(10, LEVEL | 0x51);
  assert.equal(m.vcpus[0]!.acknowledge(), 0x51);
});

test('the polarity bit is kept and does not invert assertion', () => {
  const m = machine();
  m.route(10, LEVEL | 0x2000 | 0x51);
  assert.equal(m.vcpus[0]!.pending(), false);
  assert.equal(entry(m, 10), LEVEL | 0x2000 | 0x51);
  m.chip.line(10).set(true);
  assert.equal(m.vcpus[0]!.pending(), true);
});

test('sources that share a line keep it asserted until the last lets go', () => {
  const m = machine();
  m.route(10, LEVEL | 0x51);
  const [one, two] = [m.chip.line(10), m.chip.line(10)];
  one.set(true);
  two.set(true);
  one.set(false);
  m.vcpus[0]!.acknowledge();
  eoi(m);
  assert.equal(m.vcpus[0]!.pending(), true);
  two.set(false);
  m.vcpus[0]!.acknowledge();
  eoi(m);
  assert.equal(m.vcpus[0]!.pending(), false);
});

test('the EOI register ends an interrupt without the broadcast', () => {
  const m = machine();
  m.vcpus[0]!.apicWrite(0xf0, 4, 0x11ff);
  m.route(10, LEVEL | 0x51);
  m.chip.line(10).set(true);
  m.vcpus[0]!.acknowledge();
  eoi(m);
  assert.equal(m.vcpus[0]!.pending(), false);
  m.mmio.write(0xfec0_0040, 4, 0x51);
  assert.equal(m.vcpus[0]!.pending(), true);
});

test('turning an input to edge clears its remote IRR', () => {
  const m = machine();
  m.route(10, LEVEL | 0x51);
  m.chip.line(10).set(true);
  m.route(10, MASKED | 0x51);
  assert.equal(entry(m, 10), MASKED | 0x51);
});

test('read-only bits of an entry cannot be written and the reserved ones read as zero', () => {
  const m = machine();
  m.ioapicWrite(0x10 + 18, 0xffff_ffff);
  m.ioapicWrite(0x11 + 18, 0xffff_ffff);
  assert.equal(m.ioapicRead(0x10 + 18), 0x1_afff);
  assert.equal(m.ioapicRead(0x11 + 18), 0xff00_0000);
});

test('a physical destination reaches its vCPU only, and FFh every one', () => {
  const m = machine(3);
  m.route(10, 0x51, 2);
  const line = m.chip.line(10);
  line.set(true);
  assert.deepEqual(
    m.vcpus.map((vcpu) => vcpu.pending()),
    [false, false, true],
  );
  line.set(false);
  m.route(10, 0x52, 0xff);
  line.set(true);
  assert.deepEqual(
    m.vcpus.map((vcpu) => vcpu.pending()),
    [true, true, true],
  );
});

test('a logical destination reaches the vCPUs whose bits are set', () => {
  const m = machine(3);
  m.vcpus.forEach((vcpu, index) => vcpu.apicWrite(0xd0, 4, 1 << (24 + index)));
  m.route(10, LOGICAL | 0x51, 0b101);
  m.chip.line(10).set(true);
  assert.deepEqual(
    m.vcpus.map((vcpu) => vcpu.pending()),
    [true, false, true],
  );
});

test('lowest priority goes to the vCPU with the lowest task priority, and round among equals', () => {
  const m = machine(3);
  m.vcpus[0]!.writeCr8(5);
  m.route(10, 0x100 | 0x51, 0xff);
  const line = m.chip.line(10);
  const target = (): number => {
    line.set(false);
    line.set(true);
    const at = m.vcpus.findIndex((vcpu) => vcpu.acknowledge() === 0x51);
    eoi(m, at);
    return at;
  };
  assert.deepEqual(new Set([target(), target()]), new Set([1, 2]));
});

test('NMI and INIT delivery modes reach the vCPU as such', () => {
  const m = machine(2);
  m.route(10, 0x400, 1);
  m.chip.line(10).set(true);
  assert.equal(m.vcpus[1]!.takeNmi(), true);
  m.route(11, 0x500, 1);
  m.chip.line(11).set(true);
  assert.equal(m.vcpus[1]!.takeInit(), true);
});

test('ExtINT on input 0 brings the vector of the 8259 pair', () => {
  const m = machine();
  initializePics(m);
  m.vcpus[0]!.apicWrite(0x350, 4, MASKED);
  m.route(0, 0x700);
  m.chip.line(4).set(true);
  assert.equal(m.vcpus[0]!.acknowledge(), 0x34);
  assert.equal(m.vcpus[0]!.pending(), false);
});

test('the timer is on input 2', () => {
  const m = machine();
  m.vcpus[0]!.apicWrite(0x350, 4, MASKED);
  m.route(2, 0x30);
  m.out(0x43, 0x34);
  m.out(0x40, 0);
  m.out(0x40, 4);
  m.advance(1_000_000);
  assert.equal(m.vcpus[0]!.acknowledge(), 0x30);
});

test('an interrupt nobody takes in does not set remote IRR', () => {
  const m = machine();
  m.route(10, LEVEL | 0x51, 7);
  m.chip.line(10).set(true);
  assert.equal(entry(m, 10) & REMOTE_IRR, 0);
});

test('registers that do not exist read as all ones', () => {
  assert.equal(machine().ioapicRead(0x40), 0xffff_ffff);
});

test('a GSI out of range and a 33rd source are refused by name', () => {
  const m = machine();
  assert.throws(() => m.chip.line(24), /interrupt line 24: GSIs are 0 to 23/);
  for (let n = 0; n < 32; n++) m.chip.line(10);
  assert.throws(() => m.chip.line(10), /interrupt line 10: more than 32 sources/);
});
