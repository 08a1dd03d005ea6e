/**
 * Worker threads for vCPUs. They load and compile the interpreter as soon as they are made, so that this goes on beside
 * reading the arguments and the kernel: `typervisor run` makes the first one before it loads anything else.
 *
 * @module
 */
import { Worker } from 'node:worker_threads';
import { siblingModule } from './sibling-module.ts';

const prepared: Worker[] = [];

/** Makes a worker for later. */
export function prepareVcpuWorker(): void {
  prepared.push(new Worker(siblingModule(import.meta.url, './vcpu-worker.ts'), { name: 'vcpu' }));
}

/** A worker that waits for its machine: a prepared one, or a new one. Whoever takes it ends it. */
export function takeVcpuWorker(): Worker {
  if (prepared.length === 0) prepareVcpuWorker();
  return prepared.shift() as Worker;
}
