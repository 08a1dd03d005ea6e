/**
 * The exit statuses of `typervisor run`, which are crosvm's under `--extended-status`.
 *
 * @module
 */
export const ExitCode = {
  /** The guest powered off, or the user left with Ctrl-A x. */
  PowerOff: 0,
  /** A file is unreadable or malformed, or the host refused something. */
  Failure: 1,
  /** The guest reset, and `--no-reboot` was given. */
  Reset: 32,
  /** A triple fault, or the hypervisor could not go on. */
  Crash: 33,
  /** The guest reported a panic through pvpanic. */
  Panic: 34,
  /** The arguments make no sense. */
  BadArguments: 35,
  /** Translated code did something else than the interpreter (--check-translation). */
  Mismatch: 36,
  /** The reader of standard output is gone: 128 + SIGPIPE, as a shell reports it of other programs. */
  OutputClosed: 141,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** A debug-exit device's status for the value that the guest wrote: always odd, so never that of a power-off. */
export const debugExitStatus = (value: number): number => ((value << 1) | 1) & 0xff;

/** 128 + the signal's number: how a shell reports a program that a signal ended. */
export const signalStatus = (signalNumber: number): number => 128 + signalNumber;
