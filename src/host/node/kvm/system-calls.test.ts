/** The system calls by koffi and by node:ffi do the same. */
import assert from 'node:assert/strict';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import {
  EFD_CLOEXEC,
  MAP_FIXED,
  MAP_SHARED,
  MFD_CLOEXEC,
  O_CLOEXEC,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
} from '../../../hypervisor/kvm/defs.ts';
import { EAGAIN, EINTR, type SystemCalls } from '../../../hypervisor/kvm/system-calls.ts';
import { ffiCalls } from './ffi-calls.ts';
import { koffiCalls } from './koffi-calls.ts';
import { loadSystemCalls } from './load-system-calls.ts';

const ENOENT = 2;
const ENOTTY = 25;
const WASM_PAGE = 65536;
const SIGNAL = 41;
const EFD_NONBLOCK = 0o4000;
const TCGETS = 0x5401;

/** What an import that may fail gives, or why it does not. */
async function attempt(
  load: () => SystemCalls | Promise<SystemCalls>,
): Promise<{ calls?: SystemCalls; skip: string | false }> {
  try {
    return { calls: await load(), skip: false };
  } catch (error) {
    return { skip: `not to be loaded: ${error instanceof Error ? error.message : String(error)}` };
  }
}

const count = (value: bigint): Uint8Array => new Uint8Array(new BigUint64Array([value]).buffer);

for (const [name, load] of [
  ['koffi', koffiCalls],
  ['node:ffi', ffiCalls],
] as const) {
  const { calls: loaded, skip } = await attempt(load);
  const calls = loaded as SystemCalls;

  test(`${name}: a file that does not exist gives ENOENT, negated`, { skip }, () => {
    assert.equal(calls.open('/no/such/file', O_RDWR | O_CLOEXEC), -ENOENT);
  });

  test(`${name}: an opened file has a descriptor that closes once`, { skip }, () => {
    const fd = calls.open('/dev/null', O_RDWR | O_CLOEXEC);
    assert.equal(readlinkSync(`/proc/self/fd/${fd}`), '/dev/null');
    assert.equal(calls.close(fd), 0);
    assert.ok(calls.close(fd) < 0);
  });

  test(`${name}: an ioctl on what is no terminal gives ENOTTY, with a number and with a structure`, { skip }, () => {
    const fd = openSync('/dev/null', 'r');
    assert.equal(calls.ioctl(fd, TCGETS, 0), -ENOTTY);
    assert.equal(calls.ioctlStruct(fd, TCGETS, new Uint8Array(64)), -ENOTTY);
    closeSync(fd);
  });

  test(`${name}: an eventfd gives back what was counted, then would block`, { skip }, () => {
    const fd = calls.eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK);
    assert.equal(calls.write(fd, count(4n)), 8);
    const into = new Uint8Array(8);
    assert.equal(calls.read(fd, into), 8);
    assert.deepEqual(into, count(7n));
    assert.equal(calls.read(fd, into), -EAGAIN);
    calls.close(fd);
  });

  test(`${name}: a memfd mapped over a WebAssembly memory holds the same bytes as a view of its address`, {
    skip,
  }, () => {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
    const fd = calls.memfdCreate('test', MFD_CLOEXEC);
    assert.equal(calls.ftruncate(fd, WASM_PAGE), 0);
    const address = calls.addressOf(memory.buffer) + WASM_PAGE;
    assert.equal(calls.mmap(address, WASM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), address);
    const elsewhere = calls.mmap(0, WASM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const view = new Uint8Array(calls.view(elsewhere, WASM_PAGE));
    new Uint8Array(memory.buffer)[WASM_PAGE + 5] = 42;
    assert.equal(view[5], 42);
    assert.equal(calls.munmap(elsewhere, WASM_PAGE), 0);
    calls.close(fd);
  });

  test(`${name}: a mapping that cannot be made gives its error, negated`, { skip }, () => {
    assert.equal(calls.mmap(0, 4096, PROT_READ, MAP_SHARED, -1, 0), -9);
  });

  test(`${name}: a signal gets a thread out of a system call that blocks`, { skip }, async () => {
    assert.equal(calls.interruptOn(SIGNAL), 0);
    const shared = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(
      `const { workerData, parentPort } = require('node:worker_threads');
       import(workerData.module).then(async (module) => {
         const calls = await module[workerData.load]();
         const fd = calls.eventfd(0, 0);
         Atomics.store(workerData.shared, 0, calls.gettid());
         Atomics.notify(workerData.shared, 0);
         const result = calls.read(fd, new Uint8Array(8));
         calls.close(fd);
         parentPort.postMessage(result);
       });`,
      {
        eval: true,
        workerData: {
          module: import.meta.resolve(name === 'koffi' ? './koffi-calls.ts' : './ffi-calls.ts'),
          load: load.name,
          shared,
        },
      },
    );
    let result: number | undefined;
    worker.once('message', (value: number) => {
      result = value;
    });
    const wait = Atomics.waitAsync(shared, 0, 0);
    if (wait.async) await wait.value;
    // The thread may not have come to its read yet: the signal that it has missed is sent again.
    while (result === undefined) {
      calls.signalThread(shared[0], SIGNAL);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(result, -EINTR);
    await worker.terminate();
  });

  test(`${name}: a descriptor that is watched calls back when it can be read`, {
    skip: skip || (calls.watch === undefined && `${name} cannot wait for descriptors`),
  }, async () => {
    const fd = calls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const into = new Uint8Array(8);
    await new Promise<void>((resolve) => {
      const watch = calls.watch?.(fd, () => {
        calls.read(fd, into);
        watch?.[Symbol.dispose]();
        resolve();
      });
      calls.write(fd, count(2n));
    });
    assert.deepEqual(into, count(2n));
    calls.close(fd);
  });
}

test('koffi makes the calls where it is installed', { skip: (await attempt(koffiCalls)).skip }, async () => {
  assert.equal((await loadSystemCalls()).implementation, 'koffi');
});
