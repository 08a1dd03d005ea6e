/**
 * What a virtio device is to a transport, and what a transport gives it (VIRTIO 1.2, section 2).
 *
 * A device knows its type, its features, its queues and its configuration space; how a driver finds them, negotiates and
 * notifies is the transport's. It works between `activate` and `reset`, with the queues that it was given for that time.
 *
 * @module
 */
import type { AccessWidth } from '../../bus/bus-device.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { Features } from './defs.ts';
import type { Virtqueue } from './queue/virtqueue.ts';

/** One driver's time with the device: from DRIVER_OK to a reset. */
export interface DriverSession {
  /** What was negotiated. */
  readonly features: Features;
  /** By index; undefined where the driver enabled none. */
  readonly queues: readonly (Virtqueue | undefined)[];
  /** What addresses in requests mean; those of buffers have been looked up already. */
  readonly memory: GuestMemory;
  /** Tells the driver that a queue has used buffers; after a `publish` that asked for it. */
  interrupt(queue: number): void;
  /**
   * Told of data that the host wrote into the driver's buffers and that the guest may execute. Before that is shown to the driver,
   * what comes back must have resolved; undefined: at once.
   */
  hostWrote(parts: readonly Uint8Array[]): Promise<void> | undefined;
  /** The driver broke a rule: the device stops until it is reset. */
  needsReset(reason: string): void;
}

export interface VirtioDevice {
  /** For messages. */
  readonly name: string;
  readonly type: number;
  /** What it offers; the transport adds VIRTIO_F_VERSION_1. */
  readonly features: Features;
  /** The greatest size of each queue. */
  readonly queueSizes: readonly number[];
  /** Length of the configuration space. */
  readonly configBytes: number;
  /** Within the configuration space; must not throw. */
  readConfig(offset: number, width: AccessWidth): number;
  writeConfig(offset: number, width: AccessWidth, value: number): void;
  /** Registers who is to be told that the configuration space has changed. */
  onConfigChanged(listener: () => void): void;
  activate(session: DriverSession): void;
  /** The driver made buffers available. Only while active. */
  notify(queue: number): void;
  /**
   * Ends the session, whose queues are closed by now. The promise, if any, resolves when nothing on the host reads or writes
   * the guest's memory any more.
   */
  reset(): Promise<void> | undefined;
}
