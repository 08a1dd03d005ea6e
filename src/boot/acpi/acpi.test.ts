import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { dirtyMemory, MIB } from '../../../test/boot/images.ts';
import { gpa } from '../../memory/guest-memory.ts';
import { type AcpiTable, buildAcpiTables, writeAcpiTables } from './acpi.ts';

const options = { ramBytes: 256 * MIB, vcpuCount: 1, physicalAddressBits: 39 };

const signature = ({ bytes }: AcpiTable): string => String.fromCharCode(...bytes.subarray(0, 4)).trim();
const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const view = ({ bytes }: AcpiTable): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function tablesOf(vcpuCount = 1): Map<string, AcpiTable> {
  return new Map(buildAcpiTables({ ...options, vcpuCount }).map((table) => [signature(table), table]));
}
function table(name: string, vcpuCount?: number): AcpiTable {
  const found = tablesOf(vcpuCount).get(name);
  assert.ok(found, name);
  return found;
}

/** The interrupt controller structures of the MADT, as byte arrays. */
function madtStructures(vcpuCount: number): number[][] {
  const { bytes } = table('APIC', vcpuCount);
  const structures: number[][] = [];
  for (let at = 44; at < bytes.length; at += bytes[at + 1] ?? bytes.length) {
    structures.push([...bytes.subarray(at, at + (bytes[at + 1] ?? 0))]);
  }
  return structures;
}

test('every table adds up to zero and gives its own length', () => {
  for (const current of buildAcpiTables({ ...options, vcpuCount: 3 })) {
    const name = signature(current);
    if (name === 'RSD' || name === 'FACS') continue;
    assert.equal(sum(current.bytes), 0, name);
    assert.equal(view(current).getUint32(4, true), current.bytes.length, name);
  }
});

test('the RSDP has both checksums and points to RSDT and XSDT, which point to the same tables', () => {
  const tables = tablesOf();
  const rsdp = table('RSD');
  assert.equal(rsdp.address, 0xe0000);
  assert.equal(String.fromCharCode(...rsdp.bytes.subarray(0, 8)), 'RSD PTR ');
  assert.equal(sum(rsdp.bytes.subarray(0, 20)), 0);
  assert.equal(sum(rsdp.bytes), 0);
  assert.equal(rsdp.bytes[15], 2);
  assert.equal(view(rsdp).getUint32(16, true), tables.get('RSDT')?.address);
  assert.equal(view(rsdp).getBigUint64(24, true), BigInt(tables.get('XSDT')?.address ?? 0));
  const expected = ['FACP', 'APIC', 'MCFG'].map((name) => tables.get(name)?.address);
  assert.deepEqual(
    [0, 1, 2].map((i) => view(table('RSDT')).getUint32(36 + 4 * i, true)),
    expected,
  );
  assert.deepEqual(
    [0, 1, 2].map((i) => Number(view(table('XSDT')).getBigUint64(36 + 8 * i, true))),
    expected,
  );
});

test('the FADT is one of revision 6.3 whose registers are where the devices are', () => {
  const fadt = view(table('FACP'));
  assert.equal(fadt.byteLength, 276);
  assert.equal(fadt.getUint8(8), 6);
  assert.equal(fadt.getUint8(131), 3);
  assert.equal(fadt.getUint32(40, true), table('DSDT').address);
  assert.equal(fadt.getUint32(36, true), table('FACS').address);
  assert.equal(fadt.getUint16(46, true), 5);
  assert.deepEqual(
    [56, 64, 76].map((at) => fadt.getUint32(at, true)),
    [0x600, 0x604, 0x608],
  );
  assert.deepEqual(
    [148, 172, 208].map((at) => fadt.getBigUint64(at + 4, true)),
    [0x600n, 0x604n, 0x608n],
  );
  assert.deepEqual(
    [88, 89, 91].map((at) => fadt.getUint8(at)),
    [4, 2, 4],
  );
  assert.equal(fadt.getUint8(108), 0x32);
});

test('the FADT announces reset by port CF9h, a fixed power button, a 32-bit timer, and no 8042 to probe for', () => {
  const fadt = view(table('FACP'));
  assert.equal(fadt.getUint8(116), 1);
  assert.equal(fadt.getBigUint64(120, true), 0xcf9n);
  assert.equal(fadt.getUint8(128), 6);
  const flags = fadt.getUint32(112, true);
  assert.equal(flags & (1 << 10), 1 << 10);
  assert.equal(flags & (1 << 8), 1 << 8);
  assert.equal(flags & (1 << 4), 0);
  assert.equal(flags & (1 << 20), 0);
  assert.equal(fadt.getUint16(109, true) & 0x2, 0);
});

test('the FACS lies on a multiple of 64', () => {
  assert.equal(table('FACS').address % 64, 0);
});

test('the MADT lists processors, the IO-APIC, the overrides of PIT and SCI, and the NMI pin', () => {
  assert.deepEqual(madtStructures(2), [
    [0, 8, 0, 0, 1, 0, 0, 0],
    [0, 8, 1, 1, 1, 0, 0, 0],
    [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
    [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
    [2, 10, 0, 5, 5, 0, 0, 0, 0xf, 0],
    [4, 6, 0xff, 0, 0, 1],
  ]);
});

test('processors from APIC ID 255 on are x2APIC ones', () => {
  const structures = madtStructures(257);
  assert.equal(structures.filter(([type]) => type === 0).length, 255);
  assert.deepEqual(
    structures.filter(([type]) => type === 9),
    [
      [9, 16, 0, 0, 255, 0, 0, 0, 1, 0, 0, 0, 255, 0, 0, 0],
      [9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0],
    ],
  );
});

test('MCFG maps the one bus at the ECAM address', () => {
  const mcfg = view(table('MCFG'));
  assert.equal(mcfg.getBigUint64(44, true), 0xf400_0000n);
  assert.deepEqual([mcfg.getUint16(52, true), mcfg.getUint8(54), mcfg.getUint8(55)], [0, 0, 0]);
});

test('the tables do not overlap and stay in their 64 KiB, also with 1024 processors', () => {
  const sorted = buildAcpiTables({ ...options, vcpuCount: 1024 }).sort((a, b) => a.address - b.address);
  let end = 0xe0000;
  for (const { address, bytes } of sorted) {
    assert.ok(address >= end);
    end = address + bytes.length;
  }
  assert.ok(end <= 0xf0000);
});

test('more processors than the tables have room for are an error of the caller', () => {
  assert.throws(() => buildAcpiTables({ ...options, vcpuCount: 4095 }), /^RangeError: ACPI tables for 4095 processors/);
});

test('writing puts the RSDP at 0xe0000 and leaves no stale bytes behind', () => {
  const memory = dirtyMemory(2 * MIB);
  assert.equal(writeAcpiTables(memory, options), 0xe0000);
  assert.equal(String.fromCharCode(...memory.slice(gpa(0xe0000), 8)), 'RSD PTR ');
  assert.equal(memory.readU8(gpa(0xeffff)), 0);
});

const iasl = spawnSync('iasl', ['-v']).error ? 'iasl is not installed (Debian package acpica-tools)' : false;

test('virtio devices on MMIO are in the DSDT with their page and their line', () => {
  const dsdt = (virtioMmio: { slot: number; address: number; gsi: number }[]): string => {
    const found = buildAcpiTables({ ...options, virtioMmio }).find((current) => signature(current) === 'DSDT');
    return Buffer.from(found?.bytes ?? []).toString('latin1');
  };
  assert.doesNotMatch(dsdt([]), /LNRO0005/);
  const table = dsdt([{ slot: 18, address: 0xf801_2000, gsi: 18 }]);
  const device = table.slice(table.indexOf('V012'));
  assert.match(device, /^V012.{6}LNRO0005\0/s);
  // Memory32Fixed at the address, of 4 KiB; then the extended interrupt: level, low, shared, GSI 18.
  const resources = '\x86\x09\x00\x01\x00\x20\x01\xf8\x00\x10\x00\x00\x89\x06\x00\x0d\x01\x12\x00\x00\x00';
  assert.ok(device.includes(resources));
});

for (const vcpuCount of [1, 300]) {
  test(`iasl disassembles and recompiles every table of ${vcpuCount} processors to the same bytes, without a remark`, {
    skip: iasl,
  }, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'acpi-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const virtioMmio = [2, 31].map((slot) => ({ slot, address: 0xf800_0000 + slot * 0x1000, gsi: 16 + (slot & 7) }));
    for (const current of buildAcpiTables({ ...options, vcpuCount, virtioMmio })) {
      const name = signature(current);
      if (name === 'RSD') continue; // iasl takes tables with a header, and the FACS
      writeFileSync(join(folder, `${name}.dat`), current.bytes);
      const run = (...args: string[]): string => {
        const { stdout, stderr, status } = spawnSync('iasl', args, { cwd: folder, encoding: 'utf8' });
        const complaints = `${stdout}${stderr}`
          .split('\n')
          .filter((line) => /warning|remark|error|invalid|mismatch/i.test(line));
        assert.deepEqual(
          complaints.filter((line) => !line.startsWith('Compilation successful. 0 Errors, 0 Warnings, 0 Remarks')),
          [],
          name,
        );
        assert.equal(status, 0, name);
        return stdout;
      };
      run('-d', `${name}.dat`);
      run('-oa', `${name}.dsl`);
      const again = readFileSync(join(folder, `${name}.aml`));
      // The compiler signs the header (bytes 28..35) and recomputes the checksum.
      const unsigned = (bytes: Uint8Array): Buffer => {
        const copy = Buffer.from(bytes);
        return name === 'FACS' ? copy : copy.fill(0, 28, 36).fill(0, 9, 10);
      };
      assert.deepEqual(unsigned(again), unsigned(current.bytes), name);
    }
  });
}
