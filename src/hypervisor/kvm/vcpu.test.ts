/** What comes out of a guest on KVM, and how a vCPU is got out: real-mode code on the host's own KVM. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, END, hostKvm, RealModeMachine, type RealModeOptions, realModeState } from './testing.ts';
import { REGS, Regs } from './vcpu-state.ts';

const { kvm, skip } = await hostKvm();
/** Physical address 2^20 is the first behind RAM: DS:0 with this base. */
const OUTSIDE = 0xf_fff0;
const outside = '10 00';

/** What the guest did before it ended itself. */
function logOf(code: string, options: RealModeOptions = {}): string[] {
  using machine = new RealModeMachine(kvm, `${code} ${END}`, options);
  assert.deepEqual(machine.run(), { kind: 'kicked' });
  return machine.log;
}

test('2 + 2 in real mode is 4, printed through port 3F8h', { skip }, () => {
  // mov al, 2; add al, 2; add al, '0'; mov dx, 3F8h; out dx, al
  assert.deepEqual(logOf('b0 02 04 02 04 30 ba f8 03 ee'), ['out 3f8/1 34']);
});

test('port writes of every width come out with their value', { skip }, () => {
  // mov eax, 12345678h; mov dx, 500h; out dx, al; out dx, ax; out dx, eax
  assert.deepEqual(logOf('66 b8 78 56 34 12 ba 00 05 ee ef 66 ef'), [
    'out 500/1 78',
    'out 500/2 5678',
    'out 500/4 12345678',
  ]);
});

test('port reads of every width give the guest what the bus gives', { skip }, () => {
  const read = (_: number, width: number): number => 0x8765_4321 % 2 ** (8 * width);
  // xor eax, eax; in al, 60h; out 80h, eax; in ax, 60h; out 80h, eax; in eax, 60h; out 80h, eax
  assert.deepEqual(logOf('66 31 c0 e4 60 66 e7 80 e5 60 66 e7 80 66 e5 60 66 e7 80', { read }), [
    'in 60/1',
    'out 80/4 21',
    'in 60/2',
    'out 80/4 4321',
    'in 60/4',
    'out 80/4 87654321',
  ]);
});

test('a repeated string output makes one access an element, in order', { skip }, () => {
  // mov si, 1020h; mov cx, 5; mov dx, 3F8h; cld; rep outsb; jmp over "hello"
  const log = logOf(`be 10 10 b9 05 00 ba f8 03 fc f3 6e eb 07 90 90 68 65 6c 6c 6f`);
  assert.deepEqual(log, ['out 3f8/1 68', 'out 3f8/1 65', 'out 3f8/1 6c', 'out 3f8/1 6c', 'out 3f8/1 6f']);
});

test('a repeated string input fills memory with what the bus gives', { skip }, () => {
  let next = 0x10;
  // mov di, 2000h; mov cx, 3; mov dx, 1F0h; cld; rep insw
  const code = `bf 00 20 b9 03 00 ba f0 01 fc f3 6d ${END}`;
  using machine = new RealModeMachine(kvm, code, { read: () => (next += 1) });
  machine.run();
  assert.deepEqual([...machine.ram.subarray(0x2000, 0x2006)], [0x11, 0, 0x12, 0, 0x13, 0]);
});

test('stores outside RAM come out in every width', { skip }, () => {
  // mov eax, 12345678h; mov [10h], al; mov [10h], ax; mov [10h], eax
  const log = logOf(`66 b8 78 56 34 12 a2 ${outside} a3 ${outside} 66 a3 ${outside}`, { dataBase: OUTSIDE });
  assert.deepEqual(log, ['store 100000/1 78', 'store 100000/2 5678', 'store 100000/4 12345678']);
});

test('loads outside RAM give the guest what the bus gives, in every width', { skip }, () => {
  const read = (_: number, width: number): number => 0x8765_4321 % 2 ** (8 * width);
  // xor eax, eax; mov al, [10h]; out 80h, eax; mov ax, [10h]; out 80h, eax; mov eax, [10h]; out 80h, eax
  const code = `66 31 c0 a0 ${outside} 66 e7 80 a1 ${outside} 66 e7 80 66 a1 ${outside} 66 e7 80`;
  assert.deepEqual(logOf(code, { dataBase: OUTSIDE, read }), [
    'load 100000/1',
    'out 80/4 21',
    'load 100000/2',
    'out 80/4 4321',
    'load 100000/4',
    'out 80/4 87654321',
  ]);
});

test('an access of 8 bytes comes out as two of 4, low half first', { skip }, () => {
  // movq mm0, [1010h, in CS]; movq [10h], mm0; jmp over the data
  const code = `2e 0f 6f 06 10 10 0f 7f 06 ${outside} eb 0b 90 90 90 ef cd ab 89 67 45 23 01`;
  assert.deepEqual(logOf(code, { dataBase: OUTSIDE }), ['store 100000/4 89abcdef', 'store 100004/4 1234567']);
});

test('a store that begins in RAM and ends outside comes out with the bytes that are outside', { skip }, () => {
  // mov dword [0Dh], 44332211h: three bytes before the end of RAM
  const code = `66 c7 06 0d 00 11 22 33 44 ${END}`;
  using machine = new RealModeMachine(kvm, code, { dataBase: OUTSIDE });
  machine.run();
  assert.deepEqual(machine.log, ['store 100000/1 44']);
  assert.deepEqual([...machine.ram.subarray(-3)], [0x11, 0x22, 0x33]);
});

test('a triple fault is a shutdown', { skip }, () => {
  using machine = new RealModeMachine(kvm, '0f 0b');
  const flat = { selector: 8, base: 0, limit: 0xffff_ffff, attributes: 0xc09b };
  // ud2 in protected mode, with an interrupt table that has no room for a gate
  machine.vcpu.load({ ...realModeState(CODE), cr0: 0x11, cs: flat, idtr: { base: 0, limit: 0 } });
  assert.deepEqual(machine.run(), { kind: 'shutdown' });
});

test('code outside RAM is an error that shows the registers', { skip }, () => {
  using machine = new RealModeMachine(kvm, END);
  const { cs } = realModeState(CODE);
  machine.vcpu.load({ ...realModeState(0x20), cs: { ...cs, base: OUTSIDE } });
  const exit = machine.run();
  assert.equal(exit.kind, 'error');
  const { reason, detail } = exit as { reason: string; detail: string };
  assert.match(reason, /^KVM /);
  assert.match(detail, /^rip {4}0000000000000020 {2}rflags 0+2$/m);
  assert.match(detail, /^cs {3}\w{4} base 00000000000ffff0 limit 0000ffff type b p 1 dpl 0 db 0 s 1 l 0 g 0 avl 0$/m);
});

test('a vCPU that is asked out completes its last access first, and goes on behind it', { skip }, () => {
  const asked: string[] = [];
  // in al, 60h; out 80h, al
  using machine = new RealModeMachine(kvm, `e4 60 e6 80 ${END}`, {
    read: () => {
      machine.control.request(1);
      return 0x5a;
    },
  });
  assert.deepEqual(machine.run(), { kind: 'kicked' });
  const regs = machine.access.get(REGS);
  asked.push(`rip ${regs.getBigUint64(Regs.rip, true)} al ${regs.getUint8(Regs.rax)}`);
  assert.deepEqual(asked, [`rip ${CODE + 2} al ${0x5a}`]);
  machine.control.clearRequest(1);
  machine.run();
  assert.deepEqual(machine.log, ['in 60/1', 'out 80/1 5a']);
});

test('a vCPU that is asked out in the middle of a repeated string input loses no element', { skip }, () => {
  let next = 0;
  using machine = new RealModeMachine(kvm, `bf 00 20 b9 00 04 ba f0 01 fc f3 6c ${END}`, {
    read: () => {
      if (next % 100 === 0) machine.control.request(1);
      return next++ & 0xff;
    },
  });
  for (;;) {
    machine.run();
    if ((machine.control.requests & 1) === 0) break;
    machine.control.clearRequest(1);
  }
  assert.equal(next, 0x400);
  const expected = Uint8Array.from({ length: 0x400 }, (_, index) => index & 0xff);
  assert.deepEqual(machine.ram.slice(0x2000, 0x2400), expected);
});

test('exits are counted by their reason', { skip }, () => {
  using machine = new RealModeMachine(kvm, `e4 60 a2 ${outside} ${END}`, { dataBase: OUTSIDE });
  machine.run();
  const { exits } = machine.vcpu.stats();
  assert.deepEqual([exits.io, exits.mmio, exits.hlt, exits.other], [2, 1, 0, 0]);
});
