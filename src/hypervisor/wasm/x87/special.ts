/**
 * x87 square root, rounding, remainder, scaling and transcendental instructions.
 *
 * @module
 */
import { squareRoot } from '../softfloat/arithmetic.ts';
import { roundToIntegral } from '../softfloat/convert.ts';
import { EXTENDED } from '../softfloat/format.ts';
import { extract, INCOMPLETE, remainder, scale } from '../softfloat/remainder.ts';
import {
  arcTangent,
  exponentialMinusOne,
  trigonometric,
  type Trigonometric,
  yLog2X,
  yLog2XPlus1,
} from '../softfloat/transcendental.ts';
import type { X87Row } from './row.ts';
import { C0, C1, C2, C3, DONE, type Outcome } from './status.ts';
import type { X87 } from './x87.ts';

/** ST(0) := f(ST(0)) */
function unary(fpu: X87, compute: (fpu: X87) => void): Outcome {
  if (fpu.isEmpty(0)) return fpu.finishUnderflow(0, 0);
  fpu.load(0, fpu.a);
  compute(fpu);
  return fpu.finish(0, 0);
}

/** ST(1) := f(ST(0), ST(1)) and a pop; a is ST(0). */
function binaryPopping(fpu: X87, compute: (fpu: X87) => void): Outcome {
  if (fpu.isEmpty(0) || fpu.isEmpty(1)) return fpu.finishUnderflow(1, 1);
  fpu.load(0, fpu.a);
  fpu.load(1, fpu.b);
  compute(fpu);
  return fpu.finish(1, 1);
}

function partialRemainder(fpu: X87, nearest: boolean): Outcome {
  fpu.status &= ~C2;
  if (fpu.isEmpty(0) || fpu.isEmpty(1)) return fpu.finishUnderflow(0, 0);
  fpu.load(0, fpu.a);
  fpu.load(1, fpu.b);
  const quotient = remainder(fpu.environment, fpu.out, fpu.a, fpu.b, nearest);
  const isNan = fpu.out.biased === 0x7fff;
  if (!isNan && !fpu.environment.suppressed()) {
    fpu.status &= ~(C0 | C3);
    if (quotient === INCOMPLETE) {
      fpu.status |= C2;
      fpu.environment.roundedUp = false;
    } else {
      if (quotient & 4) fpu.status |= C0;
      if (quotient & 2) fpu.status |= C3;
      fpu.environment.roundedUp = (quotient & 1) !== 0;
    }
  }
  return fpu.finish(0, 0);
}

function scaleByPower(fpu: X87): Outcome {
  if (fpu.isEmpty(0) || fpu.isEmpty(1)) return fpu.finishUnderflow(0, 0);
  fpu.load(0, fpu.a);
  fpu.load(1, fpu.b);
  scale(fpu.environment, fpu.out, fpu.a, fpu.b);
  return fpu.finish(0, 0);
}

/** Ends what replaces ST(0) by `out` and pushes `out2`. */
function finishPushing(fpu: X87): Outcome {
  const { environment } = fpu;
  if (environment.suppressed()) {
    environment.roundedUp = false;
  } else {
    fpu.store(0, fpu.out);
    fpu.rotate(-1);
    fpu.store(0, fpu.out2);
  }
  fpu.commit();
  return DONE;
}

/** A stack fault of an instruction with two results: both are the default NaN. */
function finishPushingFault(fpu: X87, c1: number): Outcome {
  if (fpu.stackFault(c1)) {
    fpu.storeDefaultNan(0);
    fpu.rotate(-1);
    fpu.storeDefaultNan(0);
  }
  fpu.commit();
  return DONE;
}

function extractParts(fpu: X87): Outcome {
  if (fpu.isEmpty(0)) return finishPushingFault(fpu, 0);
  if (!fpu.isEmpty(7)) return finishPushingFault(fpu, C1);
  fpu.load(0, fpu.a);
  extract(fpu.environment, fpu.out, fpu.out2, fpu.a);
  return finishPushing(fpu);
}

function sineOrCosine(fpu: X87, which: Trigonometric): Outcome {
  fpu.status &= ~C2;
  if (fpu.isEmpty(0)) return fpu.finishUnderflow(0, 0);
  fpu.load(0, fpu.a);
  if (trigonometric(fpu.environment, fpu.out, fpu.a, which)) return fpu.finish(0, 0);
  return outOfRange(fpu);
}

/** C2 set, the operand unchanged. */
function outOfRange(fpu: X87): Outcome {
  fpu.status |= C2;
  fpu.commit();
  return DONE;
}

/** FSINCOS leaves the sine in ST(1) and the cosine in ST(0); FPTAN the tangent and 1. */
function pairOfResults(fpu: X87, first: 'sine' | 'tangent'): Outcome {
  const { environment, out, out2 } = fpu;
  fpu.status &= ~C2;
  if (fpu.isEmpty(0)) return finishPushingFault(fpu, 0);
  if (!fpu.isEmpty(7)) return finishPushingFault(fpu, C1);
  fpu.load(0, fpu.a);
  if (!trigonometric(environment, out, fpu.a, first)) return outOfRange(fpu);
  if (out.biased === 0x7fff) out2.set(out.sign, out.biased, out.significand);
  else if (first === 'tangent') out2.set(0, EXTENDED.bias, EXTENDED.top);
  else trigonometric(environment, out2, fpu.a, 'cosine');
  return finishPushing(fpu);
}

export const specialX87Rows: readonly X87Row[] = [
  {
    name: 'fsqrt',
    waits: true,
    run: (fpu) => unary(fpu, ({ environment, format, out, a }) => squareRoot(environment, format, out, a)),
  },
  {
    name: 'frndint',
    waits: true,
    run: (fpu) =>
      unary(fpu, ({ environment, out, a }) =>
        roundToIntegral(environment, EXTENDED, out, a, environment.rounding, true),
      ),
  },
  { name: 'fprem', waits: true, run: (fpu) => partialRemainder(fpu, false) },
  { name: 'fprem1', waits: true, run: (fpu) => partialRemainder(fpu, true) },
  { name: 'fscale', waits: true, run: scaleByPower },
  { name: 'fxtract', waits: true, run: extractParts },
  {
    name: 'f2xm1',
    waits: true,
    run: (fpu) => unary(fpu, ({ environment, out, a }) => exponentialMinusOne(environment, out, a)),
  },
  {
    name: 'fyl2x',
    waits: true,
    run: (fpu) => binaryPopping(fpu, ({ environment, out, a, b }) => yLog2X(environment, out, a, b)),
  },
  {
    name: 'fyl2xp1',
    waits: true,
    run: (fpu) => binaryPopping(fpu, ({ environment, out, a, b }) => yLog2XPlus1(environment, out, a, b)),
  },
  {
    name: 'fpatan',
    waits: true,
    run: (fpu) => binaryPopping(fpu, ({ environment, out, a, b }) => arcTangent(environment, out, b, a)),
  },
  { name: 'fsin', waits: true, run: (fpu) => sineOrCosine(fpu, 'sine') },
  { name: 'fcos', waits: true, run: (fpu) => sineOrCosine(fpu, 'cosine') },
  { name: 'fsincos', waits: true, run: (fpu) => pairOfResults(fpu, 'sine') },
  { name: 'fptan', waits: true, run: (fpu) => pairOfResults(fpu, 'tangent') },
];
