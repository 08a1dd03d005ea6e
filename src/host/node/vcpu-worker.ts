/**
 * Entry of a vCPU's worker thread on Node.
 *
 * @module
 */
import v8 from 'node:v8';
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { InitialCpuState } from '../../hypervisor/initial-state.ts';
import type { CheckTranslation } from '../../hypervisor/check-translation.ts';
import type { CpuModel } from '../../hypervisor/wasm/system/cpu-model.ts';
import { compileInterpreter, interpreterOfModel } from '../../hypervisor/wasm/compiled-interpreter.ts';
import { wasmHypervisor } from '../../hypervisor/wasm/hypervisor.ts';
import { runVcpuThread, type VcpuThreadConfig, type VcpuThreadEnd } from '../../vm/vcpu-thread.ts';
import { createClock } from './clock.ts';
import { random } from './random.ts';
import { createInterpreterCache, SHIPPED_MODEL } from './interpreter-cache.ts';
import { type CompilerWire, regionCompiler } from './region-compiler.ts';
import { type TraceWire, vcpuTracks } from './trace-file.ts';

/** What the thread is started with. */
export interface VcpuWorkerData {
  /** The interpreter is to be one that measures. */
  readonly measures: boolean;
}

/** What the VMM thread sends first; initial states follow. */
export interface VcpuWorkerTask {
  readonly config: VcpuThreadConfig;
  readonly model: CpuModel;
  /** Left out: everything is interpreted. */
  readonly compiler?: CompilerWire;
  /** Left out: translated code is not checked. */
  readonly checkTranslation?: CheckTranslation;
  readonly trace?: TraceWire;
}

const RANDOM_POOL = new Uint32Array(256);
let poolAt = RANDOM_POOL.length;

function random32(): number {
  if (poolAt === RANDOM_POOL.length) {
    random(new Uint8Array(RANDOM_POOL.buffer));
    poolAt = 0;
  }
  const value = RANDOM_POOL[poolAt] as number;
  RANDOM_POOL[poolAt++] = 0;
  return value;
}

const port = parentPort as MessagePort;
// V8 14.6 may end the process with a failed check when it goes back from optimised code in which it has inlined an indirect call: functions
// that were compiled while hot regions forgo the baseline compiler have no feedback to go back to. The flag is the process's, and V8 also ends
// it when the flag changes under WebAssembly that it is optimising: where Node compiles some itself the launcher sets it before.
v8.setFlagsFromString('--no-wasm-deopt');
// Compiled before the machine is known: the VMM thread reads the kernel meanwhile. V8 begins with its baseline compiler and
// replaces the main loop within some milliseconds of guest code, since the loop returns after every slice.
const { measures } = workerData as VcpuWorkerData;
const interpreter = compileInterpreter(createInterpreterCache(measures), SHIPPED_MODEL, { measures });
const clock = createClock();
port.once('message', ({ config, model, compiler, checkTranslation, trace }: VcpuWorkerTask) => {
  const tracks = trace === undefined ? undefined : vcpuTracks(trace, clock, config.index);
  let end: VcpuThreadEnd;
  try {
    end = runVcpuThread(config, {
      clock,
      hypervisor: wasmHypervisor(
        interpreterOfModel(interpreter, model),
        compiler === undefined ? 'none' : regionCompiler(compiler),
        checkTranslation,
      ),
      random32,
      takeInitialState: () => receiveMessageOnPort(port)?.message as InitialCpuState | undefined,
      trace: tracks,
    });
  } finally {
    tracks?.flush();
  }
  // Whoever gets this ends the thread.
  port.postMessage(end);
});
