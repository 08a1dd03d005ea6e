/**
 * Worker threads for vCPUs on KVM. A thread takes as long to start and to load as all the rest of a machine, so `typervisor run` makes the
 * first one before it loads anything else.
 *
 * @module
 */
import { Worker } from 'node:worker_threads';
import { siblingModule } from '../sibling-module.ts';

let prepared: Worker | undefined;

const create = (index: number): Worker =>
  new Worker(siblingModule(import.meta.url, './kvm-vcpu-worker.ts'), { name: `vcpu ${index}` });

/** Makes the first vCPU's worker for later. */
export function prepareKvmWorker(): void {
  prepared ??= create(0);
}

/** A worker that waits for its task: for the first vCPU the prepared one. Whoever takes it ends it. */
export function takeKvmWorker(index: number): Worker {
  if (index !== 0 || prepared === undefined) return create(index);
  const worker = prepared;
  prepared = undefined;
  return worker;
}
