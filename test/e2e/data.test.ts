/** Large data through the guest: into it, transformed, compared with what the host makes of the same bytes. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type Console, launch } from './console.ts';
import { extendedInitrd, temporaryFolder } from './programs.ts';

const needsScript = { skip: !existsSync('/usr/bin/script') && 'script is not installed' };
const hash = (algorithm: string, data: Uint8Array | string): string => createHash(algorithm).update(data).digest('hex');

const noise = randomBytes(2 << 20);
const numbers = Array.from({ length: 5000 }, (_, n) => (n * 7_654_321) % 1_000_003);
const text = `${numbers.join('\n')}\n`;
let vm: Console;

before(async () => {
  const initrd = extendedInitrd(temporaryFolder(), [
    { kind: 'file', path: 'noise', data: noise },
    { kind: 'file', path: 'numbers', data: text },
  ]);
  vm = launch(['-i', initrd]);
  await vm.prompt();
});
after(() => vm?.[Symbol.asyncDispose]());

for (const algorithm of ['md5', 'sha1', 'sha256', 'sha512']) {
  test(`${algorithm}sum of 2 MiB of noise in the guest is the host's`, async () => {
    assert.equal(await vm.run(`${algorithm}sum < /noise`), `${hash(algorithm, noise)}  -`);
  });
}

test('copies in the guest are equal, by blocks of every kind', async () => {
  await vm.run('cp /noise /tmp/copy && cmp /noise /tmp/copy');
  await vm.run('dd if=/noise of=/tmp/copy bs=4093 2>/dev/null && cmp /noise /tmp/copy');
  await vm.run('cat /noise | cat | dd bs=1M iflag=fullblock 2>/dev/null | cmp /noise -');
  await vm.run('tar c /noise 2>/dev/null | tar x -O | cmp /noise -; rm /tmp/copy');
});

test('what is compressed comes out again', async () => {
  assert.equal(await vm.run('gzip -c < /noise | gunzip | md5sum'), `${hash('md5', noise)}  -`);
  assert.equal(await vm.run('gzip -9c /numbers | gunzip | md5sum'), `${hash('md5', text)}  -`);
  assert.equal(
    await vm.run('head -c 300000 /noise | bzip2 | bunzip2 | md5sum'),
    `${hash('md5', noise.subarray(0, 300_000))}  -`,
  );
});

test('sort puts 5000 numbers in order', async () => {
  const sorted = `${numbers.toSorted((a, b) => a - b).join('\n')}\n`;
  assert.equal(await vm.run('sort -n /numbers | md5sum'), `${hash('md5', sorted)}  -`);
  const byText = `${numbers.map(String).toSorted().join('\n')}\n`;
  assert.equal(await vm.run('sort /numbers | md5sum'), `${hash('md5', byText)}  -`);
});

test('awk computes with floating point', async () => {
  assert.equal(
    await vm.run('awk "BEGIN { print 1 / 3, exp(1), sin(1), atan2(1, 2), log(10), sqrt(2) }"'),
    '0.333333 2.71828 0.841471 0.463648 2.30259 1.41421',
  );
  let sum = 0;
  for (const number of numbers) sum += Math.sqrt(number);
  assert.equal(await vm.run('awk \'{ s += sqrt($1) } END { printf "%.6f\\n", s }\' /numbers'), sum.toFixed(6));
  assert.equal(await vm.run('echo "scale=30; 2 / 7" | bc'), '.285714285714285714285714285714');
});

test('64 KiB pasted into a terminal arrive whole', needsScript, async () => {
  const lines = noise.toString('base64').slice(0, 65_000).replaceAll(/.{77}/g, '$&\n');
  const paste = `${lines.slice(0, 65_535)}\n`;
  await using machine = launch([], { terminal: true });
  await machine.prompt();
  machine.type('cat > /tmp/paste\n');
  await machine.see('cat > /tmp/paste\r\n');
  machine.type(paste);
  machine.type('\x04');
  await machine.prompt();
  assert.equal(await machine.run('md5sum < /tmp/paste'), `${hash('md5', paste)}  -`);
});

test('60 KiB typed ahead, before the shell is there, are not lost', async () => {
  const ahead = `${noise.toString('base64').slice(0, 60_000).replaceAll(/.{99}/g, '$&\n')}\n`;
  const input = `head -c ${ahead.length} > /tmp/ahead; md5sum < /tmp/ahead; poweroff -f\n${ahead}`;
  await using machine = launch([], { input });
  await machine.see(`${hash('md5', ahead)}  -`);
  await machine.exits(0);
});
