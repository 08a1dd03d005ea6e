/**
 * Chooses what makes system calls: koffi where it is installed, else `node:ffi` where this Node has it. Neither is loaded before
 * somebody asks, so that a machine on WebAssembly needs and costs neither.
 *
 * @module
 */
import type { SystemCalls } from '../../../hypervisor/kvm/system-calls.ts';
import { ffiCalls } from './ffi-calls.ts';
import { koffiCalls } from './koffi-calls.ts';

/** Neither koffi nor `node:ffi` can be loaded. */
export class NoSystemCallsError extends Error {
  override readonly name = 'NoSystemCallsError';
}

const message = (error: unknown): string =>
  error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);

/** @throws NoSystemCallsError */
export async function loadSystemCalls(): Promise<SystemCalls> {
  let koffiError: unknown;
  try {
    return koffiCalls();
  } catch (error) {
    koffiError = error;
  }
  try {
    return await ffiCalls();
  } catch (error) {
    throw new NoSystemCallsError(
      `system calls need the package koffi (${message(koffiError)}) or a Node with node:ffi (${message(error)}): run "npm install koffi"`,
      { cause: koffiError },
    );
  }
}
