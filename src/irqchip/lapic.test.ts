import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enableApic, initializePics, type TestMachine, testMachine } from './testing.ts';
import type { VcpuIrqchip } from './vcpu-irqchip.ts';

const machine = (vcpus = 1): TestMachine => {
  const m = testMachine(vcpus);
  for (const vcpu of m.vcpus) enableApic(vcpu);
  return m;
};

const read = (vcpu: VcpuIrqchip, offset: number): number => vcpu.apicRead(offset, 4);
const write = (vcpu: VcpuIrqchip, offset: number, value: number): void => vcpu.apicWrite(offset, 4, value);
const eoi = (vcpu: VcpuIrqchip): void => write(vcpu, 0xb0, 0);
const msi = (m: TestMachine, vector: number, vcpu = 0): boolean => m.chip.msi(0xfee0_0000 + (vcpu << 12), vector);
const pending = (m: TestMachine): boolean[] => m.vcpus.map((vcpu) => vcpu.pending());
const ipi = (vcpu: VcpuIrqchip, low: number, destination = 0): void => {
  write(vcpu, 0x310, destination << 24);
  write(vcpu, 0x300, low);
};

test('the registers have their power-up values', () => {
  const vcpu = testMachine(2).vcpus[1]!;
  assert.equal(read(vcpu, 0x20), 0x0100_0000);
  assert.equal(read(vcpu, 0x30), 0x0105_0014);
  assert.equal(read(vcpu, 0xe0), 0xffff_ffff);
  assert.equal(read(vcpu, 0xf0), 0xff);
  for (const lvt of [0x320, 0x330, 0x340, 0x350, 0x360, 0x370]) assert.equal(read(vcpu, lvt), 0x1_0000);
});

test('the bootstrap processor starts in virtual wire mode', () => {
  const vcpu = testMachine().vcpus[0]!;
  assert.equal(read(vcpu, 0x350), 0x700);
  assert.equal(read(vcpu, 0x360), 0x400);
});

test('IA32_APIC_BASE names the bootstrap processor and the page', () => {
  const [one, two] = testMachine(2).vcpus;
  assert.equal(one!.readMsr(0x1b), 0xfee0_0900n);
  assert.equal(two!.readMsr(0x1b), 0xfee0_0800n);
  assert.equal(one!.apicBase(), 0xfee0_0000);
});

test('a fixed interrupt is accepted, kicks, is acknowledged and ended', () => {
  const m = machine();
  m.kicks.length = 0;
  assert.equal(msi(m, 0x41), true);
  assert.deepEqual(m.kicks, [0]);
  const vcpu = m.vcpus[0]!;
  assert.equal(read(vcpu, 0x220), 1 << 1);
  assert.equal(vcpu.acknowledge(), 0x41);
  assert.equal(read(vcpu, 0x220), 0);
  assert.equal(read(vcpu, 0x120), 1 << 1);
  eoi(vcpu);
  assert.equal(read(vcpu, 0x120), 0);
  assert.equal(vcpu.acknowledge(), -1);
});

test('an APIC that is not software-enabled takes in no fixed interrupt', () => {
  const m = testMachine();
  assert.equal(msi(m, 0x41), false);
  assert.equal(m.vcpus[0]!.pending(), false);
});

test('higher vectors are delivered first, and only above the class in service', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  for (const vector of [0x41, 0x52, 0x53]) msi(m, vector);
  assert.equal(vcpu.acknowledge(), 0x53);
  assert.equal(vcpu.pending(), false);
  eoi(vcpu);
  assert.equal(vcpu.acknowledge(), 0x52);
  eoi(vcpu);
  assert.equal(vcpu.acknowledge(), 0x41);
});

test('the task priority holds back its class and those below', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  write(vcpu, 0x80, 0x50);
  msi(m, 0x5f);
  assert.equal(vcpu.pending(), false);
  assert.equal(read(vcpu, 0xa0), 0x50);
  m.kicks.length = 0;
  write(vcpu, 0x80, 0x4f);
  assert.equal(vcpu.pending(), true);
  assert.deepEqual(m.kicks, [0]);
});

test('CR8 is the class of the task priority', () => {
  const vcpu = machine().vcpus[0]!;
  vcpu.writeCr8(9);
  assert.equal(read(vcpu, 0x80), 0x90);
  write(vcpu, 0x80, 0x3c);
  assert.equal(vcpu.readCr8(), 3);
});

test('an interrupt that is pending twice comes once more than it is served', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  msi(m, 0x41);
  vcpu.acknowledge();
  msi(m, 0x41);
  msi(m, 0x41);
  eoi(vcpu);
  assert.equal(vcpu.acknowledge(), 0x41);
  eoi(vcpu);
  assert.equal(vcpu.pending(), false);
});

test('the one-shot timer counts down at 1 GHz over the divider and fires once', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  write(vcpu, 0x320, 0xec);
  write(vcpu, 0x3e0, 0x3); // by 16
  write(vcpu, 0x380, 1000);
  m.advance(4000);
  assert.equal(read(vcpu, 0x390), 750);
  assert.equal(vcpu.nextDeadline(), m.now + 12_000);
  m.advance(12_000);
  assert.equal(vcpu.acknowledge(), 0xec);
  eoi(vcpu);
  m.advance(1e9);
  assert.equal(vcpu.pending(), false);
  assert.equal(read(vcpu, 0x390), 0);
  assert.equal(vcpu.nextDeadline(), Infinity);
});

test('the eight divide configurations divide by 2 to 128 and by 1', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  const divisors = [0, 1, 2, 3, 8, 9, 10, 11].map((code) => {
    write(vcpu, 0x3e0, code);
    write(vcpu, 0x380, 1000);
    return (vcpu.nextDeadline() - m.now) / 1000;
  });
  assert.deepEqual(divisors, [2, 4, 8, 16, 32, 64, 128, 1]);
});

test('the periodic timer fires every period, and late polls count as one', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  write(vcpu, 0x3e0, 0xb);
  write(vcpu, 0x320, 0x2_00ec);
  write(vcpu, 0x380, 10_000);
  for (let n = 0; n < 3; n++) {
    m.advance(10_000);
    assert.equal(vcpu.acknowledge(), 0xec);
    eoi(vcpu);
  }
  m.advance(105_000);
  assert.equal(vcpu.acknowledge(), 0xec);
  eoi(vcpu);
  assert.equal(vcpu.pending(), false);
  assert.equal(read(vcpu, 0x390), 5000);
  assert.equal(vcpu.nextDeadline(), m.now + 5000);
});

test('a masked timer counts and does not interrupt', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  write(vcpu, 0x320, 0x1_00ec);
  write(vcpu, 0x380, 1000);
  m.advance(1e6);
  assert.equal(vcpu.pending(), false);
});

test('an initial count of zero stops the timer', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  write(vcpu, 0x320, 0xec);
  write(vcpu, 0x380, 1000);
  write(vcpu, 0x380, 0);
  assert.equal(vcpu.nextDeadline(), Infinity);
});

test('a new divider keeps the count that is left', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  write(vcpu, 0x3e0, 0xb);
  write(vcpu, 0x380, 1000);
  m.advance(400);
  write(vcpu, 0x3e0, 0x0);
  assert.equal(read(vcpu, 0x390), 600);
  assert.equal(vcpu.nextDeadline(), m.now + 1200);
});

test('the TSC deadline fires when the TSC gets there, by the offset of the vCPU, and disarms', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  m.tscOffset = 5_000_000;
  write(vcpu, 0x320, 0x4_00ec);
  const deadline = m.now + 5_000_000 + 2000;
  assert.equal(vcpu.writeMsr(0x6e0, BigInt(deadline)), true);
  assert.equal(vcpu.readMsr(0x6e0), BigInt(deadline));
  m.advance(1999);
  assert.equal(vcpu.pending(), false);
  m.advance(1);
  assert.equal(vcpu.acknowledge(), 0xec);
  assert.equal(vcpu.readMsr(0x6e0), 0n);
  assert.equal(vcpu.nextDeadline(), Infinity);
});

test('a TSC deadline in the past fires at once', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  write(vcpu, 0x320, 0x4_00ec);
  vcpu.writeMsr(0x6e0, 1n);
  assert.equal(vcpu.pending(), true);
});

test('outside TSC-deadline mode the deadline is ignored, in it the initial count', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  vcpu.writeMsr(0x6e0, 5n);
  assert.equal(vcpu.readMsr(0x6e0), 0n);
  write(vcpu, 0x320, 0x4_00ec);
  write(vcpu, 0x380, 1000);
  assert.equal(vcpu.nextDeadline(), Infinity);
});

test('leaving TSC-deadline mode disarms', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  write(vcpu, 0x320, 0x4_00ec);
  vcpu.writeMsr(0x6e0, BigInt(m.now + 10_000));
  write(vcpu, 0x320, 0xec);
  assert.equal(vcpu.nextDeadline(), Infinity);
});

test('ExtINT through LINT0 asks the 8259 pair; masked it does not', () => {
  const m = machine();
  initializePics(m);
  m.chip.line(4).set(true);
  assert.equal(m.vcpus[0]!.pending(), true);
  write(m.vcpus[0]!, 0x350, 0x1_0700);
  assert.equal(m.vcpus[0]!.pending(), false);
  write(m.vcpus[0]!, 0x350, 0x700);
  assert.equal(m.vcpus[0]!.acknowledge(), 0x34);
});

test('with the APIC disabled the 8259 pair interrupts the bootstrap processor', () => {
  const m = testMachine(2);
  initializePics(m);
  for (const vcpu of m.vcpus) vcpu.writeMsr(0x1b, vcpu.readMsr(0x1b)! & ~0x800n);
  assert.equal(m.vcpus[0]!.apicBase(), -1);
  m.chip.line(4).set(true);
  assert.deepEqual(pending(m), [true, false]);
});

test('software disabling masks every LVT entry and holds the mask bits', () => {
  const vcpu = machine().vcpus[0]!;
  write(vcpu, 0x370, 0x50);
  write(vcpu, 0xf0, 0xff);
  assert.equal(read(vcpu, 0x370), 0x1_0050);
  write(vcpu, 0x370, 0x51);
  assert.equal(read(vcpu, 0x370), 0x1_0051);
});

test('an IPI by physical destination reaches that vCPU', () => {
  const m = machine(3);
  ipi(m.vcpus[0]!, 0x4000 | 0x61, 2);
  assert.deepEqual(pending(m), [false, false, true]);
  assert.equal(m.vcpus[2]!.acknowledge(), 0x61);
});

test('the shorthands reach oneself, everybody, and everybody else', () => {
  const m = machine(3);
  ipi(m.vcpus[1]!, 0x4_4061);
  assert.deepEqual(pending(m), [false, true, false]);
  m.vcpus[1]!.acknowledge();
  eoi(m.vcpus[1]!);
  ipi(m.vcpus[1]!, 0xc_4061);
  assert.deepEqual(pending(m), [true, false, true]);
  ipi(m.vcpus[1]!, 0x8_4061);
  assert.deepEqual(pending(m), [true, true, true]);
});

test('the flat logical model addresses one bit per vCPU', () => {
  const m = machine(3);
  m.vcpus.forEach((vcpu, index) => write(vcpu, 0xd0, 1 << (24 + index)));
  ipi(m.vcpus[0]!, 0x4861, 0b110);
  assert.deepEqual(pending(m), [false, true, true]);
});

test('the cluster model addresses bits within a cluster', () => {
  const m = machine(4);
  m.vcpus.forEach((vcpu, index) => {
    write(vcpu, 0xe0, 0x0fff_ffff);
    write(vcpu, 0xd0, (((index >> 1) << 4) | (1 << (index & 1))) << 24);
  });
  ipi(m.vcpus[0]!, 0x4861, 0x13);
  assert.deepEqual(pending(m), [false, false, true, true]);
});

test('INIT and startup: a processor that waits takes the vector, a running one does not', () => {
  const m = machine(2);
  const [boot, other] = m.vcpus;
  assert.equal(other!.takeInit(), false);
  ipi(boot!, 0x4600 | 0x9a, 1);
  assert.equal(other!.takeSipi(), 0x9a);
  ipi(boot!, 0x4600 | 0x9b, 1);
  assert.equal(other!.takeSipi(), -1);
  ipi(boot!, 0x4500, 1);
  ipi(boot!, 0x4600 | 0x9c, 1);
  assert.equal(other!.takeInit(), true);
  assert.equal(other!.takeSipi(), 0x9c);
});

test('INIT level de-assert does nothing', () => {
  const m = machine(2);
  ipi(m.vcpus[0]!, 0x8500, 1);
  assert.equal(m.vcpus[1]!.takeInit(), false);
});

test('INIT resets the registers and keeps ID and mode', () => {
  const m = machine(2);
  const vcpu = m.vcpus[1]!;
  write(vcpu, 0x80, 0x40);
  m.chip.msi(0xfee0_1000, 0x41);
  ipi(m.vcpus[0]!, 0x4500, 1);
  vcpu.takeInit();
  assert.equal(read(vcpu, 0x80), 0);
  assert.equal(read(vcpu, 0xf0), 0xff);
  assert.equal(read(vcpu, 0x220), 0);
  assert.equal(read(vcpu, 0x20), 0x0100_0000);
});

test('an NMI is taken once', () => {
  const m = machine(2);
  ipi(m.vcpus[0]!, 0x4400, 1);
  assert.equal(m.vcpus[1]!.takeNmi(), true);
  assert.equal(m.vcpus[1]!.takeNmi(), false);
  m.chip.nmi(0);
  assert.equal(m.vcpus[0]!.takeNmi(), true);
});

test('sending an illegal vector is an error that the ESR shows after a write and that interrupts', () => {
  const vcpu = machine().vcpus[0]!;
  write(vcpu, 0x370, 0xfe);
  ipi(vcpu, 0x4_4005);
  assert.equal(read(vcpu, 0x280), 0);
  write(vcpu, 0x280, 0);
  assert.equal(read(vcpu, 0x280), 0x20);
  assert.equal(vcpu.acknowledge(), 0xfe);
  write(vcpu, 0x280, 0);
  assert.equal(read(vcpu, 0x280), 0);
});

test('receiving an illegal vector and touching a register that is not there are errors', () => {
  const m = machine();
  const vcpu = m.vcpus[0]!;
  msi(m, 3);
  read(vcpu, 0x3f0);
  write(vcpu, 0x280, 0);
  assert.equal(read(vcpu, 0x280), 0xc0);
});

test('an error entry with an illegal vector does not recurse', () => {
  const vcpu = machine().vcpus[0]!;
  write(vcpu, 0x370, 0x01);
  ipi(vcpu, 0x4_4005);
  write(vcpu, 0x280, 0);
  assert.equal(read(vcpu, 0x280), 0x60);
});

test('parts of a register may be read; narrow and unaligned writes are dropped', () => {
  const vcpu = machine().vcpus[0]!;
  assert.equal(vcpu.apicRead(0x31, 1), 0);
  assert.equal(vcpu.apicRead(0x32, 1), 0x05);
  assert.equal(vcpu.apicRead(0x30, 2), 0x14);
  vcpu.apicWrite(0x80, 1, 0x30);
  vcpu.apicWrite(0x84, 4, 0x30);
  assert.equal(read(vcpu, 0x80), 0);
});

const X2APIC = 0xfee0_0d00n;

test('in x2APIC mode the registers are MSRs and the page is gone', () => {
  const vcpu = machine(2).vcpus[1]!;
  assert.equal(vcpu.readMsr(0x802), undefined);
  assert.equal(vcpu.writeMsr(0x1b, X2APIC & ~0x100n), true);
  assert.equal(vcpu.apicBase(), -1);
  assert.equal(vcpu.readMsr(0x802), 1n);
  assert.equal(vcpu.readMsr(0x80d), 2n);
  assert.equal(vcpu.readMsr(0x803), 0x0105_0014n);
});

test('x2APIC: what is not there, read-only or reserved raises #GP', () => {
  const vcpu = machine().vcpus[0]!;
  vcpu.writeMsr(0x1b, X2APIC);
  for (const msr of [0x800, 0x80b, 0x80e, 0x831, 0x83f, 0x840, 0x8ff]) assert.equal(vcpu.readMsr(msr), undefined);
  for (const msr of [0x802, 0x803, 0x80a, 0x80d, 0x80e, 0x810, 0x831, 0x839])
    assert.equal(vcpu.writeMsr(msr, 0n), false);
  assert.equal(vcpu.writeMsr(0x808, 0x100n), false);
  assert.equal(vcpu.writeMsr(0x80b, 1n), false);
  assert.equal(vcpu.writeMsr(0x828, 1n), false);
  assert.equal(vcpu.writeMsr(0x832, 1n << 20n), false);
  assert.equal(vcpu.writeMsr(0x832, 1n << 40n), false);
  assert.equal(vcpu.writeMsr(0x830, 1n << 20n), false);
});

test('x2APIC: the ICR is one 64-bit register, and SELF IPI sends to oneself', () => {
  const m = machine(2);
  for (const vcpu of m.vcpus) vcpu.writeMsr(0x1b, vcpu.readMsr(0x1b)! | 0x400n);
  assert.equal(m.vcpus[0]!.writeMsr(0x830, (1n << 32n) | 0x61n), true);
  assert.equal(m.vcpus[0]!.readMsr(0x830), (1n << 32n) | 0x61n);
  assert.deepEqual(pending(m), [false, true]);
  m.vcpus[0]!.writeMsr(0x83f, 0x62n);
  assert.equal(m.vcpus[0]!.acknowledge(), 0x62);
});

test('x2APIC: a logical destination is a cluster of sixteen and a mask', () => {
  const m = machine(20);
  for (const vcpu of m.vcpus) vcpu.writeMsr(0x1b, vcpu.readMsr(0x1b)! | 0x400n);
  m.vcpus[0]!.writeMsr(0x830, (0x0001_0006n << 32n) | 0x861n);
  assert.deepEqual(
    pending(m).flatMap((is, index) => (is ? [index] : [])),
    [17, 18],
  );
});

test('x2APIC: destination FFFFFFFFh is everybody', () => {
  const m = machine(3);
  for (const vcpu of m.vcpus) vcpu.writeMsr(0x1b, vcpu.readMsr(0x1b)! | 0x400n);
  m.vcpus[0]!.writeMsr(0x830, (0xffff_ffffn << 32n) | 0x61n);
  assert.deepEqual(pending(m), [true, true, true]);
});

test('IA32_APIC_BASE refuses illegal transitions and reserved bits', () => {
  const vcpu = machine().vcpus[0]!;
  assert.equal(vcpu.writeMsr(0x1b, 0xfee0_0900n | 1n), false);
  assert.equal(vcpu.writeMsr(0x1b, 0xfee0_0900n | (1n << 45n)), false);
  assert.equal(vcpu.writeMsr(0x1b, 0xfee0_0500n), false); // x2APIC without enable
  assert.equal(vcpu.writeMsr(0x1b, X2APIC), true);
  assert.equal(vcpu.writeMsr(0x1b, 0xfee0_0900n), false); // x2APIC to xAPIC
  assert.equal(vcpu.writeMsr(0x1b, 0xfee0_0100n), true); // to disabled
  assert.equal(vcpu.writeMsr(0x1b, X2APIC), false); // disabled to x2APIC
  assert.equal(vcpu.writeMsr(0x1b, 0xfee0_0900n), true);
  assert.equal(read(vcpu, 0xf0), 0xff);
});

test('the page can be moved', () => {
  const vcpu = machine().vcpus[0]!;
  assert.equal(vcpu.writeMsr(0x1b, 0x12_3456_7900n), true);
  assert.equal(vcpu.apicBase(), 0x12_3456_7000);
});

test('a message outside the APIC region is no interrupt', () => {
  assert.equal(machine().chip.msi(0xfec0_0000, 0x41), false);
});

test('a message with the redirection hint picks one of a logical set', () => {
  const m = machine(3);
  m.vcpus.forEach((vcpu, index) => write(vcpu, 0xd0, 1 << (24 + index)));
  m.chip.msi(0xfee0_000c + (0b110 << 12), 0x41);
  assert.equal(pending(m).filter(Boolean).length, 1);
  assert.equal(m.vcpus[0]!.pending(), false);
});

test('a level-triggered message sets TMR, an edge clears it', () => {
  const m = machine();
  m.chip.msi(0xfee0_0000, 0xc041);
  assert.equal(read(m.vcpus[0]!, 0x1a0), 2);
  m.chip.msi(0xfee0_0000, 0x0041);
  assert.equal(read(m.vcpus[0]!, 0x1a0), 0);
});
