/**
 * Input between a stream of the host and the device that pulls it.
 *
 * What has arrived waits here until the device takes it. Past INPUT_LIMIT the stream is paused, so the sender waits: a paste
 * of any length arrives whole and memory stays bounded. Reading runs ahead of the device by that much on purpose: the
 * terminal's own keys are seen even when the guest has stopped listening.
 *
 * @module
 */
import type { ByteSource } from '../../bus/byte-stream.ts';

/** A readable standard stream: what of `process.stdin` is used. */
export interface InputStream extends NodeJS.EventEmitter {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  pause(): unknown;
  resume(): unknown;
}

/** Bytes that may wait here before the stream is paused, besides one chunk of the stream. */
export const INPUT_LIMIT: number = 256 * 1024;

/** Bytes from a stream until the device takes them. */
export class InputQueue implements ByteSource {
  readonly #stream: InputStream;
  readonly #filter: (chunk: Uint8Array) => Uint8Array;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;
  #paused = false;
  #listener: () => void = () => {};

  /** `filter` sees every chunk first and returns what of it is the device's. */
  constructor(stream: InputStream, filter: (chunk: Uint8Array) => Uint8Array = (chunk) => chunk) {
    this.#stream = stream;
    this.#filter = filter;
  }

  start(): void {
    this.#stream.on('data', this.#onData);
    this.#stream.on('error', this.#onError);
    this.#stream.resume();
  }

  stop(): void {
    this.#stream.off('data', this.#onData);
    this.#stream.pause();
  }

  read(max: number): Uint8Array {
    const taken = new Uint8Array(Math.min(max, this.#bytes));
    let filled = 0;
    while (filled < taken.length) {
      const piece = this.#pieces[0] ?? taken.subarray(0, 0);
      const part = piece.subarray(0, taken.length - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === piece.length) this.#pieces.shift();
      else this.#pieces[0] = piece.subarray(part.length);
    }
    this.#bytes -= taken.length;
    if (this.#paused && this.#bytes <= INPUT_LIMIT / 2) {
      this.#paused = false;
      this.#stream.resume();
    }
    return taken;
  }

  onReadable(listener: () => void): void {
    this.#listener = listener;
    if (this.#bytes > 0) queueMicrotask(listener);
  }

  readonly #onData = (chunk: Uint8Array): void => {
    const bytes = this.#filter(chunk);
    if (bytes.length === 0) return;
    const wasEmpty = this.#bytes === 0;
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > INPUT_LIMIT && !this.#paused) {
      this.#paused = true;
      this.#stream.pause();
    }
    if (wasEmpty) this.#listener();
  };

  /** Input that fails (EIO when the terminal is gone) has ended; SIGHUP tells the rest. */
  readonly #onError = (): void => {};
}
