/**
 * The console device (VIRTIO 1.2, section 5.3): ports (port.ts), their control messages (control.ts), the size of a terminal,
 * emergency writes.
 *
 * With MULTIPORT a port's input waits until the driver says that it is open. A driver without it has the first port alone, and
 * Linux then drops what comes in the moment between its driver's start and its terminal's.
 *
 * @module
 */
import type { AccessWidth } from '../../../bus/bus-device.ts';
import {
  type Features,
  features,
  hasFeature,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_ID_CONSOLE,
} from '../defs.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import { FilledChains } from '../filled-chains.ts';
import { takeChains } from '../queue/take-chains.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { Announcements, parseControl } from './control.ts';
import * as C from './defs.ts';
import { ConsolePort, type ConsolePortOptions, type ConsoleSize, type PortProgress } from './port.ts';

const QUEUE_SIZE = 256;
const CONTROL_CHAINS_PER_TURN = 64;

export interface ConsoleOptions {
  /** One at least; each is a console of the guest's, in this order. */
  readonly ports: readonly ConsolePortOptions[];
  /** Calls back after the host's event loop has turned. */
  readonly yieldTurn: (resume: () => void) => void;
}

export class ConsoleDevice implements VirtioDevice {
  readonly name = 'console';
  readonly type: number = VIRTIO_ID_CONSOLE;
  readonly features: Features;
  readonly queueSizes: readonly number[];
  readonly configBytes: number = C.CONSOLE_CONFIG_BYTES;
  readonly #yieldTurn: (resume: () => void) => void;
  readonly #config = new DataView(new ArrayBuffer(C.CONSOLE_CONFIG_BYTES));
  readonly #ports: readonly ConsolePort[];
  readonly #announcements: Announcements;
  readonly #control = new Uint8Array(C.CONSOLE_CONTROL_BYTES);
  #session: DriverSession | undefined;
  #isMultiport = false;
  #waiting = false;
  /** Queues whose chains are filled and may not be shown yet. */
  readonly #delivering = new Set<Virtqueue>();
  #changed: () => void = () => {};

  constructor({ ports, yieldTurn }: ConsoleOptions) {
    this.#yieldTurn = yieldTurn;
    this.#ports = ports.map((port) => new ConsolePort(port));
    this.#announcements = new Announcements(ports.length);
    this.queueSizes = Array.from({ length: C.queueCount(ports.length) }, () => QUEUE_SIZE);
    this.features = features(
      VIRTIO_F_INDIRECT_DESC,
      VIRTIO_F_EVENT_IDX,
      VIRTIO_F_RING_PACKED,
      VIRTIO_F_IN_ORDER,
      C.VIRTIO_CONSOLE_F_MULTIPORT,
      C.VIRTIO_CONSOLE_F_EMERG_WRITE,
      ...(ports[0]?.size === undefined ? [] : [C.VIRTIO_CONSOLE_F_SIZE]),
    );
    this.#config.setUint32(C.CONSOLE_CONFIG_MAX_NR_PORTS, ports.length, true);
    this.#fillSize();
    for (const { input, output } of this.#ports) {
      input.onReadable(() => this.#serve());
      output.onDrain(() => this.#serve());
    }
  }

  #fillSize(): void {
    const size = this.#ports[0]?.size;
    this.#config.setUint16(C.CONSOLE_CONFIG_COLS, size?.columns ?? 0, true);
    this.#config.setUint16(C.CONSOLE_CONFIG_ROWS, size?.rows ?? 0, true);
  }

  /** The terminal of a port that has one has another size: the driver is told. */
  resized(index: number, size: ConsoleSize): void {
    const port = this.#ports[index];
    if (port?.size === undefined) return;
    port.size = size;
    this.#fillSize();
    if (index === 0) this.#changed();
    if (port.isOpen) this.#announcements.add(index, C.VIRTIO_CONSOLE_RESIZE);
    this.#serve();
  }

  readConfig(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value |= this.#config.getUint8(offset + byte) << (byte * 8);
    return value >>> 0;
  }

  /** An emergency write is a character, whatever state the device is in (5.3.5.1); lost when the host's reader is slow. */
  writeConfig(offset: number, _: AccessWidth, value: number): void {
    const output = this.#ports[0]?.output;
    if (offset === C.CONSOLE_CONFIG_EMERG_WR && output?.congested === false) output.write(Uint8Array.of(value & 0xff));
  }

  onConfigChanged(listener: () => void): void {
    this.#changed = listener;
  }

  activate(session: DriverSession): void {
    this.#session = session;
    this.#isMultiport = hasFeature(session.features, C.VIRTIO_CONSOLE_F_MULTIPORT);
    const [first] = this.#ports;
    if (first !== undefined && !this.#isMultiport) first.isOpen = true;
    this.#serve();
  }

  reset(): undefined {
    this.#session = undefined;
    this.#announcements.clear();
    for (const port of this.#ports) port.reset();
  }

  notify(): void {
    this.#serve();
  }

  /** Does what there is to do in every queue, and what remains in another turn. */
  #serve(): void {
    const session = this.#session;
    if (session === undefined || this.#waiting) return;
    let remains = false;
    const end = (queue: number, progress: PortProgress): void => {
      if (session.queues[queue]?.publish()) session.interrupt(queue);
      if (progress === 'more') remains = true;
      else if (progress !== 'done') session.needsReset(`queue ${queue}: ${progress}`);
    };
    const fill = (index: number, work: (queue: Virtqueue, filled: FilledChains) => PortProgress): void => {
      const queue = session.queues[index];
      if (queue === undefined || this.#delivering.has(queue)) return;
      const filled = new FilledChains();
      const progress = work(queue, filled);
      const dropped = filled.complete(queue, (parts) => session.hostWrote(parts));
      if (dropped === undefined) {
        end(index, progress);
        return;
      }
      this.#delivering.add(queue);
      void dropped.then(() => {
        this.#delivering.delete(queue);
        end(index, progress);
        // Of another session's, if this one is over.
        this.#serve();
      });
    };
    if (this.#isMultiport) {
      end(C.CONTROL_TRANSMIT_QUEUE, this.#hear(session));
      fill(C.CONTROL_RECEIVE_QUEUE, (queue, filled) => this.#tell(queue, filled));
    }
    for (const [index, port] of this.#ports.entries()) {
      const transmit = session.queues[C.transmitQueue(index)];
      if (transmit !== undefined) end(C.transmitQueue(index), port.transmit(transmit));
      if (port.isOpen) fill(C.receiveQueue(index), (queue, filled) => port.receive(queue, filled));
      if (!this.#isMultiport) break;
    }
    if (!remains) return;
    this.#waiting = true;
    this.#yieldTurn(() => {
      this.#waiting = false;
      this.#serve();
    });
  }

  /** The driver's control messages. */
  #hear(session: DriverSession): PortProgress {
    const queue = session.queues[C.CONTROL_TRANSMIT_QUEUE];
    if (queue === undefined) return 'done';
    const end = takeChains(
      queue,
      (chain) => {
        if (chain.read(0, this.#control) === this.#control.length) this.#obey(this.#control);
        queue.complete(chain, 0);
      },
      CONTROL_CHAINS_PER_TURN,
    );
    return end === 'empty' ? 'done' : end;
  }

  #obey(bytes: Uint8Array): void {
    const { port: index, event, value } = parseControl(bytes);
    if (event === C.VIRTIO_CONSOLE_DEVICE_READY) {
      // The driver names no port here, and a driver that has failed says 0.
      if (value === 1) for (const port of this.#ports.keys()) this.#announcements.add(port, C.VIRTIO_CONSOLE_PORT_ADD);
      return;
    }
    const port = this.#ports[index];
    if (port === undefined) return;
    if (event === C.VIRTIO_CONSOLE_PORT_OPEN) port.isOpen = value === 1;
    else if (event === C.VIRTIO_CONSOLE_PORT_READY && value === 1) {
      this.#announcements.add(index, C.VIRTIO_CONSOLE_CONSOLE_PORT);
      if (port.size !== undefined) this.#announcements.add(index, C.VIRTIO_CONSOLE_RESIZE);
      this.#announcements.add(index, C.VIRTIO_CONSOLE_PORT_OPEN);
    }
  }

  /** What the driver is to be told, as far as it gives buffers. */
  #tell(queue: Virtqueue, filled: FilledChains): PortProgress {
    for (let step = 0; step < CONTROL_CHAINS_PER_TURN; step++) {
      const due = this.#announcements.next((port) => this.#ports[port]?.size);
      if (due === undefined) {
        queue.disableNotifications();
        return 'done';
      }
      const chain = queue.pop();
      if (typeof chain === 'string') return chain;
      if (chain === undefined) {
        if (!queue.enableNotifications()) return 'done';
        continue;
      }
      const written = chain.write(0, due.message);
      // A buffer that is too short is the driver's loss; it has the message cut off.
      due.done();
      filled.add(chain, written);
    }
    return 'more';
  }
}
