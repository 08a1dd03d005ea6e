import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocateMachineMemory, planMachineMemory } from '../memory/machine-memory.ts';
import { CodeWrites, takeCodeWrites } from './code-writes.ts';
import { ControlArea, REQUEST_DROP_CODE, STATE_PAUSED, STATE_RUNNING } from './control.ts';

const RAM_BYTES = 0x200_0000;

/** Two vCPUs that run. */
function rig() {
  const map = planMachineMemory({ ramBytes: RAM_BYTES, vcpuCount: 2, vcpuBytes: 65536 });
  const { buffer } = allocateMachineMemory(map);
  const area = new ControlArea(buffer, map);
  area.initialize();
  const ram = new Uint8Array(buffer, map.ram, RAM_BYTES);
  const codeMap = new Int32Array(buffer, map.codeMap, RAM_BYTES / 4096);
  const writes = new CodeWrites(area, { ram, codeMap });
  for (const vcpu of [0, 1]) area.vcpu(vcpu).state = STATE_RUNNING;
  const wrote = (page: number, bytes = 1, offset = 0): Promise<void> | undefined =>
    writes.hostWrote([ram.subarray(page * 4096 + offset, page * 4096 + offset + bytes)]);
  /** What a vCPU's thread does when it is asked. */
  const serve = (vcpu: number): readonly number[] | 'all' => {
    assert.equal(area.vcpu(vcpu).requests & REQUEST_DROP_CODE, REQUEST_DROP_CODE);
    area.vcpu(vcpu).clearRequest(REQUEST_DROP_CODE);
    const { pages, acknowledge } = takeCodeWrites(area, vcpu);
    acknowledge();
    return pages;
  };
  return { area, codeMap, writes, wrote, serve };
}

const isDone = async (promise: Promise<void> | undefined): Promise<boolean> => {
  await new Promise(setImmediate);
  return Promise.race([promise?.then(() => true), Promise.resolve(false)]) as Promise<boolean>;
};

test('where no code was, nobody is asked', () => {
  const { area, codeMap, wrote } = rig();
  codeMap[4] = 1;
  codeMap[6] = 1;
  assert.equal(wrote(5, 4096), undefined);
  assert.equal(wrote(4, 0), undefined);
  assert.equal(area.vcpu(0).requests, 0);
});

test('where code was, every vCPU drops the pages before it is done', async () => {
  const { codeMap, wrote, serve } = rig();
  codeMap[4] = 1;
  codeMap[6] = 0x8000_0000 | 0;
  const done = wrote(3, 3 * 4096 + 1, 8);
  assert.ok(done);
  assert.equal(await isDone(done), false);
  assert.deepEqual(serve(0), [4, 6]);
  assert.equal(await isDone(done), false);
  assert.deepEqual(serve(1), [4, 6]);
  await done;
});

test('what comes while a batch is under way is in the next', async () => {
  const { codeMap, wrote, serve } = rig();
  codeMap.fill(1, 0, 10);
  const first = wrote(1);
  const second = wrote(2);
  const third = wrote(3);
  assert.deepEqual([serve(0), serve(1)], [[1], [1]]);
  await first;
  await new Promise(setImmediate);
  assert.equal(await isDone(second), false);
  assert.deepEqual(
    [serve(0), serve(1)],
    [
      [2, 3],
      [2, 3],
    ],
  );
  await Promise.all([second, third]);
});

test('more pages than the list holds are all code', async () => {
  const { codeMap, wrote, serve } = rig();
  codeMap.fill(1, 0, 1000);
  const done = wrote(0, 1000 * 4096);
  assert.deepEqual([serve(0), serve(1)], ['all', 'all']);
  await done;
});

test('a vCPU that is paused is not waited for, and drops everything when it has missed a batch', async () => {
  const { area, codeMap, wrote, serve } = rig();
  codeMap.fill(1, 0, 10);
  area.vcpu(1).state = STATE_PAUSED;
  for (const page of [1, 2]) {
    const done = wrote(page);
    assert.deepEqual(serve(0), [page]);
    await done;
  }
  assert.equal(serve(1), 'all');
});

test('a vCPU that is paused while it is waited for ends the wait', async () => {
  const { area, codeMap, wrote, serve } = rig();
  codeMap[1] = 1;
  const done = wrote(1);
  serve(0);
  area.vcpu(1).state = STATE_PAUSED;
  await done;
});

test('when the machine ends nothing is waited for', async () => {
  const { codeMap, wrote, writes } = rig();
  codeMap[1] = 1;
  const done = wrote(1);
  writes.release();
  await done;
});
