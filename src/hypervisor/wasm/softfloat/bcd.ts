/**
 * Packed BCD integers of FBLD and FBSTP: 18 decimal digits, two a byte from the lowest, and a sign byte (SDM volume 1, 4.7).
 *
 * @module
 */
import type { FloatEnvironment } from './environment.ts';
import { IE } from './environment.ts';
import { toInteger } from './convert.ts';
import type { FloatValue } from './value.ts';

/** Bytes that FBSTP writes for what it cannot convert: the packed BCD integer indefinite, FFFFC000000000000000h. */
const INDEFINITE: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];
const LIMIT = 10n ** 18n;

/** Writes `a` rounded to an integer as 10 bytes; IE and the indefinite when it needs more than 18 digits. */
export function toBcd(environment: FloatEnvironment, a: FloatValue, into: Uint8Array): void {
  const before = environment.flags;
  const value = toInteger(environment, a, 64, environment.rounding);
  if (environment.flags & ~before & IE || value >= LIMIT || value <= -LIMIT) {
    environment.flags = before | IE;
    environment.roundedUp = false;
    into.set(INDEFINITE);
    return;
  }
  let rest = value < 0n ? -value : value;
  for (let i = 0; i < 9; i++) {
    const pair = Number(rest % 100n);
    rest /= 100n;
    into[i] = (Math.floor(pair / 10) << 4) | (pair % 10);
  }
  into[9] = a.sign << 7;
}

/** Reads 10 bytes. Digits above 9, which have no meaning, count with their value as on the processor. */
export function fromBcd(bytes: Uint8Array, value: FloatValue): void {
  let magnitude = 0n;
  for (let i = 8; i >= 0; i--) {
    const pair = bytes[i]!;
    magnitude = magnitude * 100n + BigInt((pair >> 4) * 10 + (pair & 15));
  }
  const sign = bytes[9]! >> 7;
  value.fromInteger(sign, Number(magnitude >> 32n), Number(magnitude & 0xffff_ffffn));
  value.sign = sign;
}
