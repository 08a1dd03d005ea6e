/** Control flow and odd instructions in translated regions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATUS_BUDGET, STATUS_REGION_BUDGET } from '../../src/hypervisor/wasm/interpreter/record.ts';
import { CODE, CODE_AT, DATA, DATA_AT, hex, P, U, UD, UD2, userMachine, W } from './paged-machine.ts';
import { RAX, RCX, RBX, RSP, RBP, RSI, RDI } from './registers.ts';

/** Where the targets of indirect jumps are in the code. */
const PIECES = 0x40;

test('a 64-bit constant whose low half is 1 keeps its high half', () => {
  const m = userMachine('48 b8 01 00 00 00 05 00 00 00', UD2); // mov rax, 0x5_0000_0001
  assert.ok(m.runTwice(() => m.start(CODE), false));
  assert.equal(m.state.gpr(RAX), 0x5_0000_0001n);
  assert.equal(m.fault.vector, UD);
});

test('a region ends before a string instruction that lies in two pages', () => {
  const m = userMachine();
  m.put(CODE_AT + 0xff6, 'b9 03 00 00 00', 'ff c0', '90 90', 'f3 a4', 'ff c0', UD2); // mov ecx, 3; inc eax; nops; rep movsb; inc eax
  m.put(DATA_AT, '11 22 33');
  assert.ok(m.runTwice(() => m.start(CODE + 0xff6n, { [RSI]: DATA, [RDI]: DATA + 0x100n }), false));
  assert.deepEqual(m.gprs(RAX, RCX, RSI, RDI), [2n, 0n, DATA + 3n, DATA + 0x103n]);
  assert.equal(m.u64(DATA_AT + 0x100), 0x33_2211n);
  assert.equal(m.fault.rip, CODE + 0x1003n);
});

test('conditional jumps to the next instruction do not multiply the code behind them', () => {
  const m = userMachine('74 00'.repeat(16), 'ff c0', UD2); // jz +0, sixteen times; inc eax
  assert.ok(m.runTwice(() => m.start(CODE), false));
  assert.equal(m.state.gpr(RAX), 1n);
  assert.equal(m.fault.rip, CODE + 34n);
  const bytes = m.stats.regions.bytes;
  assert.ok(bytes < 10_000, `${bytes} bytes of WebAssembly`);
});

test('code that drops the region behind it takes as many instructions as before', () => {
  // 63 NOPs; mov [rdi], bl, which ends the block; inc eax
  const m = userMachine('90'.repeat(63), '88 1f', 'ff c0', UD2);
  m.space.map(CODE, CODE_AT, P | W | U);
  const count = (rdi: bigint): number => {
    const before = m.vcpu.stats().instructions;
    m.start(CODE, { [RDI]: rdi, [RBX]: 0x90n });
    m.run();
    return m.vcpu.stats().instructions - before;
  };
  const expected = count(DATA);
  m.start(CODE + 65n);
  assert.ok(m.vcpu.translateHere());
  assert.equal(count(DATA), expected);
  assert.equal(count(CODE), expected);
});

for (const [kind, isHot] of [
  ['cold', false],
  ['hot', true],
] as const) {
  test(`a jump into the middle of a loop makes one with two entries, in ${kind} code`, () => {
    // test al, 1; jnz M; L: add ebx, 1; M: add esi, 1; dec ecx; jnz L; ud2
    const m = userMachine('a8 01', '75 03', '83 c3 01', '83 c6 01', 'ff c9', '75 f6', UD2);
    const start = (rax: bigint): void => m.start(CODE, { [RAX]: rax, [RCX]: 3n });
    start(1n);
    m.run();
    assert.ok(m.runTwice(() => start(0n), isHot));
    assert.deepEqual(m.gprs(RBX, RSI, RCX), [3n, 3n, 0n]);
    start(1n);
    m.run();
    assert.deepEqual(m.gprs(RBX, RSI, RCX), [2n, 3n, 0n]);
    assert.equal(m.fault.rip, CODE + 14n);
  });

  test(`a way out into the middle of a loop has the flags of a block that neither reads nor writes them, in ${kind} code`, () => {
    // cmp edi, 1; je H; A: mov edx, esi; H: test ebx, ebx; sub ecx, 1; jnz A; ud2
    const m = userMachine('83 ff 01', '74 02', '89 f2', '85 db', '83 e9 01', '75 f7', UD2);
    const start = (rdi: bigint): void => m.start(CODE, { [RCX]: 2n, [RDI]: rdi });
    start(1n);
    m.run();
    assert.ok(m.runTwice(() => start(0n), isHot));
    start(0n);
    assert.equal(m.vcpu.execute(2), STATUS_BUDGET);
    assert.equal(m.state.rip, CODE + 7n);
    assert.equal(m.state.rflags, 0x97);
  });

  test(`a loop that is entered behind its head is left there with the flags that came before a move, in ${kind} code`, () => {
    // A: cmp edi, 3; jb X; cmp edi, 5; X: mov edx, esi; entry: add edi, 1; jmp A
    const code = ['83 ff 03', '72 03', '83 ff 05', '89 f2', '83 c7 01', 'eb f1'];
    const entry = CODE + 10n;
    const m = userMachine(...code);
    m.start(entry);
    m.vcpu.execute(50);
    const reference = userMachine(...code);
    m.start(entry);
    assert.ok(m.vcpu.translateHere(undefined, isHot));
    let exits = 0;
    for (let budget = 1; budget < 40; budget++) {
      m.start(entry);
      m.vcpu.execute(budget);
      if (m.state.rip === entry) exits++;
      reference.start(entry);
      do reference.vcpu.executeOne();
      while (reference.state.rip !== m.state.rip || reference.state.gpr(RDI) !== m.state.gpr(RDI));
      assert.equal(m.state.rflags, reference.state.rflags, `with a budget of ${budget}`);
    }
    assert.ok(exits > 0);
  });

  test(`two loops that share their blocks are left at every one of their edges, in ${kind} code`, () => {
    // A: dec ecx; jz end; test cl, 1; jnz B; C: add ebx, 1; jmp A; B: add esi, 1; test cl, 2; jnz C; jmp A; end: ud2
    const m = userMachine(
      'ff c9 74 15',
      'f6 c1 01 75 05',
      '83 c3 01 eb f2',
      '83 c6 01',
      'f6 c1 02 75 f3',
      'eb e8',
      '90',
      UD2,
    );
    assert.ok(m.runTwice(() => m.start(CODE, { [RCX]: 9n }), isHot));
    // CL from 8 to 1: even ones and those with bit 1 go by C, odd ones by B.
    assert.deepEqual(m.gprs(RBX, RSI, RCX), [6n, 4n, 0n]);
    assert.equal(m.fault.vector, UD);
  });

  test(`a jump into the middle of an instruction executes what it finds there, in ${kind} code`, () => {
    const m = userMachine('05 ff c3 eb 02', 'ff c9', '90 90', 'ff c9', '7f f4', UD2);
    //  0: add eax, 0x02ebc3ff   1: inc ebx   3: jmp 7   5: dec ecx   7: nop nop   9: dec ecx   11: jg 1   13: ud2
    assert.ok(m.runTwice(() => m.start(CODE, { [RCX]: 5n }), isHot));
    assert.deepEqual(m.gprs(RAX, RBX, RCX), [0x02eb_c3ffn, 3n, 0n]);
    assert.equal(m.fault.rip, CODE + 13n);
  });

  test(`a jump to itself is left only by its budget, in ${kind} code`, () => {
    const m = userMachine('eb fe');
    m.start(CODE);
    m.vcpu.execute(3);
    assert.ok(m.vcpu.translateHere(undefined, isHot));
    for (let turn = 0; turn < 5; turn++) {
      assert.equal(m.vcpu.execute(100), STATUS_REGION_BUDGET);
      assert.equal(m.state.rip, CODE);
    }
  });

  test(`recursion returns through as many calls as it made, in ${kind} code`, () => {
    // call F; ud2; F: dec ecx; jz end; call F; add eax, 1; end: ret
    const m = userMachine('e8 02 00 00 00', UD2, 'ff c9', '74 08', 'e8 f7 ff ff ff', '83 c0 01', 'c3');
    const top = DATA + 0x4000n;
    assert.ok(m.runTwice(() => m.start(CODE, { [RCX]: 1000n, [RSP]: top }), isHot));
    assert.deepEqual(m.gprs(RAX, RCX, RSP), [999n, 0n, top]);
    assert.equal(m.fault.rip, CODE + 5n);
  });

  test(`recursion that is met in the middle of a function stays in one region, in ${kind} code`, () => {
    // Fibonacci numbers as gcc makes them: F at 0, its loop at 0x10.
    const code = '41 54 45 31 e4 55 89 fd 53 83 ff 01 76 18 89 fb 8d 7b ff 83 eb 02 e8 e5 ff ff ff 49 01 c4';
    const m = userMachine(code, '83 fb 01 77 ed 83 e5 01 89 e8 5b 5d 4c 01 e0 41 5c c3', UD2);
    const top = DATA + 0x800n;
    m.view.setBigUint64(DATA_AT + 0x7f8, CODE + 0x30n, true);
    // Behind the three registers that F has pushed.
    const start = (): void => m.start(CODE + 0x10n, { [RSP]: top - 32n, [RBX]: 10n, [RBP]: 10n });
    assert.ok(m.runTwice(start, isHot));
    assert.deepEqual(m.gprs(RAX, RSP), [55n, top]);
    assert.equal(m.fault.rip, CODE + 0x30n);
    assert.equal(m.regionCalls, 1);
  });

  test(`a return goes where the stack says, be that the address behind no call, in ${kind} code`, () => {
    // call F; inc ebx; ud2; nops; inc esi; ud2; F: add qword [rsp], rax; ret
    const m = userMachine('e8 0b 00 00 00', 'ff c3', UD2, '90', 'ff c6', UD2, '90 90', '48 01 04 24', 'c3');
    const start = (rax: bigint): void => m.start(CODE, { [RAX]: rax, [RSP]: DATA + 0x100n });
    assert.ok(m.runTwice(() => start(0n), isHot));
    assert.deepEqual(m.gprs(RBX, RSI), [1n, 0n]);
    start(5n);
    m.run();
    assert.deepEqual(m.gprs(RBX, RSI), [0n, 1n]);
    assert.equal(m.fault.rip, CODE + 12n);
  });

  test(`an indirect jump takes targets that it has learned, and others, in ${kind} code`, () => {
    const pieces = 40;
    const m = userMachine('48 8b 16', '48 83 c6 08', 'ff e2'); // mov rdx, [rsi]; add rsi, 8; jmp rdx
    m.space.map(CODE, CODE_AT, P | W | U);
    for (let n = 0; n < pieces; n++) {
      // add eax, n; dec ecx; jnz to the start; ud2; two more bytes
      const back = (0x1_0000_0000 - (PIECES + n * 16 + 11)).toString(16);
      const displacement = hex(back).toReversed().toHex();
      m.put(CODE_AT + PIECES + n * 16, '83 c0', n.toString(16).padStart(2, '0'), 'ff c9', '0f 85', displacement, UD2);
    }
    const goTo = (count: number): void => {
      for (let i = 0; i < 64; i++) {
        m.view.setBigUint64(DATA_AT + i * 8, CODE + BigInt(PIECES + (i % count) * 16), true);
      }
      m.start(CODE, { [RSI]: DATA, [RCX]: 64n });
    };
    goTo(8);
    assert.ok(m.runTwice(() => goTo(8), isHot));
    // Its code is dropped, and where it went is known.
    m.store(CODE, 0x48);
    const before = m.stats.regions.instructions;
    assert.ok(m.runTwice(() => goTo(8), isHot));
    // Three at the start, three in each of eight pieces, and the UD2 that is reached.
    assert.equal(m.stats.regions.instructions - before, 28);
    assert.equal(m.state.gpr(RAX), 8n * 28n);
    assert.equal(m.state.gpr(RCX), 0n);
    goTo(pieces);
    m.run();
    assert.equal(m.state.gpr(RAX), 780n + 276n);
    assert.equal(m.state.gpr(RCX), 0n);
  });

  test(`an indirect jump 4 GiB away does not go to the code at the same place here, in ${kind} code`, () => {
    const far = CODE + 0x1_0000_0000n;
    const m = userMachine('48 8b 16', '48 83 c6 08', 'ff e2'); // mov rdx, [rsi]; add rsi, 8; jmp rdx
    m.space.map(CODE, CODE_AT, P | W | U);
    m.space.map(far, CODE_AT + 0x1000, P | U);
    // add eax, 1 or 100; dec ecx; jz to the end; jmp rbx
    m.put(CODE_AT + PIECES, '83 c0 01', 'ff c9', '74 02', 'ff e3', UD2);
    m.put(CODE_AT + 0x1000 + PIECES, '83 c0 64', 'ff c9', '74 02', 'ff e3', UD2);
    for (let i = 0; i < 64; i++) {
      m.view.setBigUint64(DATA_AT + i * 8, (i % 2 === 0 ? CODE : far) + BigInt(PIECES), true);
    }
    const start = (): void => m.start(CODE, { [RSI]: DATA, [RCX]: 64n, [RBX]: CODE });
    assert.ok(m.runTwice(start, isHot));
    // Its code is dropped, and where it went is known.
    m.store(CODE, 0x48);
    assert.ok(m.runTwice(start, isHot));
    assert.equal(m.state.gpr(RAX), 32n + 3200n);
  });

  test(`a call of code many pages away is part of the region, in ${kind} code`, () => {
    const m = userMachine('e8 fb ff 03 00', 'ff c9', '75 f7', UD2); // call 64 pages on; dec ecx; jnz to the start
    m.space.map(CODE + 0x4_0000n, CODE_AT + 0x2000, P | U);
    m.put(CODE_AT + 0x2000, 'ff c0', 'c3'); // inc eax; ret
    assert.ok(m.runTwice(() => m.start(CODE, { [RCX]: 100n, [RSP]: DATA + 0x100n }), isHot));
    assert.deepEqual(m.gprs(RAX, RCX), [100n, 0n]);
    // Three here, two there, and the UD2.
    assert.equal(m.vcpu.stats().regions.instructions, 6);
  });
}
