import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  buildBzImage,
  buildElf,
  dirtyMemory,
  initrdFile,
  loadRequest,
  MIB,
  multibootHeader,
  pvhNote,
} from '../../test/boot/images.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import { loadKernel } from './kernel.ts';
import type { KernelEntry } from './load-request.ts';

/** Per format; FUZZ_SECONDS makes it longer, FUZZ_SEED different. */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 1);
const seed = Number(process.env['FUZZ_SEED'] ?? 1);
/** Far above what the slowest load of 18 MiB takes on a loaded machine; an endless loop never comes back at all. */
const SLOW_MS = 5000;

const RAM = 18 * MIB;
const text = new Uint8Array(0x400).map((_, index) => (index * 11) & 0xff);
const segments = [
  { paddr: 0x10_0000, data: text, memsz: 0x2000 },
  { paddr: 0x20_0000, data: text },
];
const bzImage = (xloadflags: number): Uint8Array =>
  buildBzImage({ payload: text, xloadflags, prefAddress: 0x20_0000, initSize: 0x10_0000 });

const FLAT = new Uint8Array(0x1000);
FLAT.set(multibootHeader(0x1_0003, 0x10_0020, 0x10_0000, 0x10_0800, 0x10_2000, 0x10_0040), 0x20);

const CORPUS: Record<string, Uint8Array> = {
  'bzImage, 64-bit': bzImage(1),
  'bzImage, 32-bit': bzImage(0),
  ELF64: buildElf({ entry: 0x10_0000, segments, notes: [pvhNote(0x10_0010)] }),
  ELF32: buildElf({ bits: 32, entry: 0x10_0000, segments, notes: [pvhNote(0x10_0010)] }),
  'Multiboot ELF': buildElf({ bits: 32, entry: 0x10_0000, segments, prefix: multibootHeader(3) }),
  'Multiboot flat': FLAT,
};

/** xorshift32: the same numbers for the same seed on every machine. */
function randomSource(start: number): (below: number) => number {
  let state = start * 0x9e37_79b9 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Values at which parsers break: ends of widths, signs, pages, and the machine's own limits. */
const INTERESTING = [
  0,
  1,
  2,
  0x7f,
  0x80,
  0xff,
  0xfff,
  0x1000,
  0x7fff,
  0xffff,
  0x10_0000,
  RAM,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_f000,
  0xffff_ffff,
];

/** Where the formats keep their headers: mutations go there nine times out of ten. */
const HEADER_BYTES = 0x290;

function mutate(original: Uint8Array, random: (below: number) => number): Uint8Array {
  const file = original.slice();
  const view = new DataView(file.buffer);
  for (let count = 1 + random(6); count > 0; count--) {
    const at = random(random(10) ? Math.min(HEADER_BYTES, file.length - 8) : file.length - 8);
    const interesting = INTERESTING[random(INTERESTING.length)] ?? 0;
    switch (random(5)) {
      case 0:
        view.setUint8(at, random(256));
        break;
      case 1:
        view.setUint8(at, (file[at] ?? 0) ^ (1 << random(8)));
        break;
      case 2:
        view.setUint16(at & ~1, interesting & 0xffff, true);
        break;
      case 3:
        view.setUint32(at & ~3, interesting, true);
        break;
      default:
        view.setUint32(at & ~3, view.getUint32(at & ~3, true) + random(9) - 4, true);
    }
  }
  // A Multiboot header with a wrong checksum is not looked at any further.
  for (let at = 0; at + 12 < Math.min(file.length, HEADER_BYTES); at += 4) {
    if (view.getUint32(at, true) === 0x1bad_b002)
      view.setUint32(at + 8, -(0x1bad_b002 + view.getUint32(at + 4, true)), true);
  }
  return random(8) ? file : file.subarray(0, random(file.length));
}

/** Bytes that no loader may touch, whatever the file says: firmware tables and the gaps between the boot structures. */
const RESERVED = [0x400, 0x5000, 0x10000, 0x9e800, 0xa0000, 0xe0000, 0xf0000, 0xfffff];

const ENTRIES: readonly KernelEntry[] = ['auto', 'linux', 'pvh'];

for (const [name, original] of Object.entries(CORPUS)) {
  test(`a mutated ${name} kernel loads or is refused in one line, and soon`, (t) => {
    const random = randomSource(seed);
    const memory = dirtyMemory(RAM);
    const end = performance.now() + seconds * 1000;
    let runs = 0;
    let refused = 0;
    for (; performance.now() < end; runs++) {
      const request = loadRequest(mutate(original, random), {
        memory,
        entry: ENTRIES[random(3)] ?? 'auto',
        initrd: random(2) ? initrdFile(0x800) : undefined,
      });
      const started = performance.now();
      try {
        const { entry } = loadKernel(request);
        assert.ok(Number.isSafeInteger(entry.rip) && entry.rip < RAM, `run ${runs}: rip ${entry.rip}`);
      } catch (error) {
        if (!(error instanceof KernelFormatError)) throw new Error(`seed ${seed}, run ${runs}`, { cause: error });
        assert.doesNotMatch(error.message, /\n|undefined|NaN/);
        refused++;
      }
      for (const address of RESERVED)
        assert.equal(memory.ram[address], 0xa5, `run ${runs}: 0x${address.toString(16)} was written`);
      assert.ok(performance.now() - started < SLOW_MS, `run ${runs} took too long`);
    }
    t.diagnostic(`${runs} kernels, ${refused} refused`);
    assert.ok(refused > 0 && refused < runs);
  });
}

test('files of random bytes are refused', () => {
  const random = randomSource(seed);
  const memory = dirtyMemory(RAM);
  for (let run = 0; run < 200; run++) {
    const file = new Uint8Array(random(10_000)).map(() => random(256));
    assert.throws(() => loadKernel(loadRequest(file, { memory })), KernelFormatError);
  }
});

test('the original of each mutation loads', () => {
  for (const original of Object.values(CORPUS)) loadKernel(loadRequest(original, { memory: dirtyMemory(RAM) }));
});
