/**
 * The hypervisor of a machine on Node: which one, its side of the VMM thread, and the threads of its vCPUs.
 *
 * @module
 */
import { VCPU_AREA_BYTES } from '../../hypervisor/wasm/mmu/layout.ts';
import { type CpuModel, PHYSICAL_ADDRESS_BITS } from '../../hypervisor/wasm/system/cpu-model.ts';
import { type Kvm, KvmUnusableError } from '../../hypervisor/kvm/kvm.ts';
import { SystemCallError } from '../../hypervisor/kvm/system-calls.ts';
import type { VirtualMachineFactory } from '../../hypervisor/virtual-machine.ts';
import type { RamBacking } from '../../memory/machine-memory.ts';
import type { Logger } from '../../util/log.ts';
import { MAX_MEM_MIB, MAX_WASM_CPUS, MIB, type ModelName, type RunConfig } from '../../vm/config.ts';
import type { VcpuThread } from '../../vm/machine.ts';
import { softwareMachine } from '../../vm/software-machine.ts';
import type { VcpuThreadConfig } from '../../vm/vcpu-thread.ts';
import { kvmOnNode } from './kvm/kvm-on-node.ts';
import { NoSystemCallsError } from './kvm/load-system-calls.ts';
import { openKvm } from './kvm/open-kvm.ts';
import { whyNotKvm } from './kvm/why-not-kvm.ts';
import { startVcpu } from './start-vcpu.ts';
import type { TraceWire } from './trace-file.ts';
import { takeVcpuWorker } from './vcpu-workers.ts';

export interface NodeHypervisor extends AsyncDisposable {
  readonly name: 'kvm' | 'wasm';
  readonly ramBacking: RamBacking;
  readonly factory: VirtualMachineFactory;
  startVcpu(config: VcpuThreadConfig, trace: TraceWire | undefined): VcpuThread;
}

/** The host cannot give what the configuration asks for: one line for people. */
export class HypervisorError extends Error {
  override readonly name = 'HypervisorError';
}

/** Errors whose message is all that people need. */
const isHostError = (error: unknown): error is Error =>
  error instanceof SystemCallError || error instanceof KvmUnusableError || error instanceof NoSystemCallsError;

/** Opens what the configuration names, and says in the log what was chosen and why. @throws HypervisorError */
export async function openHypervisor(config: RunConfig, logger: Logger): Promise<NodeHypervisor> {
  if (config.hypervisor === 'wasm') return wasmOnNode(config, logger);
  const forWasm = config.checkTranslation === undefined ? undefined : 'translated code is to be checked';
  const obstacle = config.hypervisor === 'auto' ? (forWasm ?? whyNotKvm()) : undefined;
  let reason = obstacle;
  if (obstacle === undefined) {
    try {
      const kvm = await openKvm();
      if (config.hypervisor === 'auto') tryMachine(kvm);
      logger.log('info', 'hypervisor', `KVM (system calls by ${kvm.calls.implementation})`);
      return kvmOnNode(kvm, config);
    } catch (error) {
      if (!isHostError(error)) throw error;
      if (config.hypervisor === 'kvm') throw new HypervisorError(error.message, { cause: error });
      reason = error.message;
    }
  }
  logger.log('info', 'hypervisor', `WebAssembly, not KVM: ${reason}`);
  return wasmOnNode(config, logger);
}

/** Another hypervisor may have the processor: only a machine that has been made shows that one can be. @throws SystemCallError */
function tryMachine(kvm: Kvm): void {
  try {
    kvm.calls.close(kvm.createVm());
  } catch (error) {
    kvm[Symbol.dispose]();
    throw error;
  }
}

const MODELS: Record<ModelName, CpuModel> = { 'x86-64-v2': 'v2', 'x86-64-v3': 'v3' };

function wasmOnNode(config: RunConfig, logger: Logger): NodeHypervisor {
  if (config.memfd) throw new HypervisorError('the memory of the WebAssembly CPU is never a memfd, that takes KVM');
  if (config.irqchip !== undefined) {
    throw new HypervisorError(
      `the WebAssembly CPU has interrupt controllers of its own, --irqchip ${config.irqchip} takes KVM`,
    );
  }
  if (config.cpus > MAX_WASM_CPUS) {
    throw new HypervisorError(`the WebAssembly CPU is one, ${config.cpus} are configured: more take KVM`);
  }
  if (config.memBytes > MAX_MEM_MIB * MIB) {
    const configured = config.memBytes / MIB;
    throw new HypervisorError(`the WebAssembly CPU takes up to ${MAX_MEM_MIB} MiB of memory, not ${configured}`);
  }
  const measures = config.stats || config.trace !== undefined;
  const workers = Array.from({ length: config.cpus }, () => takeVcpuWorker(measures));
  return {
    name: 'wasm',
    ramBacking: 'anonymous',
    factory: softwareMachine({ vcpuAreaBytes: VCPU_AREA_BYTES, physicalAddressBits: PHYSICAL_ADDRESS_BITS }),
    startVcpu: (thread, trace) =>
      startVcpu(workers[thread.index] as (typeof workers)[number], thread, {
        model: MODELS[config.model],
        translates: config.translate,
        checkTranslation: config.checkTranslation,
        measures,
        trace,
        onCompilerError: (error) => {
          const consequence = 'the compiler ended, hot code is interpreted from here on';
          logger.log('error', 'translator', `${consequence}: ${error.message}`);
        },
      }),
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
