/**
 * The log interface of the core. Hosts decide where lines go.
 *
 * @module
 */

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** The most important first. */
export const LOG_LEVELS: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];

export interface Logger {
  log(level: LogLevel, component: string, message: string): void;
}

/** Drops every line. */
export const silentLogger: Logger = { log() {} };
