import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModelDisk } from '../../test/disk/model-disk.ts';
import { OverlayDisk } from './overlay.ts';
import { RawDisk } from './raw.ts';
import { MemoryFile, pattern, randomSource } from './testing.ts';

const PIECE = 65536;

test('random requests, side by side, read back as written, and the disk below is only read', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = randomSource(seed);
    const file = new MemoryFile(pattern(5 * PIECE + 512, seed), 'base', true);
    file.before = async () => {
      for (let turns = random(6); turns > 0; turns--) await Promise.resolve();
    };
    const model = new ModelDisk(file.snapshot(), PIECE, random);
    const overlay = new OverlayDisk(new RawDisk(file));
    for (let step = 0; step < 200; step++) {
      if (random(20) === 0) await model.resize(overlay, 8 * PIECE);
      else await model.step(overlay);
    }
    await model.verifyAll(overlay);
    assert.deepEqual(file.log, []);
  }
});

test('what is discarded as a whole takes no memory any more', async () => {
  const overlay = new OverlayDisk(new RawDisk(new MemoryFile(4 * PIECE)));
  await overlay.write(0, [new Uint8Array(4 * PIECE).fill(1)]);
  assert.equal(overlay.piecesInMemory, 4);
  await overlay.discard(0, 3 * PIECE);
  assert.equal(overlay.piecesInMemory, 1);
});

test('a piece that could not be read from below is tried again', async () => {
  const file = new MemoryFile(pattern(PIECE, 1));
  const overlay = new OverlayDisk(new RawDisk(file));
  file.before = () => {
    throw new Error('read error');
  };
  await assert.rejects(overlay.write(1, [Uint8Array.of(9)]), /read error/);
  file.before = undefined;
  await overlay.write(1, [Uint8Array.of(9)]);
  const into = new Uint8Array(3);
  await overlay.read(0, [into]);
  assert.deepEqual([...into], [pattern(3, 1)[0], 9, pattern(3, 1)[2]]);
});

test('closing closes the disk below', async () => {
  const file = new MemoryFile(PIECE);
  await new OverlayDisk(new RawDisk(file)).close();
  assert.equal(file.closed, true);
});
