/** YMM registers in translated regions: where upper halves are kept, cleared, and known to be clear. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XCR0, xmmOffset } from '../../src/hypervisor/wasm/state.ts';
import { compileInterpreter } from '../../src/hypervisor/wasm/compiled-interpreter.ts';
import { CODE, DATA, DATA_AT, type PagedMachine, UD, UD2, userMachineWith } from './paged-machine.ts';
import { RAX, RCX, RSI, RDI } from './registers.ts';

const interpreter = compileInterpreter(undefined, 'v3');

/** Clear the upper half of YMM0. */
const VPXOR = 'c5 f9 ef c0', // vpxor xmm0, xmm0, xmm0
  VPADDD = 'c5 f9 fe c1'; // vpaddd xmm0, xmm0, xmm1
const XRSTOR = '0f ae 2e'; // xrstor [rsi]
const ONES = 0x1111_1111_1111_1111n;

function machine(...code: readonly string[]): PagedMachine {
  const m = userMachineWith({ interpreter }, ...code);
  m.state.setBig(XCR0, 7n);
  return m;
}

/** Every byte of the vector registers is 11h times the register's number and one more. */
function start(m: PagedMachine, registers: Readonly<Record<number, bigint>> = {}): void {
  m.start(CODE, registers);
  m.state.mxcsr = 0x1f80;
  for (let n = 0; n < 3; n++) {
    for (let at = 0; at < 32; at += 8) m.state.setBig(xmmOffset(n) + at, ONES * BigInt(n + 1));
  }
}

const upper = (m: PagedMachine, number: number): readonly [bigint, bigint] => [
  m.state.big(xmmOffset(number) + 16),
  m.state.big(xmmOffset(number) + 24),
];

/** An area for XRSTOR with all of x87, SSE and AVX; upper halves are full of 77h. */
function putXsaveArea(m: PagedMachine): void {
  m.view.setUint32(DATA_AT + 24, 0x1f80, true);
  m.view.setBigUint64(DATA_AT + 512, 7n, true);
  m.ram.fill(0x77, DATA_AT + 576, DATA_AT + 576 + 256);
}

for (const [kind, isHot] of [
  ['cold', false],
  ['hot', true],
] as const) {
  test(`of two merges under one block, one clears an upper half and the other still does, in ${kind} code`, () => {
    // test al, 1; jnz C; inc ebx; jmp M1; C: test al, 2; jnz M2; M1: vpxor; M2: vpaddd
    const m = machine('a8 01 75 04', 'ff c3 eb 04', 'a8 02 75 04', VPXOR, VPADDD, UD2);
    for (const rax of [3n, 1n, 0n]) {
      start(m, { [RAX]: rax });
      m.run();
    }
    assert.ok(m.runTwice(() => start(m, { [RAX]: 3n }), isHot));
    assert.deepEqual(m.xmm(0), [0x3333_3333_3333_3333n, 0x3333_3333_3333_3333n]);
    assert.deepEqual(upper(m, 0), [0n, 0n]);
  });

  test(`an upper half that XRSTOR fills on one way to a merge is cleared behind it, in ${kind} code`, () => {
    // vpxor; test cl, 1; jz M; xrstor; M: vpaddd
    const m = machine(VPXOR, 'f6 c1 01 74 03', XRSTOR, VPADDD, UD2);
    putXsaveArea(m);
    start(m, { [RAX]: 7n, [RSI]: DATA });
    m.run();
    assert.ok(m.runTwice(() => start(m, { [RAX]: 7n, [RCX]: 1n, [RSI]: DATA }), isHot));
    assert.deepEqual(upper(m, 0), [0n, 0n]);
    assert.deepEqual(upper(m, 2), [0x7777_7777_7777_7777n, 0x7777_7777_7777_7777n]);
  });

  test(`an upper half that XRSTOR fills in a loop is cleared in its next turn, in ${kind} code`, () => {
    // vpxor; L: vpaddd; dec ecx; jz end; xrstor; jmp L; end: ud2
    const m = machine(VPXOR, VPADDD, 'ff c9 74 05', XRSTOR, 'eb f3', UD2);
    putXsaveArea(m);
    assert.ok(m.runTwice(() => start(m, { [RAX]: 7n, [RCX]: 5n, [RSI]: DATA }), isHot));
    assert.equal(m.fault.vector, UD);
    assert.deepEqual(upper(m, 0), [0n, 0n]);
    assert.deepEqual(upper(m, 1), [0x7777_7777_7777_7777n, 0x7777_7777_7777_7777n]);
  });

  test(`32 bytes are read and written at addresses of 32 bits, in ${kind} code`, () => {
    // vmovdqu ymm0, [esi]; vpaddd ymm0, ymm0, ymm1; vmovdqu [edi], ymm0
    const m = machine('67 c5 fe 6f 06', 'c5 fd fe c1', '67 c5 fe 7f 07', UD2);
    const far = 0x7654_3210n << 32n;
    m.ram.fill(0x55, DATA_AT, DATA_AT + 32);
    assert.ok(m.runTwice(() => start(m, { [RSI]: far | DATA, [RDI]: far | (DATA + 0x100n) }), isHot));
    assert.equal(m.fault.vector, UD);
    for (let at = 0; at < 32; at += 8) assert.equal(m.u64(DATA_AT + 0x100 + at), 0x7777_7777_7777_7777n);
  });

  test(`a gather at addresses of 32 bits wraps round their end, in ${kind} code`, () => {
    // 67h vpgatherdd ymm0, [esi + ymm1 * 4], ymm2
    const m = machine('67 c4 e2 6d 90 04 8e', UD2);
    m.view.setUint32(DATA_AT, 0xabcd, true);
    assert.ok(
      m.runTwice(() => {
        start(m, { [RSI]: (1n << 32n) | (DATA + 4n) });
        // Indices -1, with which the address is 4 GiB and more above the data before it is cut; all of the mask.
        for (let at = 0; at < 32; at += 8) {
          m.state.setBig(xmmOffset(1) + at, 0xffff_ffff_ffff_ffffn);
          m.state.setBig(xmmOffset(2) + at, 0xffff_ffff_ffff_ffffn);
        }
      }, isHot),
    );
    assert.equal(m.fault.vector, UD);
    assert.deepEqual(upper(m, 0), [0xabcd_0000_abcdn, 0xabcd_0000_abcdn]);
    assert.deepEqual(upper(m, 2), [0n, 0n]);
  });
}
