/**
 * What a loader throws at a kernel or initrd that cannot be booted: one line that names the file, the field and its value.
 *
 * @module
 */

const show = (value: number | bigint | string): string =>
  typeof value === 'string' ? value : `0x${value.toString(16)}`;

export class KernelFormatError extends Error {
  override readonly name = 'KernelFormatError';
  readonly file: string;
  readonly field: string;

  /** `reason` completes the sentence "FILE: FIELD VALUE ...", for example "lies beyond the end of the file". */
  constructor(file: string, field: string, value: number | bigint | string, reason: string) {
    super(oneLine(`${file}: ${field} ${show(value)} ${reason}`));
    this.file = file;
    this.field = field;
  }
}

/** File names and command lines are the user's: a control character in them must not break the line or the terminal. */
const oneLine = (text: string): string => text.replace(/\p{Cc}/gu, '?');
