import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dirtyMemory, MIB } from '../../test/boot/images.ts';
import { gpa } from '../memory/guest-memory.ts';
import { writeMpTable } from './mp-table.ts';

const ENTRY_BYTES: Record<number, number> = { 0: 20, 1: 8, 2: 8, 3: 8, 4: 8 };
const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

/** Reads the table back the way a guest does: floating pointer, header, entries. */
function readMpTable(vcpuCount: number): { entries: number[][]; count: number } {
  const memory = dirtyMemory(2 * MIB);
  writeMpTable(memory, vcpuCount);
  const pointer = memory.slice(gpa(0x9fff0), 16);
  assert.equal(String.fromCharCode(...pointer.subarray(0, 4)), '_MP_');
  assert.equal(sum(pointer), 0);
  assert.deepEqual([pointer[8], pointer[9]], [1, 4]);
  const address = memory.readU32(gpa(0x9fff4));
  assert.equal(address, 0x9e800);
  const length = memory.readU16(gpa(address + 4));
  assert.ok(address + length <= 0x9fff0);
  const table = memory.slice(gpa(address), length);
  assert.equal(String.fromCharCode(...table.subarray(0, 4)), 'PCMP');
  assert.equal(sum(table), 0);
  assert.equal(memory.readU32(gpa(address + 36)), 0xfee0_0000);
  const entries: number[][] = [];
  for (let at = 44; at < length; ) {
    const bytes = ENTRY_BYTES[table[at] ?? 5] ?? length;
    entries.push([...table.subarray(at, at + bytes)]);
    at += bytes;
  }
  return { entries, count: memory.readU16(gpa(address + 34)) };
}

const ofType = (entries: number[][], type: number): number[][] => entries.filter(([first]) => first === type);

test('pointer and table are found, add up to zero and count their entries', () => {
  const { entries, count } = readMpTable(2);
  assert.equal(count, entries.length);
});

test('entries are in ascending order of type', () => {
  const types = readMpTable(3).entries.map(([type]) => type ?? 0);
  assert.deepEqual(
    types,
    types.toSorted((a, b) => a - b),
  );
});

test('processors are listed by APIC ID, the first as the boot processor', () => {
  const cpus = ofType(readMpTable(3).entries, 0);
  assert.deepEqual(
    cpus.map((cpu) => cpu.slice(1, 4)),
    [
      [0, 0x14, 3],
      [1, 0x14, 1],
      [2, 0x14, 1],
    ],
  );
});

test('the PCI bus has ID 0 and ISA comes behind it', () => {
  const buses = ofType(readMpTable(1).entries, 1);
  assert.deepEqual(
    buses.map((bus) => [bus[1], String.fromCharCode(...bus.slice(2))]),
    [
      [0, 'PCI   '],
      [1, 'ISA   '],
    ],
  );
});

test('ISA interrupts go to the pin of their number, the PIT to pin 2, the SCI level-triggered', () => {
  const isa = ofType(readMpTable(1).entries, 3).filter((entry) => entry[4] === 1);
  assert.equal(isa.length, 15);
  assert.deepEqual(isa[0], [3, 0, 0, 0, 1, 0, 0, 2]);
  assert.deepEqual(
    isa.find((entry) => entry[5] === 4),
    [3, 0, 0, 0, 1, 4, 0, 4],
  );
  assert.deepEqual(
    isa.find((entry) => entry[5] === 5),
    [3, 0, 0xf, 0, 1, 5, 0, 5],
  );
  assert.equal(
    isa.find((entry) => entry[5] === 2),
    undefined,
  );
});

test('PCI interrupts name device and pin and go to pins 16 to 23', () => {
  const pci = ofType(readMpTable(1).entries, 3).filter((entry) => entry[4] === 0);
  assert.equal(pci.length, 128);
  assert.deepEqual(pci[4 * 3 + 1], [3, 0, 0xf, 0, 0, (3 << 2) | 1, 0, 16 + 4]);
  assert.ok(pci.every((entry) => (entry[7] ?? 0) >= 16 && (entry[7] ?? 0) < 24));
});

test('LINT0 takes the 8259 pair, LINT1 the NMI, on every processor', () => {
  const local = ofType(readMpTable(1).entries, 4);
  assert.deepEqual(local, [
    [4, 3, 0, 0, 1, 0, 0xff, 0],
    [4, 1, 0, 0, 1, 0, 0xff, 1],
  ]);
});

test('with more processors than the table can name it still ends below the pointer', () => {
  const { entries } = readMpTable(1024);
  assert.equal(ofType(entries, 0).length, 255);
  assert.equal(ofType(entries, 4).length, 2);
});
