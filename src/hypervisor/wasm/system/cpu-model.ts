/**
 * Which instructions the processor has: `v2` is x86-64-v2, `v3` x86-64-v3 with AES-NI, PCLMULQDQ and ADX.
 *
 * @module
 */

export type CpuModel = 'v2' | 'v3';

/** MAXPHYADDR of every model. */
export const PHYSICAL_ADDRESS_BITS = 40;
