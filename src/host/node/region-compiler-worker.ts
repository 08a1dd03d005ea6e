/**
 * Entry of a compiler's thread: translates the regions that a vCPU asks for.
 *
 * @module
 */
import v8 from 'node:v8';
import { workerData } from 'node:worker_threads';
import { DecodeTable } from '../../hypervisor/wasm/decode/table.ts';
import { rowsOf } from '../../hypervisor/wasm/insn/index.ts';
import { type RegionRequest, RegionTranslator } from '../../hypervisor/wasm/translator/compile-region.ts';
import { MAX_BATCH } from '../../hypervisor/wasm/translator/region-module.ts';
import { createClock } from './clock.ts';
import type { CompilerTask } from './region-compiler.ts';
import { yieldToVcpus } from './thread-priority.ts';

const { memory, cpu, model, port, sent } = workerData as CompilerTask;

/**
 * Compiles everything now, on this thread: what is compiled when it is first called holds the guest up. Hot regions get V8's
 * optimising compiler at once. The flags are the process's: they are put back before anything else is compiled here, and a
 * module that another thread compiles meanwhile only takes longer.
 */
function compile(bytes: Uint8Array<ArrayBuffer>, isHot: boolean): WebAssembly.Module {
  v8.setFlagsFromString('--no-wasm-lazy-compilation');
  if (isHot) v8.setFlagsFromString('--no-liftoff');
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    if (isHot) v8.setFlagsFromString('--liftoff');
    v8.setFlagsFromString('--wasm-lazy-compilation');
  }
}

yieldToVcpus();
const clock = createClock();
const translator = new RegionTranslator({
  memory,
  cpu,
  table: new DecodeTable(rowsOf(model)),
  now: () => clock.nanoseconds() / 1e6,
  compile,
});

const waiting: RegionRequest[] = [];

/** Does what waits, as much as fits into one module, and comes again after messages have been taken. */
function work(): void {
  const first = waiting.shift();
  if (first === undefined) return;
  const batch = [first];
  while (!first.isHot && batch.length < MAX_BATCH && waiting[0]?.isHot === false)
    batch.push(waiting.shift() as RegionRequest);
  port.postMessage(translator.translate(batch));
  Atomics.add(sent, 0, 1);
  setImmediate(work);
}

port.on('message', (request: RegionRequest) => {
  translator.learn(request);
  if (waiting.push(request) === 1) setImmediate(work);
});
