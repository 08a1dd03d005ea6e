/**
 * Output between a device, which must not wait, and a stream of the host, which may be slow or break.
 *
 * Bytes are gathered for one turn of the event loop and written together; past OUTPUT_LIMIT the queue is congested and the
 * device holds back. A stream that breaks is reported once; what comes afterwards is dropped.
 *
 * @module
 */
import type { ByteSink } from '../../bus/byte-stream.ts';

/** A writable stream: what of `process.stdout` and `fs.WriteStream` is used. */
export interface OutputStream extends NodeJS.EventEmitter {
  write(bytes: Uint8Array, done: (error?: Error | null) => void): unknown;
}

/** Bytes that may wait before the queue is congested. */
export const OUTPUT_LIMIT: number = 64 * 1024;
const GATHER_BYTES = 16 * 1024;

export class OutputQueue implements ByteSink {
  readonly #stream: OutputStream;
  readonly #onBroken: (error: Error) => void;
  readonly #gathered: Uint8Array<ArrayBuffer> = new Uint8Array(GATHER_BYTES);
  #gatheredBytes = 0;
  /** Handed to the stream, not written yet. */
  #writing = 0;
  #broken = false;
  #wasCongested = false;
  #flushIsDue = false;
  #onDrain: () => void = () => {};
  #onIdle: () => void = () => {};

  constructor(stream: OutputStream, onBroken: (error: Error) => void) {
    this.#stream = stream;
    this.#onBroken = onBroken;
    // Never removed: a stream that broke may tell so once more, when it is destroyed.
    stream.on('error', this.#break);
  }

  get congested(): boolean {
    return this.#gatheredBytes + this.#writing > OUTPUT_LIMIT;
  }

  onDrain(listener: () => void): void {
    this.#onDrain = listener;
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length && !this.#broken; ) {
      const part = bytes.subarray(done, done + GATHER_BYTES - this.#gatheredBytes);
      this.#gathered.set(part, this.#gatheredBytes);
      this.#gatheredBytes += part.length;
      done += part.length;
      if (this.#gatheredBytes === GATHER_BYTES) this.#flush();
    }
    if (this.congested) this.#wasCongested = true;
    if (this.#gatheredBytes === 0 || this.#flushIsDue) return;
    this.#flushIsDue = true;
    setImmediate(() => {
      this.#flushIsDue = false;
      this.#flush();
    });
  }

  /** Resolves when everything is written, or the stream has broken. */
  async end(): Promise<void> {
    this.#flush();
    if (this.#writing > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  #flush(): void {
    if (this.#gatheredBytes === 0 || this.#broken) return;
    const bytes = this.#gathered.slice(0, this.#gatheredBytes);
    this.#gatheredBytes = 0;
    this.#writing += bytes.length;
    this.#stream.write(bytes, (error) => {
      if (this.#broken) return;
      if (error) return this.#break(error);
      this.#writing -= bytes.length;
      if (this.#writing === 0) this.#onIdle();
      if (this.#wasCongested && !this.congested) {
        this.#wasCongested = false;
        this.#onDrain();
      }
    });
  }

  readonly #break = (error: Error): void => {
    if (this.#broken) return;
    this.#broken = true;
    this.#gatheredBytes = 0;
    this.#writing = 0;
    this.#onBroken(error);
    this.#onIdle();
    if (this.#wasCongested) this.#onDrain();
  };
}
