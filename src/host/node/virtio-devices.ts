/**
 * The virtio devices of a configuration with the host behind them: disks on files, files as memory, consoles on the terminal or files, random
 * numbers, a balloon over the machine's memory. And what Linux calls them. Devices that most machines do not have are loaded when they are
 * needed: they are a fifth of all modules.
 *
 * @module
 */
import { statSync } from 'node:fs';
import { random } from './random.ts';
import { emptySource, nullSink } from '../../bus/byte-stream.ts';
import type { SerialBackend } from '../../devices/platform/platform.ts';
import { BalloonDevice } from '../../devices/virtio/balloon/device.ts';
import type { Disk } from '../../disk/disk.ts';
import { type DiskControl, ResizableDisk } from '../../devices/virtio/disk-control.ts';
import type { ConsoleDevice } from '../../devices/virtio/console/device.ts';
import type { ConsoleSize } from '../../devices/virtio/console/port.ts';
import { RngDevice } from '../../devices/virtio/rng/device.ts';
import type { ScsiDevice } from '../../devices/virtio/scsi/device.ts';
import type { ScsiLun } from '../../devices/virtio/scsi/unit.ts';
import { placePersistentMemory } from '../../memory/persistent-memory.ts';
import type { RamBacking } from '../../memory/machine-memory.ts';
import type { Logger } from '../../util/log.ts';
import type { RunConfig, SerialConfig } from '../../vm/config.ts';
import type { PersistentMemory } from '../../vm/machine.ts';
import { CONSOLE_SLOT, diskSlot, pmemSlot, RNG_SLOT, SCSI_SLOT } from '../../vm/slots.ts';
import type { VirtioPlacement } from '../../vm/virtio-bus.ts';
import type { DiskImageOptions } from './disk-image.ts';
import { FileError } from './files.ts';
import type { PersistentFile } from './persistent-file.ts';
import { memoryReleaser } from './release-memory.ts';

const SECTOR_BYTES = 512;

/** What Linux calls disk `index`, counted from 0. */
export const diskName = (index: number): string => `vd${String.fromCharCode('a'.charCodeAt(0) + index)}`;

/** What Linux calls disk `index` of the SCSI host, counted from 0, unless it finds several in another order. */
export const scsiDiskName = (index: number): string => `sd${String.fromCharCode('a'.charCodeAt(0) + index)}`;

/** What Linux calls persistent memory `index`, counted from 0. */
export const pmemName = (index: number): string => `pmem${index}`;

/** What Linux calls a serial port or a virtio console. */
export function consoleName(port: SerialConfig, all: readonly SerialConfig[]): string {
  if (port.hardware === undefined) return `ttyS${port.num - 1}`;
  return `hvc${all.filter(({ hardware }) => hardware === port.hardware).indexOf(port)}`;
}

export const yieldTurn = (resume: () => void): void => void setImmediate(resume);

/** A virtio console and its end on the host. */
export interface ConnectedConsole {
  readonly config: SerialConfig;
  readonly backend: SerialBackend;
}

/** Devices, and memory of the guest's that some of them are. */
export interface NodeVirtioDevices {
  readonly devices: readonly VirtioPlacement[];
  readonly persistent: PersistentMemory;
  /** Those of `block`, in their order. */
  readonly disks: readonly DiskControl[];
  /** Those of `scsiBlock`. */
  readonly scsiDisks: readonly DiskControl[];
}

/** All devices, each at its place. What they hold of the host goes with `resources`. Throws FileError and DiskFormatError. */
export async function createVirtioDevices(
  config: RunConfig,
  consoles: readonly ConnectedConsole[],
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<NodeVirtioDevices> {
  refuseSharedFiles(config);
  const { devices, disks } = await createDisks(config, logger, resources);
  const scsiDisks: DiskControl[] = [];
  if (config.scsiBlock.length > 0) {
    devices.push({ slot: SCSI_SLOT, device: await createScsi(config, scsiDisks, logger, resources) });
  }
  const persistent = await createPmem(config, devices, logger, resources);
  if (config.rng) devices.push({ slot: RNG_SLOT, device: new RngDevice({ random, yieldTurn }) });
  if (consoles.length > 0) devices.push({ slot: CONSOLE_SLOT, device: await createConsole(consoles, resources) });
  return { devices, persistent, disks, scsiDisks };
}

/** The configuration's balloon, over memory of a kind. */
export function createBalloon(
  { balloon, memBytes }: RunConfig,
  backing: RamBacking,
  logger: Logger,
): BalloonDevice | undefined {
  if (balloon === undefined) return undefined;
  return new BalloonDevice({
    release: memoryReleaser(backing, logger),
    memoryBytes: memBytes,
    targetBytes: memBytes - (balloon.initMemBytes ?? memBytes),
    pageReporting: balloon.pageReporting,
    yieldTurn,
  });
}

/** Which file a path names; undefined when it cannot be looked at: opening it says why. */
function fileOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** Two writers, or a writer beside a reader that believes what it has read, end a file system. Locks would say it less plainly. */
function refuseSharedFiles({ block, scsiBlock, pmem }: RunConfig): void {
  const uses = [
    ...block.map(({ path, lock, readOnly, snapshot }) => ({ role: 'disk', path, lock, reads: readOnly || snapshot })),
    ...scsiBlock.map(({ path, lock, readOnly }) => ({ role: 'disk', path, lock, reads: readOnly })),
    ...pmem.map(({ path, lock, readOnly }) => ({ role: 'pmem', path, lock, reads: readOnly })),
  ];
  /** Whether all uses of a file up to now only read it. */
  const seen = new Map<string, boolean>();
  for (const { role, path, lock, reads } of uses) {
    const file = fileOf(path);
    if (file === undefined || !lock) continue;
    const others = seen.get(file);
    if (others !== undefined && !(others && reads)) {
      throw new FileError(role, path, 'ESHARED', 'it is given twice, and not both times read-only');
    }
    seen.set(file, reads);
  }
}

async function createDisks(
  config: RunConfig,
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<{ readonly devices: VirtioPlacement[]; readonly disks: DiskControl[] }> {
  const onError = (message: string): void => logger.log('error', 'virtio', message);
  const devices: VirtioPlacement[] = [];
  const disks: DiskControl[] = [];
  for (const [index, block] of config.block.entries()) {
    const { path, readOnly, id, blockSize, queues, sparse, packed } = block;
    const name = `block ${diskName(index)}`;
    const disk = await openDisk(block, SECTOR_BYTES, name, onError, resources);
    const { BlockDevice } = await import('../../devices/virtio/block/device.ts');
    const options = { disk, name, readOnly, id, blockSize, queues, sparse, packed, yieldTurn, onError };
    const device = new BlockDevice(options);
    const control = new ResizableDisk({ device, disk, id, path, blockSize });
    // Before the disk is closed.
    resources.defer(() => control.end());
    devices.push({ slot: diskSlot(index), device });
    disks.push(control);
  }
  return { devices, disks };
}

/** Opens an image that has at least one block. */
async function openDisk(
  image: DiskImageOptions,
  blockBytes: number,
  name: string,
  onError: (message: string) => void,
  resources: AsyncDisposableStack,
): Promise<Disk> {
  const { openDiskImage } = await import('./disk-image.ts');
  const disk = await openDiskImage(image);
  if (disk.bytes < blockBytes) {
    await disk.close();
    const least = blockBytes === SECTOR_BYTES ? 'a sector' : `a block of ${blockBytes}`;
    throw new FileError('disk', image.path, 'EMPTY', `it has ${disk.bytes} bytes, less than ${least}`);
  }
  resources.defer(() => closing(name, () => disk.close(), onError));
  return disk;
}

/** One host for all disks. A disk's serial number is its place among them. */
async function createScsi(
  config: RunConfig,
  controls: DiskControl[],
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<ScsiDevice> {
  const onError = (message: string): void => logger.log('error', 'virtio', message);
  const luns: ScsiLun[] = [];
  for (const [index, image] of config.scsiBlock.entries()) {
    const { readOnly, blockSize } = image;
    const name = `scsi ${scsiDiskName(index)}`;
    const disk = await openDisk(image, blockSize, name, onError, resources);
    luns.push({ disk, name, readOnly, blockSize, serial: `DISK-${index}` });
  }
  const { ScsiDevice } = await import('../../devices/virtio/scsi/device.ts');
  const host = new ScsiDevice({ luns, yieldTurn, onError });
  for (const [index, { path, blockSize }] of config.scsiBlock.entries()) {
    const [device, disk] = [host.disks[index], luns[index]?.disk];
    if (device === undefined || disk === undefined) break;
    const control = new ResizableDisk({ device, disk, id: '', path, blockSize });
    resources.defer(() => control.end());
    controls.push(control);
  }
  return host;
}

/** Opens the files and adds their devices; the memory is placed behind the configuration's RAM. */
async function createPmem(
  config: RunConfig,
  devices: VirtioPlacement[],
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<PersistentMemory> {
  const onError = (message: string): void => logger.log('error', 'virtio', message);
  const files: PersistentFile[] = [];
  for (const [index, options] of config.pmem.entries()) {
    const { openPersistentFile } = await import('./persistent-file.ts');
    const file = await openPersistentFile(options);
    files.push(file);
    resources.defer(() => closing(pmemName(index), () => file[Symbol.asyncDispose](), onError));
  }
  const layout = placePersistentMemory(
    config.memBytes,
    files.map(({ bytes }) => bytes),
  );
  for (const [index, range] of layout.ranges.entries()) {
    const file = files[index];
    if (file === undefined) break;
    const { readOnly } = file;
    const { PmemDevice } = await import('../../devices/virtio/pmem/device.ts');
    const device = new PmemDevice({
      ...{ name: pmemName(index), range, readOnly, yieldTurn, onError },
      flush: () => file.flush(),
    });
    devices.push({ slot: pmemSlot(index), device });
  }
  return { ...layout, map: (index, place) => files[index]?.map(place) };
}

/** What is lost when something is closed is told; there is nobody else to tell. */
async function closing(name: string, close: () => Promise<void>, onError: (message: string) => void): Promise<void> {
  try {
    await close();
  } catch (error) {
    onError(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Consoles are ports of one device; one on a terminal has its size, and learns of changes. */
async function createConsole(
  ports: readonly ConnectedConsole[],
  resources: AsyncDisposableStack,
): Promise<ConsoleDevice> {
  const { ConsoleDevice } = await import('../../devices/virtio/console/device.ts');
  const { stdout } = process;
  const size = (): ConsoleSize => ({ columns: stdout.columns, rows: stdout.rows });
  const isOnTerminal = ({ type }: SerialConfig): boolean => type === 'stdout' && stdout.isTTY;
  const device = new ConsoleDevice({
    ports: ports.map(({ config, backend }) => ({
      input: backend.input ?? emptySource,
      output: backend.output ?? nullSink,
      size: isOnTerminal(config) ? size() : undefined,
    })),
    yieldTurn,
  });
  for (const [index, { config }] of ports.entries()) {
    if (!isOnTerminal(config)) continue;
    const resized = (): void => device.resized(index, size());
    stdout.on('resize', resized);
    resources.defer(() => void stdout.off('resize', resized));
  }
  return device;
}
