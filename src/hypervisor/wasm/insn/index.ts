/**
 * Every instruction row, by family.
 *
 * @module
 */
import { aesRows } from './aes.ts';
import { arithmeticRows } from './arithmetic.ts';
import { avxRows } from './avx.ts';
import { avxFromSseRows } from './avx-from-sse.ts';
import { bitRows } from './bit.ts';
import { bmiRows } from './bmi.ts';
import { branchRows } from './branch.ts';
import { controlRows } from './control.ts';
import { fmaRows } from './fma.ts';
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
import type { CpuModel } from '../system/cpu-model.ts';

/** What every model has: x86-64-v2. */
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

/** What x86-64-v3 adds. None is inline in the main loop, so that the core module is the same for every model. */
const v3Rows: readonly Row[] = [...aesRows, ...avxRows, ...avxFromSseRows, ...bmiRows, ...fmaRows];

/** The instructions of a processor model: what it does not have is not decoded, or as the instruction that came before. */
export const rowsOf = (model: CpuModel): readonly Row[] => (model === 'v3' ? [...rows, ...v3Rows] : rows);
