/**
 * Every instruction row, by family.
 *
 * @module
 */
import { arithmeticRows } from './arithmetic.ts';
import { bitRows } from './bit.ts';
import { branchRows } from './branch.ts';
import { controlRows } from './control.ts';
import { mmxRows } from './mmx.ts';
import { moveRows } from './move.ts';
import { multiplyRows } from './multiply.ts';
import type { Row } from './row.ts';
import { shiftRows } from './shift.ts';
import { sseArithmeticRows } from './sse-arithmetic.ts';
import { sseConvertRows } from './sse-convert.ts';
import { sseIntegerRows } from './sse-integer.ts';
import { sseMoveRows } from './sse-move.ts';
import { sseShuffleRows } from './sse-shuffle.ts';
import { sseStringRows } from './sse-string.ts';
import { stringRows } from './string.ts';
import { systemRows } from './system.ts';
import { x87InstructionRows } from './x87.ts';

export const rows: readonly Row[] = [
  ...arithmeticRows,
  ...bitRows,
  ...branchRows,
  ...controlRows,
  ...moveRows,
  ...multiplyRows,
  ...shiftRows,
  ...stringRows,
  ...mmxRows,
  ...sseArithmeticRows,
  ...sseConvertRows,
  ...sseIntegerRows,
  ...sseMoveRows,
  ...sseShuffleRows,
  ...sseStringRows,
  ...systemRows,
  ...x87InstructionRows,
];
