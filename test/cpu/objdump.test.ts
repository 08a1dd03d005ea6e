import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { spawnSync } from 'node:child_process';
import {
  canonicalMnemonic,
  compareDecoder,
  disassemble,
  type DisassembledInstruction,
  objdumpUnavailable,
  parseLine,
} from './objdump.ts';

test('a plain line gives address, bytes, mnemonic and operands', () => {
  assert.deepEqual(
    parseLine('  401004:\t48 8b 05 dd 2f 00 00 \tmov    rax,QWORD PTR [rip+0x2fdd]        # 403fe8 <x>'),
    {
      address: 0x401004n,
      bytes: Uint8Array.of(0x48, 0x8b, 0x05, 0xdd, 0x2f, 0, 0),
      prefixes: [],
      mnemonic: 'mov',
      operands: 'rax,QWORD PTR [rip+0x2fdd]',
    },
  );
});

test('prefix words are told from the mnemonic', () => {
  const padding = parseLine('  1000:\t66 66 2e 0f 1f 84 00 00 00 00 00 \tdata16 cs nop WORD PTR [rax+rax*1+0x0]');
  assert.deepEqual([padding?.prefixes, padding?.mnemonic], [['data16', 'cs'], 'nop']);
  const string = parseLine('  1000:\tf3 48 ab             \trep stos QWORD PTR es:[rdi],rax');
  assert.deepEqual([string?.prefixes, string?.mnemonic], [['rep'], 'stos']);
  const jump = parseLine('  1000:\t3e ff e0             \tnotrack jmp rax');
  assert.deepEqual([jump?.prefixes, jump?.mnemonic], [['notrack'], 'jmp']);
});

test('a prefix that stands alone is a mnemonic, and so is (bad)', () => {
  assert.equal(parseLine('  1000:\t48                   \trex.W')?.mnemonic, 'rex.w');
  assert.equal(parseLine('  1000:\t06                   \t(bad)')?.mnemonic, '(bad)');
});

test('headings and blank lines are not instructions', () => {
  assert.equal(parseLine(''), undefined);
  assert.equal(parseLine('0000000000401000 <_init>:'), undefined);
  assert.equal(parseLine('Disassembly of section .init:'), undefined);
});

test('synonyms of one instruction have one canonical name', () => {
  assert.equal(canonicalMnemonic('cmovnae'), canonicalMnemonic('cmovb'));
  assert.equal(canonicalMnemonic('stosq'), canonicalMnemonic('stos'));
  assert.equal(canonicalMnemonic('cmpltsd'), canonicalMnemonic('cmpsd'));
  assert.notEqual(canonicalMnemonic('movsd'), canonicalMnemonic('movs'));
});

async function* stream(...instructions: DisassembledInstruction[]): AsyncGenerator<DisassembledInstruction> {
  yield* instructions;
}

const nop: DisassembledInstruction = {
  address: 0x1000n,
  bytes: Uint8Array.of(0x0f, 0x1f, 0x00),
  prefixes: [],
  mnemonic: 'nop',
  operands: 'DWORD PTR [rax]',
};

test('a decoder that agrees in length and mnemonic has no disagreement', async () => {
  const result = await compareDecoder(stream(nop), () => ({ length: 3, mnemonic: 'nop' }), 64);
  assert.deepEqual([result.instructions, result.disagreementCount], [1, 0]);
});

test('another length, another mnemonic and a refusal are disagreements', async () => {
  const answers = [{ length: 2, mnemonic: 'nop' }, { length: 3, mnemonic: 'mov' }, undefined];
  const result = await compareDecoder(stream(nop, nop, nop), () => answers.shift(), 64);
  assert.equal(result.disagreementCount, 3);
  assert.deepEqual(
    result.disagreements.map((d) => d.decoder),
    ['nop (2 bytes)', 'mov (3 bytes)', 'refused'],
  );
});

test('instructions of absent extensions are counted apart', async () => {
  const result = await compareDecoder(stream(nop), () => undefined, 64, { skip: () => true });
  assert.deepEqual([result.disagreementCount, result.skipped.get('nop')], [0, 1]);
});

test('every instruction of an object file is read, in order, each where the one before ends', {
  skip: objdumpUnavailable() ?? skipWithoutGcc(),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'objdump-'));
  try {
    writeFileSync(
      join(folder, 'x.s'),
      '.intel_syntax noprefix\nlock cmpxchg [rdi], rsi\nmovabs rax, 0x1122334455667788\nrep movsb\nret\n',
    );
    assert.equal(spawnSync('gcc', ['-c', '-o', join(folder, 'x.o'), join(folder, 'x.s')]).status, 0);
    const found: DisassembledInstruction[] = [];
    for await (const instruction of disassemble(join(folder, 'x.o'))) found.push(instruction);
    assert.deepEqual(
      found.map((i) => i.mnemonic),
      ['cmpxchg', 'movabs', 'movs', 'ret'],
    );
    assert.deepEqual(
      found.map((i) => Number(i.address)),
      [0, 5, 15, 17],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

function skipWithoutGcc(): string | false {
  return spawnSync('gcc', ['--version']).status === 0 ? false : 'gcc is not installed';
}
