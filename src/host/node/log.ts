/**
 * The log of a machine on Node: lines on standard error. @module
 */
import { LOG_LEVELS, type Logger, type LogLevel } from '../../util/log.ts';

/** Prints lines of a level and those above it. */
export function createLogger(least: LogLevel): Logger {
  const limit = LOG_LEVELS.indexOf(least);
  return {
    log(level, component, message) {
      if (LOG_LEVELS.indexOf(level) > limit) return;
      // A raw terminal goes to the first column only when told.
      process.stderr.write(`typervisor: ${component}: ${message}${process.stdin.isRaw ? '\r\n' : '\n'}`);
    },
  };
}
