/**
 * The software hypervisor: the CPU written in this project, running as WebAssembly.
 *
 * @module
 */
import type { Hypervisor } from '../hypervisor.ts';
import { type CompileModule, VCPU_AREA_BYTES, WasmVcpu } from './vcpu.ts';

/** `compile` as in `WasmVcpuOptions`: how the host compiles the interpreter. */
export function wasmHypervisor(compile?: CompileModule): Hypervisor {
  return {
    name: 'wasm',
    vcpuAreaBytes: VCPU_AREA_BYTES,
    createVcpu: (options) => new WasmVcpu(compile === undefined ? options : { ...options, compile }),
  };
}
