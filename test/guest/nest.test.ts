/** What is read from the console of the host in the nest, which comes in pieces of any length. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Nest } from './nest.ts';
import { plainText, type QemuGuest } from './qemu.ts';

/** A guest whose console gives one more byte each time somebody looks. */
function typewriter(text: string): QemuGuest {
  const guest = {
    transcript: '',
    type() {},
    async see(pattern: RegExp, from = 0) {
      for (;;) {
        const match = pattern.exec(guest.transcript.slice(from));
        if (match !== null) return match[0];
        if (guest.transcript.length === text.length) throw new Error(`${pattern} did not appear`);
        guest.transcript = text.slice(0, guest.transcript.length + 1);
      }
    },
    async [Symbol.asyncDispose]() {},
  };
  return guest as unknown as QemuGuest;
}

test('the numbers of tests are read to their last digit', async () => {
  const tap = ['TAP version 13', 'ok 1 - one', 'not ok 2 - two', '# pass 11', '# fail 12', 'status=1', 'nest# '];
  const nest = new Nest(typewriter(tap.join('\n')), '/nowhere');
  assert.deepEqual(await nest.tests('a.test.ts', ''), { passed: 11, failed: 12 });
});

test('what a command prints may have the word that ends it at the end of a line', async () => {
  const nest = new Nest(typewriter('begin\ndma_fence_finish\nlast\nfinish\n'), '/nowhere');
  assert.equal(await nest.output('cat symbols'), 'dma_fence_finish\nlast');
});

test('an exit status is read to its last digit', async () => {
  assert.equal(await new Nest(typewriter('status=34\nnest# '), '/nowhere').ended(), 34);
});

test('a line that follows one that was erased begins a line, and no text that has been seen changes', () => {
  const console = '\r\x1b[Kloading /initrd: 100 %\r\x1b[KBOOT-OK 7.45\r\n/ # \x1b[6necho\r\n';
  assert.equal(plainText(console), '\nloading /initrd: 100 %\nBOOT-OK 7.45\n/ # echo\n');
  for (let length = 0; length < console.length; length++) {
    const [before, after] = [plainText(console.slice(0, length)), plainText(console.slice(0, length + 1))];
    assert.ok(after.startsWith(before), JSON.stringify([before, after]));
  }
});
