/**
 * SSE cases as records: form, immediate, MXCSR, the sources, then MXCSR flags and fault, then the result if there is one.
 *
 * @module
 */
import type { SseCase, SseResult } from './sse-cases.ts';
import type { ByteReader, ByteWriter } from './vectors.ts';

export const SSE_VECTORS = 'sse.bin.gz';

/** What the header keeps of a form: enough to replay without knowing how it was recorded. */
export interface SseVectorForm {
  readonly name: string;
  readonly first: number;
  readonly second: number;
  readonly result: number;
}

export interface SseHeader {
  readonly processor: string;
  readonly forms: readonly SseVectorForm[];
}

export interface SseVector extends SseResult {
  readonly form: SseVectorForm;
  readonly immediate: number;
  readonly mxcsrBefore: number;
  readonly first: Uint8Array;
  readonly second: Uint8Array;
}

const FAULT = 0x80;

export function writeSseVector(writer: ByteWriter, formIndex: number, c: SseCase, result: SseResult): void {
  writer.u8(formIndex);
  writer.u8(c.immediate);
  writer.u16(c.mxcsr);
  writer.bytes(c.first.subarray(0, c.form.first));
  writer.bytes(c.second.subarray(0, c.form.second));
  writer.u8((result.mxcsr & 0x3f) | (result.fault ? FAULT : 0));
  if (!result.fault) writer.bytes(result.result);
}

export function readSseVector(header: SseHeader, reader: ByteReader): SseVector {
  const form = header.forms[reader.u8()]!;
  const immediate = reader.u8();
  const mxcsrBefore = reader.u16();
  const first = reader.bytes(form.first);
  const second = reader.bytes(form.second);
  const flags = reader.u8();
  const fault = flags & FAULT ? 19 : 0;
  return {
    form,
    immediate,
    mxcsrBefore,
    first,
    second,
    fault,
    mxcsr: mxcsrBefore | (flags & 0x3f),
    result: fault ? new Uint8Array(form.result) : reader.bytes(form.result),
  };
}
