/**
 * The virtio devices of a configuration with the host behind them: disks on files, consoles on the terminal or files, random
 * numbers, a balloon over the machine's memory. And what Linux calls them.
 *
 * @module
 */
import { randomFillSync } from 'node:crypto';
import { statSync } from 'node:fs';
import { emptySource, nullSink } from '../../bus/byte-stream.ts';
import type { SerialBackend } from '../../devices/platform/platform.ts';
import { BalloonDevice } from '../../devices/virtio/balloon/device.ts';
import { BlockDevice } from '../../devices/virtio/block/device.ts';
import { ConsoleDevice } from '../../devices/virtio/console/device.ts';
import type { ConsoleSize } from '../../devices/virtio/console/port.ts';
import { RngDevice } from '../../devices/virtio/rng/device.ts';
import type { Logger } from '../../util/log.ts';
import type { BlockConfig, RunConfig, SerialConfig } from '../../vm/config.ts';
import { CONSOLE_SLOT, diskSlot, RNG_SLOT } from '../../vm/slots.ts';
import type { VirtioPlacement } from '../../vm/virtio-bus.ts';
import { openDiskImage } from './disk-image.ts';
import { FileError } from './files.ts';
import { memoryReleaser } from './release-memory.ts';

const SECTOR_BYTES = 512;

/** What Linux calls disk `index`, counted from 0. */
export const diskName = (index: number): string => `vd${String.fromCharCode('a'.charCodeAt(0) + index)}`;

/** What Linux calls a serial port or a virtio console. */
export function consoleName(port: SerialConfig, all: readonly SerialConfig[]): string {
  if (port.hardware === undefined) return `ttyS${port.num - 1}`;
  return `hvc${all.filter(({ hardware }) => hardware === port.hardware).indexOf(port)}`;
}

export const random = (into: Uint8Array<ArrayBuffer>): void => void randomFillSync(into);
export const yieldTurn = (resume: () => void): void => void setImmediate(resume);

/** A virtio console and its end on the host. */
export interface ConnectedConsole {
  readonly config: SerialConfig;
  readonly backend: SerialBackend;
}

/** All devices, each at its place. What they hold of the host goes with `resources`. Throws FileError and DiskFormatError. */
export async function createVirtioDevices(
  config: RunConfig,
  consoles: readonly ConnectedConsole[],
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<VirtioPlacement[]> {
  const devices = await createDisks(config, logger, resources);
  if (config.rng) devices.push({ slot: RNG_SLOT, device: new RngDevice({ random, yieldTurn }) });
  if (consoles.length > 0) devices.push({ slot: CONSOLE_SLOT, device: createConsole(consoles, resources) });
  return devices;
}

/** The configuration's balloon, over memory that is kept as the hypervisor keeps it. */
export function createBalloon(
  { balloon, memBytes }: RunConfig,
  hypervisor: 'kvm' | 'wasm',
  logger: Logger,
): BalloonDevice | undefined {
  if (balloon === undefined) return undefined;
  return new BalloonDevice({
    release: memoryReleaser(hypervisor, logger),
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

const isOnlyRead = ({ readOnly, snapshot }: BlockConfig): boolean => readOnly || snapshot;

/** Two writers, or a writer beside a reader that believes what it has read, end a file system. Locks would say it less plainly. */
function refuseSharedDisks(disks: readonly BlockConfig[]): void {
  const seen = new Map<string, BlockConfig>();
  for (const disk of disks) {
    const file = fileOf(disk.path);
    if (file === undefined || !disk.lock) continue;
    const other = seen.get(file);
    if (other !== undefined && !(isOnlyRead(other) && isOnlyRead(disk))) {
      throw new FileError('disk', disk.path, 'ESHARED', 'it is given twice, and not both times read-only');
    }
    seen.set(file, disk);
  }
}

async function createDisks(
  config: RunConfig,
  logger: Logger,
  resources: AsyncDisposableStack,
): Promise<VirtioPlacement[]> {
  refuseSharedDisks(config.block);
  const onError = (message: string): void => logger.log('error', 'virtio', message);
  const devices: VirtioPlacement[] = [];
  for (const [index, block] of config.block.entries()) {
    const { readOnly, id, blockSize, queues, sparse, packed } = block;
    const disk = await openDiskImage(block);
    if (disk.bytes < SECTOR_BYTES) {
      await disk.close();
      throw new FileError('disk', block.path, 'EMPTY', `it has ${disk.bytes} bytes, less than a sector`);
    }
    const name = `block ${diskName(index)}`;
    resources.defer(() =>
      // What is lost here is told; there is nobody else to tell.
      disk
        .close()
        .catch((error: unknown) => onError(`${name}: ${error instanceof Error ? error.message : String(error)}`)),
    );
    const options = { disk, name, readOnly, id, blockSize, queues, sparse, packed, yieldTurn, onError };
    devices.push({ slot: diskSlot(index), device: new BlockDevice(options) });
  }
  return devices;
}

/** Consoles are ports of one device; one on a terminal has its size, and learns of changes. */
function createConsole(ports: readonly ConnectedConsole[], resources: AsyncDisposableStack): ConsoleDevice {
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
