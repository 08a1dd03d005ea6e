import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocateMachineMemory, planMachineMemory } from '../memory/machine-memory.ts';
import {
  ControlArea,
  ENTRY_WORDS,
  MAX_VCPUS,
  REQUEST_PAUSE,
  REQUEST_RESET,
  RING_ENTRIES,
  STATE_PAUSED,
} from './control.ts';

function area(vcpuCount: number): ControlArea {
  const map = planMachineMemory({ ramBytes: 65536, vcpuCount, vcpuBytes: 65536 });
  const control = new ControlArea(allocateMachineMemory(map).buffer, map);
  control.initialize();
  return control;
}

test('records and mailboxes of 64 vCPUs and the ring do not overlap and end inside the area', () => {
  const control = area(MAX_VCPUS);
  const starts: number[] = [];
  for (let vcpu = 0; vcpu < MAX_VCPUS; vcpu++) starts.push(control.recordAt(vcpu), control.mailboxAt(vcpu));
  const sorted = [...starts].sort((a, b) => a - b);
  for (let n = 1; n < sorted.length; n++) assert.ok(sorted[n]! - sorted[n - 1]! >= 16);
  assert.ok(control.ringAt - sorted.at(-1)! >= 32);
  assert.equal(control.ringEntryAt(RING_ENTRIES), control.ringAt + 16);
  assert.ok(control.ringEntryAt(RING_ENTRIES - 1) + ENTRY_WORDS <= control.words.length);
});

test('a vCPU of 65 is refused', () => {
  assert.throws(() => area(MAX_VCPUS + 1), /65 vCPUs are more than 64/);
});

test('a kick before the wait ends the wait at once', () => {
  const vcpu = area(1).vcpu(0);
  vcpu.clearKick();
  vcpu.kick();
  const before = performance.now();
  vcpu.waitForKick(5000);
  assert.ok(performance.now() - before < 2000);
  assert.equal(vcpu.kicked, true);
  vcpu.clearKick();
  assert.equal(vcpu.kicked, false);
});

test('a request kicks and stays until it is cleared', () => {
  const vcpu = area(2).vcpu(1);
  vcpu.request(REQUEST_PAUSE);
  vcpu.request(REQUEST_RESET);
  vcpu.clearRequest(REQUEST_PAUSE);
  assert.equal(vcpu.requests, REQUEST_RESET);
  assert.equal(vcpu.kicked, true);
});

test('waiting for a state resolves when the vCPU gets there', async () => {
  const vcpu = area(1).vcpu(0);
  const paused = vcpu.reaches(STATE_PAUSED);
  vcpu.state = STATE_PAUSED;
  await paused;
});

test('the doorbell is not slept on when it rang since the last look', async () => {
  const control = area(1);
  const seen = control.doorbell();
  control.ring();
  assert.equal(control.sleep(seen), undefined);
  const wait = control.sleep(control.doorbell());
  control.ring();
  await wait;
});

test('a ring that looks for a sleeper just before it sleeps does not keep the next one from waking it', async (t) => {
  const control = area(1);
  const doorbellWord = control.recordAt(0) - 16;
  const sleepingWord = doorbellWord + 1;
  const { waitAsync } = Atomics;
  t.mock.method(Atomics, 'waitAsync', (words: Int32Array, at: number, value: number) => {
    // The second half of a ring whose count `seen` includes already.
    if (Atomics.exchange(words, sleepingWord, 0) !== 0) Atomics.notify(words, doorbellWord);
    return waitAsync(words, at, value);
  });
  const wait = control.sleep(control.doorbell());
  control.ring();
  const woken = await Promise.race([wait, new Promise((resolve) => setTimeout(resolve, 2000, 'asleep'))]);
  assert.equal(woken, 'ok');
});
