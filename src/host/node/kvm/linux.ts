/**
 * What both implementations of the system calls know of Linux and glibc on x86-64.
 *
 * @module
 */

/**
 * glibc's struct sigaction: the handler's address, a mask of 128 bytes, flags, and the restorer that glibc fills in.
 *
 * A handler has to be machine code, and there is none of ours. libc's `getppid` serves: it takes no notice of its arguments, changes
 * nothing, and is safe in a handler (signal-safety(7)). Without SA_RESTART the system call that the signal meets returns EINTR.
 */
export const SIGACTION_BYTES = 152;

/** landlock_create_ruleset(2), which libc has no function for: with this flag and nothing else it gives the version. */
export const LANDLOCK_CREATE_RULESET = 444;
export const LANDLOCK_CREATE_RULESET_VERSION = 1;
