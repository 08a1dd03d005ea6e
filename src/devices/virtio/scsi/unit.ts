/**
 * A logical unit of the SCSI host: a disk, the limits that hold for it now, and what it has to say of its own accord.
 *
 * @module
 */
import type { Disk } from '../../../disk/disk.ts';
import { DiskCapacity, Flights } from '../disk-capacity.ts';
import { NO_SENSE, type ScsiLimits, type Sense } from './command.ts';
import * as S from './defs.ts';

const MAX_UNMAP_RANGES = 32;
/** 32 MiB: where a host cannot make holes, it writes that many zeros. */
const MAX_UNMAP_BYTES = 0x200_0000;

export interface ScsiLun {
  readonly disk: Disk;
  /** For messages: "scsi sda". */
  readonly name: string;
  readonly readOnly: boolean;
  /** A power of two from 512 on. */
  readonly blockSize: number;
  /** At most 20 characters of ASCII, unlike that of any other. */
  readonly serial: string;
}

export interface Unit {
  readonly lun: ScsiLun;
  readonly flights: Flights;
  readonly capacity: DiskCapacity;
  limits: ScsiLimits;
  /** The driver has not heard of the capacity. */
  attention: boolean;
  /** Commands. */
  underWay: number;
  failing: boolean;
}

/** `onChange`: the capacity is another; says whether there is a driver who knows the old one. */
export function createUnit(lun: ScsiLun, onChange: () => boolean): Unit {
  const { disk } = lun;
  const flights = new Flights();
  const capacity = new DiskCapacity({
    disk,
    flights,
    onLimit: () => {
      unit.limits = limitsOf(lun, capacity.bytes);
    },
    onChange: () => {
      unit.attention = onChange();
    },
  });
  const limits = limitsOf(lun, disk.bytes);
  const unit: Unit = { lun, flights, capacity, limits, attention: false, underWay: 0, failing: false };
  return unit;
}

/** Commands that a unit attention does not stop (SPC-4, 5.14.1). */
export const HEEDLESS: readonly number[] = [S.INQUIRY, S.REPORT_LUNS, S.REQUEST_SENSE];

/** What a unit is to say of its own accord, which is said then. */
export function takeAttention(unit: Unit): Sense {
  if (!unit.attention) return NO_SENSE;
  unit.attention = false;
  return S.CAPACITY_DATA_HAS_CHANGED;
}

function limitsOf({ disk, readOnly: wanted, blockSize }: ScsiLun, bytes: number): ScsiLimits {
  const readOnly = wanted || disk.readOnly;
  return {
    blocks: Math.floor(bytes / blockSize),
    blockSize,
    readOnly,
    canUnmap: !readOnly,
    maxUnmapRanges: MAX_UNMAP_RANGES,
    maxUnmapBlocks: MAX_UNMAP_BYTES / blockSize,
  };
}
