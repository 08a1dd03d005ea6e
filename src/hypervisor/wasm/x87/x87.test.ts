// Results, condition codes and flags are proved by test/softfloat/ against a processor; here is what that cannot reach.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CR0,
  FAULT_ERROR,
  FAULT_VECTOR,
  FPR,
  FPU_CONTROL,
  FPU_DP,
  FPU_IP,
  FPU_OPCODE,
  FPU_STATUS,
  FPU_TAGS,
  RIP,
  STATE_BYTES,
  TEMP1,
} from '../state.ts';
import { ENVIRONMENT_32 } from './environment.ts';
import { X87Operation } from './operations.ts';
import { DONE, DONE_WITHOUT_WRITE, FAULT } from './status.ts';
import { X87 } from './x87.ts';

const MP = 2,
  EM = 4,
  TS = 8;
const ES_BUSY_IE = 0x8081;
const OPERAND = STATE_BYTES;

type Pin = (asserted: boolean) => boolean;

function machine(ferr?: Pin): { view: DataView; run: (name: string, opcode?: number) => number } {
  const buffer = new ArrayBuffer(STATE_BYTES + 128);
  const view = new DataView(buffer);
  const fpu = new X87(buffer, 0, ferr);
  view.setUint32(FPU_CONTROL, 0x37f, true);
  return { view, run: (name, opcode = 0) => fpu.execute(X87Operation[name]!, opcode, OPERAND) };
}

/** Everything a fault must leave alone. */
const registers = (view: DataView): Uint8Array => new Uint8Array(view.buffer.slice(FPR, FPU_DP + 16));

function assertFault(view: DataView, run: () => number, vector: number): void {
  const before = registers(view);
  assert.equal(run(), FAULT);
  assert.equal(view.getInt32(FAULT_VECTOR, true), vector);
  assert.equal(view.getInt32(FAULT_ERROR, true), -1);
  assert.deepEqual(registers(view), before);
}

test('CR0.TS and CR0.EM raise #NM', () => {
  for (const bit of [TS, EM]) {
    const { view, run } = machine();
    view.setUint32(CR0, bit, true);
    assertFault(view, () => run('fld1'), 7);
    assertFault(view, () => run('fnstcw'), 7);
  }
});

test('FWAIT raises #NM only with CR0.TS and CR0.MP', () => {
  for (const [cr0, outcome] of [
    [TS, DONE],
    [EM, DONE],
    [MP, DONE],
    [TS | MP, FAULT],
  ] as const) {
    const { view, run } = machine();
    view.setUint32(CR0, cr0, true);
    assert.equal(run('fwait'), outcome, `CR0 ${cr0}`);
  }
});

test('a pending exception raises #MF at the next waiting instruction', () => {
  for (const name of ['fwait', 'fld1', 'fnop', 'fldcw', 'fincstp', 'fldenv', 'frstor']) {
    const { view, run } = machine();
    view.setUint32(FPU_CONTROL, 0x37e, true);
    view.setUint32(FPU_STATUS, ES_BUSY_IE, true);
    assertFault(view, () => run(name), 16);
  }
});

test('with CR0.NE clear the error pin says whether an instruction has to wait', () => {
  const NE = 0x20;
  const seen: boolean[] = [];
  let ignored = false;
  const { view, run } = machine((asserted) => {
    seen.push(asserted);
    return asserted && !ignored;
  });
  view.setUint32(FPU_STATUS, ES_BUSY_IE, true);
  assertFault(view, () => run('fnop'), 16);
  ignored = true;
  assert.equal(run('fnop'), DONE);
  assert.equal(run('fnclex'), DONE);
  assert.equal(run('fnop'), DONE);
  assert.deepEqual(seen, [true, true, false]);
  view.setUint32(FPU_STATUS, ES_BUSY_IE, true);
  view.setUint32(CR0, NE, true);
  assertFault(view, () => run('fnop'), 16);
  assert.equal(seen.length, 3);
});

test('#NM comes before #MF', () => {
  const { view, run } = machine();
  view.setUint32(FPU_STATUS, ES_BUSY_IE, true);
  view.setUint32(CR0, TS, true);
  assertFault(view, () => run('fld1'), 7);
});

test('instructions that do not wait run with an exception pending', () => {
  for (const name of ['fnstsw', 'fnstsw ax', 'fnstcw', 'fnclex', 'fninit', 'fnstenv', 'fnsave']) {
    const { view, run } = machine();
    view.setUint32(FPU_CONTROL, 0x37e, true);
    view.setUint32(FPU_STATUS, ES_BUSY_IE, true);
    assert.equal(run(name), DONE, name);
  }
});

test('the instruction that raises an unmasked exception completes; only a store does not write', () => {
  const { view, run } = machine();
  view.setUint32(FPU_CONTROL, 0x37e, true);
  view.setUint32(RIP, 0x1234, true);
  view.setUint8(OPERAND, 0x5a);
  assert.equal(run('fstp m32fp', 0x118), DONE_WITHOUT_WRITE);
  assert.equal(view.getUint32(FPU_STATUS, true), 0x80c1);
  assert.equal(view.getUint32(FPU_IP, true), 0x1234);
  assert.equal(view.getUint32(FPU_OPCODE, true), 0x118);
  assert.equal(view.getUint8(OPERAND), 0x5a);
});

test('FLDENV and FNSTENV use the real-mode image outside protected mode', () => {
  // 32 bits wide: FIP 12345678h and FOP 5AAh split over two words, FDP 9ABCDEF0h over two more.
  const image = [0xffff_037f, 0xffff_0000, 0xffff_ffff, 0xffff_5678, 0x0123_45aa, 0xffff_def0, 0x09ab_c000];
  const { view, run } = machine();
  view.setUint32(TEMP1, ENVIRONMENT_32, true);
  image.forEach((word, i) => view.setUint32(OPERAND + 4 * i, word, true));
  assert.equal(run('fldenv'), DONE);
  assert.equal(view.getUint32(FPU_IP, true), 0x1234_5678);
  assert.equal(view.getUint32(FPU_DP, true), 0x9abc_def0);
  assert.equal(view.getUint32(FPU_OPCODE, true), 0x5aa);
  assert.equal(view.getUint32(FPU_TAGS, true), 0);
  new Uint8Array(view.buffer, OPERAND, 28).fill(0);
  assert.equal(run('fnstenv'), DONE);
  assert.deepEqual(
    image.map((_, i) => view.getUint32(OPERAND + 4 * i, true)),
    image,
  );
});

test('the 16-bit real-mode image holds 20-bit pointers', () => {
  const image = [0x037f, 0x0000, 0xffff, 0x5678, 0x45aa, 0xdef0, 0xc000];
  const { view, run } = machine();
  view.setUint32(TEMP1, 0, true);
  image.forEach((word, i) => view.setUint16(OPERAND + 2 * i, word, true));
  assert.equal(run('fldenv'), DONE);
  assert.equal(view.getUint32(FPU_IP, true), 0x4_5678);
  assert.equal(view.getUint32(FPU_DP, true), 0xc_def0);
  new Uint8Array(view.buffer, OPERAND, 14).fill(0);
  assert.equal(run('fnstenv'), DONE);
  assert.deepEqual(
    image.map((_, i) => view.getUint16(OPERAND + 2 * i, true)),
    image,
  );
});

test('FLDPI rounds by the rounding mode', () => {
  for (const [rounding, low] of [
    [0, 0x2168c235],
    [1, 0x2168c234],
    [2, 0x2168c235],
    [3, 0x2168c234],
  ] as const) {
    const { view, run } = machine();
    view.setUint32(FPU_CONTROL, 0x37f | (rounding << 10), true);
    run('fldpi');
    assert.equal(view.getUint32(FPR + 16 * 7, true), low);
    assert.equal(view.getUint32(FPR + 16 * 7 + 4, true), 0xc90fdaa2);
    assert.equal(view.getUint16(FPR + 16 * 7 + 8, true), 0x4000);
  }
});
