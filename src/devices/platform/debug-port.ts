/**
 * The debug consoles of Bochs and QEMU: a byte written to port 402h or E9h is a byte of output. A read gives E9h,
 * by which guests find out that it is there.
 *
 * @module
 */
import type { ByteRegisters } from '../../bus/bus.ts';
import type { ByteSink } from '../../bus/byte-stream.ts';

export const DEBUG_PORT_PRESENT = 0xe9;

export class DebugPort implements ByteRegisters {
  readonly #output: ByteSink;
  readonly #byte = new Uint8Array(1);

  constructor(output: ByteSink) {
    this.#output = output;
  }

  readByte(): number {
    return DEBUG_PORT_PRESENT;
  }

  writeByte(_offset: number, value: number): void {
    this.#byte[0] = value;
    this.#output.write(this.#byte);
  }
}
