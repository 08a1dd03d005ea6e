/**
 * The software hypervisor: the CPU written in this project, running as WebAssembly.
 *
 * @module
 */
import type { SoftwareHypervisor } from '../hypervisor.ts';
import type { CheckTranslation } from '../check-translation.ts';
import type { RegionCompiler } from './translator/compile-region.ts';
import type { CompiledInterpreter } from './compiled-interpreter.ts';
import { WasmVcpu } from './vcpu.ts';

/**
 * `interpreter` may have been compiled beforehand; `regionCompiler` translates hot code for the one vCPU that is made; translated code is
 * checked as `checkTranslation` has it.
 */
export function wasmHypervisor(
  interpreter?: CompiledInterpreter,
  regionCompiler?: RegionCompiler | 'none',
  checkTranslation?: CheckTranslation,
): SoftwareHypervisor {
  return {
    interruptControllers: 'shared-memory',
    createVcpu: (options) =>
      new WasmVcpu({
        ...options,
        ...(interpreter !== undefined && { interpreter }),
        ...(regionCompiler !== undefined && { regionCompiler }),
        ...(checkTranslation !== undefined && { checkTranslation }),
      }),
  };
}
