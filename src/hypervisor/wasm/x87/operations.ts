/**
 * Every x87 operation, by number.
 *
 * @module
 */
import { arithmeticX87Rows } from './arithmetic.ts';
import { controlX87Rows } from './control.ts';
import { environmentX87Rows } from './environment.ts';
import type { X87Row } from './row.ts';
import { specialX87Rows } from './special.ts';
import { transferX87Rows } from './transfer.ts';

/** The number of an operation, which `X87.execute` takes, is its place here. */
export const x87Rows: readonly X87Row[] = [
  ...arithmeticX87Rows,
  ...transferX87Rows,
  ...specialX87Rows,
  ...controlX87Rows,
  ...environmentX87Rows,
];

/** Operation numbers by name. */
export const X87Operation: Readonly<Record<string, number>> = Object.fromEntries(
  x87Rows.map((row, i) => [row.name, i]),
);
