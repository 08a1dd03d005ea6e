/**
 * Guests on QEMU's TCG, the other machine they are held against: started with a kernel and an initrd, its console read and
 * typed to. When the test ends the process is gone.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { skipWithout } from './debian.ts';

const QEMU = 'qemu-system-x86_64';
/** A boot takes seconds; this is for machines whose cores are taken. */
const PATIENCE_MS = 120_000;

/** Where is the cursor? Asked behind a prompt when nothing has been typed ahead. */
const CURSOR_QUESTION = '\x1b[6n';

/** Erases the line that the cursor is in: progress does that to itself, and what comes next begins a line. */
const ERASED_LINE = '\r\x1b[K';
/** Without the beginning of one of the two at the end. */
function finished(output: string): string {
  for (let length = ERASED_LINE.length - 1; length > 0; length--) {
    const end = output.slice(-length);
    if (ERASED_LINE.startsWith(end) || CURSOR_QUESTION.startsWith(end)) return output.slice(0, -length);
  }
  return output;
}

/**
 * The text of a console: plain line ends, a new line where one was erased, nothing of what busybox's line editor asks the terminal. What may
 * be the beginning of such a sequence waits for its end, so that the text of a longer console begins with that of a shorter one.
 */
export function plainText(output: string): string {
  return finished(output).replaceAll(ERASED_LINE, '\n').replaceAll('\r', '').replaceAll(CURSOR_QUESTION, '');
}

export interface QemuOptions {
  readonly kernel: string;
  readonly initrd: string;
  readonly append: string;
  readonly memoryMiB?: number;
  /** The model of the processor; 'max' by default. */
  readonly cpu?: string;
  /** Further arguments, such as devices. */
  readonly more?: readonly string[];
}

/** The console has not shown what was waited for: a guest that stopped, or one that says something else. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError';
}

/** node:test's `skip` option for tests that start QEMU. */
export const skipWithoutQemu = (): string | false => skipWithout(QEMU);

export class QemuGuest implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #transcript = '';
  /** What may be the beginning of a sequence that the transcript does without. */
  #unfinished = '';
  #changed: () => void = () => {};

  constructor(options: QemuOptions) {
    const { kernel, initrd, append, memoryMiB = 256, cpu = 'max', more = [] } = options;
    // biome-ignore format: options in pairs
    const args = [
      '-accel', 'tcg', '-cpu', cpu, '-m', `${memoryMiB}`, '-nodefaults', '-no-reboot',
      '-display', 'none', '-serial', 'stdio',
      '-kernel', kernel, '-initrd', initrd, '-append', append, ...more,
    ];
    this.#child = spawn(QEMU, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (status) => {
        resolve(status);
        this.#changed();
      });
    });
    this.#child.stdin?.on('error', () => {});
    this.#child.stdout?.setEncoding('latin1').on('data', (text: string) => {
      const output = this.#unfinished + text;
      const whole = finished(output);
      this.#unfinished = output.slice(whole.length);
      this.#transcript += plainText(whole);
      this.#changed();
    });
  }

  /** Everything the guest has printed, as `plainText` gives it. */
  get transcript(): string {
    return this.#transcript;
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits until the transcript, from a place in it on, matches; returns the match. @throws NoAnswerError after `limitMs`, or when the machine ends. */
  async see(pattern: RegExp, from = 0, limitMs: number = PATIENCE_MS): Promise<string> {
    const deadline = AbortSignal.timeout(limitMs);
    for (;;) {
      const match = pattern.exec(this.transcript.slice(from));
      if (match !== null) return match[0];
      if (deadline.aborted || this.#child.exitCode !== null) {
        throw new NoAnswerError(`${pattern} did not appear in:\n${this.transcript.slice(-4000)}`);
      }
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
        deadline.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  /** Waits for the machine to end by itself; its exit status. */
  async end(): Promise<number | null> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#child.kill('SIGKILL');
    }, PATIENCE_MS);
    try {
      const status = await this.#ended;
      if (isLate) throw new Error(`QEMU did not end; the guest's last words: ${this.transcript.slice(-1000)}`);
      return status;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
    await this.#ended.catch(() => null);
  }
}
