/**
 * Micro-operations that find the address of a memory operand, where its handler does not do so itself.
 *
 * @module
 */
import { type I32, i32, i64 } from '../emit/expr.ts';
import { call, type FunctionBuilder, type Local } from '../emit/function-builder.ts';
import { GP, type HelperFunctions, MF } from '../insn/lift-builder.ts';
import { EA, FAULT_ERROR, FAULT_VECTOR, FPU_STATUS, SEGMENTS } from '../state.ts';
import {
  AUX_ALIGNED,
  AUX_MMX,
  HANDLER_ADDRESS,
  HANDLER_ADDRESS16,
  HANDLER_ADDRESS32,
  HANDLER_ADDRESS_ABSOLUTE,
  HANDLER_ADDRESS_LEGACY,
  R_AUX,
  R_BASE,
  R_DISPLACEMENT,
  R_IMMEDIATE,
  R_OPERAND0,
  R_OPERAND1,
} from './record.ts';

/** x87 status: an unmasked exception is pending; top of the stack. */
const FSW_ES = 1 << 7,
  FSW_TOP = 7 << 11;

/** The address micro-operations: EA = base + (index << scale) + displacement, truncated, + segment base. */
export function writeAddress(
  f: FunctionBuilder,
  cpu: I32,
  record: Local<'i32'>,
  number: number,
  helpers: HelperFunctions,
  fault: () => void,
): void {
  const segmentBase = i64.load(i32.load(record, R_OPERAND0));
  if (number === HANDLER_ADDRESS_ABSOLUTE) {
    f.store(8, cpu, i64.add(i64.load(record, R_IMMEDIATE), segmentBase), EA);
    return;
  }
  const aux = f.let(i32.load16U(record, R_AUX));
  const scale = i64.extendI32U(i32.and(aux, i32.const(3)));
  const base = i64.add(i64.load(i32.load(record, R_BASE)), i64.load32S(record, R_DISPLACEMENT));
  const sum = i64.add(base, i64.shl(i64.load(i32.load(record, R_OPERAND1)), scale));
  switch (number) {
    case HANDLER_ADDRESS:
      f.store(8, cpu, i64.add(sum, segmentBase), EA);
      return;
    case HANDLER_ADDRESS32:
      f.store(8, cpu, i64.add(i64.and(sum, i64.const(0xffff_ffff)), segmentBase), EA);
      return;
    case HANDLER_ADDRESS16:
      f.store(8, cpu, i64.add(i64.and(sum, i64.const(0xffff)), segmentBase), EA);
      return;
    case HANDLER_ADDRESS_LEGACY: {
      // aux: scale 0-1, 16-bit address 2, segment 3-5, write 6, and the AUX_* bits; the immediate holds the number of bytes.
      const wide = i32.eqz(i32.and(aux, i32.const(4)));
      const offset = f.let(sum);
      f.if(
        wide,
        () => f.set(offset, i64.and(offset, i64.const(0xffff_ffff))),
        () => f.set(offset, i64.and(offset, i64.const(0xffff))),
      );
      const segment = i32.and(i32.shrU(aux, i32.const(3)), i32.const(7));
      const write = i32.and(i32.shrU(aux, i32.const(6)), i32.const(1));
      // Two faults that come before those of the segment.
      const early = (vector: number, error: number): void => {
        f.store(4, cpu, i32.const(vector), FAULT_VECTOR);
        f.store(4, cpu, i32.const(error), FAULT_ERROR);
        fault();
      };
      f.if(i32.and(aux, i32.const(AUX_MMX)), () => {
        f.if(i32.and(i32.load(cpu, FPU_STATUS), i32.const(FSW_ES)), () => early(MF, -1));
        // A store that faults leaves TOP cleared (insn/mmx.ts).
        f.if(write, () => f.store(4, cpu, i32.and(i32.load(cpu, FPU_STATUS), i32.const(~FSW_TOP)), FPU_STATUS));
      });
      f.if(i32.and(aux, i32.const(AUX_ALIGNED)), () => {
        const segmentStart = i32.load(i32.add(cpu, i32.shl(segment, i32.const(5))), SEGMENTS);
        f.if(i32.and(i32.add(i32.wrap(offset), segmentStart), i32.const(15)), () => early(GP, 0));
      });
      const linear = f.let(
        call('i64', helpers.legacyLinear, cpu, segment, offset, i32.load(record, R_IMMEDIATE), write),
      );
      f.if(i64.eq(linear, i64.const(-1)), fault);
      f.store(8, cpu, linear, EA);
      return;
    }
    default:
      throw new Error(`special handler ${number}`);
  }
}
