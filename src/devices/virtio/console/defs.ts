/**
 * Numbers of the console device (VIRTIO 1.2, section 5.3), in the specification's spelling. Features are bit numbers, offsets
 * and sizes in bytes.
 *
 * @module
 */

export const VIRTIO_CONSOLE_F_SIZE = 0;
export const VIRTIO_CONSOLE_F_MULTIPORT = 1;
export const VIRTIO_CONSOLE_F_EMERG_WRITE = 2;

/** Queues (5.3.2): the first port's, then those of control messages, then two for each other port. */
export const CONTROL_RECEIVE_QUEUE = 2;
export const CONTROL_TRANSMIT_QUEUE = 3;
export const receiveQueue = (port: number): number => (port === 0 ? 0 : 2 + 2 * port);
export const transmitQueue = (port: number): number => receiveQueue(port) + 1;
export const queueCount = (ports: number): number => 2 + 2 * ports;

/** struct virtio_console_config (5.3.4). */
export const CONSOLE_CONFIG_COLS = 0;
export const CONSOLE_CONFIG_ROWS = 2;
export const CONSOLE_CONFIG_MAX_NR_PORTS = 4;
export const CONSOLE_CONFIG_EMERG_WR = 8;
export const CONSOLE_CONFIG_BYTES = 12;

/** struct virtio_console_control, and its events (5.3.6.2). */
export const CONSOLE_CONTROL_BYTES = 8;
export const CONSOLE_RESIZE_BYTES = 4;
export const VIRTIO_CONSOLE_DEVICE_READY = 0;
export const VIRTIO_CONSOLE_PORT_ADD = 1;
export const VIRTIO_CONSOLE_PORT_READY = 3;
export const VIRTIO_CONSOLE_CONSOLE_PORT = 4;
export const VIRTIO_CONSOLE_RESIZE = 5;
export const VIRTIO_CONSOLE_PORT_OPEN = 6;
