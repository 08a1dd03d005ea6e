import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk } from '../block/testing.ts';
import { features, VIRTIO_F_RING_PACKED } from '../defs.ts';
import { type Buffer, PLAIN, readable, readableBytes, TestDriver, TestMemory, writable } from '../queue/testing.ts';
import { driverOf, TRANSPORTS, UP_TO_DRIVER_OK } from '../transport/testing.ts';
import { ScsiDevice } from './device.ts';
import { type CommandParts, scsiAddress, type ScsiAnswer, scsiAnswer, scsiCommand } from './testing.ts';

const BLOCK = 512;
const BLOCKS = 64;
const REQUESTS = 2;
const CHECK_CONDITION = 2;
const be16 = (value: number): number[] => [value >> 8, value & 0xff];
const be32 = (value: number): number[] => [...be16(value >>> 16), ...be16(value & 0xffff)];
const read10 = (block: number, blocks: number): number[] => [0x28, 0, ...be32(block), 0, ...be16(blocks), 0];
const write10 = (block: number, blocks: number, flags = 0): number[] => [
  0x2a,
  flags,
  ...be32(block),
  0,
  ...be16(blocks),
  0,
];
const unmap = (...ranges: readonly (readonly [block: number, blocks: number])[]): Uint8Array =>
  Uint8Array.from([
    ...be16(6 + 16 * ranges.length),
    ...be16(16 * ranges.length),
    ...[0, 0, 0, 0],
    ...ranges.flatMap(([block, blocks]) => [0, 0, 0, 0, ...be32(block), ...be32(blocks), 0, 0, 0, 0]),
  ]);
const filled = (bytes: number, value: number): Uint8Array => new Uint8Array(bytes).fill(value);
const tmf = (subtype: number, address: readonly number[]): Buffer[] => [
  readable(0, 0, 0, 0, subtype, 0, 0, 0, ...address, 0, 0, 0, 0, 0, 0, 0, 0),
  writable(1),
];

for (const kind of TRANSPORTS) {
  for (const packed of [false, true]) {
    const rig = (wantsEvents = true) => {
      const memory = new TestMemory(0x20_0000);
      const queues = Array.from({ length: 3 }, () => new TestDriver(memory, 64, { ...PLAIN, packed }));
      const [control, events, requests] = queues as [TestDriver, TestDriver, TestDriver];
      const disks = [new MemoryDisk(BLOCKS * BLOCK), new MemoryDisk(BLOCKS * BLOCK, true)];
      const errors: string[] = [];
      const device = new ScsiDevice({
        luns: disks.map((disk, n) => ({ disk, name: `scsi ${n}`, readOnly: false, blockSize: BLOCK, serial: `S${n}` })),
        yieldTurn: (resume) => void setImmediate(resume),
        onError: (message) => void errors.push(message),
      });
      const driver = driverOf(kind, device, memory);
      const wanted = [...(packed ? [VIRTIO_F_RING_PACKED] : []), ...(wantsEvents ? [1, 2] : [])];
      driver.start(
        queues.map(({ areas }) => areas),
        features(...wanted),
      );
      assert.equal(driver.status, UP_TO_DRIVER_OK);
      const turn = async (): Promise<void> => {
        for (let n = 0; n < 4; n++) await new Promise(setImmediate);
      };
      const take = (): ScsiAnswer | undefined => {
        const used = requests.takeUsed();
        return used && scsiAnswer(requests.contents(used).subarray(0, used.written));
      };
      /** A command to its end. */
      const run = async (cdb: readonly number[], parts: CommandParts = {}): Promise<ScsiAnswer> => {
        requests.add(scsiCommand(cdb, parts));
        driver.notify(REQUESTS);
        await turn();
        return take() ?? assert.fail('no answer');
      };
      const manage = async (buffers: readonly Buffer[]): Promise<number[] | undefined> => {
        control.add(buffers);
        driver.notify(0);
        await turn();
        const used = control.takeUsed();
        return used && [...control.contents(used).subarray(0, used.written)];
      };
      return {
        memory,
        control,
        events,
        requests,
        device,
        driver,
        disks: disks as [MemoryDisk, MemoryDisk],
        errors,
        turn,
        take,
        run,
        manage,
      };
    };
    const name = `${kind}, ${packed ? 'packed' : 'split'}`;
    const refused = (answer: ScsiAnswer, ...sense: readonly number[]): void => {
      assert.deepEqual([answer.status, answer.sense, answer.response], [CHECK_CONDITION, sense, 0]);
      assert.deepEqual(answer.data, []);
    };

    test(`${name}: what is written with one length of command is read with every other`, async () => {
      const { run, disks } = rig();
      const data = filled(2 * BLOCK, 0x5a);
      for (const cdb of [
        [0x0a, 0, 0, 7, 2, 0],
        write10(7, 2),
        [0xaa, 0, ...be32(7), ...be32(2), 0, 0],
        [0x8a, 0, 0, 0, 0, 0, ...be32(7), ...be32(2), 0, 0],
      ]) {
        disks[0].contents.fill(0);
        const answer = await run(cdb, { out: data });
        assert.deepEqual(answer, { response: 0, status: 0, sense: undefined, residual: 0, data: [] });
        assert.deepEqual(disks[0].contents.subarray(7 * BLOCK, 9 * BLOCK), data);
      }
      for (const cdb of [
        [0x08, 0, 0, 7, 2, 0],
        read10(7, 2),
        [0xa8, 0, ...be32(7), ...be32(2), 0, 0],
        [0x88, 0, 0, 0, 0, 0, ...be32(7), ...be32(2), 0, 0],
      ]) {
        const answer = await run(cdb, { in: 2 * BLOCK });
        assert.deepEqual([answer.status, answer.residual, answer.data], [0, 0, [...data]]);
      }
    });

    test(`${name}: ranges that leave the disk are refused, and nothing is done`, async () => {
      const { run, disks } = rig();
      for (const [block, blocks] of [
        [BLOCKS, 1],
        [BLOCKS - 1, 2],
        [0xffff_ffff, 0xffff],
      ] as const) {
        refused(await run(read10(block, blocks), { in: BLOCK }), 5, 0x21, 0);
        refused(await run(write10(block, blocks), { out: filled(BLOCK, 1) }), 5, 0x21, 0);
      }
      refused(
        await run([0x88, 0, ...be32(0xffff_ffff), ...be32(0xffff_ffff), ...be32(1), 0, 0], { in: BLOCK }),
        5,
        0x21,
        0,
      );
      refused(await run([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], { out: unmap([BLOCKS - 1, 2]) }), 5, 0x21, 0);
      assert.deepEqual(disks[0].log, []);
      const end = await run(read10(BLOCKS, 0), { in: BLOCK });
      assert.deepEqual([end.status, end.residual, end.data], [0, BLOCK, []]);
    });

    test(`${name}: a command for more data than there are buffers is an overrun, one for less leaves a residual`, async () => {
      const { run, disks } = rig();
      assert.equal((await run(read10(0, 2), { in: BLOCK })).response, 1);
      assert.equal((await run(write10(0, 2), { out: filled(BLOCK, 1) })).response, 1);
      assert.equal((await run([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0])).response, 1);
      assert.deepEqual(disks[0].log, []);
      assert.equal((await run(read10(0, 1), { in: 2 * BLOCK })).residual, BLOCK);
    });

    test(`${name}: FUA and SYNCHRONIZE CACHE make durable, a plain write does not`, async () => {
      const { run, disks } = rig();
      await run(write10(0, 1), { out: filled(BLOCK, 1) });
      assert.deepEqual(disks[0].log.splice(0), ['write 0+512']);
      await run(write10(0, 1, 0x08), { out: filled(BLOCK, 1) });
      assert.deepEqual(disks[0].log.splice(0), ['write 0+512', 'flush']);
      assert.equal((await run([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0])).status, 0);
      assert.equal((await run([0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])).status, 0);
      assert.deepEqual(disks[0].log, ['flush', 'flush']);
    });

    test(`${name}: a read-only disk says so, refuses writes and discards, and is read`, async () => {
      const { run, disks } = rig();
      const lun = 1;
      refused(await run(write10(0, 1), { lun, out: filled(BLOCK, 1) }), 7, 0x27, 0);
      refused(await run([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], { lun, out: unmap([0, 1]) }), 7, 0x27, 0);
      assert.deepEqual(disks[1].log, []);
      assert.equal((await run(read10(0, 1), { lun, in: BLOCK })).data.length, BLOCK);
      assert.deepEqual(
        (await run([0x1a, 0, 0x3f, 0, 255, 0], { lun, in: 255 })).data.slice(0, 7),
        [23, 0, 0x80, 0, 8, 18, 0],
      );
      assert.deepEqual((await run([0x1a, 0, 0x3f, 0, 255, 0], { in: 255 })).data.slice(0, 7), [23, 0, 0, 0, 8, 18, 4]);
    });

    test(`${name}: discards reach the disk range by range; too many, too large or cut off ones are refused`, async () => {
      const { run, disks } = rig();
      const cdb = (bytes: number): number[] => [0x42, 0, 0, 0, 0, 0, 0, ...be16(bytes), 0];
      const two = unmap([1, 2], [8, 0], [60, 4]);
      assert.deepEqual((await run(cdb(two.length), { out: two })).sense, undefined);
      assert.deepEqual(disks[0].log.splice(0), ['discard 512+1024', 'discard 30720+2048']);
      const many = unmap(...Array.from({ length: 33 }, () => [0, 1] as const));
      refused(await run(cdb(many.length), { out: many }), 5, 0x26, 0);
      refused(await run(cdb(7), { out: filled(7, 0) }), 5, 0x1a, 0);
      refused(await run(cdb(0xffff), { out: filled(0xffff, 0) }), 5, 0x1a, 0);
      assert.equal((await run(cdb(0))).status, 0);
      assert.deepEqual(disks[0].log, []);
    });

    test(`${name}: WRITE SAME fills a range with one block; zeros are the disk's to make, and to unmap where that is asked`, async () => {
      const { run, disks } = rig();
      const same10 = (block: number, blocks: number, flags = 0): number[] => [
        ...[0x41, flags, ...be32(block), 0, ...be16(blocks), 0],
      ];
      const same16 = (block: number, blocks: number, flags = 0): number[] => [
        ...[0x93, flags, 0, 0, 0, 0, ...be32(block), ...be32(blocks), 0, 0],
      ];
      const pattern = Uint8Array.from({ length: BLOCK }, (_, n) => n * 3);
      for (const cdb of [same10(5, 3), same16(20, 3, 0x08)]) {
        const answer = await run(cdb, { out: pattern });
        assert.deepEqual([answer.status, answer.response, answer.residual], [0, 0, 0]);
      }
      for (const block of [5, 6, 7, 20, 21, 22])
        assert.deepEqual(disks[0].contents.subarray(block * BLOCK, (block + 1) * BLOCK), pattern);
      assert.deepEqual([disks[0].contents[5 * BLOCK - 1], disks[0].contents[8 * BLOCK + 1]], [0, 0]);
      assert.deepEqual(disks[0].log.splice(0), ['write 2560+1536', 'write 10240+1536']);
      await run(same10(5, 1), { out: filled(BLOCK, 0) });
      await run(same16(6, 1, 0x08), { out: filled(BLOCK, 0) });
      assert.equal((await run(same16(7, 1, 0x09))).status, 0);
      assert.deepEqual(disks[0].log.splice(0), ['zero 2560+512', 'zero 3072+512 unmap', 'zero 3584+512 unmap']);
      for (const cdb of [same10(0, 0), same16(0, 65_537), same10(0, 1, 0x10), same10(0, 1, 0x02), same10(0, 1, 0x20)])
        refused(await run(cdb, { out: pattern }), 5, 0x24, 0);
      refused(await run(same10(0, 1, 0x01), { out: pattern }), 5, 0x24, 0);
      refused(await run(same10(BLOCKS - 1, 2), { out: pattern }), 5, 0x21, 0);
      refused(await run([0x93, 0, ...be32(0xffff_ffff), ...be32(0xffff_ffff), ...be32(1), 0, 0]), 5, 0x21, 0);
      refused(await run(same16(0, 1), { lun: 1, out: pattern }), 7, 0x27, 0);
      assert.equal((await run(same10(0, 1), { out: filled(BLOCK - 1, 1) })).response, 1);
      disks[0].failure = new Error('no space');
      refused(await run(same10(0, 1), { out: pattern }), 3, 0x0c, 0);
      assert.deepEqual(disks[0].log, ['write 0+512']);
    });

    test(`${name}: the limits of UNMAP and WRITE SAME are those that hold`, async () => {
      const { run } = rig();
      const limits = (await run([0x12, 1, 0xb0, 0, 255, 0], { in: 255 })).data;
      assert.deepEqual(
        [limits[4], ...limits.slice(20, 24), ...limits.slice(36, 44)],
        [1, ...be32(65_536), ...be32(0), ...be32(65_536)],
      );
      assert.deepEqual((await run([0x12, 1, 0xb2, 0, 255, 0], { in: 255 })).data.slice(4), [0, 0xe0, 2, 0]);
      const readOnly = (await run([0x12, 1, 0xb0, 0, 255, 0], { in: 255, lun: 1 })).data;
      assert.deepEqual([readOnly[4], ...readOnly.slice(36, 44)], [0, ...be32(0), ...be32(0)]);
    });

    test(`${name}: a disk says what it is, in as many bytes as are asked for and have room`, async () => {
      const { run } = rig();
      const standard = await run([0x12, 0, 0, ...be16(36), 0], { in: 100 });
      assert.equal(standard.residual, 64);
      assert.equal(Buffer.from(standard.data).toString('latin1', 8), 'TYPERVISVIRTUAL DISK    1   ');
      assert.equal((await run([0x12, 0, 0, ...be16(36), 0], { in: 5 })).data.length, 5);
      assert.equal((await run([0x12, 0, 0, ...be16(5), 0], { in: 36 })).data.length, 5);
      assert.deepEqual(
        (await run([0x12, 1, 0x00, 0, 255, 0], { in: 255 })).data,
        [0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2],
      );
      assert.deepEqual((await run([0x12, 1, 0x80, 0, 255, 0], { in: 255, lun: 1 })).data, [0, 0x80, 0, 2, 0x53, 0x31]);
      refused(await run([0x12, 1, 0xc0, 0, 255, 0], { in: 255 }), 5, 0x24, 0);
      assert.deepEqual((await run([0x25], { in: 8 })).data, [...be32(BLOCKS - 1), ...be32(BLOCK)]);
      const long = await run([0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, ...be32(32), 0, 0], { in: 32 });
      assert.deepEqual(long.data.slice(0, 16), [0, 0, 0, 0, ...be32(BLOCKS - 1), ...be32(BLOCK), 0, 3, 0x80, 0]);
      assert.deepEqual((await run([0xa0, 0, 0, 0, 0, 0, ...be32(64), 0, 0], { in: 64 })).data, [
        ...be32(16),
        0,
        0,
        0,
        0,
        ...scsiLun(0),
        ...scsiLun(1),
      ]);
      assert.equal((await run([0x03, 0, 0, 0, 18, 0], { in: 18 })).data[2], 0);
      assert.equal((await run([0x00])).status, 0);
    });

    test(`${name}: unknown commands, LUNs and targets each get their refusal`, async () => {
      const { run, disks } = rig();
      refused(await run([0x55]), 5, 0x20, 0);
      refused(await run([0xff]), 5, 0x20, 0);
      refused(await run([0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0], { in: BLOCK }), 5, 0x24, 0);
      refused(await run([0x00], { lun: 2 }), 5, 0x25, 0);
      assert.equal((await run([0x12, 0, 0, 0, 36, 0], { lun: 2, in: 36 })).data[0], 0x7f);
      assert.equal((await run([0xa0, 0, 0, 0, 0, 0, ...be32(64), 0, 0], { lun: 9, in: 64 })).data[3], 16);
      assert.equal((await run(read10(0, 1), { target: 1, in: BLOCK })).response, 3);
      assert.deepEqual(disks[0].log, []);
    });

    test(`${name}: an error of the host is a medium error, told to the user once, and the disk goes on`, async () => {
      const { run, disks, errors } = rig();
      disks[0].failure = new Error('no space');
      for (let n = 0; n < 2; n++) refused(await run(write10(0, 1), { out: filled(BLOCK, 1) }), 3, 0x0c, 0);
      refused(await run(read10(0, 1), { in: BLOCK }), 3, 0x11, 0);
      assert.deepEqual(errors, ['scsi 0: write failed: no space']);
      disks[0].failure = undefined;
      assert.equal((await run(write10(0, 1), { out: filled(BLOCK, 1) })).status, 0);
    });

    test(`${name}: a chain without room for header, CDB or answer comes back untouched`, async () => {
      const { requests, driver, turn, device } = rig();
      requests.add([readableBytes(new Uint8Array(50)), writable(108)]);
      requests.add([readableBytes(new Uint8Array(51)), writable(107)]);
      requests.add([writable(200)]);
      driver.notify(REQUESTS);
      await turn();
      assert.deepEqual(
        [requests.takeUsed(), requests.takeUsed(), requests.takeUsed()].map((used) => used?.written),
        [0, 0, 0],
      );
      assert.equal(driver.status, UP_TO_DRIVER_OK);
      // Sizes that the driver may not choose are not taken, and change no layout.
      for (const offset of [20, 24])
        for (const value of [0, 15, 257, 0xffff_ffff]) device.writeConfig(offset, 4, value);
      device.writeConfig(0, 4, 9);
      assert.deepEqual(
        [0, 20, 24].map((offset) => device.readConfig(offset, 4)),
        [1, 96, 32],
      );
      device.writeConfig(24, 4, 16);
      requests.add([readableBytes(Uint8Array.from([...scsiAddress(0), ...new Uint8Array(11 + 16)])), writable(108)]);
      driver.notify(REQUESTS);
      await turn();
      assert.equal(requests.takeUsed()?.written, 108);
      await driver.resetMachine();
      assert.equal(device.readConfig(24, 4), 32);
    });

    test(`${name}: another capacity is an event and a unit attention, each once, and what a shrink takes away is refused`, async () => {
      const { device, disks, driver, events, run, turn } = rig();
      const taken = (): number[] | undefined => {
        const used = events.takeUsed();
        return used && [...events.contents(used)];
      };
      const capacity = async (): Promise<number[]> => (await run([0x25], { in: 8, lun: 1 })).data.slice(0, 4);
      const [, second] = device.disks;
      assert.ok(second);
      events.add([writable(16)]);
      driver.notify(1);
      assert.equal(taken(), undefined);
      driver.takeInterrupts();
      await second.resize(2 * BLOCKS * BLOCK);
      assert.deepEqual(taken(), [3, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0x2a, 9, 0, 0]);
      assert.equal(driver.takeInterrupts(), 1);
      // INQUIRY is answered, and says nothing; the first disk has not changed.
      assert.equal((await run([0x12, 0, 0, 0, 36, 0], { in: 36, lun: 1 })).status, 0);
      assert.equal((await run([0x00])).status, 0);
      refused(await run([0x00], { lun: 1 }), 6, 0x2a, 9);
      assert.deepEqual(await capacity(), be32(2 * BLOCKS - 1));
      // Without a buffer the event waits, and two changes are one. REQUEST SENSE has the attention too.
      disks[1].hold = true;
      const shrunk = second.resize(BLOCKS * BLOCK);
      await turn();
      refused(await run(read10(BLOCKS, 1), { in: BLOCK, lun: 1 }), 5, 0x21, 0);
      disks[1].hold = false;
      disks[1].held.shift()?.();
      await shrunk;
      await second.resize(4 * BLOCKS * BLOCK);
      assert.equal((await run([0x03, 0, 0, 0, 18, 0], { in: 18, lun: 1 })).data[2], 6);
      assert.deepEqual(await capacity(), be32(4 * BLOCKS - 1));
      events.add([writable(16)]);
      events.add([writable(16)]);
      driver.notify(1);
      assert.deepEqual([taken()?.slice(12), taken()], [[0x2a, 9, 0, 0], undefined]);
    });

    test(`${name}: what a driver has not heard of when it resets, the next one reads by itself`, async () => {
      const { device, driver, memory, turn } = rig();
      await device.disks[0]?.resize(2 * BLOCKS * BLOCK);
      await driver.resetMachine();
      await device.disks[0]?.resize(4 * BLOCKS * BLOCK);
      const queues = Array.from({ length: 3 }, () => new TestDriver(memory, 64, { ...PLAIN, packed }));
      driver.start(
        queues.map(({ areas }) => areas),
        features(1, 2, ...(packed ? [VIRTIO_F_RING_PACKED] : [])),
      );
      queues[1]!.add([writable(16)]);
      driver.notify(1);
      queues[2]!.add(scsiCommand([0x25], { in: 8 }));
      driver.notify(REQUESTS);
      await turn();
      const used = queues[2]!.takeUsed();
      assert.deepEqual(used && scsiAnswer(queues[2]!.contents(used)).data, [...be32(4 * BLOCKS - 1), ...be32(BLOCK)]);
      assert.equal(queues[1]!.takeUsed(), undefined);
    });

    test(`${name}: a driver that did not ask for events has none, and its buffers stay where they are`, async () => {
      const { device, events, driver } = rig(false);
      events.add([writable(16)]);
      driver.notify(1);
      await device.disks[0]?.resize(2 * BLOCKS * BLOCK);
      assert.deepEqual([events.takeUsed(), driver.status], [undefined, UP_TO_DRIVER_OK]);
    });

    test(`${name}: task management is answered when what it names has ended`, async () => {
      const { requests, driver, disks, manage, turn, control, take } = rig();
      disks[0].hold = true;
      requests.add(scsiCommand(read10(0, 1), { in: BLOCK }));
      driver.notify(REQUESTS);
      assert.equal(await manage(tmf(5, scsiAddress(0))), undefined);
      assert.deepEqual(await manage(tmf(5, scsiAddress(1))), [0], 'the other LUN is idle');
      disks[0].held.shift()?.();
      await turn();
      assert.equal(take()?.status, 0);
      const used = control.takeUsed();
      assert.deepEqual(used && [...control.contents(used)], [0]);
      assert.deepEqual(await manage(tmf(5, scsiAddress(2))), [12]);
      assert.deepEqual(await manage(tmf(0, scsiAddress(0, 5))), [3]);
      assert.deepEqual(await manage(tmf(4, scsiAddress(0))), [0]);
      assert.deepEqual(await manage(tmf(6, scsiAddress(0))), [11]);
      assert.deepEqual(await manage(tmf(77, scsiAddress(0))), [11]);
      assert.deepEqual(await manage([readable(9, 0, 0, 0), writable(1)]), [11]);
      assert.deepEqual(await manage([readable(0, 0, 0), writable(1)]), []);
      assert.deepEqual(
        await manage([readable(1, 0, 0, 0, ...scsiAddress(0), 255, 0, 0, 0), writable(5)]),
        [0, 0, 0, 0, 0],
      );
    });

    test(`${name}: a reset waits for what is under way, which answers nothing afterwards`, async () => {
      const { requests, driver, disks, turn } = rig();
      disks[0].hold = true;
      requests.add(scsiCommand(read10(0, 1), { in: BLOCK }));
      driver.notify(REQUESTS);
      let over = false;
      const reset = driver.resetMachine().then(() => {
        over = true;
      });
      await turn();
      assert.equal(over, false);
      disks[0].held.shift()?.();
      await reset;
      await turn();
      assert.equal(requests.takeUsed(), undefined);
      assert.equal(driver.takeInterrupts(), 0);
    });
  }
}

function scsiLun(lun: number): number[] {
  return [0, lun, 0, 0, 0, 0, 0, 0];
}
