/**
 * Seeded random accesses of every width to every device, as a hostile guest makes them, with time, input, congestion
 * and interrupt lines moving underneath.
 *
 *     FUZZ_SECONDS=60 FUZZ_SEED=7 node --test src/devices/platform/fuzz.test.ts
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccessWidth } from '../../bus/bus-device.ts';
import { PortTable } from '../../bus/port-table.ts';
import { IrqChip } from '../../irqchip/irqchip.ts';
import { FakeTime, MemorySource } from '../testing.ts';
import { createPlatform } from './platform.ts';

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 3);
const seed = Number(process.env['FUZZ_SEED'] ?? 1);

/** xorshift32. */
class Random {
  #state: number;
  constructor(from: number) {
    this.#state = from | 0 || 1;
  }
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }
  below(limit: number): number {
    return this.next() % limit;
  }
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
  /** Small numbers, single bits, all ones and anything. */
  value(): number {
    switch (this.below(5)) {
      case 0:
        return this.below(256);
      case 1:
        return (1 << this.below(32)) >>> 0;
      case 2:
        return 0xffff_ffff;
      case 3:
        return this.below(65536);
      default:
        return this.next();
    }
  }
}

const VCPUS = 3;

function machine() {
  const buffer = new SharedArrayBuffer(131072 * 2);
  const time = new FakeTime();
  const ports = new PortTable(buffer, { ports: 131072 });
  ports.initialize();
  const chip = new IrqChip({
    buffer,
    map: { irqchip: 0, irqchipBytes: 131072, vcpuCount: VCPUS },
    clock: time,
    kick: () => {},
    tscOffset: () => 12_345,
    physicalAddressBits: 40,
  });
  chip.initialize();
  const input = new MemorySource();
  let drain = (): void => {};
  const output = { congested: false, write() {}, onDrain: (listener: () => void) => void (drain = listener) };
  const platform = createPlatform({
    ports,
    clock: time,
    wallClock: { milliseconds: () => time.now / 1e6 },
    timers: time.timers,
    line: (gsi) => chip.line(gsi),
    events: { powerOff() {}, reset() {}, panic() {}, debugExit() {} },
    pmTimerOrigin: () => chip.timeOrigin,
    ramBelow4GiB: 2 ** 30,
    vcpuCount: VCPUS,
    serial: [{ input, output }],
    debugExitPort: 0xf4,
  });
  chip.attach(platform.portBus, platform.mmioBus);
  const vcpus = Array.from({ length: VCPUS }, (_, index) => chip.vcpu(index));
  const lines = [0, 5, 10, 23].map((gsi) => chip.line(gsi));
  return { time, chip, platform, vcpus, lines, input, output, drain: () => drain() };
}

test(`${seconds} s of random accesses: nothing throws, hangs or grows (seed ${seed})`, () => {
  const random = new Random(seed);
  const m = machine();
  const { portBus, mmioBus } = m.platform;
  const portRanges = portBus.ranges;
  const mmioRanges = mmioBus.ranges;
  const widths: readonly AccessWidth[] = [1, 2, 4];
  const checked = (value: number, width: AccessWidth): void =>
    assert.ok(
      Number.isInteger(value) && value >= 0 && value < 2 ** (width * 8),
      `a read of ${width} bytes gave ${value}`,
    );
  const msrs = (): number => random.pick([0x1b, 0x6e0, 0x800 + random.below(256)]);

  const steps: readonly (() => void)[] = [
    () => {
      const range = random.pick(portRanges);
      const port = range.base - 3 + random.below(range.bytes + 6);
      const width = random.pick(widths);
      checked(portBus.read(port, width), width);
    },
    () => {
      const range = random.pick(portRanges);
      portBus.write(range.base - 3 + random.below(range.bytes + 6), random.pick(widths), random.value());
    },
    () => {
      const range = random.pick(mmioRanges);
      const width = random.pick(widths);
      const near = random.below(2) === 0 ? random.below(0x1100) : random.below(range.bytes + 6);
      checked(mmioBus.read(range.base - 3 + near, width), width);
    },
    () => {
      const range = random.pick(mmioRanges);
      const near = random.below(2) === 0 ? random.below(0x50) : random.below(range.bytes + 6);
      mmioBus.write(range.base + near, random.pick(widths), random.value());
    },
    () => checked(random.pick(m.vcpus).apicRead(random.below(0x1000), 4), 4),
    () => random.pick(m.vcpus).apicWrite(random.below(0x1000), random.pick(widths), random.value()),
    () => random.pick(m.vcpus).apicWrite(random.below(0x40) << 4, 4, random.value()),
    () => void random.pick(m.vcpus).readMsr(msrs()),
    () => {
      const value =
        random.below(2) === 0 ? BigInt(random.value()) : (BigInt(random.next()) << 32n) | BigInt(random.value());
      random.pick(m.vcpus).writeMsr(msrs(), value);
    },
    () => random.pick(m.vcpus).writeCr8(random.below(32)),
    () => {
      const vcpu = random.pick(m.vcpus);
      const vector = vcpu.acknowledge();
      assert.ok(vector >= -1 && vector <= 255);
      vcpu.takeNmi();
      vcpu.takeInit();
      vcpu.takeSipi();
    },
    () => {
      m.time.advance(random.pick([0, 1, 1000, 1e5, 1e6, 1e8]));
      for (const vcpu of m.vcpus) vcpu.poll(m.time.now);
    },
    () => {
      if (m.input.waiting < 4096) m.input.feed([random.below(256), 0x0d, random.below(256)]);
    },
    () => {
      m.output.congested = random.below(2) === 0;
      if (!m.output.congested) m.drain();
    },
    () => random.pick(m.lines).set(random.below(2) === 0),
    () => void m.chip.msi(0xfee0_0000 + random.below(0x10_0000), random.value()),
    () => random.pick(m.platform.serial).receiveBreak(),
    () => {
      if (random.below(200) === 0) {
        m.chip.restore(m.chip.save());
        m.platform.restore(JSON.parse(JSON.stringify(m.platform.save())));
      }
    },
    () => {
      if (random.below(2000) === 0) {
        m.chip.reset();
        m.platform.reset();
      }
    },
  ];

  const before = process.memoryUsage().heapUsed;
  const end = performance.now() + seconds * 1000;
  let count = 0;
  let longest = 0;
  try {
    while (performance.now() < end) {
      const start = performance.now();
      for (let n = 0; n < 100; n++, count++) random.pick(steps)();
      longest = Math.max(longest, performance.now() - start);
    }
  } catch (error) {
    throw new Error(`access ${count} of seed ${seed} failed`, { cause: error });
  }
  // A bound against hanging, not a measure of speed.
  assert.ok(longest < 30_000, `100 accesses took ${longest} ms`);
  const grown = process.memoryUsage().heapUsed - before;
  // Garbage that waits for its collector is in the figure.
  assert.ok(grown < 512 * 2 ** 20, `the heap grew by ${grown} bytes in ${count} accesses`);
  const state = m.platform.save();
  assert.ok(state.serial.every((uart) => uart.received.length <= 16 && uart.returned.length <= 16));
});
