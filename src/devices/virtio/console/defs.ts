/**
 * Numbers of the console device (VIRTIO 1.2, section 5.3), in the specification's spelling. Features are bit numbers, offsets
 * in bytes.
 *
 * @module
 */

export const VIRTIO_CONSOLE_F_SIZE = 0;
export const VIRTIO_CONSOLE_F_EMERG_WRITE = 2;

/** Queues of the first port (5.3.2). */
export const RECEIVE_QUEUE = 0;
export const TRANSMIT_QUEUE = 1;

/** struct virtio_console_config (5.3.4). */
export const CONSOLE_CONFIG_COLS = 0;
export const CONSOLE_CONFIG_ROWS = 2;
export const CONSOLE_CONFIG_MAX_NR_PORTS = 4;
export const CONSOLE_CONFIG_EMERG_WR = 8;
export const CONSOLE_CONFIG_BYTES = 12;
