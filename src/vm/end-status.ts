/**
 * From how a machine ended to the exit status of its process; apart from the statuses, which the library gives, as machines are not.
 *
 * @module
 */
import { ExitCode } from './exit-code.ts';
import type { MachineEnd } from './machine.ts';

/** The exit status of a machine that ended by itself. */
export function endStatus(end: MachineEnd): number {
  switch (end.kind) {
    case 'power-off':
    case 'stopped':
      return ExitCode.PowerOff;
    case 'reset':
      return ExitCode.Reset;
    case 'triple-fault':
    case 'error':
      return ExitCode.Crash;
    case 'mismatch':
      return ExitCode.Mismatch;
    case 'panic':
      return ExitCode.Panic;
    case 'debug-exit':
      return end.status;
  }
}
