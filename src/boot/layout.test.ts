import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as layout from './layout.ts';

const GIB = 2 ** 30;

test('the structures below 640 KiB follow one another without overlap', () => {
  const areas = [
    [layout.BDA_COM_PORTS, 0x100],
    [layout.BOOT_GDT_ADDRESS, layout.BOOT_GDT_ENTRIES * 8],
    [layout.BOOT_IDT_ADDRESS, 8],
    [layout.BOOT_INFO_ADDRESS, layout.BOOT_INFO_BYTES],
    [layout.ZERO_PAGE_ADDRESS, layout.ZERO_PAGE_BYTES],
    [layout.BOOT_PML4_ADDRESS, 0x1000],
    [layout.BOOT_PDPT_ADDRESS, 0x1000],
    [layout.BOOT_PD_ADDRESS, layout.BOOT_PD_COUNT * 0x1000],
    [layout.CMDLINE_ADDRESS, layout.CMDLINE_MAX_BYTES],
    [layout.SETUP_DATA_ADDRESS, layout.SETUP_DATA_END - layout.SETUP_DATA_ADDRESS],
    [layout.MP_TABLE_ADDRESS, layout.MP_POINTER_ADDRESS - layout.MP_TABLE_ADDRESS],
    [layout.MP_POINTER_ADDRESS, layout.MP_POINTER_BYTES],
  ] as const;
  for (const [index, [start]] of areas.entries()) {
    const previous = areas[index - 1];
    if (previous) assert.ok(previous[0] + previous[1] <= start, `area ${index} at 0x${start.toString(16)}`);
  }
});

test("the addresses are crosvm's", () => {
  assert.equal(layout.BOOT_IDT_ADDRESS, 0x1528);
  assert.equal(layout.SETUP_DATA_ADDRESS, 0x20800);
  assert.equal(layout.PCI_LOW_MMIO_START, 0xd000_0000);
  assert.equal(layout.PCI_ECAM_START + layout.PCI_ECAM_BYTES, 0xf800_0000);
});

test('RAM beyond 0xd0000000 continues at 4 GiB', () => {
  assert.deepEqual(layout.splitRam(GIB), { lowEnd: GIB, highEnd: 4 * GIB });
  assert.deepEqual(layout.splitRam(4 * GIB), { lowEnd: 0xd000_0000, highEnd: 4 * GIB + 0x3000_0000 });
});

test('the 64-bit PCI window starts above RAM and ends with the physical address space', () => {
  assert.deepEqual(layout.pciHighMmio(GIB, 40), { start: 4 * GIB, end: 1024 * GIB });
  assert.deepEqual(layout.pciHighMmio(4 * GIB, 40), { start: 5 * GIB, end: 1024 * GIB });
  assert.deepEqual(layout.pciHighMmio(100 * GIB, 36), { start: 101 * GIB, end: 101 * GIB });
});
