/** What both transports promise: the same tests with each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessWidth } from '../../../bus/bus-device.ts';
import { gpa } from '../../../memory/guest-memory.ts';
import { type Features, features, VIRTIO_F_EVENT_IDX, VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1 } from '../defs.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import { Chain } from '../queue/chain.ts';
import { TestDriver, TestMemory, writable } from '../queue/testing.ts';
import { ACKNOWLEDGE_DRIVER, driverOf, TRANSPORTS, UP_TO_DRIVER_OK, UP_TO_FEATURES_OK } from './testing.ts';

/** Two queues, eight bytes of configuration, and a reset that ends when the test says so. */
class ProbeDevice implements VirtioDevice {
  readonly name = 'probe';
  readonly type = 4;
  readonly features: Features = features(5, VIRTIO_F_EVENT_IDX, VIRTIO_F_RING_PACKED);
  readonly queueSizes: readonly number[] = [16, 8];
  readonly configBytes = 8;
  readonly config = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  readonly notified: number[] = [];
  session: DriverSession | undefined;
  sessions = 0;
  changed: () => void = () => {};
  draining: Promise<void> | undefined;

  readConfig(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value |= this.config[offset + byte]! << (byte * 8);
    return value >>> 0;
  }

  writeConfig(offset: number, _: AccessWidth, value: number): void {
    this.config[offset] = value;
  }

  onConfigChanged(listener: () => void): void {
    this.changed = listener;
  }

  activate(session: DriverSession): void {
    this.session = session;
    this.sessions++;
  }

  notify(queue: number): void {
    this.notified.push(queue);
  }

  reset(): Promise<void> | undefined {
    this.session = undefined;
    return this.draining;
  }
}

for (const kind of TRANSPORTS) {
  const rig = () => {
    const memory = new TestMemory(0x10_0000);
    const device = new ProbeDevice();
    const driver = driverOf(kind, device, memory);
    return { memory, device, driver, queues: [new TestDriver(memory, 16), new TestDriver(memory, 8)] };
  };
  const areas = (queues: readonly TestDriver[]) => queues.map((queue) => queue.areas);

  test(`${kind}: the handshake ends with an active device that has its queues and features`, () => {
    const { device, driver, queues } = rig();
    driver.start(areas(queues), features(5));
    assert.equal(driver.status, UP_TO_DRIVER_OK);
    assert.equal(device.session?.features, features(5, VIRTIO_F_VERSION_1));
    assert.deepEqual(
      device.session?.queues.map((queue) => queue?.size),
      [16, 8],
    );
    driver.notify(1);
    assert.deepEqual(device.notified, [1]);
  });

  test(`${kind}: what is offered is the device's features and VERSION_1`, () => {
    const { device, driver } = rig();
    assert.equal(driver.deviceFeatures, device.features | features(VIRTIO_F_VERSION_1));
  });

  test(`${kind}: a used buffer interrupts, and the driver learns why`, () => {
    const { device, driver, queues } = rig();
    driver.start(areas(queues));
    device.session?.interrupt(0);
    assert.equal(driver.takeInterrupts(), 1);
    assert.equal(driver.takeInterrupts(), 0);
    device.changed();
    device.session?.interrupt(1);
    assert.equal(driver.takeInterrupts(), 3);
  });

  test(`${kind}: features that were not offered, or without VERSION_1, are not accepted`, () => {
    for (const wrong of [features(6, VIRTIO_F_VERSION_1), features(5), features(63, VIRTIO_F_VERSION_1)]) {
      const { driver } = rig();
      driver.status = ACKNOWLEDGE_DRIVER;
      driver.writeFeatures(wrong);
      driver.status = UP_TO_FEATURES_OK;
      assert.equal(driver.status, ACKNOWLEDGE_DRIVER);
    }
  });

  test(`${kind}: feature words beyond the last read as zero, and what is written there is in no other`, () => {
    const { driver } = rig();
    driver.status = ACKNOWLEDGE_DRIVER;
    driver.writeFeatures(features(VIRTIO_F_VERSION_1));
    const [deviceSelect, deviceWord, driverSelect, driverWord] =
      kind === 'pci' ? ([0x00, 0x04, 0x08, 0x0c] as const) : ([0x14, 0x10, 0x24, 0x20] as const);
    for (const word of [4, 5, 0x8000_0001, 0xffff_ffff]) {
      driver.registers.write(deviceSelect, 4, word);
      assert.equal(driver.registers.read(deviceWord, 4), 0);
      driver.registers.write(driverSelect, 4, word);
      driver.registers.write(driverWord, 4, 0xffff_ffff);
    }
    driver.status = UP_TO_FEATURES_OK;
    assert.equal(driver.status, UP_TO_FEATURES_OK);
    const other = rig().driver;
    other.status = ACKNOWLEDGE_DRIVER;
    other.writeFeatures(features(VIRTIO_F_VERSION_1));
    // Words 2 and 3 exist; nothing in them is offered.
    other.registers.write(driverSelect, 4, 3);
    other.registers.write(driverWord, 4, 1);
    other.status = UP_TO_FEATURES_OK;
    assert.equal(other.status, ACKNOWLEDGE_DRIVER);
  });

  test(`${kind}: a queue whose areas lie on one another harms itself alone`, () => {
    const { device, driver, memory } = rig();
    const { areas } = new TestDriver(memory, 16);
    driver.start([{ ...areas, driver: areas.descriptors, device: areas.descriptors }]);
    assert.equal(driver.status, UP_TO_DRIVER_OK);
    const queue = device.session?.queues[0];
    for (let n = 0; n < 100; n++) {
      memory.writeU16(gpa(areas.descriptors + 2), n);
      const chain = queue?.pop();
      if (chain instanceof Chain) queue?.complete(chain, 7);
      queue?.publish();
      queue?.enableNotifications();
    }
    driver.status = 0;
    assert.equal(driver.status, 0);
  });

  test(`${kind}: features are frozen by FEATURES_OK`, () => {
    const { device, driver } = rig();
    driver.status = ACKNOWLEDGE_DRIVER;
    driver.writeFeatures(features(VIRTIO_F_VERSION_1));
    driver.status = UP_TO_FEATURES_OK;
    driver.writeFeatures(features(5, VIRTIO_F_VERSION_1));
    driver.status = UP_TO_DRIVER_OK;
    assert.equal(device.session?.features, features(VIRTIO_F_VERSION_1));
  });

  test(`${kind}: status bits out of order have no effect`, () => {
    const { device, driver } = rig();
    driver.writeFeatures(features(VIRTIO_F_VERSION_1));
    driver.status = 2;
    assert.equal(driver.status, 0);
    driver.status = UP_TO_DRIVER_OK;
    assert.equal(driver.status, ACKNOWLEDGE_DRIVER, 'FEATURES_OK and DRIVER_OK take steps of their own');
    driver.status = ACKNOWLEDGE_DRIVER | 4;
    assert.equal(driver.status, ACKNOWLEDGE_DRIVER);
    assert.equal(device.session, undefined);
  });

  test(`${kind}: status bits are not taken back, and DEVICE_NEEDS_RESET is not the driver's`, () => {
    const { device, driver, queues } = rig();
    driver.start(areas(queues));
    driver.status = 1;
    assert.equal(driver.status, UP_TO_DRIVER_OK);
    driver.status = 1 | 0x80;
    assert.equal(driver.status, UP_TO_DRIVER_OK, 'what takes a bit back sets none either');
    driver.status = UP_TO_DRIVER_OK | 0x40;
    assert.equal(driver.status, UP_TO_DRIVER_OK);
    assert.equal(device.sessions, 1);
  });

  test(`${kind}: a driver that has failed does not start`, () => {
    const { device, driver } = rig();
    driver.status = ACKNOWLEDGE_DRIVER;
    driver.writeFeatures(features(VIRTIO_F_VERSION_1));
    driver.status = UP_TO_FEATURES_OK | 0x80;
    driver.status = UP_TO_DRIVER_OK | 0x80;
    assert.equal(driver.status, UP_TO_FEATURES_OK | 0x80);
    assert.equal(device.session, undefined);
  });

  test(`${kind}: queue registers take nothing after DRIVER_OK, nor while the queue is enabled`, () => {
    const { device, driver, queues } = rig();
    driver.start([queues[0]!.areas]);
    for (const index of [0, 1]) {
      driver.selectQueue(index);
      const before = driver.queueSize;
      driver.queueSize = 2;
      driver.setUpQueue(index, { size: 4, descriptors: 0x8000, driver: 0x9000, device: 0xa000 });
      assert.equal(driver.queueSize, before);
    }
    assert.equal(driver.queueEnabled, false);
    assert.equal(device.session?.queues[1], undefined);
    assert.equal(device.session?.queues[0]?.size, 16);
  });

  test(`${kind}: an enabled queue keeps its registers before DRIVER_OK too`, () => {
    const { device, driver, queues } = rig();
    driver.status = ACKNOWLEDGE_DRIVER;
    driver.writeFeatures(features(VIRTIO_F_VERSION_1));
    driver.status = UP_TO_FEATURES_OK;
    driver.setUpQueue(0, queues[0]!.areas);
    driver.queueSize = 4;
    driver.setArea('descriptors', 0xffff_0000);
    driver.status = UP_TO_DRIVER_OK;
    assert.equal(device.session?.queues[0]?.size, 16);
    queues[0]!.add([writable(1)]);
    assert.ok(device.session.queues[0]?.pop() instanceof Chain);
  });

  test(`${kind}: queue registers take nothing before FEATURES_OK`, () => {
    const { driver, queues } = rig();
    driver.status = ACKNOWLEDGE_DRIVER;
    driver.setUpQueue(0, queues[0]!.areas);
    assert.equal(driver.queueEnabled, false);
  });

  test(`${kind}: a size of 0 or above the greatest is not taken; one of no power of two stops a split queue`, () => {
    const { driver, queues } = rig();
    driver.status = ACKNOWLEDGE_DRIVER;
    driver.writeFeatures(features(VIRTIO_F_VERSION_1));
    driver.status = UP_TO_FEATURES_OK;
    driver.selectQueue(0);
    for (const size of [0, 17, 0x8000, 0xffff]) driver.queueSize = size;
    assert.equal(driver.queueSize, 16);
    driver.setUpQueue(0, { ...queues[0]!.areas, size: 12 });
    assert.equal(driver.queueEnabled, false);
    assert.equal(driver.status, UP_TO_FEATURES_OK | 0x40);
    assert.match(driver.faults[0] ?? '', /probe: queue 0: size 12 is no power of two/);
  });

  test(`${kind}: a packed queue of 12 is enabled`, () => {
    const { device, driver, memory } = rig();
    const queue = new TestDriver(memory, 12, { packed: true, eventIndex: false, indirect: false, inOrder: false });
    driver.start([queue.areas], features(VIRTIO_F_RING_PACKED));
    assert.equal(device.session?.queues[0]?.size, 12);
  });

  test(`${kind}: a queue outside RAM needs a reset, and a reset heals`, () => {
    const { device, driver, queues } = rig();
    driver.start([{ ...queues[0]!.areas, device: 0xd000_0000 }]);
    assert.equal(driver.status, UP_TO_FEATURES_OK | 0x40);
    assert.equal(device.session, undefined);
    driver.start(areas(queues));
    assert.equal(driver.status, UP_TO_DRIVER_OK);
  });

  test(`${kind}: selecting, notifying and configuring what is not there has no effect`, () => {
    const { device, driver, queues } = rig();
    driver.start(areas(queues));
    for (const index of [2, 255, 1023]) {
      driver.selectQueue(index);
      assert.deepEqual([driver.queueMaxSize, driver.queueEnabled], [0, false]);
      driver.setUpQueue(index, queues[0]!.areas);
      driver.notify(index);
    }
    assert.deepEqual(device.notified, []);
  });

  test(`${kind}: a notification before DRIVER_OK goes nowhere`, () => {
    const { device, driver } = rig();
    driver.notify(0);
    driver.status = ACKNOWLEDGE_DRIVER;
    driver.notify(0);
    assert.deepEqual(device.notified, []);
  });

  test(`${kind}: the configuration space is read and written at every width, and ends where it ends`, () => {
    const { device, driver } = rig();
    const at = driver.configOffset;
    assert.deepEqual(
      [driver.registers.read(at, 1), driver.registers.read(at + 2, 2), driver.registers.read(at + 4, 4)],
      [0x01, 0x0403, 0x0807_0605],
    );
    assert.deepEqual([driver.registers.read(at + 6, 4), driver.registers.read(at + 8, 1)], [0, 0]);
    driver.registers.write(at + 7, 1, 0x99);
    driver.registers.write(at + 8, 1, 0x99);
    driver.registers.write(at + 6, 4, 0x99);
    assert.deepEqual([...device.config], [1, 2, 3, 4, 5, 6, 7, 0x99]);
  });

  test(`${kind}: a change of configuration moves the generation and interrupts an active driver only`, () => {
    const { device, driver, queues } = rig();
    const before = driver.configGeneration;
    device.changed();
    assert.deepEqual([driver.configGeneration, driver.takeInterrupts()], [before + 1, 0]);
    driver.start(areas(queues));
    device.changed();
    assert.deepEqual([driver.configGeneration, driver.takeInterrupts()], [before + 2, 2]);
  });

  test(`${kind}: a fault stops every queue, tells the driver, and leaves nothing running`, () => {
    const { device, driver, queues, memory } = rig();
    driver.start(areas(queues));
    const { session } = device;
    queues[0]!.add([writable(4)]);
    const chain = session?.queues[0]?.pop();
    assert.ok(chain instanceof Chain);
    session?.needsReset('queue 1: chain-too-long');
    session?.needsReset('again');
    assert.deepEqual([driver.status, driver.takeInterrupts()], [UP_TO_DRIVER_OK | 0x40, 2]);
    assert.deepEqual(driver.faults, ['probe: queue 1: chain-too-long']);
    const before = new Uint8Array(memory.ram);
    session?.queues[0]?.complete(chain, 4);
    session?.queues[0]?.publish();
    session?.interrupt(0);
    driver.notify(0);
    assert.deepEqual(new Uint8Array(memory.ram), before);
    assert.deepEqual([driver.takeInterrupts(), device.notified], [0, []]);
  });

  test(`${kind}: a reset takes everything back, and what ends later touches neither memory nor interrupts`, () => {
    const { device, driver, queues, memory } = rig();
    driver.start(areas(queues), features(5));
    const { session } = device;
    queues[0]!.add([writable(4)]);
    const chain = session?.queues[0]?.pop();
    assert.ok(chain instanceof Chain);
    device.changed();
    driver.status = 0;
    driver.selectQueue(0);
    assert.deepEqual([driver.status, driver.queueEnabled, driver.queueSize], [0, false, 16]);
    assert.equal(driver.takeInterrupts(), 0);
    const before = new Uint8Array(memory.ram);
    session?.queues[0]?.complete(chain, 4);
    session?.queues[0]?.publish();
    session?.interrupt(0);
    session?.needsReset('late');
    assert.deepEqual(new Uint8Array(memory.ram), before);
    assert.deepEqual([driver.status, driver.takeInterrupts()], [0, 0]);
  });

  test(`${kind}: after a reset with I/O under way the next driver's device works when that has ended`, async () => {
    const { device, driver, queues, memory } = rig();
    driver.start(areas(queues));
    const { promise, resolve } = Promise.withResolvers<void>();
    device.draining = promise;
    driver.status = 0;
    device.draining = undefined;
    if (kind === 'pci') {
      assert.equal(driver.status, UP_TO_DRIVER_OK, 'not 0 before the reset is over');
      driver.status = 0;
      driver.status = 1;
      assert.equal(driver.status, UP_TO_DRIVER_OK, 'nothing is taken meanwhile');
      resolve();
      await promise;
      await new Promise(setImmediate);
      assert.equal(driver.status, 0);
      driver.start(areas(queues));
    } else {
      assert.equal(driver.status, 0);
      const next = new TestDriver(memory, 16);
      driver.start([next.areas]);
      assert.equal(driver.status, UP_TO_DRIVER_OK);
      driver.notify(0);
      assert.equal(device.sessions, 1, 'not while the host uses the buffers of before');
      resolve();
      await promise;
      await new Promise(setImmediate);
      assert.deepEqual(device.notified, [0], 'what was notified meanwhile');
    }
    assert.equal(device.sessions, 2);
  });

  test(`${kind}: a reset of the machine waits for I/O under way`, async () => {
    const { device, driver, queues } = rig();
    driver.start(areas(queues));
    const { promise, resolve } = Promise.withResolvers<void>();
    device.draining = promise;
    let done = false;
    const reset = driver.resetMachine().then(() => {
      done = true;
    });
    await new Promise(setImmediate);
    assert.equal(done, false);
    resolve();
    await reset;
    assert.equal(driver.status, 0);
  });

  test(`${kind}: no sequence of register accesses throws, and the device can be started after any`, async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const { driver, queues, memory } = rig();
      let state = seed;
      const draw = (below: number): number => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return Math.floor((state / 0x1_0000_0000) * below);
      };
      for (let step = 0; step < 2000; step++) {
        const width = ([1, 2, 4] as const)[draw(3)]!;
        const offset = draw(4) === 0 ? draw(0x8000) : draw(0x110) + (draw(4) === 0 ? driver.configOffset : 0);
        const value = [draw(16), UP_TO_DRIVER_OK, UP_TO_FEATURES_OK, draw(0x1_0000) << 4, draw(2 ** 32)][draw(5)]!;
        if (draw(3) === 0) driver.registers.read(offset, width);
        else driver.registers.write(offset, width, value >>> 0);
        if (draw(50) === 0) memory.writeU16(gpa(draw(0x8_0000) * 2), draw(0x1_0000));
      }
      await driver.resetMachine();
      driver.start(areas(queues));
      assert.equal(driver.status, UP_TO_DRIVER_OK, `seed ${seed}`);
    }
  });
}
