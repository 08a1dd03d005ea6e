import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomProgram } from '../test/cpu/programs.ts';
import { showRegion } from './show-region.ts';

/** The loop of bench/programs/crc32.c and what follows it, the example of docs/translator.md. */
const CRC32 = Uint8Array.fromHex('89c132024883c2010fb6c0c1e908330c8689c84839d775e8f7d0c3');
/** In front of programs that begin with something that is not translated. */
const NOP = 0x90;

test('the loop of CRC-32 is shown as two blocks', () => {
  const { blocks } = showRegion(CRC32, 0x20);
  assert.deepEqual(
    blocks.filter((line) => line.startsWith('block')),
    ['block 20h -> 20h 38h', 'block 38h -> out'],
  );
  assert.equal(blocks[2], '  22h    32 02                            xor Gb,Eb');
});

test('registers are called by their names, and the branch of a loop compares what CMP compared', () => {
  const { listing } = showRegion(CRC32, 0x20);
  assert.ok(listing.includes('rax = i64.load(cpu.rax)'));
  assert.ok(listing.some((line) => line.trim() === 'rcx = i64.extend_i32_u(i32.wrap(rax))'));
  assert.ok(listing.some((line) => /^ +if i32\.eqz\(i64\.eq\(t\d+, t\d+\)\)$/.test(line)));
  assert.ok(listing.includes('i64.store(cpu.rip, rip)'));
});

test('branches that are hinted at are marked', () => {
  const { listing } = showRegion(CRC32, 0x20);
  assert.ok(listing.some((line) => /^ +if i64\.ne\(i64\.load\(t\d+\), .*;; unlikely$/.test(line)));
});

test('only hot code keeps translations of last pages', () => {
  const cached = (isHot: boolean): number =>
    showRegion(CRC32, 0x20, isHot).listing.filter((line) => /^t\d+ = 0$/.test(line)).length;
  assert.equal(cached(false), 0);
  assert.equal(cached(true), 2);
});

test('the listings of random programs are whole, and their modules are valid', () => {
  for (let seed = 0; seed < 80; seed++) {
    const { code, initial } = randomProgram(seed);
    const { listing, module } = showRegion(Uint8Array.of(NOP, ...code), Number(initial.rip & 0xfffn), seed % 2 === 1);
    assert.equal(listing.at(-1), 'unreachable', `seed ${seed}`);
    assert.ok(!listing.some((line) => line.includes('undefined')), `seed ${seed}`);
    assert.ok(WebAssembly.validate(module), `seed ${seed}`);
  }
});
