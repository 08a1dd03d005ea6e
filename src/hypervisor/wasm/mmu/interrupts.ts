/**
 * Whether an interrupt may wait for RFLAGS.IF, from WebAssembly.
 *
 * @module
 */
import { i32, type I32 } from '../emit/expr.ts';
import { INTERRUPT_WAITS, KICK_WORD } from './layout.ts';

/**
 * Not zero when one was pending when the loop was entered, or may have become so since: whoever makes one pending kicks the vCPU.
 * Timers that are due are noticed at the end of the slice.
 */
export const interruptWaits = (cpu: I32): I32 =>
  i32.or(i32.load(cpu, INTERRUPT_WAITS), i32.atomicLoad(i32.load(cpu, KICK_WORD)));
