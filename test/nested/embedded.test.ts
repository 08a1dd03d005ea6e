/**
 * Tests of whole machines, which most test machines skip for KVM, on a host in QEMU: the embedded guest, machines of a few instructions,
 * memory, processes. The sources are those of test/e2e.
 */
import assert from 'node:assert/strict';
import { checksInNest } from './checks.ts';

/** One test: up to two boots, each in some ten seconds on a machine that has a core free, and in a minute on one with ten threads a core. */
const TEST_LIMIT_MS = 400_000;

/** Every byte of input is a call of the VMM thread, some 5 ms here: 64 KiB take longer than a test may. */
const MACHINES = '--test-name-pattern=^kvm: --test-skip-pattern="64 KiB"';

/** How many tests pass at least: a pattern that finds none must not pass. */
const FILES = [
  ['the embedded guest', 'test/e2e/boot.test.ts', '--test-name-pattern=^kvm:', 11],
  ['machines of a few instructions', 'test/e2e/bare.test.ts', MACHINES, 15],
  ['memory sizes', 'test/e2e/memory.test.ts', '--test-name-pattern=^kvm:', 3],
  ['processes with a vCPU in the guest', 'test/e2e/kvm-process.test.ts', '--test-skip-pattern=WebAssembly', 4],
] as const;

const check = checksInNest();

for (const [what, file, options, least] of FILES) {
  check(`the tests of ${what} pass on KVM too`, async (nest) => {
    const { passed, failed } = await nest.tests(file, options, TEST_LIMIT_MS);
    assert.equal(failed, 0, nest.tail);
    assert.ok(passed >= least, nest.tail);
  });
}
