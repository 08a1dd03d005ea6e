/**
 * A machine without a guest, to test the terminal from outside: `fixture-machine.ts MODE`. It says "ready PID" on standard
 * error when its terminal is set up, and ends as `typervisor run` does.
 *
 *   echo            sends back what is typed; "q" powers off, "e" exits at once, "t" throws
 *   hash BYTES      takes BYTES slowly, as a serial port does, then prints their SHA-256 and powers off
 *   deaf            takes nothing
 *   print BYTES     prints BYTES as fast as the output takes them, then powers off
 *   no-input        takes no input at all
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { leaveStatus, Terminal } from '../../src/host/node/terminal.ts';

const [mode = 'echo', count = '0'] = process.argv.slice(2);
const total = Number(count);
const { promise: ended, resolve: end } = Promise.withResolvers<number>();
const terminal = new Terminal({ takesInput: mode !== 'no-input', onLeave: (reason) => end(leaveStatus(reason)) });
const { source, sink } = terminal;
// The vCPU thread of a real machine keeps the process up, whatever its input does.
const alive = setInterval(() => {}, 1000);

function echo(): void {
  for (let bytes = source.read(16); bytes.length > 0; bytes = source.read(16)) {
    for (const byte of bytes) {
      const key = String.fromCharCode(byte);
      if (key === 'q') end(0);
      else if (key === 'e') process.exit(9);
      else if (key === 't') throw new Error('thrown on request');
      else sink.write(Uint8Array.of(byte));
    }
  }
}

function hash(): void {
  const sum = createHash('sha256');
  let taken = 0;
  const timer = setInterval(() => {
    const bytes = source.read(1024);
    sum.update(bytes);
    taken += bytes.length;
    if (taken < total) return;
    clearInterval(timer);
    sink.write(Buffer.from(`${taken} ${sum.digest('hex')}\n`));
    end(0);
  }, 1);
}

function print(): void {
  const line = Buffer.from(`${'0123456789abcdef'.repeat(4).slice(1)}\n`);
  let printed = 0;
  let most = 0;
  const more = (): void => {
    while (printed < total && !sink.congested) {
      sink.write(line);
      printed += line.length;
    }
    most = Math.max(most, process.memoryUsage.rss());
    if (printed < total) return;
    process.stderr.write(`largest ${most}\n`);
    end(0);
  };
  sink.onDrain(more);
  more();
}

if (mode === 'echo') source.onReadable(echo);
else if (mode === 'hash') hash();
else if (mode === 'print') print();
process.stderr.write(`ready ${process.pid}\n`);

const status = await ended;
await terminal.close();
clearInterval(alive);
process.exit(status);
