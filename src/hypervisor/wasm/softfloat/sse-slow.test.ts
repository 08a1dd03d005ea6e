// Results and flags are proved by test/softfloat/ against a processor; here is what surrounds them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4, FAULT_ERROR, FAULT_VECTOR, MXCSR, STATE_BYTES } from '../state.ts';
import { SseOperation, SseSlow } from './sse-slow.ts';

const DEFAULT_MXCSR = 0x1f80,
  ZM = 1 << 9;
const OSXMMEXCPT = 1 << 10;
const DESTINATION = STATE_BYTES,
  SOURCE = STATE_BYTES + 16;

function machine(bytes = STATE_BYTES + 64, mxcsr = DEFAULT_MXCSR): { view: DataView; slow: SseSlow } {
  const buffer = new ArrayBuffer(bytes);
  const view = new DataView(buffer);
  view.setUint32(MXCSR, mxcsr, true);
  view.setUint32(CR4, OSXMMEXCPT, true);
  return { view, slow: new SseSlow(buffer, 0) };
}

test('a scalar operation leaves the upper part of its destination alone', () => {
  const { view, slow } = machine();
  view.setFloat64(DESTINATION, 1, true);
  view.setBigUint64(DESTINATION + 8, 0x1122_3344_5566_7788n, true);
  view.setFloat64(SOURCE, 2, true);
  assert.equal(slow.run(SseOperation.addsd!, DESTINATION, DESTINATION, SOURCE, 0), 0);
  assert.equal(view.getFloat64(DESTINATION, true), 3);
  assert.equal(view.getBigUint64(DESTINATION + 8, true), 0x1122_3344_5566_7788n);
});

test('a scalar memory operand may end where memory ends, misaligned', () => {
  const { view, slow } = machine(STATE_BYTES + 16 + 4 + 1);
  view.setFloat32(STATE_BYTES + 17, 2.5, true);
  assert.equal(slow.run(SseOperation.sqrtss!, DESTINATION, DESTINATION, STATE_BYTES + 17, 0), 0);
  assert.equal(view.getFloat32(DESTINATION, true), Math.fround(Math.sqrt(2.5)));
});

test('an unmasked exception raises #XM, sets its flag and writes nothing', () => {
  const { view, slow } = machine(undefined, DEFAULT_MXCSR & ~ZM);
  view.setFloat64(DESTINATION, 1, true);
  assert.equal(slow.run(SseOperation.divsd!, DESTINATION, DESTINATION, SOURCE, 0), 1);
  assert.equal(view.getInt32(FAULT_VECTOR, true), 19);
  assert.equal(view.getInt32(FAULT_ERROR, true), -1);
  assert.equal(view.getUint32(MXCSR, true), (DEFAULT_MXCSR & ~ZM) | 4);
  assert.equal(view.getFloat64(DESTINATION, true), 1);
});

test('without CR4.OSXMMEXCPT an unmasked exception raises #UD', () => {
  const { view, slow } = machine(undefined, DEFAULT_MXCSR & ~ZM);
  view.setUint32(CR4, 0, true);
  view.setFloat64(DESTINATION, 1, true);
  assert.equal(slow.run(SseOperation.divsd!, DESTINATION, DESTINATION, SOURCE, 0), 1);
  assert.equal(view.getInt32(FAULT_VECTOR, true), 6);
});

test('a flag that is set already does not fault when it is unmasked later', () => {
  const { view, slow } = machine(undefined, (DEFAULT_MXCSR & ~ZM) | 4);
  view.setFloat64(DESTINATION, 1, true);
  view.setFloat64(SOURCE, 1, true);
  assert.equal(slow.run(SseOperation.divsd!, DESTINATION, DESTINATION, SOURCE, 0), 0);
});

test('COMISD gives ZF, PF and CF of an unordered comparison as bits of EFLAGS', () => {
  const { view, slow } = machine();
  view.setFloat64(SOURCE, Number.NaN, true);
  assert.equal(slow.run(SseOperation.ucomisd!, DESTINATION, DESTINATION, SOURCE, 0), 0);
  assert.equal(view.getBigUint64(DESTINATION, true), 0x45n);
});
