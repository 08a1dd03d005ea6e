/**
 * glibc's struct sigaction on x86-64: the handler's address, a mask of 128 bytes, flags, and the restorer that glibc fills in.
 *
 * A handler has to be machine code, and there is none of ours. libc's `getppid` serves: it takes no notice of its arguments, changes
 * nothing, and is safe in a handler (signal-safety(7)). Without SA_RESTART the system call that the signal meets returns EINTR.
 *
 * @module
 */
export const SIGACTION_BYTES = 152;
