/**
 * The code that regions are made of: what is not in it.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { showRegion } from '../../tools/show-region.ts';

/** The listing of a region's function without its indentation. */
const listing = (code: string): string[] => showRegion(Uint8Array.fromHex(code)).listing.map((line) => line.trim());
/** Statements like one. */
const count = (lines: readonly string[], statement: RegExp): number =>
  lines.filter((line) => statement.test(line)).length;

test('an access by a register alone looks the register up, and works out nothing twice', () => {
  // mov (%rdx),%rax
  const lines = listing('488b02c3');
  assert.equal(count(lines, /= i32\.add\(tlbBase, .*i32\.wrap\(rdx\)/), 1);
  assert.equal(count(lines, /^t\d+ = rdx$/), 0);
  // mov 0x10(%rdx,%rcx),%rax
  assert.equal(count(listing('488b440a10c3'), /i64\.add\(i64\.add\(rdx, rcx\), 16\)/), 1);
});

test('a shift by a constant is one shift, and its carry is computed where somebody reads it', () => {
  // shl $3,%rax; xor %ecx,%ecx
  const unread = listing('48c1e00331c9c3');
  assert.equal(count(unread, /i64\.shl\(t\d+, 3\)/), 1);
  assert.equal(count(unread, /61/), 0);
  // shl $3,%rax
  assert.equal(count(listing('48c1e003c3'), /i64\.shr_u\(t\d+, 61\)/) > 0, true);
});

test('a sum of registers is made where a way out wants it, one with memory is not', () => {
  // cmp %rbx,%rax; jne out; ret, and the same with (%rbx)
  const [registers, memory] = ['4839d8', '483b03'].map((compare) => listing(`${compare}7510c3`)) as [
    string[],
    string[],
  ];
  const copies = (lines: string[]): number => {
    const at = lines.findIndex((line) => /^if .*i64\.eq\(/.test(line));
    return count(lines.slice(at, lines.indexOf('end', at)), /^t\d+ = t\d+$/);
  };
  assert.equal(copies(registers), 0);
  assert.equal(copies(memory), 3);
});

test('both ways of a conditional jump take instructions off the budget at once', () => {
  // test %rcx,%rcx; jne out; jmp out
  assert.equal(count(listing('4885c97510eb20'), /^budget = i32\.sub\(budget, 2\)$/), 1);
});

test('a register exclusive-ored with itself is zero, and tested against itself is itself', () => {
  // xor %eax,%eax; test %cl,%cl; jne out; ret
  const lines = listing('31c084c97510c3');
  assert.ok(lines.includes('rax = 0'));
  assert.equal(count(lines, /i32\.xor\(t\d+, t\d+\)/), 0);
  assert.equal(count(lines, /^t\d+ = i32\.and\(i32\.wrap\(rcx\), 255\)$/), 1);
  assert.equal(count(lines, /^if i32\.eqz\(i32\.eqz\(t\d+\)\)$/), 1);
});

test('constants are operands as they are', () => {
  // add $5,%rax; mov $7,%ecx
  const lines = listing('4883c005b907000000c3');
  assert.equal(count(lines, /^t\d+ = i64\.add\(t\d+, 5\)$/), 1);
  assert.ok(lines.includes('rcx = 7'));
});
