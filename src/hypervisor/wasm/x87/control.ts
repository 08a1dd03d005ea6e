/**
 * x87 control instructions: FNINIT, FNCLEX, FLDCW, FNSTCW, FNSTSW, FINCSTP, FDECSTP, FFREE, FNOP, FWAIT and the no-operations that
 * were 8087 and 80287 instructions.
 *
 * @module
 */
import { GPR } from '../state.ts';
import { initialise, loadControl } from './environment.ts';
import type { X87Row } from './row.ts';
import { BUSY, C1, DONE, ES, type Outcome, SF } from './status.ts';
import type { X87 } from './x87.ts';

const nothing = (): Outcome => DONE;

function rotateStack(fpu: X87, by: number): Outcome {
  fpu.rotate(by);
  fpu.status &= ~C1;
  fpu.commitStatus();
  return DONE;
}

/** FFREE, and with `pops` the undocumented FFREEP. The processor clears C1, which is undefined. */
function freeRegister(fpu: X87, i: number, pops: number): Outcome {
  fpu.free(i);
  fpu.pop(pops);
  fpu.status &= ~C1;
  fpu.commitStatus();
  return DONE;
}

export const controlX87Rows: readonly X87Row[] = [
  {
    name: 'fninit',
    waits: false,
    control: true,
    run: (fpu) => {
      initialise(fpu);
      return DONE;
    },
  },
  {
    name: 'fnclex',
    waits: false,
    control: true,
    run: (fpu) => {
      fpu.status &= ~(ES | BUSY | SF | 0x3f);
      fpu.commitStatus();
      return DONE;
    },
  },
  {
    name: 'fldcw',
    memory: 'word',
    waits: true,
    control: true,
    run: (fpu, _, operand) => {
      loadControl(fpu, fpu.memory.getUint16(operand, true));
      return DONE;
    },
  },
  {
    name: 'fnstcw',
    memory: 'word',
    store: true,
    waits: false,
    control: true,
    run: (fpu, _, operand) => {
      fpu.memory.setUint16(operand, fpu.control, true);
      return DONE;
    },
  },
  {
    name: 'fnstsw',
    memory: 'word',
    store: true,
    waits: false,
    control: true,
    run: (fpu, _, operand) => {
      fpu.memory.setUint16(operand, fpu.status, true);
      return DONE;
    },
  },
  {
    name: 'fnstsw ax',
    waits: false,
    control: true,
    run: (fpu) => {
      fpu.u16[GPR >> 1] = fpu.status;
      return DONE;
    },
  },
  { name: 'fincstp', waits: true, run: (fpu) => rotateStack(fpu, 1) },
  { name: 'fdecstp', waits: true, run: (fpu) => rotateStack(fpu, -1) },
  { name: 'ffree st(i)', waits: true, run: (fpu, i) => freeRegister(fpu, i, 0) },
  { name: 'ffreep st(i)', waits: true, run: (fpu, i) => freeRegister(fpu, i, 1) },
  { name: 'fnop', waits: true, run: nothing },
  { name: 'fwait', waits: true, control: true, run: nothing },
  // FNENI, FNDISI (8087) and FNSETPM (80287).
  { name: 'fneni', waits: false, control: true, run: nothing },
  { name: 'fndisi', waits: false, control: true, run: nothing },
  { name: 'fnsetpm', waits: false, control: true, run: nothing },
];
