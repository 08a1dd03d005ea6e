import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PciMemory } from '../../pci/memory.ts';
import { FakeLine } from '../../testing.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import { TestDriver, TestMemory } from '../queue/testing.ts';
import * as C from './pci-defs.ts';
import { VirtioPci } from './pci.ts';
import { PCI_WINDOW } from './testing.ts';

function rig(configBytes = 4) {
  const memory = new TestMemory(0x10_0000);
  const active: { session?: DriverSession } = {};
  const device: VirtioDevice = {
    name: 'probe',
    type: 2,
    features: 0n,
    queueSizes: [8, 8],
    configBytes,
    readConfig: () => 0x1234_5678,
    writeConfig() {},
    onConfigChanged() {},
    activate: (session) => void (active.session = session),
    notify() {},
    reset: () => undefined,
  };
  const line = new FakeLine();
  const sent: number[][] = [];
  const doorbells: string[] = [];
  const pciMemory = new PciMemory([PCI_WINDOW]);
  const pci = new VirtioPci({
    device,
    memory,
    pciMemory,
    interrupt: { line, gsi: 17 },
    sendMsi: (...message) => void sent.push(message),
    doorbells: {
      add: (address) => void doorbells.push(`+${address.toString(16)}`),
      remove: (address) => void doorbells.push(`-${address.toString(16)}`),
    },
  });
  const { registers } = pci;
  const start = (): void => {
    for (const status of [1, 3]) registers.write(C.VIRTIO_PCI_COMMON_STATUS, 1, status);
    registers.write(C.VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
    registers.write(C.VIRTIO_PCI_COMMON_GF, 4, 1);
    registers.write(C.VIRTIO_PCI_COMMON_STATUS, 1, 11);
    const { areas } = new TestDriver(memory, 8);
    registers.write(C.VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
    registers.write(0x20, 4, areas.descriptors);
    registers.write(0x28, 4, areas.driver);
    registers.write(0x30, 4, areas.device);
    registers.write(C.VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    registers.write(C.VIRTIO_PCI_COMMON_STATUS, 1, 15);
  };
  return { pci, registers, line, sent, doorbells, start, active };
}

/** The capabilities, in the order of the list. */
function capabilities(pci: VirtioPci) {
  const found: { at: number; id: number; bytes: number; type: number; bar: number; offset: number; length: number }[] =
    [];
  for (let at = pci.readConfig(0x34, 1); at !== 0; at = pci.readConfig(at + 1, 1)) {
    found.push({
      at,
      id: pci.readConfig(at, 1),
      bytes: pci.readConfig(at + 2, 1),
      type: pci.readConfig(at + 3, 1),
      bar: pci.readConfig(at + 4, 1),
      offset: pci.readConfig(at + 8, 4),
      length: pci.readConfig(at + 12, 4),
    });
  }
  return found;
}

test('the function is 1af4:1042 of class 0180, revision 1', () => {
  const { pci } = rig();
  assert.deepEqual([pci.readConfig(0, 4), pci.readConfig(8, 4)], [0x1042_1af4, 0x0180_0001]);
});

test('the capabilities name every structure in BAR 0', () => {
  const { pci } = rig();
  const vendor = capabilities(pci).filter(({ id }) => id === 9);
  assert.deepEqual(
    vendor.map(({ bytes, type, bar, offset, length }) => [bytes, type, bar, offset, length]),
    [
      [16, 1, 0, 0x0000, 56],
      [16, 3, 0, 0x1000, 1],
      [16, 4, 0, 0x2000, 4],
      [20, 2, 0, 0x3000, 0x1000],
      [20, 5, 0, 0, 0],
    ],
  );
  const notify = vendor.find(({ type }) => type === 2);
  assert.equal(pci.readConfig(notify!.at + 16, 4), 4);
});

test('a device without configuration space has no capability for it', () => {
  const { pci } = rig(0);
  assert.deepEqual(
    capabilities(pci).map(({ id, type }) => (id === 9 ? type : 'msix')),
    ['msix', 1, 3, 2, 5],
  );
});

test('registers of the common configuration read at every width', () => {
  const { registers } = rig();
  registers.write(C.VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
  assert.deepEqual(
    [
      registers.read(0x10, 4),
      registers.read(0x12, 2),
      registers.read(0x12, 1),
      registers.read(0x16, 2),
      registers.read(0x1e, 2),
    ],
    [0x0002_ffff, 2, 2, 1, 1],
  );
  assert.deepEqual([registers.read(0x17, 4), registers.read(0x38, 4), registers.read(0xfff, 4)], [0xff00_0800, 0, 0]);
});

test('a write of the wrong width, misaligned or to a read-only register changes nothing', () => {
  const { registers } = rig();
  registers.write(0x14, 4, 0x0001_0001);
  registers.write(0x16, 1, 1);
  registers.write(0x15, 1, 7);
  registers.write(0x12, 2, 7);
  registers.write(0x11, 2, 7);
  registers.write(0x18, 4, 4);
  assert.deepEqual([registers.read(0x14, 4), registers.read(0x10, 4), registers.read(0x18, 2)], [0, 0x0002_ffff, 8]);
});

test('with MSI-X a queue and the configuration send their vectors and the ISR stays empty', () => {
  const { pci, registers, line, sent, start, active } = rig();
  pci.writeConfig(0x42, 2, 0x8000);
  for (const vector of [0, 1]) {
    registers.write(C.BAR_MSIX_TABLE + vector * 16, 4, 0xfee0_0000);
    registers.write(C.BAR_MSIX_TABLE + vector * 16 + 8, 4, 0x30 + vector);
    registers.write(C.BAR_MSIX_TABLE + vector * 16 + 12, 4, 0);
  }
  registers.write(C.VIRTIO_PCI_COMMON_MSIX, 2, 0);
  registers.write(C.VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
  assert.equal(registers.read(C.VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
  start();
  active.session?.interrupt(0);
  active.session?.needsReset('test');
  assert.deepEqual(sent, [
    [0xfee0_0000, 0x31],
    [0xfee0_0000, 0x30],
  ]);
  assert.deepEqual([line.level, registers.read(C.BAR_ISR, 1)], [false, 0]);
});

test('a vector that the table does not have reads back as none', () => {
  const { registers } = rig();
  registers.write(C.VIRTIO_PCI_COMMON_MSIX, 2, 3);
  registers.write(C.VIRTIO_PCI_COMMON_Q_MSIX, 2, 0x7fff);
  registers.write(C.VIRTIO_PCI_COMMON_Q_SELECT, 2, 9);
  registers.write(C.VIRTIO_PCI_COMMON_Q_MSIX, 2, 0);
  assert.deepEqual([registers.read(0x10, 2), registers.read(0x1a, 2)], [0xffff, 0xffff]);
});

test('without MSI-X the pin is asserted until the ISR is read', () => {
  const { registers, line, start, active } = rig();
  start();
  active.session?.interrupt(0);
  assert.equal(line.level, true);
  assert.deepEqual([registers.read(C.BAR_ISR, 1), line.level, registers.read(C.BAR_ISR, 1)], [1, false, 0]);
});

test('vectors and the ISR are as at power-up after a reset of the device', () => {
  const { registers, line, start, active } = rig();
  registers.write(C.VIRTIO_PCI_COMMON_MSIX, 2, 1);
  start();
  active.session?.interrupt(0);
  registers.write(C.VIRTIO_PCI_COMMON_STATUS, 1, 0);
  assert.deepEqual([registers.read(0x10, 2), line.level, registers.read(C.BAR_ISR, 1)], [0xffff, false, 0]);
});

test('the page of notifications is posted where the BAR is, and no longer where it was', () => {
  const { pci, doorbells } = rig();
  pci.writeConfig(0x10, 4, 0xd000_0000);
  pci.writeConfig(4, 2, 2);
  pci.writeConfig(0x10, 4, 0xd001_0000);
  pci.writeConfig(4, 2, 0);
  assert.deepEqual(doorbells, ['+d0003000', '-d0003000', '+d0013000', '-d0013000']);
});

test('the window in configuration space reads and writes the BAR, and nothing else', () => {
  const { pci, registers } = rig();
  const { at } = capabilities(pci).find(({ type }) => type === 5)!;
  const point = (bar: number, offset: number, length: number): void => {
    pci.writeConfig(at + 4, 1, bar);
    pci.writeConfig(at + 8, 4, offset);
    pci.writeConfig(at + 12, 4, length);
  };
  point(0, 0x14, 1);
  pci.writeConfig(at + 16, 1, 1);
  assert.equal(registers.read(0x14, 1), 1);
  assert.equal(pci.readConfig(at + 16, 1), 1);
  point(0, 0x2000, 4);
  assert.equal(pci.readConfig(at + 16, 4), 0x1234_5678);
  for (const [bar, offset, length] of [
    [1, 0x14, 1],
    [0, 0x14, 8],
    [0, 0x15, 2],
    [0, 0x8000, 4],
    [0, 0xffff_fffc, 4],
    [0, 0, 0],
  ] as const) {
    point(bar, offset, length);
    pci.writeConfig(at + 16, 1, 3);
    pci.writeConfig(at + 16, 4, 3);
    pci.readConfig(at + 16, 4);
  }
  assert.equal(registers.read(0x14, 1), 1);
});
