/** A whole set of virtio devices under a guest that does anything: registers, configuration space, memory. A failure names its seed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../bus/bus.ts';
import { POSTED_MMIO_WORDS, PostedMmio } from '../bus/posted-mmio.ts';
import { PciRoot } from '../devices/pci/root.ts';
import { FakeLine, MemorySink, MemorySource } from '../devices/testing.ts';
import { BalloonDevice } from '../devices/virtio/balloon/device.ts';
import { BlockDevice } from '../devices/virtio/block/device.ts';
import { blockRequest, MemoryDisk } from '../devices/virtio/block/testing.ts';
import { ConsoleDevice } from '../devices/virtio/console/device.ts';
import { PLAIN, readableBytes, TestDriver, TestMemory, writable } from '../devices/virtio/queue/testing.ts';
import { PmemDevice } from '../devices/virtio/pmem/device.ts';
import { RngDevice } from '../devices/virtio/rng/device.ts';
import { ScsiDevice } from '../devices/virtio/scsi/device.ts';
import { scsiCommand } from '../devices/virtio/scsi/testing.ts';
import { gpa } from '../memory/guest-memory.ts';
import { silentLogger } from '../util/log.ts';
import { VirtioBus, type VirtioTransport } from './virtio-bus.ts';

const RAM_BYTES = 0x10_0000;
const SLOTS = [1, 2, 3, 4, 11, 12] as const;

/** What was written over code, and may be shown when the test says so. */
type Dropped = (() => void)[];

function rig(transport: VirtioTransport, dropped: Dropped, isCode: () => boolean) {
  const memory = new TestMemory(RAM_BYTES);
  const pci = new PciRoot();
  const mmio = new Bus();
  const turns: (() => void)[] = [];
  const yieldTurn = (resume: () => void): void => void turns.push(resume);
  const bus = new VirtioBus({
    transport,
    memory,
    ramBytes: RAM_BYTES,
    physicalAddressBits: 40,
    pci,
    mmio,
    line: () => new FakeLine(),
    sendMsi: () => {},
    postedMmio: new PostedMmio({ words: new Int32Array(POSTED_MMIO_WORDS), postedMmioAt: 0 }),
    hostWrote: () => (isCode() ? new Promise((resolve) => void dropped.push(resolve)) : undefined),
    logger: silentLogger,
  });
  const input = new MemorySource();
  const disk = new MemoryDisk(0x2_0000);
  bus.add({
    slot: 1,
    device: new ConsoleDevice({
      ports: [
        { input, output: new MemorySink() },
        { input: new MemorySource(), output: new MemorySink() },
      ],
      yieldTurn,
    }),
  });
  const options = { readOnly: false, id: 'FUZZ', blockSize: 512, queues: 2, sparse: true, packed: true };
  const block = new BlockDevice({ ...options, disk, name: 'block', yieldTurn, onError: () => {} });
  bus.add({ slot: 2, device: block });
  bus.add({ slot: 3, device: new RngDevice({ random: (into) => void into.fill(0xaa), yieldTurn }) });
  const lun = { disk: new MemoryDisk(0x2_0000), name: 'sda', readOnly: false, blockSize: 512, serial: 'FUZZ' };
  const scsi = new ScsiDevice({ luns: [lun], yieldTurn, onError: () => {} });
  bus.add({ slot: 11, device: scsi });
  const balloon = new BalloonDevice({
    release: (part) => part.fill(0).length > 0,
    memoryBytes: RAM_BYTES,
    targetBytes: RAM_BYTES / 2,
    pageReporting: true,
    yieldTurn,
  });
  bus.add({ slot: 4, device: balloon });
  const range = { address: 0x800_0000, bytes: 0x20_0000 };
  const flush = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  bus.add({
    slot: 12,
    device: new PmemDevice({ range, name: 'pmem', readOnly: false, flush, yieldTurn, onError: () => {} }),
  });
  const base = (slot: number): number =>
    transport === 'pci' ? 0xd000_0000 + slot * 0x10_0000 : 0xf800_0000 + slot * 0x1000;
  return { memory, pci, mmio, turns, bus, input, balloon, block, scsi, base };
}

for (const transport of ['pci', 'mmio'] as const) {
  test(`${transport}: nothing that a guest does to six devices at once throws, in either ring format, and all of them work after a reset`, async () => {
    /** Drivers that came to DRIVER_OK, by format. */
    const active = { split: 0, packed: 0 };
    for (let seed = 1; seed <= 25; seed++) {
      let state = seed * 0x9e37_79b9;
      const draw = (below: number): number => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
        return Math.floor(((state >>> 0) / 0x1_0000_0000) * below);
      };
      const dropped: Dropped = [];
      const isCode = (): boolean => draw(8) === 0;
      const { memory, pci, mmio, turns, bus, input, balloon, block, scsi, base } = rig(transport, dropped, isCode);
      const packed = seed % 2 === 0;
      const queues = Array.from({ length: 4 }, () => new TestDriver(memory, 16, { ...PLAIN, packed }));
      const ringsEnd = memory.allocate(1);
      const status = transport === 'pci' ? 0x14 : 0x70;
      const setUp = (slot: number): void => {
        const write = (offset: number, value: number, width: 1 | 2 | 4 = 4): void =>
          mmio.write(base(slot) + offset, width, value);
        const width = transport === 'pci' ? 1 : 4;
        for (const value of [0, 1, 3]) write(status, value, width);
        write(transport === 'pci' ? 0x08 : 0x24, draw(2) === 0 ? 1 : draw(3));
        write(transport === 'pci' ? 0x0c : 0x20, draw(3) === 0 ? draw(2 ** 32) : packed ? 5 : 1);
        write(status, 11, width);
        for (const [index, { areas }] of queues.entries()) {
          const places = [areas.descriptors, areas.driver, areas.device];
          if (transport === 'pci') {
            write(0x16, index, 2);
            write(0x18, 16, 2);
            for (const [n, place] of places.entries()) write(0x20 + n * 8, place);
            write(0x1c, 1, 2);
          } else {
            write(0x30, index);
            write(0x38, 16);
            for (const [n, place] of places.entries()) write(0x80 + n * 0x10, place);
            write(0x44, 1);
          }
        }
        write(status, 15, width);
        if (mmio.read(base(slot) + status, width) === 15) active[packed ? 'packed' : 'split']++;
      };
      for (const slot of SLOTS) {
        pci.write(slot << 3, 4, 2, 6);
        setUp(slot);
      }
      for (let step = 0; step < 1500; step++) {
        const slot = SLOTS[draw(SLOTS.length)]!;
        const width = ([1, 2, 4] as const)[draw(3)]!;
        switch (draw(9)) {
          case 0:
            mmio.write(base(slot) + draw(transport === 'pci' ? 0x8000 : 0x200), width, draw(2 ** 32));
            break;
          case 1:
            mmio.read(base(draw(32)) + draw(0x8000), width);
            break;
          case 2:
            pci.write(draw(16) << 3, draw(256), width, draw(2 ** 32));
            break;
          case 3:
            memory.writeU16(
              gpa(0x1000 + draw((ringsEnd - 0x1000) >> 1) * 2),
              [draw(8), draw(0x1_0000), 0xffff][draw(3)]!,
            );
            break;
          case 4:
            if (draw(20) === 0) setUp(slot);
            break;
          case 5: {
            const isForScsi = draw(3) === 0;
            const cdb = Array.from({ length: 16 }, () => draw(2) * draw(256));
            cdb[0] = [0x08, 0x12, 0x1a, 0x28, 0x2a, 0x41, 0x42, 0x88, 0x8a, 0x91, 0x93, 0x9e, 0xa0, draw(256)][
              draw(14)
            ]!;
            const buffers = isForScsi
              ? scsiCommand(cdb, { lun: draw(2), out: new Uint8Array(draw(64)), in: draw(3) * 512 })
              : blockRequest(
                  [0, 1, 4, 8, 11, 13, 99][draw(7)]!,
                  draw(300),
                  readableBytes(new Uint8Array(draw(64))),
                  writable(draw(3) * 512),
                );
            try {
              queues[draw(4)]!.add(buffers);
            } catch {
              // The ring or the memory of the test is full.
            }
            break;
          }
          case 6:
            mmio.write(
              base(slot) + (transport === 'pci' ? 0x3000 + draw(8) * 4 : 0x50),
              transport === 'pci' ? 2 : 4,
              draw(4),
            );
            break;
          case 7:
            input.feed([draw(256)]);
            break;
          case 8:
            for (const turn of turns.splice(0)) turn();
            for (const show of dropped.splice(0)) show();
            if (draw(4) === 0) void [block, scsi.disks[0]][draw(2)]?.resize(512 * draw(256));
            balloon.resize(draw(RAM_BYTES));
            void balloon.statistics();
            if (draw(8) === 0) await new Promise(setImmediate);
            break;
        }
      }
      const reset = bus.reset();
      for (let turn = 0; turn < 5; turn++) {
        for (const resume of turns.splice(0)) resume();
        for (const show of dropped.splice(0)) show();
        await new Promise(setImmediate);
      }
      await reset;
      for (const slot of SLOTS) {
        if (transport === 'pci') {
          pci.write(slot << 3, 4, 2, 2);
          mmio.write(base(slot) + status, 1, 1);
        } else mmio.write(base(slot) + status, 4, 1);
        assert.equal(mmio.read(base(slot) + status, transport === 'pci' ? 1 : 4), 1, `seed ${seed}, slot ${slot}`);
      }
    }
    assert.ok(active.split > 50 && active.packed > 50, JSON.stringify(active));
  });
}
