/** Code in several pages, at several addresses, in several address spaces, and mappings that change under it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4_PGE, CR4_SMAP, GLOBAL, NX, P, PagedMachine, UD, UD2, W } from './paged-machine.ts';

const RAX = 0,
  RDX = 2,
  RSI = 6,
  RDI = 7;
/** Supervisor's code in every address space, and code that is another one in each. */
const KERNEL = 0xffff_8000_0010_0000n,
  HERE = 0x40_0000n;

/** CPL 0, and a second address space, whose CR3 is in RDI: at HERE, EAX becomes 1 in the first and 2 in the second. */
function twoSpaces(cr4: number, ...kernel: readonly string[]): { m: PagedMachine; start: () => void } {
  const m = new PagedMachine();
  const other = m.addressSpace();
  for (const space of [m.space, other]) space.map(KERNEL, 0x12_0000, P | W | GLOBAL);
  m.space.map(HERE, 0x10_0000, P | W);
  other.map(HERE, 0x11_0000, P | W);
  // Data in the entry of the TLB that HERE has.
  m.space.map(HERE + 0x40_0000n, 0x13_0000, P | W | NX);
  m.put(0x10_0000, 'b8 01 00 00 00', 'ff e3'); // mov eax, 1; jmp rbx
  m.put(0x11_0000, 'b8 02 00 00 00', UD2); // mov eax, 2
  m.put(0x12_0000, ...kernel);
  m.state.cr4 |= cr4;
  m.vcpu.cpu.mmu.flushAll();
  return { m, start: () => m.start(KERNEL, { [RDX]: HERE, [RSI]: HERE + 0x40_0000n, [RDI]: BigInt(other.root) }) };
}

test("a supervisor's code is the new address space's even when data has taken its entry in the TLB", () => {
  // lea rbx, [rip + 2]; jmp rdx; mov rcx, [rsi]; mov cr3, rdi; jmp rdx
  const { m, start } = twoSpaces(CR4_PGE, '48 8d 1d 02 00 00 00', 'ff e2', '48 8b 0e', '0f 22 df', 'ff e2');
  start();
  m.run();
  assert.equal(m.state.gpr(RAX), 2n);
  assert.equal(m.fault.vector, UD);
});

test("a supervisor's code is the new address space's even while EFLAGS.AC is set under SMAP", () => {
  // stac; lea rbx, [rip + 2]; jmp rdx; mov cr3, rdi; jmp rdx
  const { m, start } = twoSpaces(CR4_PGE | CR4_SMAP, '0f 01 cb', '48 8d 1d 02 00 00 00', 'ff e2', '0f 22 df', 'ff e2');
  start();
  m.vcpu.execute(20);
  assert.equal(m.state.gpr(RAX), 2n);
  assert.equal(m.fault.vector, UD);
});
