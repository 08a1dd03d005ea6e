/**
 * What a format throws at an image that is malformed, or that asks for what is not there: one line that names the image, the
 * field and its value.
 *
 * @module
 */

/** Longest text of an image that a message repeats, in characters: an image may hold anything. */
const TEXT_LIMIT = 80;

function show(value: number | string): string {
  if (typeof value === 'string') return quoteText(value);
  if (value === Infinity) return '(more than 53 bits)';
  return value < 4096 ? `${value}` : `0x${value.toString(16)}`;
}

/** Text of an image or of the user as a message shows it: quoted, on one line, not endless. */
export const quoteText = (text: string): string =>
  JSON.stringify(text.length > TEXT_LIMIT ? `${text.slice(0, TEXT_LIMIT)}…` : text);

export class DiskFormatError extends Error {
  override readonly name = 'DiskFormatError';
  readonly image: string;
  readonly field: string;

  /** `reason` completes the sentence "IMAGE: FIELD VALUE ...", for example "lies beyond the end of the file". */
  constructor(image: string, field: string, value: number | string, reason: string, cause?: unknown) {
    super(`${image}: ${field} ${show(value)} ${reason}`.replace(/\p{Cc}/gu, '?'), { cause });
    this.image = image;
    this.field = field;
  }
}
