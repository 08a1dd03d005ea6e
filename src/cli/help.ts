/** Lays out help texts: terms on the left, explanations wrapped on the right, at most 96 columns. @module */
import type { OptionSpec } from './arguments.ts';

export const HELP_COLUMNS = 96;
const INDENT = '  ';
/** Where explanations start. A term that reaches further gets a line of its own. */
const TEXT_COLUMN = 26;

/** Breaks a text at spaces into lines of at most `columns`; newlines in it stay. A word that is longer stays whole. */
export function wrap(text: string, columns: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > columns) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    return [...lines, line];
  });
}

/** A term with its explanation. */
export function entry(term: string, text: string, indent: string = INDENT): string[] {
  const lines = wrap(text, HELP_COLUMNS - TEXT_COLUMN).map((line) => ' '.repeat(TEXT_COLUMN) + line);
  const label = indent + term;
  if (label.length + 2 > TEXT_COLUMN) return [label, ...lines];
  const [first = '', ...rest] = lines;
  return [label.padEnd(TEXT_COLUMN) + first.trimStart(), ...rest];
}

/** An option with its spellings, what it does, and its keys. */
export function optionEntry({ name, short, value, help, keys = [] }: OptionSpec): string[] {
  const spellings = short === undefined ? `    ${name}` : `${short}, ${name}`;
  const term = value === undefined ? spellings : `${spellings} ${value}`;
  return [...entry(term, help), ...keys.flatMap(([key, text]) => entry(key, text, INDENT.repeat(5)))];
}

/** A heading and what stands under it. */
export const section = (heading: string, ...bodies: readonly string[][]): string[] => ['', heading, ...bodies.flat()];
