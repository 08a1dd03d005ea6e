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
  isAboveV2,
  objdumpUnavailable,
  parseLine,
} from './objdump.ts';

test('a plain line gives address, bytes, mnemonic and operands', () => {
  assert.deepEqual(
    parseLine('  401004:\t48 8b 05 dd 2f 00 00 \tmov    rax,QWORD PTR [rip+0x2fdd]        # 403fe8 <x>'),
    {
      address: '401004',
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

async function* stream(...instructions: DisassembledInstruction[]): AsyncGenerator<DisassembledInstruction[]> {
  yield instructions;
}

const nop: DisassembledInstruction = {
  address: '1000',
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

test('FWAIT and the instruction it belongs to are two to the decoder', async () => {
  const finit: DisassembledInstruction = {
    address: '0',
    bytes: Uint8Array.of(0x9b, 0xdb, 0xe3),
    prefixes: [],
    mnemonic: 'finit',
    operands: '',
  };
  const decode = (bytes: Uint8Array, offset: number): { length: number; mnemonic: string } =>
    bytes[offset] === 0x9b ? { length: 1, mnemonic: 'fwait' } : { length: 2, mnemonic: 'fninit' };
  assert.equal((await compareDecoder(stream(finit), decode, 64)).disagreementCount, 0);
});

test('VEX instructions and extensions above x86-64-v2 are told from the rest', () => {
  const instruction = (mnemonic: string, ...bytes: number[]): DisassembledInstruction => ({
    address: '0',
    bytes: Uint8Array.from(bytes),
    prefixes: [],
    mnemonic,
    operands: '',
  });
  assert.equal(isAboveV2(instruction('vmovd', 0xc5, 0xf9, 0x6e, 0xc6)), true);
  assert.equal(isAboveV2(instruction('tzcnt', 0xf3, 0x0f, 0xbc, 0xc0)), true);
  assert.equal(isAboveV2(instruction('verr', 0x0f, 0x00, 0xe0)), false);
  assert.equal(isAboveV2(instruction('mov', 0xb0, 0xc5)), false);
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
    for await (const batch of disassemble(join(folder, 'x.o'))) found.push(...batch);
    assert.deepEqual(
      found.map((i) => i.mnemonic),
      ['cmpxchg', 'movabs', 'movs', 'ret'],
    );
    assert.deepEqual(
      found.map((i) => Number.parseInt(i.address, 16)),
      [0, 5, 15, 17],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

function skipWithoutGcc(): string | false {
  return spawnSync('gcc', ['--version']).status === 0 ? false : 'gcc is not installed';
}
