/**
 * A disk of a running machine, for whoever runs it: what it is, and another capacity while the guest uses it. Everything that is
 * asked for is checked here; what the host then refuses (a full file system, an image with snapshots) rejects as it is.
 *
 * @module
 */

/** Why a disk cannot do what it was asked for. */
export type DiskControlReason =
  | 'no-such-disk'
  | 'disk-is-read-only'
  /** The format, or a block device of the host, has the capacity it has. */
  | 'fixed-size'
  | 'bad-size'
  /** Fewer bytes than there are, without `shrink`. */
  | 'would-shrink'
  /** The machine has ended. */
  | 'ended';

export class DiskControlError extends Error {
  override readonly name = 'DiskControlError';
  readonly reason: DiskControlReason;
  constructor(reason: DiskControlReason, disk: string, message: string) {
    super(`${disk}: ${message}`);
    this.reason = reason;
  }
}

export interface ResizeOptions {
  /** Allows fewer bytes than there are. What lies behind them is gone, whatever file system or partition used it. */
  readonly shrink?: boolean;
}

/** A disk while its machine runs. */
export interface DiskControl {
  /** What the guest reads as its serial number; a SCSI disk has none that was given. */
  readonly id: string;
  readonly path: string;
  readonly readOnly: boolean;
  /** Its capacity. */
  readonly bytes: number;
  /**
   * Changes the capacity, a multiple of the disk's block size. What is added reads as zeros. Resolves when the image has it and the
   * guest's driver was told; partitions and file systems are the guest's business. With `snapshot` the image keeps its own.
   *
   * Rejects with DiskControlError, or with the host's error.
   */
  resize(bytes: number, options?: ResizeOptions): Promise<void>;
}

export interface ControlledDisk {
  /** What shows it to the guest. */
  readonly device: { readonly readOnly: boolean; resize(bytes: number): Promise<void> };
  readonly disk: { readonly bytes: number; readonly resize: unknown };
  readonly id: string;
  readonly path: string;
  /** A power of two from 512 on. */
  readonly blockSize: number;
}

export class ResizableDisk implements DiskControl {
  readonly id: string;
  readonly path: string;
  readonly #of: ControlledDisk;
  readonly #pending = new Set<Promise<void>>();
  #ended = false;

  constructor(of: ControlledDisk) {
    this.#of = of;
    this.id = of.id;
    this.path = of.path;
  }

  get readOnly(): boolean {
    return this.#of.device.readOnly;
  }

  get bytes(): number {
    return this.#of.disk.bytes;
  }

  async resize(bytes: number, { shrink = false }: ResizeOptions = {}): Promise<void> {
    const { device, disk, blockSize } = this.#of;
    const refuse = (reason: DiskControlReason, message: string): never => {
      throw new DiskControlError(reason, `disk "${this.path}"`, message);
    };
    if (this.#ended) refuse('ended', 'its machine has ended');
    if (this.readOnly) refuse('disk-is-read-only', 'it is read-only');
    if (disk.resize === undefined) refuse('fixed-size', 'its size is fixed');
    if (!Number.isSafeInteger(bytes) || bytes < blockSize || bytes % blockSize !== 0)
      refuse('bad-size', `${bytes} bytes are no size: a multiple of ${blockSize} is, from there on`);
    if (bytes < disk.bytes && !shrink)
      refuse('would-shrink', `${bytes} bytes are less than the ${disk.bytes} there are; { shrink: true } allows that`);
    const resize = device.resize(bytes);
    this.#pending.add(resize);
    try {
      await resize;
    } finally {
      this.#pending.delete(resize);
    }
  }

  /** Nothing is resized any more. Resolves when what is under way has ended: the disk may be closed then. */
  async end(): Promise<void> {
    this.#ended = true;
    await Promise.allSettled(this.#pending);
  }
}

/** By its place among the machine's disks, from 0 on, or by its `id`. @throws DiskControlError */
export function findDisk(disks: readonly DiskControl[], which: number | string): DiskControl {
  const found =
    typeof which === 'number' ? disks[which] : which === '' ? undefined : disks.find(({ id }) => id === which);
  if (found === undefined) {
    const name = typeof which === 'number' ? `disk ${which}` : `disk with the id ${JSON.stringify(which)}`;
    throw new DiskControlError('no-such-disk', name, `there is none among ${disks.length}`);
  }
  return found;
}
