import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../bus/bus.ts';
import { PciConfigTable } from '../bus/pci-config.ts';
import { POSTED_MMIO_WORDS, PostedMmio } from '../bus/posted-mmio.ts';
import { PciRoot } from '../devices/pci/root.ts';
import { FakeLine } from '../devices/testing.ts';
import type { DriverSession } from '../devices/virtio/device.ts';
import { RngDevice } from '../devices/virtio/rng/device.ts';
import { TestMemory } from '../devices/virtio/queue/testing.ts';
import { VirtioBus, type VirtioTransport } from './virtio-bus.ts';

function rig(transport: VirtioTransport) {
  const pciConfig = new PciConfigTable();
  const pci = new PciRoot(pciConfig);
  const mmio = new Bus();
  const postedMmio = new PostedMmio({ words: new Int32Array(POSTED_MMIO_WORDS), postedMmioAt: 0 });
  const lines: number[] = [];
  const logged: string[] = [];
  const bus = new VirtioBus({
    transport,
    memory: new TestMemory(0x10_0000),
    ramBytes: 0x10_0000,
    physicalAddressBits: 40,
    pci,
    mmio,
    line: (gsi) => {
      lines.push(gsi);
      return new FakeLine();
    },
    sendMsi: () => {},
    postedMmio,
    hostWrote: () => undefined,
    logger: { log: (level, component, message) => void logged.push(`${level} ${component}: ${message}`) },
  });
  const sessions: DriverSession[] = [];
  class Device extends RngDevice {
    override activate(session: DriverSession): void {
      sessions.push(session);
    }
  }
  const device = new Device({ random: () => {}, yieldTurn: () => {} });
  return { bus, pci, pciConfig, mmio, postedMmio, lines, logged, sessions, device };
}

test('on PCI a device is at its slot, with the address and the line of the slot', () => {
  const { bus, pci, mmio, postedMmio, lines, device } = rig('pci');
  bus.add({ slot: 3, device });
  assert.equal(pci.read(3 << 3, 0, 4), 0x1044_1af4);
  assert.equal(pci.read(3 << 3, 0x10, 4), 0xd030_0000);
  assert.equal(pci.read(3 << 3, 0x3c, 2), 0x0113);
  assert.deepEqual([lines, bus.mmioResources], [[19], []]);
  assert.equal(mmio.read(0xd030_0012, 2), 0xffff);
  pci.write(3 << 3, 4, 2, 2);
  assert.equal(mmio.read(0xd030_0012, 2), 1);
  assert.deepEqual([postedMmio.has(0xd030_3000, 2), postedMmio.has(0xd030_0014, 1)], [true, false]);
});

test('vCPUs read all of its configuration space without asking but the data of the window into its registers', () => {
  const { bus, pci, pciConfig, device } = rig('pci');
  bus.add({ slot: 3, device });
  const asked: number[] = [];
  for (let register = 0; register < 256; register += 4) {
    pciConfig.address = 0x8000_1800 + register;
    const known = pciConfig.read(0, 4);
    if (known === undefined) asked.push(register);
    else assert.equal(known, pci.read(3 << 3, register, 4));
  }
  // The capability with type 5 (virtio 1.2, 4.1.4.9) has its data behind 16 bytes.
  let window = pci.read(3 << 3, 0x34, 1);
  while (pci.read(3 << 3, window, 1) !== 0x09 || pci.read(3 << 3, window + 3, 1) !== 5) {
    window = pci.read(3 << 3, window + 1, 1);
  }
  assert.deepEqual(asked, [window + 16]);
});

test('on MMIO it is at the page of its slot, and ACPI is told', () => {
  const { bus, pci, mmio, postedMmio, lines, device } = rig('mmio');
  bus.add({ slot: 3, device });
  assert.equal(mmio.read(0xf800_3000, 4), 0x7472_6976);
  assert.deepEqual(bus.mmioResources, [{ slot: 3, address: 0xf800_3000, gsi: 19 }]);
  assert.deepEqual([lines, pci.read(3 << 3, 0, 4)], [[19], 0xffff_ffff]);
  assert.deepEqual([postedMmio.has(0xf800_3050, 4), postedMmio.has(0xf800_3070, 4)], [true, false]);
});

test('a guest that breaks its rings for ever writes five lines into the log', () => {
  const { bus, mmio, logged, sessions, device } = rig('mmio');
  bus.add({ slot: 0, device });
  for (let round = 0; round < 20; round++) {
    for (const [register, value] of [
      [0x70, 0],
      [0x70, 1],
      [0x70, 3],
      [0x24, 1],
      [0x20, 1],
      [0x70, 11],
      [0x70, 15],
    ] as const) {
      mmio.write(0xf800_0000 + register, 4, value);
    }
    sessions[round]?.needsReset('queue 0: chain-too-long');
  }
  assert.equal(logged.length, 5);
  assert.equal(logged[0], 'warn virtio: rng: queue 0: chain-too-long; it waits for a reset');
});
