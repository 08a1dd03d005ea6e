/**
 * Which instructions the processor has: `v2` is x86-64-v2, `v3` x86-64-v3 with AES-NI, PCLMULQDQ and ADX.
 *
 * @module
 */

export type CpuModel = 'v2' | 'v3';

/** C libraries would pick AVX2 string functions, which the interpreter does not yet run fast. */
export const ANNOUNCE_V3 = false;

export const DEFAULT_MODEL: CpuModel = ANNOUNCE_V3 ? 'v3' : 'v2';
