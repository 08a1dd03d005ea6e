/**
 * The software hypervisor: the CPU written in this project, running as WebAssembly.
 *
 * @module
 */
import type { Hypervisor } from '../hypervisor.ts';
import { type CompiledInterpreter, VCPU_AREA_BYTES, WasmVcpu } from './vcpu.ts';

/** `interpreter` may have been compiled beforehand. */
export function wasmHypervisor(interpreter?: CompiledInterpreter): Hypervisor {
  return {
    name: 'wasm',
    vcpuAreaBytes: VCPU_AREA_BYTES,
    createVcpu: (options) => new WasmVcpu(interpreter === undefined ? options : { ...options, interpreter }),
  };
}
