/**
 * The embedded guest on KVM: the tests of test/e2e/boot.test.ts, which most test machines skip for KVM, on a host in QEMU.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Nest, skipWithoutNest } from '../guest/nest.ts';

/** One test: up to two boots, each in some ten seconds on a machine that has a core free, and in a minute on one with ten threads a core. */
const TEST_LIMIT_MS = 400_000;

test('the tests of the embedded guest pass on KVM too', { skip: skipWithoutNest() }, async () => {
  await using nest = await Nest.boot(2);
  const { passed, failed } = await nest.tests('test/e2e/boot.test.ts', '--test-name-pattern=^kvm:', TEST_LIMIT_MS);
  assert.equal(failed, 0, nest.tail);
  assert.ok(passed > 10, nest.tail);
});
