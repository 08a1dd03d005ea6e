/**
 * Reads, or writes, that follow each other on the disk and are there at once: the host does them in one operation. A guest that goes through a
 * file has many of them under way, and most of what each costs is its way to the host and back.
 *
 * @module
 */
import type { BlockRequest } from './request.ts';

export type Transfer = Extract<BlockRequest, { readonly kind: 'read' | 'write' }>;

/** Most requests and bytes of a run: an operation of this length takes the host some 50 µs. */
const MAX_REQUESTS = 64;
const MAX_BYTES = 256 * 1024;

/** Collects what follows each other, and hands it on as soon as something else comes. */
export class RequestRun<T extends { readonly request: Transfer }> {
  readonly #start: (run: readonly T[]) => void;
  #run: T[] = [];
  #end = 0;
  #bytes = 0;

  /** `start` gets one request or more, in the order of their places on the disk, which is also that of `add`. */
  constructor(start: (run: readonly T[]) => void) {
    this.#start = start;
  }

  add(one: T): void {
    const { kind, offset, bytes } = one.request;
    const [first] = this.#run;
    const follows = first !== undefined && first.request.kind === kind && offset === this.#end;
    if (!follows || this.#run.length === MAX_REQUESTS || this.#bytes + bytes > MAX_BYTES) this.flush();
    this.#run.push(one);
    this.#end = offset + bytes;
    this.#bytes += bytes;
  }

  /** Hands on what has been collected. */
  flush(): void {
    const run = this.#run;
    if (run.length === 0) return;
    this.#run = [];
    this.#bytes = 0;
    this.#start(run);
  }
}
