/** The process around a machine on KVM: it can end at any time, and what it does not use it does not load. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostKvm } from '../../src/hypervisor/kvm/testing.ts';
import { NODE } from './console.ts';
import { haltKernel, exitKernel } from './kernels.ts';
import { temporaryFolder } from './programs.ts';

const folder = temporaryFolder();
const { skip } = await hostKvm();
/** Only a process that does not end takes this long, also on a host that is emulated. */
const LIMIT_MS = 180_000;

/** Runs a program that has `run` to start a machine with a kernel, and `ready` for when the guest has said so, just before it halts for ever inside the kernel. */
function program(name: string, kernel: string, hypervisor: 'kvm' | 'wasm', body: string) {
  const path = join(folder, `${name}.mjs`);
  const config = {
    kernel,
    hypervisor,
    debugExit: { port: 0xf4 },
    hugePages: false,
    serial: [{ num: 1, type: 'stdout', console: true, stdin: false }],
  };
  writeFileSync(
    path,
    `import { readFileSync } from 'node:fs';
     import { DEFAULT_CONFIG, runMachine } from ${JSON.stringify(import.meta.resolve('../../src/index.ts'))};
     const write = process.stdout.write.bind(process.stdout);
     let text = '';
     const ready = new Promise((resolve) => {
       process.stdout.write = (chunk, ...rest) => {
         text += Buffer.from(chunk).toString();
         if (text.includes('ready')) resolve();
         rest.at(-1)?.();
         return true;
       };
     });
     const run = () => runMachine({ ...DEFAULT_CONFIG, ...${JSON.stringify(config)} });
     ${body}`,
  );
  return spawnSync(NODE, ['--no-wasm-deopt', path], {
    encoding: 'utf8',
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    input: '',
  });
}

test('process.exit ends a process whose vCPU is in the guest', { skip }, () => {
  const body = 'void run(); await ready; process.exit(7);';
  const { status, signal, stderr } = program('exit', haltKernel(folder), 'kvm', body);
  assert.deepEqual({ status, signal, stderr }, { status: 7, signal: null, stderr: '' });
});

test('an uncaught exception ends a process whose vCPU is in the guest', { skip }, () => {
  const body = "void run(); await ready; setImmediate(() => { throw new Error('on purpose'); });";
  const { status, signal, stderr } = program('throw', haltKernel(folder), 'kvm', body);
  assert.deepEqual([status, signal], [1, null]);
  assert.match(stderr, /Error: on purpose/);
});

test('several machines may run one after the other in a process', { skip }, () => {
  const body = 'const ends = []; for (let n = 0; n < 5; n++) ends.push((await run()).status); write(ends.join());';
  const { stdout, stderr } = program('again', exitKernel(folder, 4), 'kvm', body);
  assert.deepEqual([stdout, stderr], ['9,9,9,9,9', '']);
});

test('several machines may run at once in a process', { skip }, () => {
  const body = 'const ends = await Promise.all([run(), run(), run()]); write(ends.map((end) => end.status).join());';
  const { stdout, stderr } = program('at-once', exitKernel(folder, 4), 'kvm', body);
  assert.deepEqual([stdout, stderr], ['9,9,9', '']);
});

test('a machine on WebAssembly without huge pages loads neither koffi nor node:ffi', () => {
  const body = `const { status } = await run();
    write(JSON.stringify({
      status,
      koffi: readFileSync('/proc/self/maps', 'utf8').includes('koffi'),
      ffi: process.moduleLoadList.some((name) => name === 'NativeModule ffi'),
    }));`;
  const { stdout, stderr } = program('unloaded', exitKernel(folder, 4), 'wasm', body);
  assert.equal(stderr, '');
  assert.deepEqual(JSON.parse(stdout), { status: 9, koffi: false, ffi: false });
});
