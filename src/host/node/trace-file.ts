/**
 * The file of `--trace-file`, written by all threads of a machine: each gathers the lines of its tracks and appends them with one write, so
 * what a thread has written is there when the process dies. What would make the file longer than its limit is dropped and counted.
 *
 * @module
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { getSystemErrorMap } from 'node:util';
import {
  createTrack,
  processName,
  TRACE_END,
  TRACE_START,
  type TraceLines,
  trackName,
} from '../../util/chrome-trace.ts';
import type { Clock } from '../../util/clock.ts';
import type { Trace, VcpuTrace } from '../../util/trace.ts';
import { systemError } from './files.ts';

/** What a thread needs to write; survives `structuredClone`. */
export interface TraceWire {
  readonly fd: number;
  readonly process: number;
  readonly origin: number;
  readonly limitBytes: number;
  /** Words that the threads share: USED, DROPPED, FAILED. */
  readonly shared: Int32Array;
}

/** Bytes in the file, events that were dropped, and the number of the error that ended the writing. */
// biome-ignore format: a table
const USED = 0, DROPPED = 1, FAILED = 2, WORDS = 3;
/** Lines wait until there are so many characters, or the first of them is so old. */
const BATCH_CHARACTERS = 0x1_0000,
  BATCH_NS = 100e6;

/** What FAILED is when the system gave no number. */
const UNKNOWN_ERROR = -1_000_000;

const VMM_TRACK = 1;
const vcpuTrack = (index: number): number => 2 + 2 * index;

/** The lines of one thread's tracks on their way to the file. */
export class TraceBatch implements TraceLines {
  readonly #wire: TraceWire;
  readonly #clock: Clock;
  #text = '';
  #events = 0;
  #since = 0;

  constructor(wire: TraceWire, clock: Clock) {
    this.#wire = wire;
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.nanoseconds();
  }

  add(line: string): void {
    const now = this.now();
    if (this.#events === 0) this.#since = now;
    this.#text += line;
    this.#events++;
    if (this.#text.length >= BATCH_CHARACTERS || now - this.#since >= BATCH_NS) this.flush();
  }

  /** Writes what waits. */
  flush(): void {
    const bytes = Buffer.from(this.#text);
    const events = this.#events;
    this.#text = '';
    this.#events = 0;
    if (events === 0) return;
    const { shared, limitBytes } = this.#wire;
    const before = Atomics.add(shared, USED, bytes.length);
    if (before + bytes.length <= limitBytes && Atomics.load(shared, FAILED) === 0) append(this.#wire, bytes);
    else {
      // Shorter batches, and those of other threads, may still fit.
      Atomics.sub(shared, USED, bytes.length);
      Atomics.add(shared, DROPPED, events);
    }
  }
}

function append({ fd, shared }: TraceWire, bytes: Uint8Array): void {
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  } catch (error) {
    Atomics.compareExchange(shared, FAILED, 0, (error as NodeJS.ErrnoException).errno ?? UNKNOWN_ERROR);
  }
}

/** The tracks of a vCPU's thread; `flush` before it ends. */
export function vcpuTracks(wire: TraceWire, clock: Clock, index: number): VcpuTrace & { flush(): void } {
  const batch = new TraceBatch(wire, clock);
  const track = (thread: number): Trace => createTrack(batch, { ...wire, thread });
  return { vcpu: track(vcpuTrack(index)), compiler: track(vcpuTrack(index) + 1), flush: () => batch.flush() };
}

/** Curves of a vCPU, which lie beside its tracks. */
export function counterTrack(wire: TraceWire, clock: Clock): { readonly trace: Trace; flush(): void } {
  const batch = new TraceBatch(wire, clock);
  return { trace: createTrack(batch, { ...wire, thread: 0 }), flush: () => batch.flush() };
}

export class TraceFile implements Disposable {
  readonly wire: TraceWire;
  /** The VMM thread's. */
  readonly trace: Trace;
  readonly #path: string;
  readonly #batch: TraceBatch;
  readonly #onError: (message: string) => void;
  #isOpen = true;

  /** Throws FileError. `onError` is told at the end what went wrong while writing. */
  constructor(
    options: { readonly path: string; readonly limitBytes: number; readonly vcpus: number },
    clock: Clock,
    onError: (message: string) => void,
  ) {
    const { path, limitBytes, vcpus } = options;
    this.#path = path;
    this.#onError = onError;
    let fd: number;
    try {
      const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND, O_NONBLOCK } = constants;
      fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NONBLOCK, 0o644);
    } catch (error) {
      throw systemError('trace', path, error);
    }
    const shared = new Int32Array(new SharedArrayBuffer(4 * WORDS));
    this.wire = { fd, process: process.pid, origin: clock.nanoseconds(), limitBytes, shared };
    const names = [
      processName(process.pid, 'typervisor'),
      trackName({ ...this.wire, thread: VMM_TRACK }, 'VMM'),
      ...Array.from({ length: vcpus }, (_, index) => [
        trackName({ ...this.wire, thread: vcpuTrack(index) }, `vCPU ${index}`),
        trackName({ ...this.wire, thread: vcpuTrack(index) + 1 }, `compiler of vCPU ${index}`),
      ]).flat(),
    ];
    append(this.wire, Buffer.from(`${TRACE_START}${names.join(',\n')},\n`));
    this.#batch = new TraceBatch(this.wire, clock);
    this.trace = createTrack(this.#batch, { ...this.wire, thread: VMM_TRACK });
    process.once('exit', this.#close);
  }

  /** Writes the end; the other threads have written theirs, or never will. */
  readonly #close = (): void => {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    process.off('exit', this.#close);
    this.#batch.flush();
    const { fd, process: pid, shared, origin } = this.wire;
    const last = {
      ...{ name: 'end of trace', ph: 'i', s: 'p', ts: Math.max(0, this.#batch.now() - origin) / 1000 },
      ...{ pid, tid: VMM_TRACK, args: { dropped: Atomics.load(shared, DROPPED) } },
    };
    append(this.wire, Buffer.from(JSON.stringify(last) + TRACE_END));
    const failed = Atomics.load(shared, FAILED);
    if (failed !== 0) {
      const [code, message] = getSystemErrorMap().get(failed) ?? ['EIO', 'it cannot be written'];
      this.#onError(systemError('trace', this.#path, Object.assign(new Error(message), { code })).message);
    }
    try {
      closeSync(fd);
    } catch {
      // What could not be written has been reported.
    }
  };

  [Symbol.dispose](): void {
    this.#close();
  }
}
