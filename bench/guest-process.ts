/**
 * A virtual machine as a child process, seen from outside: what comes out of its serial port and when, what goes in, and
 * how it ends.
 *
 * @module
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

export class GuestError extends Error {
  override readonly name = 'GuestError';
}

/** How much of the end of the output goes into an error's message. */
const TAIL_CHARACTERS = 600;
const END_LIMIT_MS = 30_000;

export interface Answer {
  /** The output from the end of the last answer to the end of this one's pattern. */
  readonly text: string;
  /** When the pattern was complete, in milliseconds since the process was started. */
  readonly atMs: number;
}

export interface GuestEnd {
  readonly status: number | null;
  /** Milliseconds from the start of the process to its end. */
  readonly atMs: number;
  readonly stderr: string;
}

interface Waiter {
  readonly pattern: RegExp;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: GuestError) => void;
}

export class GuestProcess {
  readonly #name: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #started = performance.now();
  readonly #ended: Promise<GuestEnd>;
  #output = '';
  #stderr = '';
  /** Where the next answer starts in the output. */
  #from = 0;
  #waiter: Waiter | undefined;
  #over = false;

  /** Starts `command`; `name` is for messages. */
  constructor(name: string, command: readonly string[]) {
    this.#name = name;
    const [program = '', ...args] = command;
    this.#child = spawn(program, args, { stdio: 'pipe' });
    const { stdout, stderr, stdin } = this.#child;
    stdout.setEncoding('latin1').on('data', (chunk: string) => {
      this.#output += chunk;
      this.#look();
    });
    stderr.setEncoding('latin1').on('data', (chunk: string) => {
      this.#stderr += chunk;
    });
    // The guest may end while something is being sent.
    stdin.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      let failure = '';
      this.#child.on('error', (error) => {
        failure = error.message;
      });
      this.#child.on('close', (status) => {
        this.#over = true;
        this.#stderr += failure;
        this.#fail(`ended with status ${status}`);
        resolve({ status, atMs: performance.now() - this.#started, stderr: this.#stderr });
      });
    });
  }

  /** Milliseconds since the process was started. */
  get elapsedMs(): number {
    return performance.now() - this.#started;
  }

  /** Waits for output that matches. Throws GuestError when the process ends before, or the limit passes. */
  async waitFor(pattern: RegExp, limitMs: number): Promise<Answer> {
    const timer = setTimeout(() => this.#fail(`no ${String(pattern)} within ${limitMs / 1000} s`), limitMs);
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.#waiter = { pattern, resolve, reject };
        this.#look();
        if (this.#over) this.#fail('has ended');
      });
    } finally {
      clearTimeout(timer);
      this.#waiter = undefined;
    }
  }

  send(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Waits until the process has ended; kills it after a limit. */
  async end(limitMs: number = END_LIMIT_MS): Promise<GuestEnd> {
    const timer = setTimeout(() => this.kill(), limitMs);
    try {
      return await this.#ended;
    } finally {
      clearTimeout(timer);
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Undefined when the process could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  #look(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    const rest = this.#output.slice(this.#from);
    const match = waiter.pattern.exec(rest);
    if (match === null) return;
    const end = match.index + match[0].length;
    this.#from += end;
    waiter.resolve({ text: rest.slice(0, end), atMs: this.elapsedMs });
  }

  #fail(what: string): void {
    const tail = (this.#output.slice(this.#from) + this.#stderr).slice(-TAIL_CHARACTERS).trim();
    this.#waiter?.reject(new GuestError(`${this.#name} ${what}${tail === '' ? '' : `; last it said:\n${tail}`}`));
  }
}
