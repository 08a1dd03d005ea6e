/**
 * One line on a terminal that says how far work on a large file has got, and vanishes afterwards.
 *
 * @module
 */
import type { LoadProgress } from '../../boot/byte-file.ts';

/** Where the line goes: standard error. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** What loads faster than this shows no line. */
const PATIENCE_MS = 200;
/** Time between two versions of the line. */
const INTERVAL_MS = 50;
const CLEAR_LINE = '\r\x1b[K';
const MIB = 1024 * 1024;

export interface ProgressLine {
  readonly update: LoadProgress;
  /** Removes the line. */
  end(): void;
}

/** A progress line; silent when `output` is no terminal. `now` counts milliseconds; `activity` is what is done to the file. */
export function createProgressLine(
  output: ProgressOutput,
  now: () => number = () => performance.now(),
  activity = 'loading',
): ProgressLine {
  const started = now();
  let last = -Infinity;
  let shown = false;
  return {
    update(file, doneBytes, totalBytes) {
      const time = now();
      if (time - started < PATIENCE_MS || time - last < INTERVAL_MS || output.isTTY !== true) return;
      last = time;
      shown = true;
      const percent = Math.floor((doneBytes / totalBytes) * 100);
      const size = `${(doneBytes / MIB).toFixed(0)} of ${(totalBytes / MIB).toFixed(0)} MiB`;
      output.write(`${CLEAR_LINE}${activity} ${printable(file)}: ${percent} %, ${size}`);
    },
    end() {
      if (shown) output.write(CLEAR_LINE);
      shown = false;
    },
  };
}

/** The end of a path, short enough for one line and without control characters. */
function printable(path: string): string {
  const clean = path.replace(/\p{Cc}/gu, '?');
  return clean.length > 40 ? `…${clean.slice(-39)}` : clean;
}
