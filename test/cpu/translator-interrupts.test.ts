/** Translated code gives control back: at the end of its budget, to interrupts, to a debugger. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VcpuInterrupts } from '../../src/hypervisor/interrupts.ts';
import {
  CODE,
  CODE_AT,
  DATA,
  DATA_AT,
  INTERRUPT_STACK,
  loop,
  noInterrupts,
  P,
  type PagedMachine,
  UD2,
  userMachine,
  userMachineWith,
  W,
} from './paged-machine.ts';
import { RAX, RCX, RBX, RSP, RSI } from './registers.ts';

const FLAG_TF = 0x100,
  FLAG_IF = 0x200;
const VECTOR = 0x40;
/** Code and data of interrupt handlers. */
const HANDLER = 0xffff_8000_0010_0000n,
  HANDLER_AT = 0x12_0000;

/** Everything that a slice may leave behind. */
const stateOf = (m: PagedMachine): readonly (bigint | number)[] => [
  m.state.rip,
  m.state.rflags,
  ...Array.from({ length: 16 }, (_, n) => m.state.gpr(n)),
  ...m.xmm(0),
  m.u64(DATA_AT),
];

/** Branches, memory, flags that live on and vectors: add eax, 7; adc ebx, eax; test al, 4; jz +3; xor ebx, 0x55; ... */
const LOOP = [
  '83 c0 07', // add eax, 7
  '11 c3', // adc ebx, eax
  'a8 04', // test al, 4
  '74 03', // jz +3
  '83 f3 55', // xor ebx, 0x55
  '01 1e', // add [rsi], ebx
  'f3 0f 58 c1', // addss xmm0, xmm1
  'ff c1', // inc ecx
  'eb ea', // jmp to the start
];

for (const [kind, isHot] of [
  ['cold', false],
  ['hot', true],
] as const) {
  test(`a loop without end stops within each budget where instruction by instruction arrives, in ${kind} code`, () => {
    const start = (m: PagedMachine): void => {
      m.start(CODE, { [RSI]: DATA }, 0x3);
      m.ram.fill(0, DATA_AT, DATA_AT + 8);
      m.state.setBig(0x400, 0n);
      m.state.setBig(0x420, 0x3f80_0000n);
    };
    const m = userMachine(...LOOP);
    const reference = userMachine(...LOOP);
    start(m);
    m.vcpu.execute(40);
    start(m);
    assert.ok(m.vcpu.translateHere(undefined, isHot));
    for (const budget of [0, 1, 2, 7, 8, 9, 10, 30, 100]) {
      start(m);
      start(reference);
      for (let slice = 0; slice < 8; slice++) {
        m.vcpu.execute(budget);
        const arrived = m.state.rip;
        const rounds = m.state.gpr(RCX);
        let steps = 0;
        do {
          reference.vcpu.executeOne();
          steps++;
          // A round has at most nine instructions, one of which is over the budget.
          assert.ok(steps <= budget + 10, `${steps} instructions in a slice of ${budget}`);
        } while (reference.state.rip !== arrived || reference.state.gpr(RCX) !== rounds);
        assert.deepEqual(stateOf(m), stateOf(reference));
      }
    }
    assert.ok(m.regionCalls > 20, `${m.regionCalls} calls`);
  });

  test(`a timer interrupts a loop that has no end, in ${kind} code`, () => {
    let now = 0;
    let isDue = false;
    const interrupts: VcpuInterrupts = {
      ...noInterrupts,
      poll(time) {
        if (time >= 1_000_000) isDue = true;
      },
      nextDeadline: () => 1_000_000,
      pending: () => isDue,
      acknowledge: () => VECTOR,
    };
    // Every look at the clock is 10 µs later.
    const m = userMachineWith({ interrupts, nanoseconds: () => (now += 10_000) }, loop('eb', 'ff c1'));
    m.space.map(HANDLER, HANDLER_AT, P | W);
    m.put(HANDLER_AT, UD2);
    m.gate(VECTOR, HANDLER);
    m.start(CODE, {}, 0x2 | FLAG_IF);
    m.vcpu.execute(100);
    m.start(CODE, {}, 0x2 | FLAG_IF);
    assert.ok(m.vcpu.translateHere(undefined, isHot));
    // The handler ends in an exception that has no handler.
    assert.equal(m.vcpu.run().kind, 'shutdown');
    assert.ok(m.state.gpr(RCX) > 1000n);
    assert.ok(m.regionCalls > 0);
    assert.equal(m.u64(INTERRUPT_STACK - 40), CODE);
    assert.equal(m.u64(INTERRUPT_STACK - 24) & 0x300n, BigInt(FLAG_IF));
  });

  test(`POPF that sets TF traps behind the next instruction, in ${kind} code`, () => {
    const { m, traps } = debugged('68 02 01 00 00', '9d', '90 90', UD2); // push 0x102; popf; nop; nop
    const start = (): void => m.start(CODE, { [RSP]: DATA + 0x100n });
    start();
    m.vcpu.execute(0);
    start();
    assert.ok(m.vcpu.translateHere(undefined, isHot));
    assert.equal(m.vcpu.run().kind, 'shutdown');
    assert.deepEqual(traps(), [7n, 8n]);
  });

  test(`STI lets an interrupt in behind the next instruction, in ${kind} code`, () => {
    let isDue = false;
    const interrupts: VcpuInterrupts = { ...noInterrupts, pending: () => isDue, acknowledge: () => VECTOR };
    const m = userMachineWith({ interrupts }, 'fa', loop('75', 'ff c0', 'fb', 'ff c3', '90', 'fa', 'ff c9'), UD2);
    m.space.map(CODE, CODE_AT, P);
    m.space.map(DATA, DATA_AT, P | W);
    m.space.map(HANDLER, HANDLER_AT, P | W);
    m.put(HANDLER_AT, UD2);
    m.gate(VECTOR, HANDLER);
    m.kernel();
    // cli; L: inc eax; sti; inc ebx; nop; cli; dec ecx; jnz L
    const start = (): void => m.start(CODE, { [RCX]: 10n, [RSP]: DATA + 0x100n });
    assert.ok(m.runTwice(start, isHot));
    assert.deepEqual([m.state.gpr(RAX), m.state.gpr(RBX)], [10n, 10n]);
    isDue = true;
    start();
    assert.equal(m.vcpu.run().kind, 'shutdown');
    assert.deepEqual([m.state.gpr(RAX), m.state.gpr(RBX)], [1n, 1n]);
    assert.equal(m.u64(DATA_AT + 0x100 - 40), CODE + 6n);
  });

  test(`single steps trap once for every instruction of a loop that has a region, in ${kind} code`, () => {
    const { m, traps } = debugged(loop('75', '83 c0 01', 'ff c9'), UD2); // add eax, 1; dec ecx
    assert.ok(m.runTwice(() => m.start(CODE, { [RCX]: 3n }), isHot));
    m.start(CODE, { [RCX]: 2n }, 0x2 | FLAG_TF);
    assert.equal(m.vcpu.run().kind, 'shutdown');
    // After each of them: the next one's address.
    assert.deepEqual(traps(), [3n, 5n, 0n, 3n, 5n, 7n]);
    assert.equal(m.regionCalls, 1);
  });

  test(`a breakpoint in a loop that has a region traps once in every round, in ${kind} code`, () => {
    const { m, traps } = debugged(loop('75', '83 c0 01', 'ff c9'), UD2);
    assert.ok(m.runTwice(() => m.start(CODE, { [RCX]: 3n }), isHot));
    m.start(CODE, { [RCX]: 3n });
    m.state.setDr(0, CODE + 3n);
    m.state.dr7 = 1;
    assert.equal(m.vcpu.run().kind, 'shutdown');
    assert.deepEqual(traps(), [3n, 3n, 3n]);
    assert.deepEqual(m.state.gpr(RAX), 3n);
    assert.equal(m.regionCalls, 1);
  });

  test(`a watchpoint on what a loop stores traps behind every store, in ${kind} code`, () => {
    const { m, traps } = debugged(loop('75', '01 0e', 'ff c9'), UD2); // add [rsi], ecx; dec ecx
    assert.ok(m.runTwice(() => m.start(CODE, { [RCX]: 3n, [RSI]: DATA }), isHot));
    m.start(CODE, { [RCX]: 3n, [RSI]: DATA });
    m.state.setDr(0, DATA);
    // Four bytes, writes.
    m.state.dr7 = 0xd_0001;
    assert.equal(m.vcpu.run().kind, 'shutdown');
    assert.deepEqual(traps(), [2n, 2n, 2n]);
    assert.equal(m.u64(DATA_AT), 18n);
  });
}

/** A machine whose handler of #DB writes down where each trap was, as offsets from CODE. */
function debugged(...code: readonly string[]): { m: PagedMachine; traps: () => readonly bigint[] } {
  const m = userMachine(...code);
  m.space.map(HANDLER, HANDLER_AT, P | W);
  m.put(
    HANDLER_AT,
    '50 53', // push rax; push rbx
    '48 8b 1d f7 07 00 00', // mov rbx, [HANDLER + 0x800]
    '48 8b 44 24 10', // mov rax, [rsp + 16]: RIP
    '48 89 03', // mov [rbx], rax
    '48 83 05 e7 07 00 00 08', // add qword [HANDLER + 0x800], 8
    '5b 58', // pop rbx; pop rax
    '48 81 4c 24 10 00 00 01 00', // or qword [rsp + 16], RF
    '48 cf', // iretq
  );
  m.view.setBigUint64(HANDLER_AT + 0x800, HANDLER + 0x808n, true);
  m.gate(1, HANDLER);
  return {
    m,
    traps() {
      const count = Number(m.u64(HANDLER_AT + 0x800) - HANDLER - 0x808n) / 8;
      return Array.from({ length: count }, (_, n) => m.u64(HANDLER_AT + 0x808 + n * 8) - CODE);
    },
  };
}
