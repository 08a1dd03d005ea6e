/**
 * What a disk is to the device that shows it to a guest, and to the formats that are made of one another: numbered bytes
 * that can be read, written, made durable, and given back.
 *
 * Offsets and lengths are bytes and may be any integer: the device checks what a guest asks for, and an implementation refuses
 * with a RangeError what lies outside. Buffers may lie in the guest's RAM, which is shared memory that the guest
 * changes while a request is under way: an implementation reads each byte once and believes none of it.
 *
 * @module
 */

/**
 * Requests may be under way in any number and finish in any order; a caller that needs an order waits. All reject with the
 * host's own error (a full file system, a broken image), and nothing else becomes of that: the disk stays usable.
 */
export interface Disk {
  /** As the user knows it: appears in error messages. */
  readonly name: string;
  /** Capacity. Changes with `resize` alone. */
  readonly bytes: number;
  /** Writes, discards and resizes are refused. */
  readonly readOnly: boolean;
  /** Fills the buffers one after the other from `offset`. */
  read(offset: number, into: readonly Uint8Array[]): Promise<void>;
  /** Writes the buffers one after the other to `offset`; durable after the next `flush`. */
  write(offset: number, from: readonly Uint8Array[]): Promise<void>;
  /** Makes durable every write that had finished when this was called. */
  flush(): Promise<void>;
  /** The contents of the range no longer matter; the host may have its space back. */
  discard(offset: number, bytes: number): Promise<void>;
  /** The range reads as zeros; `unmap` allows the space to be given back. */
  writeZeroes(offset: number, bytes: number, unmap: boolean): Promise<void>;
  /** Sets the capacity; undefined where the format has a fixed one. What is added reads as zeros. */
  readonly resize: ((bytes: number) => Promise<void>) | undefined;
  /** Flushes and lets go of what it is made of. */
  close(): Promise<void>;
}
