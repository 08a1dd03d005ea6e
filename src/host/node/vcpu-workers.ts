/**
 * Worker threads for vCPUs. They load and compile the interpreter as soon as they are made, so that this goes on beside
 * reading the arguments and the kernel: `typervisor run` makes the first one before it loads anything else.
 *
 * @module
 */
import { Worker } from 'node:worker_threads';
import { siblingModule } from './sibling-module.ts';
import type { VcpuWorkerData } from './vcpu-worker.ts';

const prepared: { readonly worker: Worker; readonly measures: boolean }[] = [];

/** As for the compiler's thread (region-compiler.ts); more, for decoded blocks outlive their first collections. */
const YOUNG_MIB = 12;

/** Makes a worker for later, whose interpreter measures or not. */
export function prepareVcpuWorker(measures: boolean): void {
  const workerData: VcpuWorkerData = { measures };
  const worker = new Worker(siblingModule(import.meta.url, './vcpu-worker.ts'), {
    name: 'vcpu',
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    workerData,
  });
  prepared.push({ worker, measures });
}

/** A worker that waits for its machine: a prepared one, or a new one. Whoever takes it ends it. */
export function takeVcpuWorker(measures: boolean): Worker {
  let at = prepared.findIndex((one) => one.measures === measures);
  if (at < 0) at = prepared.length;
  if (at === prepared.length) prepareVcpuWorker(measures);
  return (prepared.splice(at, 1)[0] as (typeof prepared)[number]).worker;
}
