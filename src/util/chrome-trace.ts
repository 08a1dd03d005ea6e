/**
 * Traces in Chrome's format: "Trace Event Format", the array form, one event a line. Perfetto and chrome://tracing open it, also when the
 * closing bracket is missing because the process did not get to write it. Every line but the last ends with a comma.
 *
 * @module
 */
import type { Trace, TraceValues } from './trace.ts';

export const TRACE_START = '[\n';
export const TRACE_END = '\n]\n';

/** Where the lines of a track go. */
export interface TraceLines {
  /** Nanoseconds of the machine's clock. */
  now(): number;
  /** One event, with the comma and the line feed behind it. */
  add(line: string): void;
}

export interface TrackOptions {
  readonly process: number;
  readonly thread: number;
  /** The machine's clock at the zero of the trace, in nanoseconds. */
  readonly origin: number;
}

/** The event that names the track, which comes at place `thread` from above. No comma behind it. */
export function trackName({ process, thread }: TrackOptions, name: string): string {
  const common = { ph: 'M', pid: process, tid: thread };
  return [
    JSON.stringify({ name: 'thread_name', ...common, args: { name } }),
    JSON.stringify({ name: 'thread_sort_index', ...common, args: { sort_index: thread } }),
  ].join(',\n');
}

/** The event that names the process. No comma behind it. */
export const processName = (process: number, name: string): string =>
  JSON.stringify({ name: 'process_name', ph: 'M', pid: process, tid: 0, args: { name } });

/** A track that writes its events as lines. */
export function createTrack(lines: TraceLines, { process, thread, origin }: TrackOptions): Trace {
  const tail = `,"pid":${process},"tid":${thread}`;
  /** Microseconds; nothing lies before the zero. */
  const stamp = (at: number): string => (Math.max(0, at - origin) / 1000).toFixed(3);
  const argsOf = (values: TraceValues | undefined): string =>
    values === undefined ? '' : `,"args":${JSON.stringify(values)}`;
  return {
    now: () => lines.now(),
    slice(name, from, to, values) {
      const start = stamp(from);
      const duration = Math.max(0, (Math.max(to, origin) - Math.max(from, origin)) / 1000).toFixed(3);
      lines.add(`{"name":${JSON.stringify(name)},"ph":"X","ts":${start},"dur":${duration}${tail}${argsOf(values)}},\n`);
    },
    mark(name, at, values) {
      lines.add(`{"name":${JSON.stringify(name)},"ph":"i","s":"t","ts":${stamp(at)}${tail}${argsOf(values)}},\n`);
    },
    counters(name, at, values) {
      lines.add(`{"name":${JSON.stringify(name)},"ph":"C","ts":${stamp(at)}${tail}${argsOf(values)}},\n`);
    },
  };
}
