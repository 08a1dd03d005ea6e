/** What is wrong with the arguments, in one line. Ends the command with `ExitCode.BadArguments`. @module */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Longest value that a message quotes in full, in characters. */
const QUOTE_LIMIT = 120;

/** A value as a message shows it: quoted, on one line, not endless. */
export function quote(value: string): string {
  return JSON.stringify(value.length > QUOTE_LIMIT ? `${value.slice(0, QUOTE_LIMIT)}…` : value);
}
