/** Which checks of the nest get a new host, and which a second try. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NoAnswerError } from '../guest/qemu.ts';
import { NestKeeper } from './checks.ts';

/** Hosts by number, and which of them are gone. */
function keeper(): { keeper: NestKeeper<AsyncDisposable & { number: number }>; gone: number[] } {
  const gone: number[] = [];
  let booted = 0;
  const boot = async () => {
    const number = ++booted;
    return { number, [Symbol.asyncDispose]: async () => void gone.push(number) };
  };
  return { keeper: new NestKeeper(boot), gone };
}

test('checks share a host until one of them fails', async () => {
  const { keeper: hosts, gone } = keeper();
  const used: number[] = [];
  const use = async (host: { number: number }) => void used.push(host.number);
  await hosts.run(use);
  await hosts.run(use);
  await assert.rejects(
    hosts.run(() => assert.fail('a wrong answer')),
    /a wrong answer/,
  );
  await hosts.run(use);
  await hosts[Symbol.asyncDispose]();
  assert.deepEqual(
    [used, gone],
    [
      [1, 1, 2],
      [1, 2],
    ],
  );
});

test('what gets no answer has a second try on a new host and no third, a wrong answer has none', async () => {
  const { keeper: hosts, gone } = keeper();
  const silent = async (host: { number: number }) => {
    if (host.number !== 2) throw new NoAnswerError(`host ${host.number} is silent`);
  };
  assert.equal(await hosts.run(silent), 'host 1 is silent');
  await hosts.run(async () => {});
  let tries = 0;
  await assert.rejects(
    hosts.run(async () => {
      tries++;
      throw new NoAnswerError('silent again');
    }),
    /silent again/,
  );
  assert.deepEqual([tries, gone], [2, [1, 2, 3]]);
  await assert.rejects(
    hosts.run(async () => {
      tries++;
      assert.fail('wrong');
    }),
    /wrong/,
  );
  assert.deepEqual([tries, gone], [3, [1, 2, 3, 4]]);
});
