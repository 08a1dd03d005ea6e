import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestError, GuestProcess } from './guest-process.ts';

const LIMIT_MS = 20_000;
const shell = (script: string): GuestProcess => new GuestProcess('the guest', ['sh', '-c', script]);

test('an answer is the output from the last one to the end of what was waited for', async () => {
  const guest = shell('echo READY; read line; echo "got $line"; echo DONE; echo more');
  await guest.waitFor(/READY\n/, LIMIT_MS);
  guest.send('this\n');
  const { text } = await guest.waitFor(/DONE\n/, LIMIT_MS);
  assert.equal(text, 'got this\nDONE\n');
  assert.equal((await guest.end()).status, 0);
});

test('a guest that ends without the answer is an error with the end of its output', async () => {
  const guest = shell('echo oops; echo sad >&2; exit 3');
  await assert.rejects(guest.waitFor(/READY/, LIMIT_MS), (error: GuestError) => {
    assert.match(error.message, /^the guest ended with status 3; last it said:\noops\nsad$/);
    return error instanceof GuestError;
  });
  await assert.rejects(guest.waitFor(/READY/, LIMIT_MS), /has ended/);
});

test('a guest that does not answer in time is an error, and can be killed', async () => {
  const guest = shell('exec sleep 100');
  await assert.rejects(guest.waitFor(/READY/, 50), /no \/READY\/ within 0.05 s/);
  guest.kill();
  assert.equal((await guest.end()).status, null);
});

test('a guest that does not end is killed after the limit', async () => {
  const { status } = await shell('exec sleep 100').end(50);
  assert.equal(status, null);
});

test('a command that cannot be started is an error that names it', async () => {
  const guest = new GuestProcess('the guest', ['/nowhere/qemu']);
  await assert.rejects(guest.waitFor(/READY/, LIMIT_MS), /the guest ended[^]*\/nowhere\/qemu ENOENT/);
  await guest.end();
});
