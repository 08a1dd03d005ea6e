import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResizableDisk, DiskControlError, findDisk } from './disk-control.ts';
import { BlockDevice } from './block/device.ts';
import { MemoryDisk } from './block/testing.ts';

function control({ readOnly = false, fixed = false, blockSize = 512, id = 'ROOT' } = {}) {
  const disk = new MemoryDisk(0x10_0000);
  const shown = fixed ? Object.assign(Object.create(disk) as MemoryDisk, { resize: undefined }) : disk;
  const device = new BlockDevice({
    ...{ disk: shown, name: 'block vda', readOnly, id, blockSize, queues: 1, sparse: true, packed: false },
    yieldTurn: (resume) => void setImmediate(resume),
    onError: () => {},
  });
  return { disk, control: new ResizableDisk({ device, disk: shown, id, path: '/vm/root.img', blockSize }) };
}

const refused = (reason: string, message: RegExp) => (error: unknown) =>
  error instanceof DiskControlError && error.reason === reason && message.test(error.message);

test('a disk grows, and shrinks when that is said', async () => {
  const { disk, control: it } = control();
  await it.resize(0x20_0000);
  assert.equal(it.bytes, 0x20_0000);
  await it.resize(0x1000, { shrink: true });
  assert.deepEqual([it.bytes, disk.log], [0x1000, ['resize 2097152', 'resize 4096']]);
});

test('less than there is without being said, and no size, are refused by name and value', async () => {
  const { disk, control: it } = control({ blockSize: 4096 });
  await assert.rejects(
    it.resize(0x8_0000),
    refused('would-shrink', /"\/vm\/root\.img": 524288 bytes are less than the 1048576/),
  );
  for (const bytes of [0, -4096, 0x10_0200, 1.5, Number.NaN, 2 ** 60]) {
    await assert.rejects(
      it.resize(bytes, { shrink: true }),
      refused('bad-size', new RegExp(`: ${bytes} bytes are no size`)),
    );
  }
  assert.deepEqual(disk.log, []);
});

test('a disk that is read-only, or whose size is fixed, is not resized', async () => {
  await assert.rejects(
    control({ readOnly: true }).control.resize(0x20_0000),
    refused('disk-is-read-only', /read-only/),
  );
  await assert.rejects(control({ fixed: true }).control.resize(0x20_0000), refused('fixed-size', /fixed/));
});

test('resizes come one after the other, and one that fails holds up none', async () => {
  const { disk, control: it } = control();
  disk.hold = true;
  const [first, second] = [it.resize(0x20_0000), it.resize(0x30_0000)];
  await new Promise(setImmediate);
  assert.deepEqual(disk.log, ['resize 2097152']);
  disk.failure = new Error('no space is left');
  disk.held[0]?.();
  await assert.rejects(first, /no space is left/);
  disk.failure = undefined;
  await new Promise(setImmediate);
  disk.held[1]?.();
  await second;
  assert.equal(it.bytes, 0x30_0000);
});

test('the end waits for a resize under way, and allows no other', async () => {
  const { disk, control: it } = control();
  disk.hold = true;
  const resized = it.resize(0x20_0000);
  let ended = false;
  const end = it.end().then(() => {
    ended = true;
  });
  await new Promise(setImmediate);
  assert.equal(ended, false);
  disk.held[0]?.();
  await Promise.all([resized, end]);
  await assert.rejects(it.resize(0x30_0000), refused('ended', /ended/));
});

test('disks are found by place and by ID, and what is not there is refused', () => {
  const disks = [control({ id: 'A' }).control, control({ id: '' }).control];
  assert.equal(findDisk(disks, 1), disks[1]);
  assert.equal(findDisk(disks, 'A'), disks[0]);
  for (const which of [2, -1, 0.5, 'B', ''])
    assert.throws(() => findDisk(disks, which), refused('no-such-disk', /there is none among 2/));
});
