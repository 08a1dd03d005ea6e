/**
 * The keys that the terminal keeps for itself: Ctrl-A and a letter. Splits what is typed into bytes for the guest and
 * commands for typervisor; a Ctrl-A may be the last byte of one piece and its letter the first of the next.
 *
 * @module
 */

export type KeyCommand = 'leave' | 'help';

const CTRL_A = 0x01;

/** The line that Ctrl-A h prints, in lines that end as a raw terminal wants it. */
export const KEYS_HELP: string = [
  '',
  'Ctrl-A x  leaves: ends the virtual machine at once',
  'Ctrl-A a  sends Ctrl-A to the guest',
  'Ctrl-A h  lists these keys',
  '',
].join('\r\n');

export class EscapeKeys {
  readonly #onCommand: (command: KeyCommand) => void;
  #escaped = false;

  constructor(onCommand: (command: KeyCommand) => void) {
    this.#onCommand = onCommand;
  }

  /** The bytes of `typed` that are the guest's. Returns `typed` itself when nothing in it is special. */
  filter(typed: Uint8Array): Uint8Array {
    if (!this.#escaped && !typed.includes(CTRL_A)) return typed;
    const out: number[] = [];
    for (const byte of typed) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true;
        else out.push(byte);
        continue;
      }
      this.#escaped = false;
      switch (String.fromCharCode(byte)) {
        case 'x':
        case 'X':
          this.#onCommand('leave');
          break;
        case 'h':
        case 'H':
        case '?':
          this.#onCommand('help');
          break;
        case 'a':
        case 'A':
        case '\x01':
          out.push(CTRL_A);
          break;
        default:
          // No key of ours, so the Ctrl-A was the guest's: a shell's "start of line", and what was typed there.
          out.push(CTRL_A, byte);
      }
    }
    return Uint8Array.from(out);
  }
}
