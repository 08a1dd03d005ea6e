/**
 * The embedded guest on KVM: the tests of test/e2e/boot.test.ts, which most test machines skip for KVM, on a host in QEMU.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Nest, skipWithoutNest } from '../guest/nest.ts';

/** A dozen boots, each in some ten seconds on a machine that has a core free. */
const LIMIT_MS = 800_000;

test('the tests of the embedded guest pass on KVM too', { skip: skipWithoutNest() }, async () => {
  await using nest = await Nest.boot(2);
  const { passed, failed } = await nest.tests('test/e2e/boot.test.ts', '--test-name-pattern=^kvm:', LIMIT_MS);
  assert.equal(failed, 0, nest.tail);
  assert.ok(passed > 10, nest.tail);
});
