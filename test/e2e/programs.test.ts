/**
 * Programs of the C library in the guest: what they compute is what the same binary computes on the host's processor, and
 * what Linux tells them about exceptions, threads, debuggers and time is right. One guest runs them all.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { need, skipReason } from '../guest/debian.ts';
import { type Console, launch } from './console.ts';
import { compiled, extendedInitrd, temporaryFolder } from './programs.ts';

const checks = compiled('checks');
const compat32 = compiled('compat32');
const options = { skip: skipReason(checks) || skipReason(compat32) };
let vm: Console;

before(async () => {
  if (options.skip !== false) return;
  const program = (path: string, file: string) => {
    return { kind: 'file', path, mode: 0o755, data: readFileSync(file) } as const;
  };
  const initrd = extendedInitrd(temporaryFolder(), [
    program('bin/checks', need(checks)),
    program('bin/compat32', need(compat32)),
  ]);
  vm = launch(['-i', initrd]);
  await vm.prompt();
});
after(() => vm?.[Symbol.asyncDispose]());

/** Without the instruction sets that the guest's processor lacks: the C library chooses its functions by them. */
const LIKE_THE_GUEST = { GLIBC_TUNABLES: 'glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-FMA,-FMA4' };

/** What a program prints on the host. */
function natively(program: string, ...args: string[]): string {
  const { stdout, stderr, status } = spawnSync(program, args, { encoding: 'utf8', env: LIKE_THE_GUEST });
  assert.equal(status, 0, stderr);
  return stdout.trimEnd();
}

for (const [name, subject] of [
  ['float', 'floating point, printed to the last bit,'],
  ['rounding', 'rounding modes and exception flags'],
  ['integer', 'division, sorting, string functions and vector loops'],
] as const) {
  test(`${subject} come out as on the host`, options, async () => {
    assert.equal(await vm.run(`checks ${name}`), natively(need(checks), name));
  });
}

/** A kernel without IA-32 emulation does not take the program for one, and what starts it gives it to the shell, which quotes it. */
function cannotExecute(program: string): string | false {
  const { status, stderr } = spawnSync(program, { encoding: 'latin1', env: LIKE_THE_GUEST });
  return status !== 0 && stderr.includes('ELF') && 'this host executes no 32-bit programs';
}
const skip32 = options.skip || cannotExecute(need(compat32));

test('a 32-bit program runs as on the host, into 64-bit code and back', { skip: skip32 }, async () => {
  assert.equal(await vm.run('compat32'), natively(need(compat32)));
});

test('every processor exception becomes the right signal with the right code and address', options, async () => {
  assert.equal(await vm.run('checks signals'), 'ok');
});

test('a computation that signals interrupt goes on as if nothing had been', options, async () => {
  assert.equal(await vm.run('checks signal-state'), natively(need(checks), 'signal-state'));
});

test('threads exclude each other, wait for each other and keep their own state', options, async () => {
  assert.equal(await vm.run('checks threads'), '16000 56000 160');
});

test('processes fork, execute, switch and pass data', options, async () => {
  assert.equal(await vm.run('checks processes'), 'ok');
});

test('protection, copy on write and remapping hold for every access', options, async () => {
  assert.equal(await vm.run('checks paging'), 'ok');
});

test('code that changes while it runs is executed as it is now', options, async () => {
  assert.equal(await vm.run('checks jit'), 'ok');
});

test('a debugger steps through every instruction once', options, async () => {
  assert.equal(await vm.run('checks single-step'), 'loop 303\nstring 5\nstatus 7');
});

test('hardware breakpoints hit where code is executed and data is written and read', options, async () => {
  const expected = ['executed 10 written 10', 'accessed 20', 'copied past 1', 'executed 1'];
  assert.equal(await vm.run('checks breakpoints'), expected.join('\n'));
});

test('setjmp, longjmp and contexts switch stacks', options, async () => {
  assert.equal(await vm.run('checks jumps'), 'ok');
});

test('time goes forward in the vDSO, in the kernel and in the processor', options, async () => {
  assert.equal(await vm.run('checks time'), 'ok');
});

test('80 % of free memory hold what is written to them', options, async () => {
  assert.match(await vm.run('checks memory 80,1'), /^1[5-9]\d MiB$/);
});

test('no program made the kernel complain', options, async () => {
  // Its notes on the programs' faults are no complaints, and a timer interrupt takes long on a busy host.
  assert.equal(await vm.run('dmesg -r | grep "^<[0-4]>" | grep -vE "checks\\[|hrtimer: interrupt took"; true'), '');
});
