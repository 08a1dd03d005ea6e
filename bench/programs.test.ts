import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { skipReason, skipWithout, staticBusybox } from '../test/guest/debian.ts';
import { buildPrograms, buildTinyKernel, listPrograms, parseList, type Program } from './programs.ts';

const cannot = skipWithout('gcc');
const binary = cannot ? ({ ok: false, reason: cannot } as const) : buildPrograms();
const busybox = staticBusybox();
const programs: readonly Program[] = binary.ok ? listPrograms(binary.value) : [];

/** What one unit of a program computes. */
function checksum(name: string): string {
  const env = { ...process.env, BENCH_BUSYBOX: busybox.ok ? busybox.value : '' };
  const { stdout, stderr } = spawnSync(binary.ok ? binary.value : '', [name, '1'], { encoding: 'utf8', env });
  return /^\S+ \d+\.\d{9} ([0-9a-f]{16})\n$/.exec(stdout)?.[1] ?? stderr;
}

const MASK = 2n ** 64n - 1n;

/** xorshift64*, as in bench.h. */
function* randoms(seed: bigint): Generator<bigint, never> {
  let x = seed;
  for (;;) {
    x ^= x >> 12n;
    x = (x ^ (x << 25n)) & MASK;
    x ^= x >> 27n;
    yield (x * 0x2545f4914f6cdd1dn) & MASK;
  }
}

/** add_to_sum and sum_bytes of bench.h, for a number of little-endian words. */
function sumOf(words: readonly bigint[]): string {
  const add = (sum: bigint, value: bigint): bigint => {
    const product = ((sum ^ value) * 0x9e3779b97f4a7c15n) & MASK;
    return product ^ (product >> 29n);
  };
  const sum = [...words, 0n].reduce(add, BigInt(words.length * 8));
  return sum.toString(16).padStart(16, '0');
}

test('every program computes what it says it computes, on this processor', { skip: skipReason(binary) }, async (t) => {
  assert.ok(programs.length >= 25);
  for (const { name, group } of programs) {
    await t.test(name, { skip: group === 'busybox' && skipReason(busybox) }, () => {
      assert.match(checksum(name), /^[0-9a-f]{16}$/);
    });
  }
});

test('every program has a name, a title and a number of units', { skip: skipReason(binary) }, () => {
  for (const { name, title, units } of programs) assert.ok(name !== '' && title !== '' && units > 0, name);
  assert.equal(new Set(programs.map(({ name }) => name)).size, programs.length);
});

test("the CRC-32 is zlib's", { skip: skipReason(binary) }, () => {
  const random = randoms(3n);
  const data = Uint8Array.from({ length: 1 << 20 }, () => Number(random.next().value >> 56n));
  assert.equal(checksum('crc32'), crc32(data).toString(16).padStart(16, '0'));
});

test("the modular power is BigInt's", { skip: skipReason(binary) }, () => {
  const random = randoms(19n);
  const [modulus, base, exponent] = [[], [], []] as bigint[][];
  for (let limb = 0; limb < 16; limb++) for (const to of [modulus, base, exponent]) to.push(random.next().value);
  modulus[0] |= 1n;
  modulus[15] |= 1n << 63n;
  base[15] >>= 1n;
  const number = (limbs: readonly bigint[]): bigint => limbs.reduceRight((sum, limb) => (sum << 64n) | limb, 0n);
  const m = number(modulus);
  let power = 1n;
  for (const bit of number(exponent).toString(2)) {
    power = (power * power) % m;
    if (bit === '1') power = (power * number(base)) % m;
  }
  assert.equal(checksum('bigint'), sumOf(Array.from({ length: 16 }, (_, limb) => (power >> BigInt(64 * limb)) & MASK)));
});

test("the digest starts like that of the platform's SHA-256", { skip: skipReason(binary) }, () => {
  const source = readFileSync(new URL('programs/main.c', import.meta.url), 'utf8');
  const words = [...(/words\[\] = \{([^}]*)\}/.exec(source)?.[1] ?? '').matchAll(/"(\w+)"/g)].map(([, word]) => word);
  assert.equal(words.length, 32);
  const random = randoms(23n);
  let text = '';
  for (let column = 0; text.length < 1 << 20; ) {
    const draw = Number(random.next().value >> 32n);
    const word = words[Math.min(draw & 31, (draw >> 8) & 31)];
    const wide = column + word.length > 70;
    column = wide ? 0 : column + word.length + 1;
    text += `${word}${wide ? '\n' : ' '}`;
  }
  const digest = createHash('sha256')
    .update(text.slice(0, 1 << 20))
    .digest('hex');
  assert.equal(checksum('sha256'), digest.slice(0, 16));
});

test('a group that the report does not know is refused', () => {
  assert.throws(() => parseList('crc32\tspeed\t30\tCRC-32\n'), /program crc32: group "speed" is none of integer,/);
});

test('a program that computes something else fails and says what', { skip: skipReason(binary) }, () => {
  const { status, stderr } = spawnSync(binary.ok ? binary.value : '', ['busybox-awk', '1'], {
    encoding: 'utf8',
    env: { BENCH_BUSYBOX: '/bin/false' },
  });
  assert.equal(status, 1);
  assert.match(stderr, /busybox-awk: unit 0 has checksum 0000000000000000, not [0-9a-f]{16}/);
});

test('the smallest kernel is an ELF that objdump reads as the few instructions it is', {
  skip: skipWithout('objdump'),
}, () => {
  const kernel = buildTinyKernel();
  const offset = readFileSync(kernel).readUInt32LE(24) - 0x10_0000;
  const { stdout } = spawnSync(
    'objdump',
    ['-D', '-b', 'binary', '-m', 'i386', '-M', 'intel', `--start-address=${offset}`, kernel],
    {
      encoding: 'utf8',
    },
  );
  const instructions = [...stdout.matchAll(/^\s*[0-9a-f]+:\t[^\t]*\t(\S+)/gm)].map(([, mnemonic]) => mnemonic);
  assert.deepEqual(instructions, ['mov', 'mov', 'out', 'mov', 'xor', 'out', 'hlt']);
});
