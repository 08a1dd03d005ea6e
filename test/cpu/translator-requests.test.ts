/** Regions that are made elsewhere and come late; many regions; an arena that is full. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REQUEST_STOP } from '../../src/bus/control.ts';
import type { VcpuInterrupts } from '../../src/hypervisor/interrupts.ts';
import {
  compileAtOnce,
  type RegionCompiler,
  type RegionTranslatorOptions,
  type TranslatedBatch,
} from '../../src/hypervisor/wasm/translator/compile-region.ts';
import {
  CODE,
  CODE_AT,
  loop,
  noInterrupts,
  P,
  type PagedMachine,
  U,
  UD2,
  userMachineWith,
  W,
} from './paged-machine.ts';
import { RAX, RCX } from './registers.ts';

/** Code elsewhere, which has nothing to do with that at CODE. */
const ELSEWHERE = CODE + 0x2000n;

/** Translates at once and hands regions over when it is allowed to. */
class LateCompiler implements RegionCompiler {
  readonly held: TranslatedBatch[] = [];
  isOpen = false;
  #compiler: RegionCompiler | undefined;

  /** For the options of a machine. */
  readonly make = (options: Omit<RegionTranslatorOptions, 'compile'>): RegionCompiler => {
    this.#compiler = compileAtOnce(options);
    return this;
  };

  request(request: Parameters<RegionCompiler['request']>[0]): void {
    this.#compiler?.request(request);
    const batch = this.#compiler?.poll();
    if (batch !== undefined) this.held.push(batch);
  }

  poll(): TranslatedBatch | undefined {
    return this.isOpen ? this.held.shift() : undefined;
  }
}

/** ADD EAX, 1, whose region is under way. `arrive` lets it come, and a region elsewhere with it. */
function underWay(): { m: PagedMachine; late: LateCompiler; arrive: () => void; start: () => void } {
  const late = new LateCompiler();
  const m = userMachineWith({ regionCompiler: late.make }, '83 c0 01', UD2);
  m.space.map(CODE, CODE_AT, P | W | U);
  m.put(CODE_AT + 0x2000, 'ff c0', UD2);
  const start = (): void => m.start(CODE);
  for (const at of [ELSEWHERE, CODE]) {
    m.start(at);
    m.run();
  }
  start();
  assert.equal(m.vcpu.translateHere(), false);
  return {
    m,
    late,
    start,
    arrive() {
      late.isOpen = true;
      m.start(ELSEWHERE);
      assert.ok(m.vcpu.translateHere());
      start();
      m.run();
    },
  };
}

test('a region that comes late is executed when nothing has changed', () => {
  const { m, arrive } = underWay();
  arrive();
  assert.deepEqual([m.stats.regions.built, m.stats.regions.stale, m.regionCalls], [2, 0, 1]);
  assert.equal(m.state.gpr(RAX), 1n);
});

test('a region of code that has been rewritten and executed meanwhile is stale', () => {
  const { m, arrive, start } = underWay();
  m.store(CODE + 2n, 5);
  start();
  m.run();
  assert.equal(m.state.gpr(RAX), 5n);
  arrive();
  assert.deepEqual([m.stats.regions.built, m.stats.regions.stale, m.regionCalls], [1, 1, 0]);
  assert.equal(m.state.gpr(RAX), 5n);
});

test('a region of code that has been rewritten meanwhile is not wanted', () => {
  const { m, arrive } = underWay();
  m.store(CODE + 2n, 5);
  arrive();
  assert.deepEqual([m.stats.regions.built, m.stats.regions.stale, m.regionCalls], [1, 0, 0]);
  assert.equal(m.state.gpr(RAX), 5n);
});

test('a region of code that is again what it was is good', () => {
  const { m, arrive, start } = underWay();
  m.store(CODE + 2n, 5);
  m.store(CODE + 2n, 1);
  start();
  m.run();
  arrive();
  assert.deepEqual([m.stats.regions.built, m.stats.regions.stale, m.regionCalls], [2, 0, 1]);
  assert.equal(m.state.gpr(RAX), 1n);
});

test('a region that was asked for before all code was dropped is not wanted', () => {
  const { m, arrive, start } = underWay();
  m.vcpu.dropCode();
  for (const at of [ELSEWHERE, CODE]) {
    m.start(at);
    m.run();
  }
  start();
  arrive();
  assert.deepEqual([m.stats.regions.built, m.stats.regions.stale, m.regionCalls], [1, 0, 0]);
  assert.equal(m.state.gpr(RAX), 1n);
});

test('the second of two regions for one place is not wanted', () => {
  const { m, arrive, start } = underWay();
  start();
  assert.equal(m.vcpu.translateHere(), false);
  arrive();
  assert.deepEqual([m.stats.regions.built, m.stats.regions.live, m.regionCalls], [2, 2, 1]);
});

test('a region that nobody asked for is not wanted', () => {
  const { m, late, arrive } = underWay();
  const [batch] = late.held as [TranslatedBatch];
  late.held.push({ ...batch, regions: batch.regions.map((region) => ({ ...region, id: 1000 })) }, batch);
  arrive();
  assert.deepEqual([m.stats.regions.built, m.stats.regions.live], [2, 2]);
});

/** Ends `run` after some slices. */
function slices(): { interrupts: VcpuInterrupts; run: (m: PagedMachine, count: number) => void } {
  let left = 0;
  let stop = (): void => {};
  return {
    interrupts: {
      ...noInterrupts,
      poll() {
        if (left-- === 0) stop();
      },
    },
    run(m, count) {
      left = count - 1;
      const control = m.control.vcpu(0);
      stop = () => control.request(REQUEST_STOP);
      assert.equal(m.vcpu.run().kind, 'kicked');
      m.control.words[m.control.recordAt(0) + 1] = 0;
    },
  };
}

/** 110 instructions that regions leave to the interpreter's handlers, and a jump back: paddb mm0, mm0. */
const MMX_LOOP = ['0f fc c0'.repeat(110), 'e9 b1 fe ff ff'];
const LOOPS = 4;

/** A machine with hot loops, the better region of the first of which is under way, and a long sled of NOPs to fill the arena with blocks. */
function hotUnderWay(): { m: PagedMachine; late: LateCompiler; run: (slices: number) => void; fill: () => void } {
  const late = new LateCompiler();
  const { interrupts, run } = slices();
  const m = userMachineWith({ interrupts, regionCompiler: late.make });
  for (let page = 0; page < 8; page++) m.space.map(SLED + BigInt(page * 0x1000), SLED_AT + page * 0x1000, P | U);
  m.ram.fill(0x90, SLED_AT, SLED_AT + 0x8000);
  const starts = Array.from({ length: LOOPS }, (_, page) => CODE + BigInt(page * 0x1000));
  late.isOpen = true;
  for (const at of starts) {
    m.put(CODE_AT + Number(at - CODE), ...MMX_LOOP);
    m.start(at);
    m.vcpu.execute(1000);
    m.start(at);
    assert.ok(m.vcpu.translateHere());
  }
  late.isOpen = false;
  for (const at of starts) {
    m.start(at);
    run(m, 40);
  }
  assert.equal(late.held.length, 1);
  let next = SLED;
  return {
    m,
    late,
    run: (count) => run(m, count),
    fill() {
      m.start(next++);
      m.vcpu.execute(0);
    },
  };
}
const SLED = 0x1000_0000n,
  SLED_AT = 0x40_0000;

test('a better region is not put in place when there is no room for its records', () => {
  const first = hotUnderWay();
  let blocks = 0;
  const flushes = first.m.stats.codeFlushes;
  while (first.m.stats.codeFlushes === flushes) {
    first.fill();
    blocks++;
  }
  const { m, late, run, fill } = hotUnderWay();
  for (let n = 1; n < blocks; n++) fill();
  late.isOpen = true;
  m.start(CODE);
  run(3);
  assert.equal(m.stats.regions.rebuilt, 0);
  // Behind the arena lies the guest's memory.
  assert.ok(m.ram.subarray(0, CODE_AT).every((byte) => byte === 0));
});

test('a better region for one that has been dropped is not wanted', () => {
  const { m, late, run } = hotUnderWay();
  m.space.map(CODE, CODE_AT, P | W | U);
  m.vcpu.cpu.mmu.invalidatePage(Number(CODE), 0);
  // The same byte: the code is dropped, and executed again.
  m.store(CODE, 0x0f);
  m.start(CODE);
  run(1);
  late.isOpen = true;
  // Here no slice ends at the code that was dropped; those of the others come one by one.
  m.start(CODE + 0x1000n);
  // A region may come between that is what it was, and does not count.
  run(4 * LOOPS);
  assert.deepEqual([m.stats.regions.rebuilt, m.stats.regions.live], [LOOPS - 1, LOOPS - 1]);
});

/** A region that ends with a jump to a block without one, which goes back: how many regions there are after so many turns. */
function regionsAfter(turns: bigint): number {
  const { interrupts, run } = slices();
  const m = userMachineWith({ interrupts }, 'ff c0', 'ff e3', '90'.repeat(12), 'ff c9', '75 ec', 'eb fe'); // inc eax; jmp rbx; ... dec ecx; jnz to the start; jmp here
  const RBX = 3;
  m.start(CODE, { [RCX]: 1n, [RBX]: CODE + 16n });
  m.vcpu.execute(4);
  m.start(CODE, { [RCX]: turns, [RBX]: CODE + 16n });
  assert.ok(m.vcpu.translateHere());
  // Far too few instructions for a sample to ask for anything.
  run(m, 2);
  return m.vcpu.stats().regions.built;
}

test('a block that a region is left to 500 times gets a region, and no sooner', () => {
  assert.equal(regionsAfter(499n), 1);
  assert.equal(regionsAfter(1000n), 2);
});

const MIB = 0x10_0000;

test('100,000 loops one after the other all get regions, of which there are never too many, in bounded memory', () => {
  const { interrupts, run } = slices();
  // Something is always about to happen: slices are short.
  const m = userMachineWith({ interrupts: { ...interrupts, nextDeadline: () => 0 } });
  const loops = 100_000;
  // Their places are used again, long after the code that was there has been dropped.
  const places = 20_000;
  for (let page = 0; page < 80; page++) m.space.map(SLED + BigInt(page * 0x1000), SLED_AT + page * 0x1000, P | U);
  let most = 0;
  let settled = 0;
  for (let n = 0; n < loops; n++) {
    const place = (n % places) * 16;
    m.put(SLED_AT + place, loop('75', '05 00 00 00 00', 'ff c9'), UD2); // add eax, n; dec ecx
    m.view.setUint32(SLED_AT + place + 1, n, true);
    const at = SLED + BigInt(place);
    m.start(at, { [RCX]: 1_000_000n });
    m.vcpu.execute(2);
    assert.ok(m.vcpu.translateHere());
    run(m, 1);
    assert.equal(m.state.rip, at);
    const rounds = 1_000_000n - m.state.gpr(RCX);
    assert.ok(rounds > 0n);
    assert.equal(m.state.gpr(RAX), BigInt.asUintN(32, rounds * BigInt(n)));
    most = Math.max(most, m.stats.regions.live);
    if (n === places) settled = process.memoryUsage().rss;
  }
  assert.equal(m.stats.regions.built, loops);
  assert.ok(most <= 8200, `${most} at once`);
  assert.ok(m.stats.codeFlushes >= 2);
  // 80,000 regions that nobody let go of would be some 1.5 GiB.
  const grown = process.memoryUsage().rss - settled;
  assert.ok(grown < 300 * MIB, `the process has grown by ${Math.round(grown / MIB)} MiB`);
});
