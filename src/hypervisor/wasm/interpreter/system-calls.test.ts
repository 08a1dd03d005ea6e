import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder } from '../decode/decoder.ts';
import { DecodeTable } from '../decode/table.ts';
import { rows } from '../insn/index.ts';
import { RBX, RCX, STATE_BYTES, TR } from '../state.ts';
import { systemInstructions } from '../system/instructions.ts';
import { KERNEL_CODE, KERNEL_DATA, TestMachine, TSS, TSS_SELECTOR } from '../system/test-machine.ts';
import { STATUS_FAULT, STATUS_LEAVE } from './record.ts';
import { SystemCalls } from './system-calls.ts';

const NEW = 0xb0,
  NEW_TSS = 0x6000,
  HANDLER = 0x9000,
  INVALID_TSS = 10;
/** JMP NEW:0. */
const JUMP = Uint8Array.of(0xea, 0, 0, 0, 0, NEW, 0);
/** A record at the very end of the state, where nothing is: the instruction is at EIP 0. */
const RECORD = STATE_BYTES - 32;

/** A second task that would start at 0x7777 on a stack at 0x50000, with `ds`; and a handler of #TS. */
function jump(ds: number, tssType: number): { m: TestMachine; status: number } {
  const m = new TestMachine().protectedMode();
  m.descriptor(TSS_SELECTOR, TSS, 0x67, 0x008b);
  m.descriptor(NEW, NEW_TSS, 0x67, tssType);
  m.put32(NEW_TSS + 0x20, 0x7777, 0x202);
  m.put32(NEW_TSS + 0x38, 0x5_0000);
  m.put32(NEW_TSS + 0x48, KERNEL_DATA, KERNEL_CODE, KERNEL_DATA, ds);
  m.gate32(INVALID_TSS, KERNEL_CODE, HANDLER);
  const calls = new SystemCalls(m.cpu, systemInstructions, m.state.i32.buffer);
  const decoder = new Decoder(new DecodeTable(rows));
  const decoded = decoder.decode(JUMP, 0, JUMP.length, 32);
  if (typeof decoded === 'string') throw new Error(decoded);
  const status = calls.run(calls.add(decoded.row, decoded), RECORD);
  return { m, status };
}

test('a fault that a task switch meets in the new task is delivered there, with the address of its first instruction', () => {
  const { m, status } = jump(0x2000, 0x89);
  assert.equal(status, STATUS_LEAVE);
  assert.equal(m.state.rip, BigInt(HANDLER));
  assert.equal(m.state.selector(TR), NEW);
  assert.equal(m.state.gpr(4), 0x4_fff0n);
  assert.deepEqual([m.u32(0x4_fff0), m.u32(0x4_fff4)], [0x2000, 0x7777]);
});
test('a fault before a task switch stays with the instruction', () => {
  const { m, status } = jump(KERNEL_DATA, 0x8b);
  assert.equal(status, STATUS_FAULT);
  assert.equal(m.state.rip, 0n);
  assert.equal(m.state.faultVector, 13);
  assert.equal(m.state.selector(TR), TSS_SELECTOR);
});

// biome-ignore format: a table
const OPERANDS: readonly (readonly [string, readonly number[], string])[] = [
  ['rbx + rcx * 4 + 16',             [0x0f, 0x01, 0x7c, 0x8b, 0x10],             'page ffff8006:13'],
  ['rbx - 1',                        [0x0f, 0x01, 0x7b, 0xff],                   'page ffff8000:fffffffe'],
  ['ebx + ecx * 4 + 16',             [0x67, 0x0f, 0x01, 0x7c, 0x8b, 0x10],       'page 0:13'],
  ['rip - 128, from the next one on', [0x0f, 0x01, 0x3d, 0x80, 0xff, 0xff, 0xff], 'page ffffffff:ffffff87'],
];
for (const [name, bytes, expected] of OPERANDS) {
  test(`the address of a memory operand carries and wraps: ${name}`, () => {
    const m = new TestMachine().longMode();
    m.state.setGpr(RBX, 0xffff_8000_ffff_ffffn);
    m.state.setGpr(RCX, 0x1_4000_0001n);
    const calls = new SystemCalls(m.cpu, systemInstructions, m.state.i32.buffer);
    const code = Uint8Array.from(bytes);
    const decoded = new Decoder(new DecodeTable(rows)).decode(code, 0, code.length, 64);
    if (typeof decoded === 'string') throw new Error(decoded);
    calls.run(calls.add(decoded.row, decoded), RECORD);
    assert.deepEqual(m.mmu.log, [expected]);
  });
}
