/**
 * Runs one SSE case on the slow path.
 *
 * @module
 */
import { SseOperation, SseSlow } from '../../src/hypervisor/wasm/softfloat/sse-slow.ts';
import { CR4, FAULT_VECTOR, MXCSR, STATE_BYTES } from '../../src/hypervisor/wasm/state.ts';
import type { SseResult } from './sse-cases.ts';

const DESTINATION = STATE_BYTES,
  FIRST = STATE_BYTES + 16,
  SECOND = STATE_BYTES + 32;
const CR4_OSXMMEXCPT = 1 << 10;

export class SseRunner {
  readonly #bytes = new Uint8Array(STATE_BYTES + 64);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #slow = new SseSlow(this.#bytes.buffer, 0);

  constructor() {
    this.#view.setUint32(CR4, CR4_OSXMMEXCPT, true);
  }

  run(
    name: string,
    immediate: number,
    mxcsr: number,
    first: Uint8Array,
    second: Uint8Array,
    resultBytes: number,
  ): SseResult {
    const operation = SseOperation[name];
    if (operation === undefined) throw new Error(`no SSE operation is called ${name}`);
    this.#bytes.fill(0, DESTINATION, SECOND + 16);
    this.#bytes.set(first, FIRST);
    this.#bytes.set(second, SECOND);
    this.#view.setUint32(MXCSR, mxcsr, true);
    const fault = this.#slow.run(operation, DESTINATION, FIRST, SECOND, immediate);
    return {
      result: this.#bytes.slice(DESTINATION, DESTINATION + resultBytes),
      mxcsr: this.#view.getUint32(MXCSR, true),
      fault: fault ? this.#view.getInt32(FAULT_VECTOR, true) : 0,
    };
  }
}
