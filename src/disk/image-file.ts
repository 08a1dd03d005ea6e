/**
 * A file of the host as the disk formats use it. The host implements it over a descriptor; tests over memory.
 *
 * Reads and writes may be under way in any number. Nothing is ordered but by waiting, and nothing is durable before `flush`.
 * All reject with the host's own error.
 *
 * @module
 */

export interface ImageFile {
  /** As the user knows it: appears in error messages. */
  readonly name: string;
  readonly readOnly: boolean;
  /** Length. Grows with writes, changes with `truncate`. */
  readonly bytes: number;
  /** Fills the buffers one after the other. What lies past the end of the file reads as zeros, as a hole does. */
  read(offset: number, into: readonly Uint8Array[]): Promise<void>;
  /** Writes the buffers one after the other; past the end the file grows, and what is skipped is a hole. */
  write(offset: number, from: readonly Uint8Array[]): Promise<void>;
  /** Makes durable every write, and every change of the length, that had finished when this was called. */
  flush(): Promise<void>;
  /** Sets the length; what is added reads as zeros. Undefined where it is fixed, as a block device's is. */
  readonly truncate: ((bytes: number) => Promise<void>) | undefined;
  /** Gives the range's space back to the host; it then reads as zeros. Undefined where the host cannot. */
  readonly punchHole: ((offset: number, bytes: number) => Promise<void>) | undefined;
  /** The range then reads as zeros and keeps its space, without being written. False where the host cannot: nothing was done. */
  zeroRange(offset: number, bytes: number): Promise<boolean>;
  /** The first byte from `offset` on that may be something else than zero, or the length; undefined where the host cannot tell. */
  readonly nextData: ((offset: number) => number) | undefined;
  close(): Promise<void>;
}

/** A disk that knows where it is empty: who copies it need not read that. */
export interface SparseDisk {
  /** The first byte from `offset` on that may be something else than zero, or the capacity. */
  nextData(offset: number): Promise<number>;
}
