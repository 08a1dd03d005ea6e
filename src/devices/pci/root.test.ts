import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../../bus/bus.ts';
import { PciConfigTable } from '../../bus/pci-config.ts';
import { ResetPort } from '../platform/reset-port.ts';
import { PciConfigSpace } from './config-space.ts';
import { hostBridge } from './host-bridge.ts';
import { PciRoot } from './root.ts';

const ECAM = 0xf400_0000;

function rig() {
  let resets = 0;
  const reset = new ResetPort({ reset: () => void resets++ });
  const root = new PciRoot();
  root.add(0, 0, 0, hostBridge());
  const ports = new Bus();
  ports.add('address', 0xcf8, 4, root.addressPorts(reset));
  ports.add('data', 0xcfc, 4, root.dataPorts);
  const mmio = new Bus();
  mmio.add('ecam', ECAM, 0x400_0000, root.ecam);
  const select = (register: number, routing = 0): void =>
    ports.write(0xcf8, 4, (0x8000_0000 + (routing << 8) + register) >>> 0);
  return { root, ports, mmio, select, resets: () => resets };
}

test('the host bridge is an Intel 440FX of class 0600', () => {
  const { ports, select } = rig();
  select(0);
  assert.equal(ports.read(0xcfc, 4), 0x1237_8086);
  select(8);
  assert.equal(ports.read(0xcfc, 4), 0x0600_0002);
  select(0x0c);
  assert.equal(ports.read(0xcfe, 1), 0);
});

test('the data port gives bytes and words of the addressed register', () => {
  const { ports, select } = rig();
  select(0);
  assert.deepEqual([ports.read(0xcfc, 2), ports.read(0xcfe, 2), ports.read(0xcfd, 1)], [0x8086, 0x1237, 0x80]);
});

test('a function that is not there reads as all ones and takes no write', () => {
  const { ports, mmio, select } = rig();
  for (const routing of [1, 8, 0xff, 0xffff]) {
    select(0, routing);
    assert.equal(ports.read(0xcfc, 4), 0xffff_ffff);
    ports.write(0xcfc, 4, 0);
  }
  assert.equal(mmio.read(ECAM + 0x1000, 4), 0xffff_ffff);
  assert.equal(mmio.read(ECAM + 0x3ff_fffc, 2), 0xffff);
});

test('without the enable bit the data port is not there', () => {
  const { ports } = rig();
  ports.write(0xcf8, 4, 0);
  assert.equal(ports.read(0xcfc, 4), 0xffff_ffff);
});

test('the address register takes 32-bit writes only and keeps what it has', () => {
  const { ports, select } = rig();
  select(4);
  ports.write(0xcf8, 1, 0x40);
  ports.write(0xcfa, 2, 0x40);
  assert.equal(ports.read(0xcf8, 4), 0x8000_0004);
  ports.write(0xcf8, 4, 0xffff_ffff);
  assert.equal(ports.read(0xcf8, 4), 0x80ff_fffc);
});

test('a byte at CF9h is the reset port, within wider accesses too', () => {
  const { ports, resets } = rig();
  ports.write(0xcf9, 1, 0x02);
  assert.equal(ports.read(0xcf9, 1), 0x02);
  assert.equal(ports.read(0xcf8, 2), 0x02ff);
  ports.write(0xcf8, 4, 0x0600);
  assert.equal(resets(), 0);
  ports.write(0xcf9, 1, 0x06);
  assert.equal(resets(), 1);
});

test('the memory-mapped window shows the same registers', () => {
  const { mmio } = rig();
  assert.equal(mmio.read(ECAM, 4), 0x1237_8086);
  assert.equal(mmio.read(ECAM + 0x0b, 1), 0x06);
});

test('past the 256 bytes of a conventional function reads give all ones', () => {
  const { mmio } = rig();
  assert.equal(mmio.read(ECAM + 0x100, 4), 0xffff_ffff);
  assert.equal(mmio.read(ECAM + 0xffe, 4), 0xffff_ffff);
  mmio.write(ECAM + 0xfe, 4, 0);
});

test('a place that is taken or does not exist is refused by name', () => {
  const { root } = rig();
  assert.throws(() => root.add(0, 0, 0, hostBridge()), /0:0\.0 is taken/);
  assert.throws(() => root.add(0, 32, 0, hostBridge()), /no such PCI address: 0:32\.0/);
});

test('writes change writable bits, clear clearable ones, and leave the rest', () => {
  const config = new PciConfigSpace();
  config.set(4, 4, 0xf900_0000);
  config.setWritable(4, 2, 0x0547);
  config.setClearable(6, 2, 0xf900);
  config.writeConfig(4, 4, 0x8000_ffff);
  assert.equal(config.readConfig(4, 4), 0x7900_0547);
  config.writeConfig(5, 1, 0);
  assert.equal(config.readConfig(4, 2), 0x0047);
});

test('what vCPUs read of a function without asking is what it has by then: written registers, and its power-up state again', () => {
  const table = new PciConfigTable();
  const bridge = hostBridge();
  const powerUp = bridge.save();
  new PciRoot(table).add(0, 3, 0, bridge);
  table.address = 0x8000_1800;
  assert.equal(table.read(0, 4), 0x1237_8086);
  bridge.setWritable(0x3c, 1, 0xff);
  bridge.writeConfig(0x3c, 1, 0x0b);
  table.address = 0x8000_183c;
  assert.equal(table.read(0, 1), 0x0b);
  bridge.restore(powerUp);
  assert.equal(table.read(0, 1), 0);
  table.address = 0x8000_1000;
  assert.equal(table.read(0, 4), 0xffff_ffff);
});
