import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { dirtyMemory, MIB } from '../../test/boot/images.ts';
import { gpa } from '../memory/guest-memory.ts';
import { buildSmbiosStructures, type SmbiosOptions, writeSmbios } from './smbios.ts';

interface Parsed {
  readonly type: number;
  readonly area: Uint8Array;
  readonly strings: readonly string[];
}

/** Walks the structures as section 6.1 says: formatted area, then strings up to a double NUL. */
function parse(bytes: Uint8Array): Parsed[] {
  const structures: Parsed[] = [];
  for (let at = 0; at < bytes.length; ) {
    const area = bytes.subarray(at, at + (bytes[at + 1] ?? bytes.length));
    let end = at + area.length;
    while (bytes[end] !== 0 || bytes[end + 1] !== 0) end++;
    const text = new TextDecoder().decode(bytes.slice(at + area.length, end));
    structures.push({ type: area[0] ?? -1, area, strings: text === '' ? [] : text.split('\0') });
    at = end + 2;
  }
  return structures;
}

const structures = (ramBytes: number, options?: SmbiosOptions): Parsed[] =>
  parse(buildSmbiosStructures(ramBytes, 1, options));
const ofType = (list: Parsed[], type: number): Parsed => {
  const found = list.find((structure) => structure.type === type);
  assert.ok(found, `type ${type}`);
  return found;
};
const u16 = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

test('the entry point is one of version 3.0 that adds up to zero and gives place and size of the structures', () => {
  const memory = dirtyMemory(2 * MIB);
  writeSmbios(memory, 256 * MIB, 1);
  const entry = memory.slice(gpa(0xf0000), 24);
  assert.equal(String.fromCharCode(...entry.subarray(0, 5)), '_SM3_');
  assert.equal(sum(entry), 0);
  assert.deepEqual([entry[6], entry[7], entry[8], entry[10]], [24, 3, 0, 1]);
  const size = memory.readU32(gpa(0xf000c));
  const address = Number(memory.readU64(gpa(0xf0010)));
  assert.deepEqual(memory.slice(gpa(address), size), buildSmbiosStructures(256 * MIB, 1));
});

test('structures come by ascending handle and end with type 127', () => {
  const list = structures(256 * MIB);
  assert.deepEqual(
    list.map(({ type }) => type),
    [0, 1, 3, 4, 16, 17, 19, 32, 127],
  );
  const handles = list.map(({ area }) => u16(area, 2));
  assert.deepEqual(
    handles,
    handles.toSorted((a, b) => a - b),
  );
});

test('the strings and the UUID of the user are shown', () => {
  const list = structures(256 * MIB, {
    biosVendor: 'v',
    biosVersion: '7',
    manufacturer: 'm',
    productName: 'p',
    serialNumber: 's',
    uuid: '00112233-4455-6677-8899-aabbccddeeff',
    oemStrings: ['one', '', 'zwö'],
  });
  assert.deepEqual(ofType(list, 0).strings, ['v', '7', '01/01/2026']);
  assert.deepEqual(ofType(list, 1).strings, ['m', 'p', 's']);
  assert.equal(Buffer.from(ofType(list, 1).area.subarray(8, 24)).toString('hex'), '33221100554477668899aabbccddeeff');
  assert.deepEqual(ofType(list, 11).strings, ['one', 'zwö']);
  assert.equal(ofType(list, 11).area[4], 2);
});

test('a NUL in a string does not shift the structures behind it', () => {
  const list = structures(256 * MIB, { productName: 'a\0\0b' });
  assert.deepEqual(ofType(list, 1).strings, ['typervisor', 'a  b']);
  assert.equal(list.at(-1)?.type, 127);
});

test('a malformed UUID is refused by name', () => {
  assert.throws(() => buildSmbiosStructures(MIB, 1, { uuid: '1234' }), /^RangeError: SMBIOS uuid 1234 is not a UUID/);
});

test('strings beyond the 64 KiB of the BIOS area are refused', () => {
  const memory = dirtyMemory(2 * MIB);
  assert.throws(
    () => writeSmbios(memory, MIB, 1, { productName: 'x'.repeat(0x10000) }),
    /^RangeError: SMBIOS strings make/,
  );
});

test('RAM on both sides of the PCI hole is mapped in two ranges', () => {
  const mapped = structures(4096 * MIB).filter(({ type }) => type === 19);
  const ranges = mapped.map(({ area }) => {
    const view = new DataView(area.buffer, area.byteOffset, area.length);
    return [view.getUint32(4, true), view.getUint32(8, true)];
  });
  assert.deepEqual(ranges, [
    [0, 0xd000_0000 / 1024 - 1],
    [0x40_0000, 0x1_3000_0000 / 1024 - 1],
  ]);
  assert.equal(u16(ofType(structures(4096 * MIB), 17).area, 12), 4096);
});

const noDmidecode = spawnSync('dmidecode', ['--version']).error ? 'dmidecode is not installed' : false;

test('dmidecode reads every structure without a complaint', { skip: noDmidecode }, (t) => {
  const memory = dirtyMemory(2 * MIB);
  writeSmbios(memory, 3072 * MIB, 4, { oemStrings: ['hello'], serialNumber: 'S-1' });
  // A dump file has the entry point at 0 and the structures at the offset that it names.
  const dump = Buffer.from(memory.slice(gpa(0xf0000), 0x10000));
  dump.writeBigUInt64LE(32n, 16);
  dump.writeUInt8(0, 5);
  dump.writeUInt8(-sum(dump.subarray(0, 24)) & 0xff, 5);
  const folder = mkdtempSync(join(tmpdir(), 'smbios-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'dump'), dump);
  const { stdout, stderr, status } = spawnSync('dmidecode', ['--from-dump', join(folder, 'dump')], {
    encoding: 'utf8',
  });
  assert.equal(status, 0);
  assert.equal(stderr, '');
  assert.match(stdout, /SMBIOS 3\.0\.0 present/);
  assert.match(stdout, /Serial Number: S-1/);
  assert.match(stdout, /Core Count: 4/);
  assert.match(stdout, /String 1: hello/);
  assert.match(stdout, /Maximum Capacity: 3 GB/);
  assert.match(stdout, /Range Size: 3 GB/);
  assert.doesNotMatch(stdout, /OUT OF SPEC|BAD INDEX|TRUNCATED|Broken|Wrong/i);
});
