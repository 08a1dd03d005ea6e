/** `--stats` and `--trace-file` on whole machines. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { OCCUPATIONS, type WasmVcpuStats } from '../../src/hypervisor/stats.ts';
import { launch, NODE, typervisor } from './console.ts';
import { exitKernel } from './kernels.ts';
import { temporaryFolder } from './programs.ts';

const folder = temporaryFolder();
const POWER_OFF = { input: 'for i in 1 2 3; do seq 2000 | md5sum; done; poweroff -f\n' };

interface Event {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}
const eventsOf = (path: string): Event[] => JSON.parse(readFileSync(path, 'utf8')) as Event[];

/** Fails unless every event has what its kind needs, and the slices of a track lie in one another or one behind the other. */
function checkEvents(events: readonly Event[]): void {
  const ends = new Map<number, number[]>();
  for (const event of events) {
    assert.equal(typeof event.name, 'string');
    assert.ok(Number.isInteger(event.tid) && event.pid > 0, JSON.stringify(event));
    assert.ok('MXiC'.includes(event.ph), JSON.stringify(event));
    if (event.ph !== 'M') assert.ok(event.ts !== undefined && event.ts >= 0, JSON.stringify(event));
    if (event.ph === 'X') assert.ok(event.dur !== undefined && event.dur >= 0, JSON.stringify(event));
    if (event.ph === 'C') assert.ok(Object.values(event.args ?? {}).every((value) => Number(value) >= 0));
  }
  // Times are rounded to nanoseconds.
  const slack = 0.01;
  const slices = events.filter(({ ph }) => ph === 'X') as Required<Event>[];
  for (const { tid, ts, dur, name } of slices.toSorted((a, b) => a.ts - b.ts || b.dur - a.dur)) {
    const open = ends.get(tid) ?? [];
    ends.set(tid, open);
    while (open.length > 0 && (open.at(-1) as number) <= ts + slack) open.pop();
    const outer = open.at(-1) ?? Infinity;
    assert.ok(ts + dur <= outer + slack, `${name} at ${ts} for ${dur} reaches beyond ${outer}`);
    open.push(ts + dur);
  }
}

test('a boot with --trace-file gives a file with guest code, translations, devices and curves', async () => {
  const path = join(folder, 'boot.json');
  await using vm = launch(['--trace-file', path], POWER_OFF);
  await vm.exits(0);
  assert.equal(vm.errors, '');
  const events = eventsOf(path);
  checkEvents(events);
  const tracks = new Map(
    events.filter(({ name }) => name === 'thread_name').map((event) => [event.tid, event.args?.['name'] as string]),
  );
  const kinds = new Set(events.map(({ ph, tid, name }) => `${ph} ${tracks.get(tid) ?? 'none'}: ${name}`));
  const wanted = [
    'X VMM: load kernel',
    'X VMM: devices',
    'X vCPU 0: guest code',
    'X vCPU 0: port read',
    'X vCPU 0: install region',
    'i vCPU 0: interrupt',
    'X compiler of vCPU 0: translate',
    'X compiler of vCPU 0: compile',
    'C none: million instructions a second',
    'C none: regions',
    'C none: TLB misses a millisecond',
    'i VMM: end: power-off',
  ];
  assert.deepEqual(
    wanted.filter((kind) => !kinds.has(kind)),
    [],
  );
  const installed = events.filter(({ name }) => name === 'install region');
  for (const { args } of installed) {
    assert.match(String(args?.['rip']), /^0x[0-9a-f]+$/);
    assert.ok(Number(args?.['instructions']) > 0 && Number(args?.['bytes']) > 0);
  }
  assert.deepEqual(events.at(-1)?.args, { dropped: 0 });
  const guest = events.filter(({ name }) => name === 'guest code');
  assert.ok(guest.reduce((sum, { args }) => sum + Number(args?.['instructions']), 0) > 10_000_000);
});

test('the trace of a machine that a signal ends is whole', async () => {
  const path = join(folder, 'signal.json');
  await using vm = launch(['--trace-file', path]);
  await vm.prompt();
  // A guest that is halted at least once before the signal comes.
  await vm.run('sleep 0.1');
  vm.child.kill('SIGTERM');
  await vm.exits(143);
  const events = eventsOf(path);
  checkEvents(events);
  assert.ok(events.some(({ name }) => name === 'halt'));
  assert.deepEqual(
    events.slice(-2).map(({ name }) => name),
    ['end: stopped', 'end of trace'],
  );
});

test('a trace file that cannot be written is refused before the guest starts', async () => {
  const path = join(folder, 'no', 'trace.json');
  await using vm = launch(['--trace-file', path], { input: '' });
  await vm.exits(1);
  assert.equal(vm.output, '');
  assert.equal(vm.errors, `typervisor: trace ${JSON.stringify(path)}: there is no such file (ENOENT)\n`);
});

test('without --trace-file and --stats no file and no counters appear', async () => {
  await using vm = typervisor(['run', '--debug-exit', 'port=0xf4', exitKernel(folder, 0)], { cwd: folder });
  await vm.exits(1);
  assert.equal(vm.errors, '');
  assert.equal(existsSync(join(folder, 'trace.json')), false);
});

test('--stats prints where the time went', async () => {
  // Long enough for translated code on a host that has no core free.
  await using vm = launch(['--stats'], { input: 'dd if=/dev/zero bs=1M count=12 | sha256sum; poweroff -f\n' });
  await vm.exits(0);
  for (const name of ['interpreted code', 'translated code', 'decoding', 'devices', 'system instructions, x87']) {
    const [, seconds] = new RegExp(`^  ${name} +(\\d+\\.\\d{3}) s +[\\d.]+ %$`, 'm').exec(vm.errors) ?? [];
    assert.ok(Number(seconds) > 0, `${name}: ${seconds}${vm.transcript()}`);
  }
  assert.match(vm.errors, /^ {2}TLB misses, reads +[1-9][\d,]*$/m);
});

test('the library returns what was counted as data', () => {
  const script = join(folder, 'library.mjs');
  const index = fileURLToPath(new URL('../../src/index.ts', import.meta.url));
  const config = { kernel: exitKernel(folder, 2), debugExit: { port: 0xf4 }, stats: true, serial: [] };
  writeFileSync(
    script,
    `import { DEFAULT_CONFIG, runMachine } from ${JSON.stringify(index)};
     console.log(JSON.stringify(await runMachine({ ...DEFAULT_CONFIG, ...${JSON.stringify(config)} })));`,
  );
  const { stdout, stderr } = spawnSync(NODE, ['--no-wasm-deopt', script], { encoding: 'utf8', input: '' });
  assert.equal(stderr, '');
  const { status, vcpus, seconds } = JSON.parse(stdout) as { status: number; vcpus: WasmVcpuStats[]; seconds: number };
  assert.equal(status, 5);
  assert.ok(seconds > 0);
  const [stats] = vcpus as [WasmVcpuStats];
  assert.ok(stats.instructions > 0 && stats.instructions < 1000);
  assert.equal(stats.translated, 0);
  assert.equal(stats.systemInstructions['out'], stats.deviceCalls + stats.postedWrites);
  assert.deepEqual(Object.keys(stats.times?.seconds ?? {}), [...OCCUPATIONS]);
});
