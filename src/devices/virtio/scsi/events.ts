/**
 * What the driver of the SCSI host is told of its own accord (VIRTIO 1.2, section 5.6.6.3): LUNs whose capacity has changed. Events wait
 * for buffers of the driver's; a LUN is in one event however often it changed meanwhile, so none is ever missed.
 *
 * @module
 */
import type { QueueFault, Virtqueue } from '../queue/virtqueue.ts';
import * as S from './defs.ts';

export class ScsiEvents {
  readonly #changed = new Set<number>();

  clear(): void {
    this.#changed.clear();
  }

  capacityChanged(lun: number): void {
    this.#changed.add(lun);
  }

  /** Fills the buffers that are there; a fault when the driver broke the ring. */
  tell(queue: Virtqueue): QueueFault | undefined {
    for (const lun of this.#changed) {
      let chain = queue.pop();
      if (chain === undefined && queue.enableNotifications()) chain = queue.pop();
      if (chain === undefined) return undefined;
      if (typeof chain === 'string') return chain;
      this.#changed.delete(lun);
      queue.complete(chain, chain.write(0, capacityEvent(lun)));
    }
    // Buffers that are made available are of no interest until something changes.
    queue.disableNotifications();
    return undefined;
  }
}

/** struct virtio_scsi_event. */
function capacityEvent(lun: number): Uint8Array {
  const event = new DataView(new ArrayBuffer(S.SCSI_EVENT_BYTES));
  event.setUint32(0, S.VIRTIO_SCSI_T_PARAM_CHANGE, true);
  // As REPORT LUNS has it: Linux looks for this number.
  event.setUint8(4, 1);
  event.setUint16(6, lun);
  const [, code, qualifier] = S.CAPACITY_DATA_HAS_CHANGED;
  event.setUint32(12, code | (qualifier << 8), true);
  return new Uint8Array(event.buffer);
}
