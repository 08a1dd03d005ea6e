/** Translated code that rewrites translated code: what comes next is what has been written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CODE,
  CODE_AT,
  DATA,
  DATA_AT,
  loop,
  P,
  type PagedMachine,
  U,
  UD,
  UD2,
  userMachine,
  W,
} from './paged-machine.ts';
import { RAX, RCX, RDX, RBX, RSP, RSI, RDI } from './registers.ts';

/**
 * Code that rewrites code: run as it is met; and with a region at its start, once it has been executed with `registers` as in
 * `elsewhere`, where it writes to data.
 */
function rewrites(
  name: string,
  code: readonly string[],
  registers: Readonly<Record<number, bigint>>,
  elsewhere: Readonly<Record<number, bigint>>,
  expected: Readonly<Record<number, bigint>>,
  prepare: (m: PagedMachine) => void = () => {},
): void {
  const machine = (): PagedMachine => {
    const m = userMachine(...code);
    for (let page = 0; page < 0x4000; page += 0x1000) m.space.map(CODE + BigInt(page), CODE_AT + page, P | W | U);
    prepare(m);
    return m;
  };
  const check = (m: PagedMachine): void => {
    m.start(CODE, registers);
    m.run();
    assert.equal(m.fault.vector, UD);
    for (const [n, value] of Object.entries(expected)) assert.equal(m.state.gpr(Number(n)), value, `register ${n}`);
  };
  test(`${name}, in code that is new`, () => check(machine()));
  for (const [kind, isHot] of [
    ['cold', false],
    ['hot', true],
  ] as const) {
    test(`${name}, in ${kind} code`, () => {
      const m = machine();
      m.start(CODE, { ...registers, ...elsewhere });
      m.run();
      m.start(CODE);
      assert.ok(m.vcpu.translateHere(undefined, isHot));
      check(m);
      assert.ok(m.regionCalls > 0);
    });
  }
}

/** Data that is not code under any name. */
const AWAY = DATA + 0x2100n;
/** Where the immediate of an instruction `offset` bytes into the code is. */
const at = (offset: number): bigint => CODE + BigInt(offset);

rewrites(
  'an instruction rewrites the next one',
  ['88 0f', 'b8 01 00 00 00', UD2], // mov [rdi], cl; mov eax, 1
  { [RDI]: at(3), [RCX]: 7n },
  { [RDI]: AWAY },
  { [RAX]: 7n },
);
rewrites(
  'a loop rewrites an instruction before the store in it',
  [loop('75', '83 c0 01', '88 1f', 'ff c9'), UD2], // add eax, 1; mov [rdi], bl; dec ecx
  { [RDI]: at(2), [RBX]: 10n, [RCX]: 3n },
  { [RDI]: AWAY },
  { [RAX]: 21n },
);
rewrites(
  'a loop rewrites an instruction behind the store in it',
  [loop('75', '88 1f', '83 c0 01', 'ff c3', 'ff c9'), UD2], // mov [rdi], bl; add eax, 1; inc ebx; dec ecx
  { [RDI]: at(4), [RBX]: 10n, [RCX]: 3n },
  { [RDI]: AWAY },
  { [RAX]: 33n },
);
rewrites(
  'a locked addition rewrites its own loop',
  [loop('75', '83 c0 01', 'f0 00 1f', 'ff c9'), UD2], // add eax, 1; lock add [rdi], bl; dec ecx
  { [RDI]: at(2), [RBX]: 10n, [RCX]: 3n },
  { [RDI]: AWAY },
  { [RAX]: 1n + 11n + 21n },
);
rewrites(
  'an exchange rewrites its own loop',
  [loop('75', '83 c0 01', '86 1f', 'ff c9'), UD2], // add eax, 1; xchg [rdi], bl; dec ecx
  { [RDI]: at(2), [RBX]: 10n, [RCX]: 3n },
  { [RDI]: AWAY },
  { [RAX]: 1n + 10n + 1n, [RBX]: 1n },
);
rewrites(
  'a push rewrites the next instruction',
  ['53', 'b8 01 00 00 00', '90 90 90', UD2], // push rbx; mov eax, 1; nops
  // Opcode and operand of the MOV, then three NOPs.
  { [RSP]: at(9), [RBX]: 0x9090_9000_0000_09b8n },
  { [RSP]: AWAY },
  { [RAX]: 9n, [RSP]: at(1) },
);
rewrites(
  'a call rewrites the code that it calls with its return address',
  ['e8 03 00 00 00', '90 90 90', 'b8 00 00 00 00', '90 90 90 90', UD2], // call +3; nops; mov eax, return address; nops
  // The upper half of the return address is in place of the last NOPs: twice add [rax], al, which change the first of the others.
  { [RSP]: at(17) },
  { [RSP]: AWAY },
  { [RAX]: CODE + 5n },
);
rewrites(
  'REP MOVSB rewrites what follows it',
  ['f3 a4', 'b8 01 00 00 00', UD2], // rep movsb; mov eax, 1
  { [RSI]: DATA, [RDI]: at(3), [RCX]: 4n },
  { [RDI]: AWAY },
  { [RAX]: 0x0403_0201n, [RCX]: 0n },
  (m) => m.put(DATA_AT, '01 02 03 04'),
);
rewrites(
  'REP STOSB rewrites what follows it',
  ['f3 aa', 'ff cb ff cb', 'ff c3', UD2], // rep stosb; dec ebx, twice; inc ebx
  { [RDI]: at(2), [RCX]: 4n, [RAX]: 0x90n },
  { [RDI]: AWAY },
  { [RBX]: 1n, [RCX]: 0n },
);
rewrites(
  'a store by an alias of the page rewrites the loop',
  [loop('75', '83 c0 01', '88 1f', 'ff c9'), UD2], // add eax, 1; mov [rdi], bl; dec ecx
  { [RDI]: DATA + 0x8002n, [RBX]: 10n, [RCX]: 3n },
  { [RDI]: AWAY },
  { [RAX]: 21n },
  (m) => m.space.map(DATA + 0x8000n, CODE_AT, P | W | U),
);
rewrites(
  "a loop rewrites another page's code, which it calls",
  [loop('75', '88 1f', 'e8 f9 0f 00 00', 'ff c3', 'ff c9'), UD2], // mov [rdi], bl; call 0x1000; inc ebx; dec ecx
  { [RDI]: at(0x1002), [RBX]: 10n, [RCX]: 3n, [RSP]: DATA + 0x100n },
  { [RDI]: AWAY },
  { [RAX]: 10n + 11n + 12n },
  (m) => m.put(CODE_AT + 0x1000, '83 c0 01', 'c3'), // add eax, 1; ret
);
rewrites(
  'a misaligned store over the end of a page rewrites code before it',
  // mov [rdi], rbx; call 0xffb; add rbx, rdx; dec ecx
  [loop('75', '48 89 1f', 'e8 f3 0f 00 00', '48 01 d3', 'ff c9'), UD2],
  // The 10 of add eax, 10; then ret.
  { [RDI]: at(0xffd), [RBX]: 0xc30an, [RDX]: 1n, [RCX]: 3n, [RSP]: DATA + 0x100n },
  { [RDI]: DATA + 0x1ffdn },
  { [RAX]: 10n + 11n + 12n },
  (m) => m.put(CODE_AT + 0xffb, '83 c0 01', 'c3'),
);
rewrites(
  'a misaligned store over the end of a page rewrites code in the next',
  // mov [rdi], rbx; call 0x1000; add rbx, rdx; dec ecx
  [loop('75', '48 89 1f', 'e8 f8 0f 00 00', '48 01 d3', 'ff c9'), UD2],
  // Two bytes, then add eax, 10; ret.
  { [RDI]: at(0xffe), [RBX]: 0xc30a_c083_0000n, [RDX]: 0x1_0000_0000n, [RCX]: 3n, [RSP]: DATA + 0x100n },
  { [RDI]: DATA + 0x1ffen },
  { [RAX]: 10n + 11n + 12n },
  (m) => m.put(CODE_AT + 0x1000, '83 c0 01', 'c3'),
);
