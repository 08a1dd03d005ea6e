/** Memory slots, dirty log, interrupts and doorbells of a machine on the host's own KVM. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { KVM_CREATE_VM, KVM_IRQCHIP_IOAPIC, MAP_SHARED, MFD_CLOEXEC, PROT_READ, PROT_WRITE } from './defs.ts';
import { Kvm } from './kvm.ts';
import { EINTR, SystemCallError } from './system-calls.ts';
import { CODE, END, hostKvm, RAM_BYTES, RealModeMachine } from './testing.ts';
import { KvmVm, pcRoutes } from './vm.ts';

const { kvm, skip } = await hostKvm();
const PAGE = 4096;

/** What has been counted in an eventfd since the last call. */
function counted(fd: number): bigint {
  const into = new BigUint64Array(1);
  const result = kvm.calls.read(fd, new Uint8Array(into.buffer));
  return result < 0 ? 0n : (into[0] ?? 0n);
}

test('KVM says which API it has, and that it can do what a machine needs', { skip }, () => {
  assert.ok(kvm.runBytes >= PAGE);
  assert.ok(kvm.maxVcpus >= 1);
  assert.ok(kvm.supportedCpuid().some(({ leaf }) => leaf === 1));
  assert.ok(kvm.msrIndices().includes(0x174));
});

test('a signal while a machine is created costs it nothing but time', { skip }, () => {
  const signals = [EINTR, EINTR];
  const ioctl = (fd: number, request: number, argument: number): number => {
    const errno = request === KVM_CREATE_VM ? signals.pop() : undefined;
    return errno === undefined ? kvm.calls.ioctl(fd, request, argument) : -errno;
  };
  using interrupted = new Kvm({ ...kvm.calls, ioctl });
  const fd = interrupted.createVm();
  assert.ok(fd >= 0);
  kvm.calls.close(fd);
  assert.deepEqual(signals, []);
});

test('memory that is added while the machine exists is seen by the guest, and memory that is removed is not', {
  skip,
}, () => {
  const { calls } = kvm;
  // mov al, [DS:0]; out 80h, al; twice, with a write to port 81h between
  const code = `a0 00 00 e6 80 e6 81 a0 00 00 e6 80 ${END}`;
  const fd = calls.memfdCreate('slot', MFD_CLOEXEC);
  calls.ftruncate(fd, PAGE);
  const address = calls.mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  new Uint8Array(calls.view(address, PAGE))[0] = 0x77;
  const slot = { slot: 1, guestAddress: RAM_BYTES, hostAddress: address };
  {
    using machine = new RealModeMachine(kvm, code, {
      // DS:0 is the last paragraph of RAM with this base, so that 16 bytes behind it begin outside.
      dataBase: RAM_BYTES,
      write: ({ vm }, port) => {
        if (port === 0x81) vm.setMemory({ ...slot, bytes: 0 });
      },
    });
    machine.vm.setMemory({ ...slot, bytes: PAGE });
    machine.run();
    assert.deepEqual(machine.log, ['out 80/1 77', 'out 81/1 77', 'load 100000/1', 'out 80/1 ff']);
  }
  calls.munmap(address, PAGE);
  calls.close(fd);
});

for (const backing of ['anonymous', 'memfd'] as const) {
  test(`${backing} guest RAM holds the same bytes for the guest and for the devices`, { skip }, () => {
    // mov al, [3123h]; out 80h, al; mov byte [7000h], 5ah
    using machine = new RealModeMachine(kvm, `a0 23 31 e6 80 c6 06 00 70 5a ${END}`, { backing });
    machine.ram[0x3123] = 0xa5;
    machine.run();
    assert.deepEqual([machine.log, machine.ram[0x7000]], [['out 80/1 a5'], 0x5a]);
  });
}

test('the dirty log has the pages that the guest wrote to, and forgets them when it is read', { skip }, () => {
  // mov [3123h], al; mov [7000h], al
  const code = `a2 23 31 a2 00 70 ${END}`;
  using machine = new RealModeMachine(kvm, code, { logDirtyPages: true });
  machine.vm.takeDirtyPages(0);
  machine.run();
  const dirty = (): number[] =>
    [...machine.vm.takeDirtyPages(0)].flatMap((byte, at) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (1 << bit)).map((bit) => at * 8 + bit),
    );
  // The log may say too much: an emulated SVM has the page of the code in it.
  const codePage = CODE / PAGE;
  assert.deepEqual(
    dirty().filter((page) => page !== codePage),
    [3, 7],
  );
  assert.deepEqual(dirty(), []);
});

test('the dirty log of a slot that does not exist is a mistake of ours', { skip }, () => {
  using vm = new KvmVm(kvm);
  assert.throws(() => vm.takeDirtyPages(5), /^RangeError: memory slot 5 does not exist$/);
});

test('a doorbell on a port counts the writes, and they do not come out', { skip }, () => {
  // mov dx, 500h; out dx, al; out dx, al; mov dx, 501h; out dx, al
  using machine = new RealModeMachine(kvm, `ba 00 05 ee ee ba 01 05 ee ${END}`);
  const fd = machine.vm.createEventfd();
  machine.vm.attachDoorbell(fd, { space: 'port', address: 0x500, bytes: 1 });
  machine.run();
  assert.equal(counted(fd), 2n);
  assert.deepEqual(machine.log, ['out 501/1 0']);
  machine.vm.attachDoorbell(fd, { space: 'port', address: 0x500, bytes: 1 }, false);
  kvm.calls.close(fd);
});

test('a doorbell in memory counts writes of its value only; the others come out', { skip }, () => {
  // mov word [10h], 7; mov word [10h], 8
  const code = `c7 06 10 00 07 00 c7 06 10 00 08 00 ${END}`;
  using machine = new RealModeMachine(kvm, code, { dataBase: RAM_BYTES - 0x10 });
  const fd = machine.vm.createEventfd();
  machine.vm.attachDoorbell(fd, { space: 'memory', address: RAM_BYTES, bytes: 2, value: 8 });
  machine.run();
  assert.equal(counted(fd), 1n);
  assert.deepEqual(machine.log, ['store 100000/2 7']);
  kvm.calls.close(fd);
});

/**
 * Sets up the master 8259 with vectors from 20h on and input 5 unmasked, says so at port 81h with interrupts on, and waits; the
 * handler of input 5 writes to port 80h and then ends.
 */
const HANDLER = 0x1100;
const INTERRUPT_CODE = `
  c7 06 94 00 00 11 c7 06 96 00 00 00
  b0 11 e6 20 b0 20 e6 21 b0 04 e6 21 b0 01 e6 21 b0 df e6 21
  fb e6 81 eb fe`;
const HANDLER_CODE = `e6 80 ${END}`;

function interruptMachine(raise: (machine: RealModeMachine) => void): RealModeMachine {
  const machine = new RealModeMachine(kvm, INTERRUPT_CODE, {
    irqchip: 'kernel',
    write: (self, port) => {
      if (port === 0x81) raise(self);
    },
  });
  machine.ram.set(Buffer.from(HANDLER_CODE.replaceAll(' ', ''), 'hex'), HANDLER);
  return machine;
}

test("an interrupt line reaches the guest through the kernel's 8259", { skip }, () => {
  using machine = interruptMachine(({ vm }) => vm.setLine(5, true));
  machine.run();
  assert.deepEqual(
    machine.log.map((entry) => entry.slice(0, 8)),
    ['out 81/1', 'out 80/1'],
  );
});

test('an eventfd that is attached to an interrupt raises it when it is written', { skip }, () => {
  const one = new Uint8Array(new BigUint64Array([1n]).buffer);
  let fd = -1;
  using machine = interruptMachine(() => kvm.calls.write(fd, one));
  fd = machine.vm.createEventfd();
  machine.vm.attachInterrupt(fd, 5);
  machine.run();
  assert.deepEqual(
    machine.log.map((entry) => entry.slice(0, 8)),
    ['out 81/1', 'out 80/1'],
  );
  machine.vm.attachInterrupt(fd, 5, false);
  kvm.calls.close(fd);
});

test('the 8254 is wired to pin 2 of the IO-APIC and to input 0 of the 8259; the other lines to the pin of their number', () => {
  const ioapic = pcRoutes().flatMap((route) => ('chip' in route && route.chip === KVM_IRQCHIP_IOAPIC ? [route] : []));
  assert.deepEqual(
    ioapic.map(({ gsi, pin }) => [gsi, pin]),
    [[0, 2], [1, 1], ...Array.from({ length: 21 }, (_, index) => [index + 3, index + 3])],
  );
  const pics = pcRoutes().flatMap((route) => ('chip' in route && route.chip !== KVM_IRQCHIP_IOAPIC ? [route] : []));
  assert.deepEqual(
    pics.map(({ gsi }) => gsi),
    [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  );
});

test('routes of messages are taken beside those of lines', { skip }, () => {
  using vm = new KvmVm(kvm);
  vm.createIrqchip();
  vm.setRoutes([...pcRoutes(), { gsi: 24, address: 0xfee0_0000, data: 0x41 }]);
});

test('a message for a local APIC that is not enabled is not taken', { skip }, () => {
  using machine = new RealModeMachine(kvm, END, { irqchip: 'kernel' });
  assert.equal(machine.vm.signalMsi(0xfee0_0000, 0x41), false);
});

test('a message for a local APIC that does not exist is not taken', { skip }, () => {
  using machine = new RealModeMachine(kvm, END, { irqchip: 'kernel' });
  const physical = 0xfee5_5000;
  const logical = 0xfee5_5004;
  const lowestPriority = 0x141;
  assert.equal(machine.vm.signalMsi(physical, 0x41), false);
  assert.equal(machine.vm.signalMsi(logical, 0x41), false);
  assert.equal(machine.vm.signalMsi(logical, lowestPriority), false);
});

test('with a split irqchip there are local APICs, and no IO-APIC in the kernel', { skip }, () => {
  using machine = new RealModeMachine(kvm, END, { irqchip: 'split' });
  assert.throws(() => machine.vm.saveIrqchip(KVM_IRQCHIP_IOAPIC), /^SystemCallError: KVM_GET_IRQCHIP: /);
  assert.deepEqual(machine.run(), { kind: 'kicked' });
});

test('a machine without the memory that it was promised fails with the call and the error', { skip }, () => {
  using vm = new KvmVm(kvm);
  assert.throws(
    () => vm.setMemory({ slot: 0, guestAddress: 1, bytes: PAGE, hostAddress: 0 }),
    (error) => error instanceof SystemCallError && error.message === 'KVM_SET_USER_MEMORY_REGION: EINVAL',
  );
});

/** Resident memory of this process, in bytes. */
const residentBytes = (): number => Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[1]) * PAGE;
const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** V8 gives memory back when it collects garbage: here it does when it is told. */
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('a thousand machines that come and go leave no descriptor and no memory', { skip }, (t) => {
  const live = (): void => {
    using machine = new RealModeMachine(kvm, END, { irqchip: 'kernel' });
    machine.ram.fill(0x90, CODE + 0x1000);
    machine.run();
  };
  const measure = (): [number, number] => {
    collectGarbage();
    return [descriptors(), residentBytes()];
  };
  // What is allocated once is there before.
  for (let n = 0; n < 50; n++) live();
  const [descriptorsBefore, bytesBefore] = measure();
  for (let n = 0; n < 1000; n++) live();
  const [descriptorsAfter, bytesAfter] = measure();
  t.diagnostic(`resident memory grew by ${((bytesAfter - bytesBefore) / 1024).toFixed(0)} KiB`);
  assert.equal(descriptorsAfter, descriptorsBefore);
  // The RAM of a thousand machines is a gigabyte.
  assert.ok(bytesAfter - bytesBefore < 64 << 20);
});
