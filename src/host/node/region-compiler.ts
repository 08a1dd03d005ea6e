/**
 * A translator's compiler on a thread of its own: the client, on the vCPU's thread, and how the thread is started.
 *
 * Requests and regions go through a message port. The vCPU's thread has no event loop while the guest runs: it sees in a shared
 * counter that something has come, and takes it without waiting.
 *
 * @module
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { CpuModel } from '../../hypervisor/wasm/system/cpu-model.ts';
import type {
  RegionCompiler,
  RegionRequest,
  TranslatedBatch,
} from '../../hypervisor/wasm/translator/compile-region.ts';
import { siblingModule } from './sibling-module.ts';

/** The two ends of the wire; each survives `postMessage` with its port transferred. */
export interface CompilerWire {
  readonly port: MessagePort;
  /** One word: how many regions have been sent. */
  readonly sent: Int32Array;
}

/** What the compiler's thread is started with. */
export interface CompilerTask extends CompilerWire {
  readonly memory: WebAssembly.Memory;
  /** Offset of the vCPU's private area. */
  readonly cpu: number;
  readonly model: CpuModel;
}

/**
 * V8 would let what the compiler throws away grow to 48 MiB before it looks, of which two thirds stay resident. It translates as fast with
 * this.
 */
const YOUNG_MIB = 6;

/** Starts a compiler for one vCPU. Whoever starts it ends the worker; it keeps no process alive. */
export function startRegionCompiler(
  memory: WebAssembly.Memory,
  cpu: number,
  model: CpuModel,
): { readonly worker: Worker; readonly wire: CompilerWire } {
  const { port1, port2 } = new MessageChannel();
  const sent = new Int32Array(new SharedArrayBuffer(4));
  const task: CompilerTask = { memory, cpu, model, port: port1, sent };
  const worker = new Worker(siblingModule(import.meta.url, './region-compiler-worker.ts'), {
    name: 'compiler',
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    workerData: task,
    transferList: [port1],
  });
  worker.unref();
  return { worker, wire: { port: port2, sent } };
}

/** The compiler at the other end of a wire. */
export function regionCompiler({ port, sent }: CompilerWire): RegionCompiler {
  let taken = 0;
  return {
    request: (request: RegionRequest) => port.postMessage(request),
    poll() {
      if (Atomics.load(sent, 0) === taken) return undefined;
      const received = receiveMessageOnPort(port);
      if (received === undefined) return undefined;
      taken = (taken + 1) | 0;
      return received.message as TranslatedBatch;
    },
  };
}
