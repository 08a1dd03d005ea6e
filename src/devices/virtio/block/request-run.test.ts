import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestRun, type Transfer } from './request-run.ts';

/** The runs that reads and writes "kind offset+bytes" become. */
function runsOf(...requests: readonly string[]): string[] {
  const runs: string[] = [];
  const run = new RequestRun<{ readonly request: Transfer }>((started) => {
    runs.push(started.map(({ request }) => `${request.kind} ${request.offset}+${request.bytes}`).join(', '));
  });
  for (const text of requests) {
    const [, kind, offset, bytes] = /^(read|write) (\d+)\+(\d+)$/.exec(text) as unknown as string[];
    run.add({ request: { kind: kind as 'read' | 'write', offset: Number(offset), bytes: Number(bytes) } });
  }
  run.flush();
  run.flush();
  return runs;
}

test('what follows on the disk and is of one kind is a run, in its order', () => {
  assert.deepEqual(runsOf('write 0+512', 'write 512+1024', 'read 1536+512', 'read 2048+512', 'read 512+512'), [
    'write 0+512, write 512+1024',
    'read 1536+512, read 2048+512',
    'read 512+512',
  ]);
  assert.deepEqual(runsOf(), []);
});

test('a run has at most 256 KiB and 64 requests, and a larger request is alone', () => {
  const pages = Array.from({ length: 65 }, (_, n) => `read ${n * 4096}+4096`);
  assert.deepEqual(
    runsOf(...pages).map((run) => run.split(', ').length),
    [64, 1],
  );
  const sectors = Array.from({ length: 65 }, (_, n) => `read ${n * 512}+512`);
  assert.deepEqual(
    runsOf(...sectors).map((run) => run.split(', ').length),
    [64, 1],
  );
  assert.deepEqual(runsOf('read 0+4096', 'read 4096+1048576', 'read 1052672+512').length, 3);
});
