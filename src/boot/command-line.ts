/**
 * The kernel command line: UTF-8, NUL-terminated, at crosvm's address.
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import { CMDLINE_ADDRESS, CMDLINE_MAX_BYTES } from './layout.ts';

/** Longest command line in bytes, without its NUL. */
export const CMDLINE_MAX_LENGTH: number = CMDLINE_MAX_BYTES - 1;

/** How errors call the command line, in the place of a file name. */
const NAME = 'command line';

/** UTF-8 of a string; a surrogate without its partner becomes U+FFFD. (TextEncoder belongs to hosts, not to the core.) */
export function encodeUtf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const scalar = character.codePointAt(0) ?? 0xfffd;
    const code = scalar >= 0xd800 && scalar <= 0xdfff ? 0xfffd : scalar;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 0x3f));
    else if (code < 0x1_0000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    else
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 0x3f), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
  }
  return Uint8Array.from(bytes);
}

/** Text with its terminating NUL. */
export function cString(text: string): Uint8Array {
  const body = encodeUtf8(text);
  const bytes = new Uint8Array(body.length + 1);
  bytes.set(body);
  return bytes;
}

/**
 * Writes the command line and returns its address. `limit` is the longest that this kernel takes, in bytes without the
 * NUL; a longer line is refused, for the kernel would cut it without a word.
 */
export function writeCommandLine(memory: GuestMemory, text: string, limit: number = CMDLINE_MAX_LENGTH): number {
  const bytes = cString(text);
  const length = bytes.length - 1;
  const longest = Math.min(limit, CMDLINE_MAX_LENGTH);
  if (length > longest) {
    throw new KernelFormatError(NAME, 'length', `${length}`, `exceeds the ${longest} bytes that the kernel takes`);
  }
  const nul = bytes.indexOf(0);
  if (nul !== length) throw new KernelFormatError(NAME, 'byte', `${nul}`, 'is a NUL, which would end the line there');
  memory.fill(gpa(CMDLINE_ADDRESS), CMDLINE_MAX_BYTES, 0);
  memory.write(gpa(CMDLINE_ADDRESS), bytes);
  return CMDLINE_ADDRESS;
}
