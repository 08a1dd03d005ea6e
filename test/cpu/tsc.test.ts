/** RDTSC and RDTSCP on both tiers: the host's clock, the offset, and who may read it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MSR_TSC_AUX } from '../../src/hypervisor/wasm/state.ts';
import { CR4_TSD } from '../../src/hypervisor/wasm/system/cpu-state.ts';
import { writeTsc } from '../../src/hypervisor/wasm/system/tsc.ts';
import { CODE, GP, type PagedMachine, UD2, userMachineWith } from './paged-machine.ts';
import { RAX, RCX, RDX } from './registers.ts';

const ONES = 0xffff_ffff_ffff_ffffn;

/** Code with a count in it that the test chooses, and the fault it is to end with: interpreted, then translated. */
function both(code: string, check: (m: PagedMachine, run: () => void) => void, nanoseconds = 0): void {
  for (const isTranslated of [false, true]) {
    const m = userMachineWith({ nanoseconds: () => nanoseconds }, code, UD2);
    const start = (): void => m.start(CODE, { [RAX]: ONES, [RCX]: ONES, [RDX]: ONES });
    if (isTranslated) {
      start();
      m.run();
      start();
      assert.ok(m.vcpu.translateHere());
    }
    check(m, () => {
      start();
      m.run();
    });
    assert.equal(m.regionCalls > 0, isTranslated);
  }
}

test('RDTSC gives the clock in whole nanoseconds, in two halves', () => {
  const run = (m: PagedMachine, go: () => void): void => {
    go();
    assert.deepEqual(m.gprs(RAX, RDX, RCX), [0x3456_789an, 0x12n, ONES]);
  };
  both('0f 31', run, 0x12_3456_789a + 0.75);
});

test('RDTSC counts exactly beyond what a double can hold', () => {
  const run = (m: PagedMachine, go: () => void): void => {
    writeTsc(m.vcpu.cpu, 0xffff_ffff_ffff_fff3n);
    go();
    assert.deepEqual(m.gprs(RAX, RDX), [0xffff_fff3n, 0xffff_ffffn]);
  };
  both('0f 31', run, 5_000_000_000);
});

test('RDTSCP adds the low half of TSC_AUX', () => {
  const run = (m: PagedMachine, go: () => void): void => {
    m.state.setBig(MSR_TSC_AUX, 0x1_0000_0055n);
    go();
    assert.deepEqual(m.gprs(RAX, RDX, RCX), [7n, 0n, 0x55n]);
  };
  both('0f 01 f9', run, 7);
});

test('RDTSC and RDTSCP in user mode are #GP(0) under CR4.TSD', () => {
  for (const code of ['0f 31', '0f 01 f9']) {
    const run = (m: PagedMachine, go: () => void): void => {
      m.state.cr4 |= CR4_TSD;
      go();
      assert.deepEqual(m.fault, { vector: GP, error: 0, rip: CODE });
      m.kernel();
      go();
      assert.equal(m.fault.vector, 6);
    };
    both(code, run);
  }
});
