/**
 * Gives a prepared worker its vCPU, with the threads that go with it: a compiler, and a sampler where it is measured.
 *
 * @module
 */
import type { Worker } from 'node:worker_threads';
import type { CheckTranslation } from '../../hypervisor/check-translation.ts';
import type { CpuModel } from '../../hypervisor/wasm/system/cpu-model.ts';
import { vcpuArea } from '../../memory/machine-memory.ts';
import type { VcpuThread } from '../../vm/machine.ts';
import type { VcpuThreadConfig, VcpuThreadEnd } from '../../vm/vcpu-thread.ts';
import { startRegionCompiler } from './region-compiler.ts';
import { startSampler } from './sampler.ts';
import type { TraceWire } from './trace-file.ts';
import type { VcpuWorkerTask } from './vcpu-worker.ts';

export interface StartVcpuOptions {
  readonly model: CpuModel;
  /** Hot code is translated. */
  readonly translates: boolean;
  readonly checkTranslation: CheckTranslation | undefined;
  /** The worker's interpreter measures. */
  readonly measures: boolean;
  readonly trace: TraceWire | undefined;
  /** The compiler's thread is gone; the guest goes on, interpreted. */
  readonly onCompilerError: (error: Error) => void;
}

export function startVcpu(worker: Worker, config: VcpuThreadConfig, options: StartVcpuOptions): VcpuThread {
  const { model, translates, checkTranslation, measures, trace, onCompilerError } = options;
  const area = vcpuArea(config.map, config.index);
  const sampler = measures ? startSampler({ memory: config.memory, cpu: area, index: config.index, trace }) : undefined;
  const ended = new Promise<VcpuThreadEnd>((resolve, reject) => {
    worker.once('message', (end: VcpuThreadEnd) => {
      resolve(end);
    });
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the thread ended with status ${code}`)));
  });
  const task: VcpuWorkerTask = {
    config,
    model,
    ...(trace !== undefined && { trace }),
    ...(checkTranslation !== undefined && { checkTranslation }),
  };
  if (translates) {
    const { worker: compiler, wire } = startRegionCompiler(config.memory, area, model);
    worker.once('exit', () => void compiler.terminate());
    compiler.once('error', onCompilerError);
    worker.postMessage({ ...task, compiler: wire } satisfies VcpuWorkerTask, [wire.port]);
  } else worker.postMessage(task);
  const sampled = async (): Promise<VcpuThreadEnd> => {
    try {
      const { exit, stats } = await ended;
      const times = await sampler?.stop();
      return { exit, stats: { ...stats, ...(times !== undefined && { times }) } };
    } finally {
      await sampler?.stop();
      void worker.terminate();
    }
  };
  return { ended: sampled(), sendInitialState: (initial) => worker.postMessage(initial) };
}
