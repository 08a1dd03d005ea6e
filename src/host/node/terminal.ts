/**
 * Standard input and output as a guest's console.
 *
 * On a terminal, input is raw: every key goes to the guest, except those of escape-keys.ts. The terminal's mode is put
 * back on every way out: `close`, `process.exit`, an uncaught exception, and the signals that end or stop a process.
 * The end of the input ends nothing.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { type ByteSink, type ByteSource, emptySource } from '../../bus/byte-stream.ts';
import { ExitCode, signalStatus } from '../../vm/exit-code.ts';
import { EscapeKeys, KEYS_HELP, type KeyCommand } from './escape-keys.ts';
import { InputQueue, type InputStream } from './input-queue.ts';
import { OutputQueue, type OutputStream } from './output-queue.ts';

/** Why the machine should end. */
export type LeaveReason =
  /** Ctrl-A x. */
  | { readonly kind: 'key' }
  /** The process got a signal that ends it by default. */
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  /** Standard output cannot be written: EPIPE when its reader is gone. */
  | { readonly kind: 'output-failed'; readonly error: NodeJS.ErrnoException };

/** The exit status of a machine that ended for this reason. */
export function leaveStatus(reason: LeaveReason): number {
  switch (reason.kind) {
    case 'key':
      return ExitCode.PowerOff;
    case 'signal':
      return signalStatus(constants.signals[reason.signal]);
    case 'output-failed':
      return reason.error.code === 'EPIPE' ? ExitCode.OutputClosed : ExitCode.Failure;
  }
}

/** One line about it, for what the user neither did nor asked for. */
export function leaveMessage(reason: LeaveReason): string | undefined {
  if (reason.kind !== 'output-failed' || reason.error.code === 'EPIPE') return undefined;
  return `standard output: ${reason.error.message}`;
}

export interface TerminalOptions {
  /** Whether a device takes the input. If not, standard input is left alone, and Ctrl-C is a signal. */
  readonly takesInput: boolean;
  /** Called at most once. The machine should end; `close` is still the caller's to call. */
  readonly onLeave: (reason: LeaveReason) => void;
  /** Prints the list of keys; by default on standard error. */
  readonly notify?: (text: string) => void;
  /** In the place of `process.stdin` and `process.stdout`. */
  readonly input?: InputStream;
  readonly output?: OutputStream;
}

/** Signals that end a process by default. The first ends the machine in an orderly way; the second does what signals do. */
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/**
 * Node's raw mode still puts a carriage return before every line feed (libuv sets ONLCR), so that a guest's editor that
 * moves the cursor straight down would find it in the first column. Without `stty` it stays so. Going back from raw mode
 * undoes this too: all settings are put back then.
 */
function leaveOutputAlone(): void {
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'], timeout: 1000 });
}

export class Terminal implements AsyncDisposable {
  /** What is typed. */
  readonly source: ByteSource;
  /** What appears. */
  readonly sink: ByteSink;
  readonly #options: TerminalOptions;
  readonly #stdin: InputStream | undefined;
  readonly #input: InputQueue | undefined;
  readonly #output: OutputQueue;
  #isRaw = false;
  /** Something ends the machine: the next signal ends the process. */
  #isLeaving = false;

  constructor(options: TerminalOptions) {
    this.#options = options;
    this.#output = new OutputQueue(options.output ?? process.stdout, (error) =>
      this.#leave({ kind: 'output-failed', error }),
    );
    this.#stdin = options.takesInput ? (options.input ?? process.stdin) : undefined;
    if (this.#stdin !== undefined) {
      const keys = new EscapeKeys((command) => this.#obey(command));
      this.#input = new InputQueue(this.#stdin, this.#stdin.isTTY === true ? (typed) => keys.filter(typed) : undefined);
    }
    this.source = this.#input ?? emptySource;
    this.sink = this.#output;
    for (const signal of ENDING_SIGNALS) process.on(signal, this.#onEndingSignal);
    process.on('SIGTSTP', this.#onStop);
    process.on('SIGCONT', this.#onContinue);
    process.on('exit', this.#restore);
    this.#setRaw(true);
    this.#input?.start();
  }

  /**
   * Waits until all output is written, puts the terminal back and lets go of the streams. A signal meanwhile, while the
   * reader of the output does not read, ends the process.
   */
  async close(): Promise<void> {
    this.#isLeaving = true;
    this.#input?.stop();
    await this.#output.end();
    this.#restore();
    for (const signal of ENDING_SIGNALS) process.off(signal, this.#onEndingSignal);
    process.off('SIGTSTP', this.#onStop);
    process.off('SIGCONT', this.#onContinue);
    process.off('exit', this.#restore);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #obey(command: KeyCommand): void {
    if (command === 'leave') this.#leave({ kind: 'key' });
    else if (this.#options.notify !== undefined) this.#options.notify(KEYS_HELP);
    else process.stderr.write(KEYS_HELP);
  }

  #leave(reason: LeaveReason): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#options.onLeave(reason);
  }

  #setRaw(raw: boolean): void {
    if (this.#stdin?.isTTY !== true || this.#isRaw === raw) return;
    this.#isRaw = raw;
    try {
      this.#stdin.setRawMode?.(raw);
    } catch {
      // The terminal is gone (its window was closed): there is no mode left to set.
      return;
    }
    // A process takes long to start, and the machine need not wait for it.
    if (raw && this.#stdin === process.stdin) setImmediate(this.#leaveOutputAlone);
  }

  readonly #leaveOutputAlone = (): void => {
    if (this.#isRaw) leaveOutputAlone();
  };

  readonly #restore = (): void => this.#setRaw(false);

  readonly #onEndingSignal = (signal: NodeJS.Signals): void => {
    if (!this.#isLeaving) return this.#leave({ kind: 'signal', signal });
    this.#restore();
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  };

  /** Stopped by `kill -TSTP`: whoever has the terminal meanwhile gets it in its own mode. */
  readonly #onStop = (): void => {
    this.#restore();
    process.kill(process.pid, 'SIGSTOP');
  };

  /** Set again even when it was raw before: a shell has changed the mode behind our back. */
  readonly #onContinue = (): void => {
    this.#restore();
    if (!this.#isLeaving) this.#setRaw(true);
  };
}
