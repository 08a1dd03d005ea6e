/**
 * Formats of disk images, by the names that users give them.
 *
 * @module
 */

export const DISK_FORMATS = ['raw', 'qcow2', 'composite', 'android-sparse', 'zstd'] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];
/** Formats that are made here, and that a backing file may have. */
export const WRITABLE_FORMATS = ['raw', 'qcow2'] as const;
export type WritableFormat = (typeof WRITABLE_FORMATS)[number];
