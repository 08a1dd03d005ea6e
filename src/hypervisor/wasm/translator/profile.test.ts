import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CodePlace, Profile } from './profile.ts';

const place = (host: number): CodePlace => ({ host, mode: 0, base: BigInt(host & ~0xfff), cr3: 0x1000n });
const meet = (profile: Profile, host: number, times: number): void => {
  for (let n = 0; n < times; n++) profile.met(host, () => place(host));
};
const always = (): boolean => true;
/** The order in which everything that waits is taken. */
function all(profile: Profile, canTranslate: (place: CodePlace) => boolean = always): number[] {
  const hosts: number[] = [];
  for (let next = profile.next(canTranslate); next !== undefined; next = profile.next(canTranslate))
    hosts.push(next.host);
  return hosts;
}

describe('the profile', () => {
  test('a block waits after four slices have ended at it, and is taken once', () => {
    const profile = new Profile(false);
    meet(profile, 0x5000, 3);
    assert.deepEqual(all(profile), []);
    meet(profile, 0x5000, 1);
    assert.deepEqual(all(profile), [0x5000]);
    assert.deepEqual(all(profile), []);
  });

  test('the one that is met most while they wait is next', () => {
    const profile = new Profile(false);
    for (const [host, times] of [
      [0x5000, 5],
      [0x6000, 9],
      [0x7000, 4],
    ] as const)
      meet(profile, host, times);
    meet(profile, 0x7000, 3);
    assert.deepEqual(all(profile), [0x6000, 0x7000, 0x5000]);
  });

  test('eagerly, a block waits at once', () => {
    const profile = new Profile(true);
    meet(profile, 0x5000, 1);
    assert.deepEqual(all(profile), [0x5000]);
  });

  test('a block that regions are often left to waits at once', () => {
    const profile = new Profile(false);
    profile.leftTo(0x5000, () => place(0x5000));
    assert.deepEqual(all(profile), [0x5000]);
  });

  test('a block that a region holds waits after forty slices, be it that the region has come while it waited', () => {
    const profile = new Profile(false);
    meet(profile, 0x5000, 10);
    profile.cover([0x5000, 0x6000], 1);
    meet(profile, 0x6000, 39);
    assert.deepEqual(all(profile), []);
    meet(profile, 0x5000, 30);
    assert.deepEqual(all(profile), [0x5000]);
    profile.cover([0x5000, 0x6000], -1);
    meet(profile, 0x6000, 1);
    assert.deepEqual(all(profile), [0x6000]);
  });

  test('a block that can no longer be translated is forgotten with its count', () => {
    const profile = new Profile(false);
    meet(profile, 0x5000, 20);
    meet(profile, 0x6000, 4);
    assert.deepEqual(
      all(profile, ({ host }) => host !== 0x5000),
      [0x6000],
    );
    meet(profile, 0x5000, 3);
    assert.deepEqual(all(profile), []);
  });

  test('nothing waits when all code is gone', () => {
    const profile = new Profile(false);
    meet(profile, 0x5000, 4);
    profile.flushed();
    assert.deepEqual(all(profile), []);
  });

  test('slices that end in ever new places do not fill what waits', () => {
    const profile = new Profile(true);
    for (let host = 0; host < 5000; host++) meet(profile, host, 1);
    assert.equal(all(profile).length, 1024);
  });

  test('slices that end in ever new places do not fill the counts, which start anew', () => {
    const profile = new Profile(false);
    meet(profile, 0x1000_0000, 3);
    for (let host = 0; host < 0x4_0000; host++) meet(profile, host, 1);
    meet(profile, 0x1000_0000, 1);
    assert.deepEqual(all(profile), []);
  });
});
