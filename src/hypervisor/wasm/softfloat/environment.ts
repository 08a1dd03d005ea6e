/**
 * The floating-point environment: rounding, masks, and the exceptions raised so far.
 *
 * The six exceptions and the four rounding codes have the same encoding in the x87 control and status words
 * and in MXCSR (SDM volume 1, 8.1 and 10.2.3), so one environment serves both.
 *
 * @module
 */

/** Exception flags and masks: invalid operation, denormal operand, zero divide, overflow, underflow, precision. */
export const IE = 1,
  DE = 2,
  ZE = 4,
  OE = 8,
  UE = 16,
  PE = 32;
/** Exceptions found before the result is computed: unmasked, they suppress it. */
export const PRE_COMPUTATION = IE | DE | ZE;

/** Rounding control. */
export const ROUND_NEAREST = 0,
  ROUND_DOWN = 1,
  ROUND_UP = 2,
  ROUND_ZERO = 3;

export class FloatEnvironment {
  /** ROUND_* */
  rounding = ROUND_NEAREST;
  /** Bit set: that exception is masked. */
  masks = 0x3f;
  /** Exceptions raised since the owner cleared them. */
  flags = 0;
  /** MXCSR.DAZ: denormal operands count as zeros. */
  denormalsAreZero = false;
  /** MXCSR.FZ: masked underflow gives zero. */
  flushToZero = false;
  /** x87 rules: NaN choice by significand, and unmasked overflow and underflow deliver a result with a wrapped exponent. */
  x87 = false;
  /** The last rounding increased the magnitude (x87 condition code C1). */
  roundedUp = false;

  /** True when an exception suppresses the result (SDM volume 1, 4.9.3). */
  suppressed(): boolean {
    return (this.flags & PRE_COMPUTATION & ~this.masks) !== 0;
  }
}
