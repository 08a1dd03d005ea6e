import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestMemory } from '../queue/testing.ts';
import { PageList, wholePages } from './pages.ts';
import { pageNumbers } from './testing.ts';

const PAGE = 0x1000;

/** First page in `all`, and number of pages, of every run; and how many numbers were refused. */
function runsOf(memory: TestMemory, pages: readonly number[], ramBytes: number = memory.all.length) {
  const list = new PageList();
  list.bytes.set(pageNumbers(pages));
  const runs: [number, number][] = [];
  const refused = list.runs(memory, ramBytes, pages.length, ({ byteOffset, length }) => {
    runs.push([(byteOffset - memory.all.byteOffset) / PAGE, length / PAGE]);
  });
  return { runs, refused };
}

test('pages in any order become runs, a page that is named twice is in one', () => {
  const { runs, refused } = runsOf(new TestMemory(64 * PAGE), [9, 8, 3, 7, 40, 3, 8, 63, 4]);
  assert.deepEqual(runs, [
    [3, 2],
    [7, 3],
    [40, 1],
    [63, 1],
  ]);
  assert.equal(refused, 0);
});

test('numbers beyond RAM are refused, the largest among them', () => {
  const { runs, refused } = runsOf(new TestMemory(16 * PAGE), [16, 15, 0xffff_ffff, 0x8000_0000, 17]);
  assert.deepEqual({ runs, refused }, { runs: [[15, 1]], refused: 4 });
});

test('RAM above 4 GiB is found where it lies, and the hole below it is none', () => {
  const { runs, refused } = runsOf(new TestMemory(16 * PAGE, 8 * PAGE), [0x10_0000, 0x10_0007, 0x10_0008, 0xf_ffff]);
  assert.deepEqual(runs, [
    [16, 1],
    [23, 1],
  ]);
  assert.equal(refused, 2);
});

test('memory behind RAM, which is a file, is refused', () => {
  const memory = new TestMemory(16 * PAGE, 8 * PAGE);
  const { runs, refused } = runsOf(memory, [11, 12, 0x10_0000], 12 * PAGE);
  assert.deepEqual({ runs, refused }, { runs: [[11, 1]], refused: 2 });
  const part = wholePages(memory, 12 * PAGE, memory.all.subarray(11 * PAGE, 14 * PAGE));
  assert.deepEqual(part && [part.byteOffset - memory.all.byteOffset, part.length], [11 * PAGE, PAGE]);
  assert.equal(wholePages(memory, 12 * PAGE, memory.all.subarray(12 * PAGE, 14 * PAGE)), undefined);
});

test('of a buffer its whole pages count', () => {
  const memory = new TestMemory(16 * PAGE);
  const of = (start: number, end: number) => {
    const part = wholePages(memory, memory.all.length, memory.all.subarray(start, end));
    return part && [part.byteOffset - memory.all.byteOffset, part.length];
  };
  assert.deepEqual(of(PAGE, 3 * PAGE), [PAGE, 2 * PAGE]);
  assert.deepEqual(of(PAGE - 1, 3 * PAGE + 1), [PAGE, 2 * PAGE]);
  assert.equal(of(1, 2 * PAGE - 1), undefined);
  assert.equal(of(PAGE, PAGE), undefined);
});
