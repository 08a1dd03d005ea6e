/**
 * One vCPU of the WebAssembly hypervisor: runs the interpreter, delivers interrupts and exceptions.
 *
 * @module
 */
import type { AccessWidth } from '../../bus/bus-device.ts';
import { CODE_MAP_OFFSET, vcpuArea } from '../../memory/machine-memory.ts';
import type { CheckTranslation } from '../check-translation.ts';
import type { VcpuExit } from '../exit.ts';
import type { InitialCpuState } from '../initial-state.ts';
import type { OwnWasmVcpuStats } from '../stats.ts';
import type { SoftwareVcpu, SoftwareVcpuOptions } from '../hypervisor.ts';
import { createMmio } from './apic-page.ts';
import { TranslationMismatch } from './check/mismatch.ts';
import { RegionChecker } from './check/region-checker.ts';
import { type CompiledInterpreter, type CoreExports, interpreterFor } from './compiled-interpreter.ts';
import { Decoder } from './decode/decoder.ts';
import { BlockCache } from './interpreter/block-cache.ts';
import { HELPER_NAMES } from './interpreter/core-module.ts';
import { TRANSFERS } from './interpreter/fast-system.ts';
import { Handlers } from './interpreter/handlers.ts';
import { portInstructions } from './interpreter/port-io.ts';
import {
  AUX_STACK,
  R_AUX,
  STATUS_AGAIN,
  STATUS_BUDGET,
  STATUS_FAULT,
  STATUS_LEAVE,
  STATUS_LEFT_OFTEN,
  STATUS_REGION_BUDGET,
  STATUS_STEP,
} from './interpreter/record.ts';
import { SystemCalls } from './interpreter/system-calls.ts';
import { xsaveInstructions } from './interpreter/xsave-instructions.ts';
import { x87Instructions } from './interpreter/x87-instructions.ts';
import {
  createGlance,
  DECODING,
  DEVICES,
  DROPPING,
  EVENTS,
  FLOAT,
  HALTED,
  INSTALLING,
  INTERPRETED,
  measuredStats,
  OccupationWord,
  OTHER,
  SYSTEM,
} from './measures.ts';
import { EXCEPTIONS, INTERRUPT_WAITS, KICK_WORD, RAM_BYTES, RAM_OFFSET, SHADOW_RIP } from './mmu/layout.ts';
import { Tlb } from './mmu/tlb.ts';
import type { RegionLimits } from './translator/region.ts';
import { compileAtOnce, type RegionCompiler } from './translator/compile-region.ts';
import { Translator } from './translator/translator.ts';
import { TranslatorTrace } from './translator/translator-trace.ts';
import { NON_CANONICAL } from './mmu/walk.ts';
import { WasmMmu } from './mmu/wasm-mmu.ts';
import { RunTrace } from './run-trace.ts';
import { SseSlow } from './softfloat/sse-slow.ts';
import {
  ACTIVITY_HALTED,
  ACTIVITY_SHUTDOWN,
  ACTIVITY_WAIT_SIPI,
  FAULT_RECORD,
  INSTRUCTIONS,
  STATE_BYTES,
  STATS_REGION_CALLS,
  STATS_TRANSLATED,
  TSC_OFFSET,
  VCPU_INDEX,
} from './state.ts';
import { CpuState, CR0_NE, FLAG_IF, FLAG_RF, FLAG_TF } from './system/cpu-state.ts';
import { type Cpu, createCpu, VECTOR_DB, VECTOR_MF, VECTOR_SS } from './system/cpu.ts';
import { SHORTEST_SLICE, SLICE, SliceLength } from './slice-length.ts';
import { checkInstructionBreakpoints, debugArmed, finishInstruction, noteDataAccess } from './system/debug.ts';
import { deliver, deliverInterrupt, deliverNmi, deliverPendingFault } from './system/exceptions.ts';
import { systemInstructions } from './system/instructions.ts';
import { X87 } from './x87/x87.ts';
import { init, loadInitialState, powerOn, startUp } from './system/reset-state.ts';

/** Instructions between two looks at the profile where all code is to be translated. */
const EAGER_SLICE = 500;
/** How many settled places the profile looks beyond, and at every which sample: what is found there is worth less than what a sample hits. */
const SAMPLE_STEPS = 6,
  LOOK_BEYOND = 4;
export interface WasmVcpuOptions extends SoftwareVcpuOptions {
  /** Made anew when left out. */
  readonly interpreter?: CompiledInterpreter;
  /** Translates hot code: on the vCPU's own thread when left out, not at all when there is none. */
  readonly regionCompiler?: RegionCompiler | 'none';
  /** Calls of translated code are done by the interpreter too, and compared; left out: none. */
  readonly checkTranslation?: CheckTranslation;
}

export class WasmVcpu implements SoftwareVcpu {
  readonly cpu: Cpu;
  readonly #area: number;
  readonly #options: WasmVcpuOptions;
  readonly #core: CoreExports;
  readonly #tlb: Tlb;
  readonly #blocks: BlockCache;
  readonly #handlers: Handlers;
  readonly #systemCalls: SystemCalls;
  readonly #translator: Translator;
  readonly #checker: RegionChecker | undefined;
  readonly #view: DataView;
  readonly #longs: BigUint64Array;
  readonly #doing: OccupationWord;
  readonly #trace: RunTrace | undefined;
  readonly #measures: boolean;
  /** How often the main loop came out, by status. */
  readonly #exits = new Uint32Array(16);
  /** Instructions between two looks at where the guest spends its time, and until the next one. */
  readonly #sampleEvery: number;
  #untilSample: number;
  readonly #slices = new SliceLength();
  #samples = 0;
  #exceptions = 0;
  #interruptCount = 0;
  #halts = 0;

  constructor(options: WasmVcpuOptions) {
    this.#options = options;
    const { memory, map, index, bus } = options;
    const { buffer } = memory;
    const area = vcpuArea(map, index);
    this.#area = area;
    this.#view = new DataView(buffer);
    this.#longs = new BigUint64Array(buffer, area, STATE_BYTES / 8);
    const ram = { offset: map.ram, bytes: map.ramBytes };
    const { checkTranslation, trace } = options;
    const { model, measures, table, core: built, module } = interpreterFor(options.interpreter, checkTranslation);
    this.#measures = measures;
    const doing = new OccupationWord(buffer, area);
    this.#doing = doing;
    const during: OccupationWord['during'] = measures
      ? (what, called) => doing.during(what, called)
      : (_what, called) => called;
    this.#trace = trace === undefined ? undefined : new RunTrace(trace.vcpu, createGlance(buffer, area));
    if (map.codeMap !== CODE_MAP_OFFSET) throw new Error('the code map is not where the interpreter was built for');
    this.#view.setUint32(area + RAM_OFFSET, ram.offset, true);
    this.#view.setUint32(area + RAM_BYTES, ram.bytes, true);
    this.#view.setUint32(area + KICK_WORD, map.control + options.control.kickOffset, true);
    const functions = new WebAssembly.Table({ element: 'anyfunc', initial: 1024 });
    const regions = new WebAssembly.Table({ element: 'anyfunc', initial: 1024 });
    const state = new CpuState(buffer as SharedArrayBuffer, area);
    const float = new SseSlow(buffer, area);
    const address = (low: number, high: number): number => (high >>> 0) * 0x1_0000_0000 + (low >>> 0);
    const { interrupts } = options;
    const { mmioRead, mmioWrite } = createMmio(bus, interrupts);
    this.#sampleEvery = checkTranslation?.eager === true ? EAGER_SLICE : SLICE;
    this.#untilSample = this.#sampleEvery;
    const checker = checkTranslation === undefined ? undefined : this.#createChecker(checkTranslation.every);
    this.#checker = checker;
    /** What handlers and regions call in TypeScript. */
    const called = {
      clock() {
        checker?.noteOutside();
        return options.clock.nanoseconds();
      },
      slowFloat: during(FLOAT, (operation: number, to: number, first: number, second: number, immediate: number) =>
        float.run(operation, to, first, second, immediate),
      ),
    };
    const imports = {
      ...checker?.notes,
      ...called,
      memory,
      handlers: functions,
      regions,
      mmioRead: during(DEVICES, (low: number, high: number, bytes: number) => {
        checker?.noteOutside();
        return mmioRead(address(low, high), bytes as AccessWidth);
      }),
      mmioWrite: during(DEVICES, (low: number, high: number, bytes: number, value: number) => {
        checker?.noteOutside();
        mmioWrite(address(low, high), bytes as AccessWidth, value >>> 0);
      }),
      codeInvalidate: during(DROPPING, (page: number) => this.#blocks.invalidatePage(page)),
      lookup: during(DECODING, () => this.#blocks.lookup()),
      system: during(SYSTEM, (_cpu: number, call: number, record: number) => systemCalls.run(call, record)),
      watch: (low: number, high: number, bytes: number, write: number) => {
        if (tlb.watching) noteDataAccess(this.cpu, low, high, bytes, write !== 0);
      },
    };
    const instance = new WebAssembly.Instance(module, { env: imports });
    const core = instance.exports as unknown as CoreExports;
    this.#core = core;
    const tlb = new Tlb(buffer, area, () => core.modeChanged(area));
    this.#tlb = tlb;
    const mmu = new WasmMmu({
      buffer,
      cpu: area,
      ram,
      tlb,
      walk: core.walk,
      codeWrite: core.codeWrite,
      mmioRead,
      mmioWrite,
    });
    this.cpu = createCpu(
      state,
      mmu,
      { clock: options.clock, interrupts: options.interrupts, random32: options.random32 },
      { processors: map.vcpuCount, model },
    );
    const x87 = new X87(buffer, area, (asserted) => interrupts.ferr(asserted));
    const systemFunctions = {
      ...systemInstructions,
      ...xsaveInstructions(
        (low, high, kind) => this.saveFast(low, high, kind),
        (low, high, kind) => this.restoreFast(low, high, kind),
      ),
      ...Object.fromEntries(
        Object.entries(portInstructions(bus)).map(([name, instruction]) => [name, during(DEVICES, instruction)]),
      ),
      ...x87Instructions(x87, buffer, area),
    };
    const systemCalls = new SystemCalls(this.cpu, systemFunctions, buffer);
    this.#systemCalls = systemCalls;
    const helperImports: Record<string, WebAssembly.ImportValue> = { memory, ...called };
    const regionImports: WebAssembly.ModuleImports = {
      system(cpu: number, call: number, record: number): number {
        checker?.noteOutside();
        return imports.system(cpu, call, record);
      },
    };
    for (const name of TRANSFERS) regionImports[name] = instance.exports[name] as WebAssembly.ImportValue;
    for (const name of HELPER_NAMES) helperImports[name] = instance.exports[name] as WebAssembly.ImportValue;
    this.#handlers = new Handlers(built, functions, helperImports, instance.exports);
    const decoder = new Decoder(table);
    this.#blocks = new BlockCache({
      memory,
      cpu: area,
      ram,
      codeMap: map.codeMap,
      decoder,
      handlers: this.#handlers,
      fetch: core.fetch,
      system: (row) => systemCalls.add(row, decoder.result),
      flushed: () => {
        systemCalls.clear();
        this.#translator?.flushed();
      },
      invalidated: () => tlb.invalidateJumps(),
      regionDropped: (region) => this.#translator.drop(region),
    });
    const { regionCompiler } = options;
    this.#translator = new Translator({
      memory,
      cpu: area,
      decoder,
      blocks: this.#blocks,
      compiler:
        regionCompiler === 'none'
          ? undefined
          : (regionCompiler ??
            compileAtOnce({ memory, cpu: area, table, now: () => options.clock.nanoseconds() / 1e6 })),
      fetch: (low, high) => this.#peek(low, high),
      helpers: { ...helperImports, ...regionImports } as WebAssembly.ModuleImports,
      handlers: functions,
      regions,
      checker,
      eager: checkTranslation?.eager === true,
      trace: trace === undefined ? undefined : new TranslatorTrace(trace),
    });
    this.#view.setInt32(area + VCPU_INDEX, index, true);
    powerOn(this.cpu);
  }

  get state(): CpuState {
    return this.cpu.state;
  }

  #createChecker(every: number): RegionChecker {
    const { memory, map } = this.#options;
    // Undoing what a region wrote would undo what others wrote meanwhile.
    if (map.vcpuCount > 1) throw new RangeError(`translation can be checked with one vCPU only, not ${map.vcpuCount}`);
    return new RegionChecker({
      memory,
      cpu: this.#area,
      every,
      run: (budget) => this.#core.run(this.#area, budget, 0),
      single: (single) => this.#setSingle(single),
      normaliseFault: () => this.#normaliseFault(STATUS_FAULT),
      systemInstructions: () => this.#systemCalls.count,
      hasRoom: () => this.#blocks.hasRoomForRegion,
    });
  }

  /** Puts the vCPU where a loader wants it. */
  load(initial: InitialCpuState): void {
    loadInitialState(this.cpu, initial);
    this.#blocks.flush();
  }

  /** Power-on state: the reset vector, or waiting for a SIPI. */
  reset(): void {
    powerOn(this.cpu);
    this.#blocks.flush();
  }

  forgetCode(pages: readonly number[] | 'all'): void {
    if (pages === 'all') this.#blocks.flush();
    else for (const page of pages) this.#blocks.invalidatePage(page);
  }

  tscOffset(): number {
    return this.cpu.state.f64[TSC_OFFSET >> 3] as number;
  }

  stats(): OwnWasmVcpuStats {
    const exits = (status: number): number => this.#exits[status] as number;
    return {
      hypervisor: 'wasm',
      instructions: Number(this.#longs[INSTRUCTIONS >> 3]),
      translated: Number(this.#longs[STATS_TRANSLATED >> 3]),
      decoded: this.#blocks.decoded,
      lookups: this.#blocks.lookups,
      coldHandlers: this.#handlers.coldCount,
      codeFlushes: this.#blocks.flushes,
      tlbClears: this.#tlb.flushes,
      interrupts: this.#interruptCount,
      exceptions: this.#exceptions + this.#view.getUint32(this.#area + EXCEPTIONS, true),
      systemInstructions: this.#systemCalls.counts(),
      halts: this.#halts,
      exits: {
        budget: exits(STATUS_BUDGET),
        regionBudget: exits(STATUS_REGION_BUDGET),
        leftOften: exits(STATUS_LEFT_OFTEN),
        step: exits(STATUS_STEP),
        fault: exits(STATUS_FAULT),
        leave: exits(STATUS_LEAVE),
        again: exits(STATUS_AGAIN),
      },
      regions: {
        ...this.#translator.totals(),
        calls: Number(this.#longs[STATS_REGION_CALLS >> 3]),
      },
      ...(this.#checker && { checked: { ...this.#checker.stats } }),
      ...(this.#measures && { measured: measuredStats(this.#options.memory.buffer, this.#area) }),
    };
  }

  /** Runs guest code until another thread asks it out, or the processor shuts down. */
  run(): VcpuExit {
    this.#doing.set(EVENTS);
    try {
      return this.#turns();
    } catch (error) {
      if (error instanceof TranslationMismatch)
        return { kind: 'mismatch', reason: error.message, detail: error.detail };
      throw error;
    } finally {
      this.#doing.set(OTHER);
      this.#trace?.stopped(this.#options.clock.nanoseconds());
    }
  }

  #turns(): VcpuExit {
    const { control, clock, interrupts } = this.#options;
    const { cpu } = this;
    const { state } = cpu;
    const doing = this.#doing;
    const trace = this.#trace;
    for (;;) {
      control.clearKick();
      if (control.requests !== 0) return { kind: 'kicked' };
      const now = clock.nanoseconds();
      interrupts.poll(now);
      if (interrupts.takeInit()) init(cpu);
      const { activity } = state;
      if (activity === ACTIVITY_WAIT_SIPI) {
        const vector = interrupts.takeSipi();
        if (vector >= 0) startUp(cpu, vector);
        else control.waitForKick(1000);
        continue;
      }
      if (activity === ACTIVITY_SHUTDOWN) return { kind: 'shutdown' };
      // The shadow of STI or MOV SS covers one instruction: the one at SHADOW_RIP.
      if (state.interruptShadow !== 0 && !this.#isAtShadow()) state.interruptShadow = 0;
      if (state.interruptShadow === 0) {
        if (!state.nmiBlocked && interrupts.takeNmi()) {
          if (deliverNmi(cpu) === 'shutdown') return { kind: 'shutdown' };
        }
        if ((state.systemFlags & FLAG_IF) !== 0 && interrupts.pending()) {
          const vector = interrupts.acknowledge();
          if (vector >= 0) {
            this.#interruptCount++;
            trace?.interrupt(vector);
            if (!this.deliverFast(vector, -1, false) && deliverInterrupt(cpu, vector) === 'shutdown')
              return { kind: 'shutdown' };
          }
        }
      }
      if (state.activity === ACTIVITY_HALTED) {
        this.#halts++;
        trace?.stopped(now);
        doing.set(HALTED);
        const rest = (interrupts.nextDeadline() - clock.nanoseconds()) / 1e6;
        if (rest > 0) control.waitForKick(Math.min(rest, 1000));
        doing.set(EVENTS);
        trace?.halted(now);
        continue;
      }
      trace?.running(now);
      let status: number;
      if (state.interruptShadow !== 0 || debugArmed(cpu) || (state.systemFlags & FLAG_RF) !== 0) {
        status = this.#step();
      } else {
        this.#view.setInt32(this.#area + INTERRUPT_WAITS, interrupts.pending() ? 1 : 0, true);
        status = this.#runSlice(this.#slices.next(now, interrupts.nextDeadline() - now));
        if (status === STATUS_STEP) status = this.#step();
        doing.set(INSTALLING);
        this.#translator.poll();
        if (this.#translator.isFull || this.#checker?.needsRoom === true) this.#blocks.flush();
        doing.set(EVENTS);
      }
      if (status !== STATUS_FAULT) continue;
      if (this.#waitsForFerr()) {
        // The instruction starts anew after whatever interrupt comes, be it IRQ 13 or another.
        state.faultVector = -1;
        const rest = (interrupts.nextDeadline() - clock.nanoseconds()) / 1e6;
        const deliverable = (state.systemFlags & FLAG_IF) !== 0 && interrupts.pending();
        if (!deliverable && rest > 0) control.waitForKick(Math.min(rest, 1000));
      } else if (this.#deliverFault() === 'shutdown') return { kind: 'shutdown' };
    }
  }

  /**
   * Runs at most `slice` instructions. The profile is taken every SLICE instructions, however often the loop is left meanwhile: a
   * guest that makes system calls all the time would never be translated otherwise. A longer slice ends in translated code as a rule, and
   * counts as often as it would have been looked at.
   */
  #runSlice(slice: number): number {
    const { u32 } = this.cpu.state;
    const before = u32[INSTRUCTIONS >> 2] as number;
    const isLong = slice > SLICE && this.#sampleEvery === SLICE;
    let status = this.#runCore(isLong ? slice : Math.min(slice, Math.max(this.#untilSample, SHORTEST_SLICE)));
    const executed = ((u32[INSTRUCTIONS >> 2] as number) - before) >>> 0;
    this.#slices.ended(executed, status === STATUS_REGION_BUDGET);
    this.#untilSample -= executed;
    if (this.#untilSample > 0) return status;
    if (status === STATUS_REGION_BUDGET)
      this.#translator.sampleRegion(1 + Math.floor(-this.#untilSample / this.#sampleEvery));
    else if (status === STATUS_BUDGET) status = this.#sample();
    else return status;
    this.#untilSample = this.#sampleEvery;
    return status;
  }

  /** The main loop, which delivers faults; where regions are often left to is as good a place as the end of the budget. */
  #runCore(budget: number): number {
    this.#doing.set(INTERPRETED);
    const status = this.#core.run(this.#area, budget, 1);
    this.#doing.set(EVENTS);
    this.#exits[status]++;
    if (status !== STATUS_LEFT_OFTEN) return status;
    this.#translator.noteExits();
    return STATUS_BUDGET;
  }

  /** An instruction of the XSAVE family the short way (XSAVE_*); false, and nothing is done, when anything about it is unusual. */
  saveFast(low: number, high: number, kind: number): boolean {
    return this.#core.save(this.#area, low, high, kind) !== 0;
  }

  restoreFast(low: number, high: number, kind: number): boolean {
    return this.#core.restore(this.#area, low, high, kind) !== 0;
  }

  /**
   * Notes the block at RIP in the profile; where that has been translated, or cannot be, the next one that may. What a slice ends with is most
   * often the place behind something long, and without this the short blocks between regions would never be noticed.
   */
  #sample(): number {
    this.#translator.sample();
    let status: number = STATUS_BUDGET;
    if (++this.#samples % LOOK_BEYOND !== 0) return status;
    for (let step = 0; step < SAMPLE_STEPS && this.#translator.isSettled; step++) {
      status = this.#runCore(0);
      if (status !== STATUS_BUDGET) return status;
      if (!this.#translator.isSettled) this.#translator.sample();
    }
    return status;
  }

  /** Delivers an event to a 64-bit handler the short way; false, and nothing is done, when anything about it is unusual. */
  deliverFast(vector: number, error: number, isFault: boolean): boolean {
    return this.#core.deliver(this.#area, vector, error, isFault ? 1 : 0) !== 0;
  }

  /** Runs at most `instructions` without interrupts, for tests. Returns STATUS_*; a fault is left undelivered. */
  execute(instructions: number): number {
    const { u32 } = this.cpu.state;
    const start = u32[INSTRUCTIONS >> 2] as number;
    for (;;) {
      const left = instructions - (((u32[INSTRUCTIONS >> 2] as number) - start) >>> 0);
      const status = this.#core.run(this.#area, Math.max(left, 0), 0);
      if (status !== STATUS_STEP) {
        this.#normaliseFault(status);
        return status;
      }
      const after = this.executeOne();
      if (after === STATUS_FAULT || ((u32[INSTRUCTIONS >> 2] as number) - start) >>> 0 >= instructions) return after;
    }
  }

  /** Translates what starts at RIP, if it has been executed before, whatever the profile says. */
  translateHere(limits?: RegionLimits, isHot?: boolean): boolean {
    return this.#translator.translateHere(limits, isHot);
  }

  /** Runs exactly one instruction; a fault is left undelivered. */
  executeOne(): number {
    this.#setSingle(true);
    const status = this.#core.run(this.#area, 0, 0);
    this.#setSingle(false);
    this.#normaliseFault(status);
    return status;
  }

  /**
   * Runs exactly one instruction as translated code; a fault is left undelivered. Returns undefined, and does nothing, when the
   * instruction at RIP is not one that is translated.
   */
  executeOneTranslated(): number | undefined {
    if (this.#blocks.lookup() === 0 || !this.#translator.translateHere({ instructions: 1, pages: 1 })) return undefined;
    return this.execute(0);
  }

  /** Forgets all decoded code, for callers that change guest memory behind the CPU's back. */
  dropCode(): void {
    this.#blocks.flush();
  }

  /** Where code at a linear address lies in linear memory; 0 when it is nowhere in RAM, with no trace of a fault. */
  #peek(low: number, high: number): number {
    const host = this.#core.peekHalves(this.#area, low, high) >>> 0;
    return host > 1 ? host : 0;
  }

  #isAtShadow(): boolean {
    const { state } = this.cpu;
    return state.ripLo === state.lo(SHADOW_RIP) && state.ripHi === state.hi(SHADOW_RIP);
  }

  #setSingle(single: boolean): void {
    this.#tlb.single = single;
    this.#tlb.modeChanged();
  }

  /** One instruction with everything that single-stepping and breakpoints need. */
  #step(): number {
    const { cpu } = this;
    const { state } = cpu;
    if (checkInstructionBreakpoints(cpu)) return STATUS_FAULT;
    const tfBefore = (state.systemFlags & FLAG_TF) !== 0;
    this.#tlb.watching = (state.dr7 & 0xff) !== 0;
    const before = state.rip;
    const shadow = state.interruptShadow;
    const hadRf = (state.systemFlags & FLAG_RF) !== 0;
    this.#setSingle(true);
    const status = this.#core.run(this.#area, 0, 0);
    this.#exits[status]++;
    this.#tlb.watching = false;
    this.#setSingle(false);
    // The shadow is over, unless this instruction cast a new one.
    if (state.interruptShadow === shadow && this.#longs[SHADOW_RIP >> 3] === before) state.interruptShadow = 0;
    if (status === STATUS_FAULT) return status;
    // Between the elements of a repeated string instruction RF is set: its breakpoint has been hit already (3B 17.3.1.1).
    if (status === STATUS_AGAIN) state.systemFlags = state.systemFlags | FLAG_RF;
    const setRf = status === STATUS_AGAIN || (!hadRf && (state.systemFlags & FLAG_RF) !== 0);
    if (finishInstruction(cpu, tfBefore, false, setRf)) deliver(cpu, VECTOR_DB, -1, 'trap');
    return status;
  }

  #normaliseFault(status: number): void {
    const { state } = this.cpu;
    if (status !== STATUS_FAULT || state.faultVector !== NON_CANONICAL) return;
    const record = this.#view.getUint32(this.#area + FAULT_RECORD, true);
    const stack = record !== 0 && (this.#view.getUint16(record + R_AUX, true) & AUX_STACK) !== 0;
    state.faultVector = stack ? VECTOR_SS : 13;
  }

  /**
   * True when an x87 error is reported as on a PC of old: by FERR# and IRQ 13 (SDM 1 8.7.2), because CR0.NE is clear. An MMX instruction
   * whose error the guest has asked to be ignored gets #MF nevertheless.
   */
  #waitsForFerr(): boolean {
    const { state } = this.cpu;
    return state.faultVector === VECTOR_MF && (state.cr0 & CR0_NE) === 0 && this.#options.interrupts.ferr(true);
  }

  #deliverFault(): 'delivered' | 'shutdown' {
    this.#exceptions++;
    this.#normaliseFault(STATUS_FAULT);
    return deliverPendingFault(this.cpu);
  }
}
