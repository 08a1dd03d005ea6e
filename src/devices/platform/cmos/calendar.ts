/**
 * The clock's registers as numbers and back: BCD or binary, 12 or 24 hours (Motorola MC146818 data sheet).
 *
 * @module
 */
export const SECONDS = 0x00;
export const SECONDS_ALARM = 0x01;
export const MINUTES = 0x02;
export const MINUTES_ALARM = 0x03;
export const HOURS = 0x04;
export const HOURS_ALARM = 0x05;
export const DAY_OF_WEEK = 0x06;
export const DAY_OF_MONTH = 0x07;
export const MONTH = 0x08;
export const YEAR = 0x09;
export const CENTURY = 0x32;

/** Register B: 1 = binary, 1 = 24 hours. */
export const B_BINARY = 0x04;
export const B_24_HOURS = 0x02;

const PM = 0x80;
const DAY_SECONDS = 86_400;

const decode = (value: number, b: number): number => ((b & B_BINARY) !== 0 ? value : (value >> 4) * 10 + (value & 15));
const encode = (value: number, b: number): number =>
  (b & B_BINARY) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);

/** Hours 0..23 of a register value. */
export function decodeHours(value: number, b: number): number {
  if ((b & B_24_HOURS) !== 0) return decode(value, b);
  return (decode(value & ~PM, b) % 12) + ((value & PM) !== 0 ? 12 : 0);
}

export function encodeHours(hours: number, b: number): number {
  if ((b & B_24_HOURS) !== 0) return encode(hours, b);
  return encode(hours % 12 === 0 ? 12 : hours % 12, b) | (hours >= 12 ? PM : 0);
}

/** Writes a time, in milliseconds since 1970 UTC, into the time registers. */
export function writeTime(registers: Uint8Array, milliseconds: number, b: number): void {
  const date = new Date(milliseconds);
  const year = date.getUTCFullYear();
  registers[SECONDS] = encode(date.getUTCSeconds(), b);
  registers[MINUTES] = encode(date.getUTCMinutes(), b);
  registers[HOURS] = encodeHours(date.getUTCHours(), b);
  registers[DAY_OF_WEEK] = encode(date.getUTCDay() + 1, b);
  registers[DAY_OF_MONTH] = encode(date.getUTCDate(), b);
  registers[MONTH] = encode(date.getUTCMonth() + 1, b);
  registers[YEAR] = encode(year % 100, b);
  registers[CENTURY] = encode(Math.floor(year / 100) % 100, b);
}

/** Reads the time registers; fields out of range carry over, as a calendar in software does. NaN never comes back. */
export function readTime(registers: Uint8Array, b: number): number {
  const field = (index: number): number => decode(registers[index] ?? 0, b);
  const year = field(CENTURY) * 100 + field(YEAR);
  const time = new Date(0);
  time.setUTCFullYear(year, field(MONTH) - 1, field(DAY_OF_MONTH));
  time.setUTCHours(decodeHours(registers[HOURS] ?? 0, b), field(MINUTES), field(SECONDS));
  return time.getTime();
}

/**
 * The first second at or after `from` (a second of the day) at which the alarm registers match, at most a day later;
 * Infinity when they name no time of day. C0h and above in a field means any.
 */
export function nextAlarm(registers: Uint8Array, from: number, b: number): number {
  const wild = (value: number): boolean => (value & 0xc0) === 0xc0;
  const seconds = registers[SECONDS_ALARM] ?? 0;
  const minutes = registers[MINUTES_ALARM] ?? 0;
  const hours = registers[HOURS_ALARM] ?? 0;
  let at = from;
  while (at <= from + DAY_SECONDS) {
    const ofDay = at % DAY_SECONDS;
    // Whole hours and minutes that do not match are skipped: some 150 steps for a day.
    if (!wild(hours) && decodeHours(hours, b) !== Math.floor(ofDay / 3600)) at += 3600 - (ofDay % 3600);
    else if (!wild(minutes) && decode(minutes, b) !== Math.floor(ofDay / 60) % 60) at += 60 - (ofDay % 60);
    else if (!wild(seconds) && decode(seconds, b) !== ofDay % 60) at++;
    else return at;
  }
  return Infinity;
}
