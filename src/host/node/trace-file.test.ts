import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { FileError } from './files.ts';
import { TraceFile, vcpuTracks } from './trace-file.ts';

const FOLDER = mkdtempSync(join(tmpdir(), 'typervisor-trace-'));
after(() => rmSync(FOLDER, { recursive: true }));
const unexpected = (message: string): never => assert.fail(message);
const clock = { nanoseconds: () => 1e9 };

interface Event {
  readonly name: string;
  readonly ph: string;
  readonly tid: number;
  readonly args?: Record<string, unknown>;
}
const eventsOf = (path: string): Event[] => JSON.parse(readFileSync(path, 'utf8')) as Event[];

test('the tracks of all threads are in the file, each under its name', () => {
  const path = join(FOLDER, 'tracks.json');
  {
    using file = new TraceFile({ path, limitBytes: 10_000, vcpus: 1 }, clock, unexpected);
    const tracks = vcpuTracks(structuredClone(file.wire), clock, 0);
    tracks.vcpu.mark('on the vCPU', 1e9);
    tracks.compiler.mark('on the compiler', 1e9);
    tracks.flush();
    file.trace.mark('on the VMM', 1e9);
  }
  const events = eventsOf(path);
  const names = new Map(events.filter(({ name }) => name === 'thread_name').map((e) => [e.tid, e.args?.['name']]));
  const placed = events.filter(({ ph }) => ph === 'i').map(({ name, tid }) => [name, names.get(tid)]);
  assert.deepEqual(placed, [
    ['on the vCPU', 'vCPU 0'],
    ['on the compiler', 'compiler of vCPU 0'],
    ['on the VMM', 'VMM'],
    ['end of trace', 'VMM'],
  ]);
});

test('a file that is there is replaced', () => {
  const path = join(FOLDER, 'old.json');
  writeFileSync(path, 'x'.repeat(5000));
  new TraceFile({ path, limitBytes: 10_000, vcpus: 1 }, clock, unexpected)[Symbol.dispose]();
  assert.equal(eventsOf(path).at(-1)?.name, 'end of trace');
});

test('what goes beyond the limit is dropped and counted, and the file is whole', () => {
  const path = join(FOLDER, 'full.json');
  const file = new TraceFile({ path, limitBytes: 100_000, vcpus: 1 }, clock, unexpected);
  for (let n = 0; n < 3000; n++) file.trace.mark('mark', 1e9);
  file[Symbol.dispose]();
  const events = eventsOf(path);
  const kept = events.filter(({ name }) => name === 'mark').length;
  assert.ok(kept > 500 && kept < 2000, `${kept} marks`);
  assert.deepEqual(events.at(-1)?.args, { dropped: 3000 - kept });
  assert.ok(statSync(path).size < 102_000);
});

test('what a thread has flushed is in the file before its end is written', () => {
  const path = join(FOLDER, 'open.json');
  using file = new TraceFile({ path, limitBytes: 10_000, vcpus: 1 }, clock, unexpected);
  const tracks = vcpuTracks(file.wire, clock, 0);
  tracks.vcpu.mark('there', 1e9);
  tracks.flush();
  assert.equal((JSON.parse(`${readFileSync(path, 'utf8')}{}]`) as Event[]).at(-2)?.name, 'there');
});

test('events that are older than a tenth of a second are written with the next one', () => {
  const path = join(FOLDER, 'old-events.json');
  using file = new TraceFile({ path, limitBytes: 10_000, vcpus: 1 }, clock, unexpected);
  const times = [0, 0.05e9, 0.1e9, 0.1e9];
  const tracks = vcpuTracks(file.wire, { nanoseconds: () => times.shift() ?? 0 }, 0);
  const seen = (): number => readFileSync(path, 'utf8').split('"ph":"i"').length - 1;
  tracks.vcpu.mark('first', 0);
  tracks.vcpu.mark('second', 0);
  assert.equal(seen(), 0);
  tracks.vcpu.mark('third', 0);
  assert.equal(seen(), 3);
});

test('a process that exits finishes its file', () => {
  const path = join(FOLDER, 'exit.json');
  const module = pathToFileURL(join(import.meta.dirname, 'trace-file.ts')).href;
  const script = `
    import { TraceFile } from ${JSON.stringify(module)};
    const options = { path: ${JSON.stringify(path)}, limitBytes: 10000, vcpus: 1 };
    const file = new TraceFile(options, { nanoseconds: () => 0 }, () => {});
    file.trace.mark('last', 0);
    process.exit(0);`;
  execFileSync(process.execPath, ['--input-type=module', '-e', script]);
  assert.deepEqual(
    eventsOf(path)
      .slice(-2)
      .map(({ name }) => name),
    ['last', 'end of trace'],
  );
});

test('a path that cannot be opened is refused by name', () => {
  const path = join(FOLDER, 'no/trace.json');
  assert.throws(
    () => new TraceFile({ path, limitBytes: 1000, vcpus: 1 }, clock, unexpected),
    (error) =>
      error instanceof FileError && error.message === `trace ${JSON.stringify(path)}: there is no such file (ENOENT)`,
  );
});

test('a full device is reported once, at the end', () => {
  const messages: string[] = [];
  const file = new TraceFile({ path: '/dev/full', limitBytes: 10_000, vcpus: 1 }, clock, (text) => messages.push(text));
  file.trace.mark('lost', 1e9);
  assert.deepEqual(messages, []);
  file[Symbol.dispose]();
  file[Symbol.dispose]();
  assert.deepEqual(messages, ['trace "/dev/full": no space is left on its device (ENOSPC)']);
});
