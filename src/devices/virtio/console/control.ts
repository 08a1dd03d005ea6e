/**
 * Control messages of a console with several ports (VIRTIO 1.2, section 5.3.6.2): what the driver says, and what it is to be told.
 *
 * What is to be told is a set per port, not a list: a driver that asks for ever and never takes an answer costs nothing.
 *
 * @module
 */
import * as C from './defs.ts';
import type { ConsoleSize } from './port.ts';

export interface ControlMessage {
  readonly port: number;
  readonly event: number;
  readonly value: number;
}

/** struct virtio_console_control. */
export function parseControl(bytes: Uint8Array): ControlMessage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { port: view.getUint32(0, true), event: view.getUint16(4, true), value: view.getUint16(6, true) };
}

function encode({ port, event, value }: ControlMessage, extraBytes = 0): Uint8Array {
  const bytes = new Uint8Array(C.CONSOLE_CONTROL_BYTES + extraBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, port, true);
  view.setUint16(4, event, true);
  view.setUint16(6, value, true);
  return bytes;
}

/** In the order in which a driver must hear them: a port has no size before it is a console. */
const ORDER: readonly number[] = [
  C.VIRTIO_CONSOLE_PORT_ADD,
  C.VIRTIO_CONSOLE_CONSOLE_PORT,
  C.VIRTIO_CONSOLE_RESIZE,
  C.VIRTIO_CONSOLE_PORT_OPEN,
];

export class Announcements {
  /** One bit per event and port. */
  readonly #due: Uint8Array;

  constructor(ports: number) {
    this.#due = new Uint8Array(ports);
  }

  clear(): void {
    this.#due.fill(0);
  }

  /** `event`: one of those above. */
  add(port: number, event: number): void {
    this.#due[port] = (this.#due[port] ?? 0) | (1 << event);
  }

  /** The next message, which is due until it is `done`. */
  next(size: (port: number) => ConsoleSize | undefined): { message: Uint8Array; done: () => void } | undefined {
    const port = this.#due.findIndex((events) => events !== 0);
    if (port < 0) return undefined;
    const event = ORDER.find((candidate) => ((this.#due[port] ?? 0) & (1 << candidate)) !== 0);
    if (event === undefined) return undefined;
    const isResize = event === C.VIRTIO_CONSOLE_RESIZE;
    const message = encode({ port, event, value: 1 }, isResize ? C.CONSOLE_RESIZE_BYTES : 0);
    if (isResize) {
      const { columns, rows } = size(port) ?? { columns: 0, rows: 0 };
      const view = new DataView(message.buffer, C.CONSOLE_CONTROL_BYTES);
      // The specification's order, and that of Linux 6.1.192; older kernels take one for the other.
      view.setUint16(0, columns, true);
      view.setUint16(2, rows, true);
    }
    const done = (): void => {
      this.#due[port] = (this.#due[port] ?? 0) & ~(1 << event);
    };
    return { message, done };
  }
}
