/**
 * The terminal from outside: a machine without a guest on a real pseudo-terminal, which `script` of Debian's essential
 * packages provides, and on pipes.
 */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readlinkSync } from 'node:fs';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MACHINE = fileURLToPath(new URL('./fixture-machine.ts', import.meta.url));
const needsScript = { skip: !existsSync('/usr/bin/script') && 'script is not installed' };
const CTRL_A = '\x01';

/** A running machine: what it printed, and ways to wait for more. */
class Run {
  readonly child: ChildProcessWithoutNullStreams;
  output = '';
  errors = '';
  #changed: () => void = () => {};
  #status: Promise<[number | null, NodeJS.Signals | null]>;

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args);
    this.child.stdin.on('error', () => {});
    this.child.stdout.on('data', (chunk: Buffer) => this.#take('output', chunk));
    this.child.stderr.on('data', (chunk: Buffer) => this.#take('errors', chunk));
    this.#status = once(this.child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    after(() => this.child.kill('SIGKILL'));
  }

  #take(stream: 'output' | 'errors', chunk: Buffer): void {
    this[stream] += chunk.toString('latin1');
    this.#changed();
  }

  /** Waits until the pattern has appeared on either stream. */
  async see(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output) ?? pattern.exec(this.errors);
      if (found) return found;
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
  }

  /** Waits for the machine's process and returns its id. */
  async ready(): Promise<number> {
    return Number((await this.see(/ready (\d+)/))[1]);
  }

  async status(): Promise<number | string | null> {
    const [code, signal] = await this.#status;
    return signal ?? code;
  }
}

/** On pipes. */
const onPipes = (...args: string[]): Run => new Run(process.execPath, [MACHINE, ...args]);

/** On a pseudo-terminal, with the terminal's settings printed before and after, and the status. */
function onTerminal(...args: string[]): Run {
  const machine = [process.execPath, MACHINE, ...args].map((word) => `'${word}'`).join(' ');
  const shell = `stty -a; echo ==; ${machine}; echo status=$?; echo ==; stty -a`;
  return new Run('/usr/bin/script', ['-qec', `sh -c "${shell.replaceAll('$', '\\$')}"`, '/dev/null']);
}

/** Waits for the end on a terminal and checks that its settings are what they were. Returns the machine's status. */
async function settingsAreRestored(run: Run): Promise<number> {
  await run.status();
  const [before, machine, after] = run.output.split('==\r\n');
  assert.match(before ?? '', / icanon .* echo /s);
  assert.equal(after, before);
  return Number(/status=(\d+)/.exec(machine ?? '')?.[1]);
}

/** The settings of the terminal that a process has as its standard input. */
const settings = (pid: number): string =>
  execFileSync('stty', ['-a', '-F', readlinkSync(`/proc/${pid}/fd/0`)], { encoding: 'utf8' });

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('a terminal is raw while the machine runs and as before when it powers off', needsScript, async () => {
  const run = onTerminal('echo');
  const pid = await run.ready();
  assert.match(settings(pid), /-icanon.*-echo /s);
  // What leaves the output alone is another process, which the machine does not wait for.
  await until(() => settings(pid).includes('-opost'));
  run.child.stdin.write('abc\x03\x1aq');
  assert.equal(await settingsAreRestored(run), 0);
  assert.ok(run.output.includes('abc\x03\x1a'), run.output);
});

test('Ctrl-A x leaves with status 0', needsScript, async () => {
  const run = onTerminal('echo');
  await run.ready();
  run.child.stdin.write(`${CTRL_A}x`);
  assert.equal(await settingsAreRestored(run), 0);
});

test('Ctrl-A x is seen when the guest does not take its input', needsScript, async () => {
  const run = onTerminal('deaf');
  await run.ready();
  run.child.stdin.write(`${'x'.repeat(10_000)}${CTRL_A}x`);
  assert.equal(await settingsAreRestored(run), 0);
});

test('Ctrl-A h lists the keys, and Ctrl-A a sends Ctrl-A', needsScript, async () => {
  const run = onTerminal('echo');
  await run.ready();
  run.child.stdin.write(`${CTRL_A}h`);
  await run.see(/Ctrl-A x {2}leaves/);
  run.child.stdin.write(`[${CTRL_A}a]`);
  await run.see(new RegExp(`\\[${CTRL_A}\\]`));
  run.child.stdin.write('q');
  assert.equal(await settingsAreRestored(run), 0);
});

test('the terminal is as before after an exception that nobody catches', needsScript, async () => {
  const run = onTerminal('echo');
  await run.ready();
  run.child.stdin.write('t');
  assert.equal(await settingsAreRestored(run), 1);
  assert.match(run.output, /thrown on request/);
});

test('the terminal is as before after process.exit', needsScript, async () => {
  const run = onTerminal('echo');
  await run.ready();
  run.child.stdin.write('e');
  assert.equal(await settingsAreRestored(run), 9);
});

for (const [signal, status] of [
  ['SIGTERM', 143],
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGQUIT', 131],
] as const) {
  test(`the terminal is as before after ${signal}, and the status is ${status}`, needsScript, async () => {
    const run = onTerminal('echo');
    process.kill(await run.ready(), signal);
    assert.equal(await settingsAreRestored(run), status);
  });
}

test('a stopped machine gives the terminal back, and takes it again when it goes on', needsScript, async () => {
  const run = onTerminal('echo');
  const pid = await run.ready();
  process.kill(pid, 'SIGTSTP');
  await until(() => / icanon/.test(settings(pid)));
  process.kill(pid, 'SIGCONT');
  await until(() => /-icanon/.test(settings(pid)));
  run.child.stdin.write('q');
  assert.equal(await settingsAreRestored(run), 0);
});

/** Every byte but Ctrl-A, in no order that a lost or doubled piece would keep. */
function noise(bytes: number): Buffer {
  let seed = 1;
  const next = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return 2 + ((seed >>> 16) % 254);
  };
  return Buffer.from(Array.from({ length: bytes }, next));
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('64 KiB pasted into a slow guest arrive whole', needsScript, async () => {
  const bytes = noise(65_536);
  const run = onTerminal('hash', '65536');
  await run.ready();
  run.child.stdin.write(bytes);
  await run.see(new RegExp(`65536 ${sha256(bytes)}`));
  assert.equal(await settingsAreRestored(run), 0);
});

test('a megabyte from a pipe arrives whole, Ctrl-A included, and its end ends nothing', async () => {
  const bytes = Buffer.concat([Buffer.from(`${CTRL_A}x`), noise(1_000_000)]);
  const run = onPipes('hash', '1000002');
  run.child.stdin.end(bytes);
  await run.see(new RegExp(`1000002 ${sha256(bytes)}`));
  assert.equal(await run.status(), 0);
});

test('a machine goes on after the end of its input until a signal ends it', async () => {
  const run = onPipes('echo');
  run.child.stdin.end('abc');
  await run.see(/abc/);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(run.child.exitCode, null);
  run.child.kill('SIGTERM');
  assert.equal(await run.status(), 143);
});

test('a sender whose bytes the guest does not take is held back', async () => {
  const run = onPipes('deaf');
  await run.ready();
  run.child.stdin.write(Buffer.alloc(20_000_000));
  await new Promise((resolve) => setTimeout(resolve, 500));
  // The pipe and Node's own buffers take a little more than the queue does.
  assert.ok(run.child.stdin.writableLength === 20_000_000, 'the write is still under way');
  const resident = execFileSync('ps', ['-o', 'rss=', '-p', String(run.child.pid)], { encoding: 'utf8' });
  assert.ok(Number(resident) < 120_000, `${resident.trim()} KiB are resident`);
  run.child.kill('SIGTERM');
  assert.equal(await run.status(), 143);
});

test('a slow reader gets all output, and little of it waits in memory', async () => {
  const run = onPipes('print', '50000000');
  run.child.stdout.pause();
  await new Promise((resolve) => setTimeout(resolve, 300));
  run.child.stdout.resume();
  assert.equal(await run.status(), 0);
  assert.ok(run.output.length >= 50_000_000);
  assert.equal(run.output.lastIndexOf('\n'), run.output.length - 1);
  assert.ok(Number(/largest (\d+)/.exec(run.errors)?.[1]) < 150e6, run.errors);
});

test('when the reader of the output goes away the machine ends with status 141, without a word', async () => {
  const run = onPipes('print', '50000000');
  await run.ready();
  run.child.stdout.destroy();
  assert.equal(await run.status(), 141);
  assert.match(run.errors, /^ready \d+\n(largest \d+\n)?$/);
});

test('a machine that waits at its end for a reader that does not read is ended by a second signal', async () => {
  const run = onPipes('print', '50000000');
  run.child.stdout.pause();
  await run.ready();
  await new Promise((resolve) => setTimeout(resolve, 300));
  run.child.kill('SIGTERM');
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(run.child.signalCode ?? run.child.exitCode, null);
  run.child.kill('SIGTERM');
  run.child.stdout.resume();
  assert.equal(await run.status(), 'SIGTERM');
});

test('a machine that takes no input leaves the terminal alone', needsScript, async () => {
  const run = onTerminal('no-input');
  const pid = await run.ready();
  assert.match(settings(pid), / icanon/);
  run.child.stdin.write('\x03');
  await run.status();
});
