/**
 * Random operations on a disk beside a plain array that says what the disk must hold. Operations come one by one or in groups
 * that run side by side on ranges that do not overlap, but share clusters.
 *
 * @module
 */
import assert from 'node:assert/strict';
import type { Disk } from '../../src/disk/disk.ts';
import { pattern } from '../../src/disk/testing.ts';

export const SECTOR = 512;

type Random = (below: number) => number;

interface Range {
  readonly offset: number;
  readonly bytes: number;
}

export class ModelDisk {
  contents: Uint8Array;
  /** Ranges with what was written to them since `flushed` was last cleared. */
  readonly #random: Random;
  readonly #unit: number;
  #seed = 0;

  /** `unit` is about the size around which operations are drawn, for instance a cluster. */
  constructor(contents: Uint8Array, unit: number, random: Random) {
    this.contents = contents;
    this.#unit = unit;
    this.#random = random;
  }

  #range(from = 0, to = this.contents.length): Range {
    const offset = from + this.#random(to - from);
    const longest = this.#random(3) > 0 ? 3 * SECTOR : 3 * this.#unit;
    const bytes = Math.min(to - offset, 1 + this.#random(longest));
    // Half of the requests are a guest's: whole sectors.
    if (this.#random(2) === 0) return { offset, bytes };
    const start = Math.max(from, Math.floor(offset / SECTOR) * SECTOR);
    return { offset: start, bytes: Math.min(to - start, Math.ceil(bytes / SECTOR) * SECTOR) };
  }

  async #verify(disk: Disk, { offset, bytes }: Range): Promise<void> {
    const halves = [new Uint8Array(bytes >> 1), new Uint8Array(bytes - (bytes >> 1))];
    await disk.read(offset, halves);
    const expected = Buffer.from(this.contents.buffer, this.contents.byteOffset + offset, bytes);
    const actual = Buffer.concat(halves);
    if (expected.equals(actual)) return;
    const wrong = actual.findIndex((byte, index) => byte !== expected[index]);
    assert.fail(`byte ${offset + wrong} reads as ${actual[wrong]}, not ${expected[wrong]}`);
  }

  async #change(disk: Disk, range: Range): Promise<void> {
    const { offset, bytes } = range;
    switch (this.#random(8)) {
      case 0: {
        this.contents.fill(0, offset, offset + bytes);
        await disk.writeZeroes(offset, bytes, this.#random(2) === 0);
        break;
      }
      case 1: {
        await disk.discard(offset, bytes);
        const after = new Uint8Array(bytes);
        await disk.read(offset, [after]);
        // The contents no longer matter; what is there now has to stay.
        this.contents.set(after, offset);
        break;
      }
      case 2:
        await this.#verify(disk, range);
        break;
      default: {
        const data = pattern(bytes, ++this.#seed);
        this.contents.set(data, offset);
        const cut = this.#random(bytes + 1);
        await disk.write(offset, [data.subarray(0, cut), data.subarray(cut)]);
      }
    }
  }

  /** One operation, or several at once. */
  async step(disk: Disk): Promise<void> {
    if (this.#random(3) > 0) return this.#change(disk, this.#range());
    const middle = this.#range();
    const split = middle.offset + Math.ceil(middle.bytes / 2);
    const ranges = [middle.offset > 0 ? this.#range(0, middle.offset) : undefined, this.#range(middle.offset, split)];
    if (split < this.contents.length) ranges.push(this.#range(split));
    await Promise.all(ranges.filter((range) => range !== undefined).map((range) => this.#change(disk, range)));
  }

  /** Grows or shrinks the disk to a number of whole sectors. */
  async resize(disk: Disk, limit: number): Promise<void> {
    const bytes = (1 + this.#random(Math.floor(limit / SECTOR))) * SECTOR;
    await disk.resize?.(bytes);
    const contents = new Uint8Array(bytes);
    contents.set(this.contents.subarray(0, bytes));
    this.contents = contents;
  }

  verifyAll(disk: Disk): Promise<void> {
    assert.equal(disk.bytes, this.contents.length);
    return this.#verify(disk, { offset: 0, bytes: this.contents.length });
  }
}
