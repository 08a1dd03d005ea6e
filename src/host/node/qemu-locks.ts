/**
 * The locks of QEMU's file driver (QEMU, block/file-posix.c), so that an image is not used by QEMU and by us at once: bytes
 * of the file that stand for what a user does, and for what he does not suffer others to do. Everybody locks them shared, and then looks
 * whether somebody else has one that contradicts.
 *
 * @module
 */
import type { LinuxCalls } from './linux-calls.ts';

/** Byte of a permission that is used, and of one that is not shared: these and the permission's bit. */
const RAW_LOCK_PERM_BASE = 100;
const RAW_LOCK_SHARED_BASE = 200;

// Numbers of permissions.
const BLK_PERM_CONSISTENT_READ = 0;
const BLK_PERM_WRITE = 1;
const BLK_PERM_RESIZE = 3;

/** Nobody else may do this, whether the image is read or written here. */
const UNSHARED = [BLK_PERM_WRITE, BLK_PERM_RESIZE];

/** Takes QEMU's locks, which end with the descriptor. Returns false when somebody contradicts. */
export function lockAsQemu(calls: LinuxCalls, fd: number, readOnly: boolean): boolean {
  const used = readOnly ? [BLK_PERM_CONSISTENT_READ] : [BLK_PERM_CONSISTENT_READ, BLK_PERM_WRITE, BLK_PERM_RESIZE];
  // A file system without such locks has no QEMU that holds them.
  for (const permission of used) calls.lockByte(fd, RAW_LOCK_PERM_BASE + permission);
  for (const permission of UNSHARED) calls.lockByte(fd, RAW_LOCK_SHARED_BASE + permission);
  return !(
    used.some((permission) => calls.isByteLocked(fd, RAW_LOCK_SHARED_BASE + permission)) ||
    UNSHARED.some((permission) => calls.isByteLocked(fd, RAW_LOCK_PERM_BASE + permission))
  );
}
