/**
 * Byte streams between a device and the host behind it: a serial port's console, a log file.
 *
 * Both are declared by their consumer, the device, and implemented by a host. Neither blocks and neither throws:
 * a device calls them while a guest waits for its port access. What a host cannot do any more (the reader of
 * standard output is gone) is the host's to report; the device goes on as if the bytes had been taken.
 *
 * @module
 */

/** Bytes on their way into the guest. The device pulls: what it does not take stays with the host, whose memory is bounded. */
export interface ByteSource {
  /** Takes at most `max` bytes of those that are here now; empty when there are none. The array is the caller's to keep. */
  read(max: number): Uint8Array;
  /**
   * Registers the one listener, replacing an earlier one. It is called when bytes arrive while none were waiting, never
   * from inside `read`; after it is called, `read` until it returns less than `max` or the device is full. Bytes that are
   * already waiting at registration are announced too.
   */
  onReadable(listener: () => void): void;
}

/** Bytes on their way out of the guest, in order. */
export interface ByteSink {
  /** Takes all of `bytes` (copied before it returns). */
  write(bytes: Uint8Array): void;
  /** True while so much is waiting that the writer should hold back; `write` still takes bytes then. */
  readonly congested: boolean;
  /** Registers the one listener, replacing an earlier one: called each time `congested` turns false again. */
  onDrain(listener: () => void): void;
}

/** A source that never has anything. */
export const emptySource: ByteSource = { read: () => new Uint8Array(0), onReadable() {} };

/** A sink that forgets everything. */
export const nullSink: ByteSink = { write() {}, congested: false, onDrain() {} };
