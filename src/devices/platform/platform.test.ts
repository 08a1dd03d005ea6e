import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortTable, READ_ORDERED, READ_SHADOWED, UNCLAIMED, WRITE_POSTED } from '../../bus/port-table.ts';
import * as layout from '../../boot/layout.ts';
import { FakeLine, FakeTime, MemorySink, MemorySource } from '../testing.ts';
import * as P from './platform.ts';

function rig(extra: Partial<P.PlatformOptions> = {}) {
  const time = new FakeTime();
  const ports = new PortTable(new SharedArrayBuffer(131072), { ports: 0 });
  ports.initialize();
  const lines = new Map<number, FakeLine[]>();
  const events: string[] = [];
  const output = new MemorySink();
  const input = new MemorySource();
  const platform = P.createPlatform({
    ports,
    clock: time,
    wallClock: { milliseconds: () => time.now / 1e6 },
    timers: time.timers,
    line: (gsi) => {
      const line = new FakeLine();
      lines.set(gsi, [...(lines.get(gsi) ?? []), line]);
      return line;
    },
    events: {
      powerOff: () => void events.push('off'),
      reset: () => void events.push('reset'),
      panic: (event) => void events.push(event),
      debugExit: (status) => void events.push(`exit ${status}`),
    },
    pmTimerOrigin: () => 0,
    ramBelow4GiB: 64 * 2 ** 20,
    vcpuCount: 1,
    serial: [{ input, output }],
    ...extra,
  });
  return { time, ports, lines, events, output, input, platform, bus: platform.portBus };
}

test('the four serial ports are at their usual places with their usual interrupts', () => {
  const { bus, lines } = rig();
  for (const port of [0x3f8, 0x2f8, 0x3e8, 0x2e8]) assert.equal(bus.read(port + 5, 1), 0x60);
  assert.deepEqual([lines.get(4)?.length, lines.get(3)?.length], [2, 2]);
});

test('a console write is posted and a look at the line status shadowed', () => {
  const { ports, bus, output } = rig();
  assert.equal(ports.entry(0x3f8), WRITE_POSTED);
  assert.equal(ports.entry(0x3fd), READ_SHADOWED | 0x60);
  assert.equal(ports.entry(0x3fa), READ_SHADOWED | READ_ORDERED | 0x01);
  bus.write(0x3f8, 1, 0x41);
  assert.deepEqual(output.bytes, [0x41]);
  output.congested = true;
  bus.write(0x3f8, 1, 0x42);
  assert.equal(ports.entry(0x3fd), READ_SHADOWED | 0x00);
});

test('the port table claims what the bus has but for port 80h, and nothing else', () => {
  const { ports, bus } = rig();
  const ranges = bus.ranges.filter(({ base }) => base !== 0x80);
  for (const { base, bytes } of ranges) {
    for (let port = base; port < base + bytes; port++) assert.equal(ports.entry(port) & UNCLAIMED, 0);
  }
  let claimed = 0;
  for (let port = 0; port < 65_536; port++) if ((ports.entry(port) & UNCLAIMED) === 0) claimed++;
  assert.equal(
    claimed,
    ranges.reduce((sum, range) => sum + range.bytes, 0),
  );
});

test('port 80h is unclaimed, so that writing it takes no call', () => {
  const { ports, bus } = rig();
  assert.equal(ports.entry(0x80), UNCLAIMED);
  bus.write(0x80, 1, 0x55);
  assert.equal(bus.read(0x80, 1), 0xff);
});

test('the machine-wide events arrive from their ports', () => {
  const { bus, events } = rig({ debugExitPort: 0xf4 });
  bus.write(0x64, 1, 0xfe);
  bus.write(0xcf9, 1, 0x06);
  bus.write(0x604, 2, (5 << 10) | 0x2000);
  bus.write(0x505, 1, 1);
  bus.write(0xf4, 4, 3);
  assert.deepEqual(events, ['reset', 'reset', 'off', 'panicked', 'exit 7']);
});

test('the power button reaches the guest through interrupt 5', () => {
  const { bus, lines, platform } = rig();
  bus.write(0x602, 2, 0x0100);
  platform.pressPowerButton();
  assert.equal(lines.get(5)?.[0]?.level, true);
});

test('the debug consoles write to their sink at 402h and E9h', () => {
  const debug = new MemorySink();
  const { bus, ports } = rig({ debug });
  bus.write(0x402, 1, 0x61);
  bus.write(0xe9, 1, 0x62);
  assert.deepEqual(debug.bytes, [0x61, 0x62]);
  assert.equal(ports.entry(0x402), READ_SHADOWED | WRITE_POSTED | 0xe9);
});

test('a debug exit port on top of another device is refused, both named', () => {
  assert.throws(() => rig({ debugExitPort: 0x3f8 }), /"debug exit" .* overlaps "COM1"/);
});

test('configuration space answers by port and by memory', () => {
  const { bus, platform } = rig();
  bus.write(0xcf8, 4, 0x8000_0000);
  assert.equal(bus.read(0xcfc, 4), 0x1237_8086);
  assert.equal(platform.mmioBus.read(0xf400_0000, 4), 0x1237_8086);
});

test('a reset takes every device back to its power-up state and releases its lines', () => {
  const { bus, platform, lines } = rig();
  const fresh = JSON.stringify(platform.save());
  bus.write(0x3f9, 1, 0x0f);
  bus.write(0x602, 2, 0x0100);
  platform.pressPowerButton();
  bus.write(0xcf8, 4, 0x8000_0010);
  bus.write(0x64, 1, 0x60);
  platform.reset();
  assert.equal(JSON.stringify(platform.save()), fresh);
  assert.ok([...lines.values()].flat().every((line) => !line.level));
});

test('a saved platform goes on in another one', () => {
  const one = rig();
  one.bus.write(0x3ff, 1, 0x5a);
  one.bus.write(0x602, 2, 0x0100);
  one.platform.pressPowerButton();
  one.bus.write(0xcf8, 4, 0x8000_0008);
  const state = JSON.parse(JSON.stringify(one.platform.save()));
  const other = rig();
  other.platform.restore(state);
  assert.equal(other.bus.read(0x3ff, 1), 0x5a);
  assert.equal(other.bus.read(0xcfc, 4), 0x0600_0002);
  assert.equal(other.lines.get(5)?.[0]?.level, true);
});

test('the addresses are the ones that the boot layout tells the guest', () => {
  assert.deepEqual(P.SERIAL_PORTS, layout.SERIAL_PORTS);
  assert.deepEqual(
    [P.RTC_IRQ, P.SCI_IRQ, P.PVPANIC_PORT, P.PM1A_EVENT_PORT, P.PM1A_CONTROL_PORT, P.GPE0_PORT, P.SLEEP_TYPE_S5],
    [
      layout.RTC_IRQ,
      layout.ACPI_SCI_IRQ,
      layout.PVPANIC_PORT,
      layout.PM1A_EVENT_PORT,
      layout.PM1A_CONTROL_PORT,
      layout.GPE0_PORT,
      layout.PM1_SLP_TYP_S5,
    ],
  );
  assert.deepEqual([P.ECAM_ADDRESS, P.ECAM_BYTES], [layout.PCI_ECAM_START, layout.PCI_ECAM_BYTES]);
});
