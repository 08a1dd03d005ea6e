/**
 * A record of what happened when, for people to look at: events on tracks, one track a thread. Who has nothing to trace to gets no `Trace`.
 *
 * @module
 */
export type TraceValues = Readonly<Record<string, string | number | boolean>>;

/** One track. Times are nanoseconds of the machine's clock. */
export interface Trace {
  now(): number;
  /** Something that took from `from` to `to`. Slices of a track lie one behind the other or one within the other. */
  slice(name: string, from: number, to: number, values?: TraceValues): void;
  /** Something that happened at `at`. */
  mark(name: string, at: number, values?: TraceValues): void;
  /** Quantities as they are from `at` on, drawn as curves. */
  counters(name: string, at: number, values: Readonly<Record<string, number>>): void;
}

/** The tracks of a vCPU and of the compiler that works for it. */
export interface VcpuTrace {
  readonly vcpu: Trace;
  readonly compiler: Trace;
}

/** An address as traces spell it. */
export const hexadecimal = (value: bigint | number): string => `0x${value.toString(16)}`;
