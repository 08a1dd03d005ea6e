/**
 * Runs cases on the interpreter: a small machine with the pages and segments of environment.ts.
 *
 * @module
 */
import {
  CR3,
  FPR,
  FPU_CONTROL,
  FPU_STATUS,
  FPU_TAGS,
  IDTR,
  GDTR,
  LDTR,
  MXCSR,
  TR,
  XCR0,
  xmmOffset,
  FS,
  GS,
} from '../../src/hypervisor/wasm/state.ts';
import { Access } from '../../src/hypervisor/wasm/system/mmu.ts';
import type { CpuModel } from '../../src/hypervisor/wasm/system/cpu-model.ts';
import { compileInterpreter } from '../../src/hypervisor/wasm/compiled-interpreter.ts';
import type { WasmVcpu } from '../../src/hypervisor/wasm/vcpu.ts';
import { type CaseInput, type Outcome, type Patch, VECTOR_NONE } from './case.ts';
import {
  attributesOf,
  CODE_BYTES,
  CODE_LOW,
  DATA_BYTES,
  DATA_START,
  DATA_WRITABLE_BYTES,
  descriptorOf,
  DESCRIPTORS,
  ENVIRONMENTS,
  HIGH,
  INT3,
  memoryBackground,
  WRITABLE_CODE,
} from './environment.ts';
import { MachineState } from './machine-state.ts';
import { NX, P, PageTables, testVcpu, U, W } from './paged-machine.ts';
import type { Executor } from './replay.ts';

/** Guest-physical layout. */
const CODE = 0x10_0000,
  DATA = 0x11_0000,
  TABLES = 0x20_0000,
  GDT = 0x30_0000,
  LDT = 0x30_1000;
/** Offsets from GDT: interrupt descriptors, task-state segment, top of the stack for traps. */
const IDT_AT = 0x400,
  TSS_AT = 0x1800,
  TRAP_STACK_AT = 0x1ff0;
const SEL_KERNEL_CODE = 0x10;
/** Where descriptor tables are in linear memory: supervisor only. */
const SYSTEM_LINEAR = 0xffff_8000_0000_0000n;
const STATUS_FAULT = 2;
/** A repeated instruction ends well before this many turns. */
const MAX_TURNS = 100_000;

/** This processor as an executor of cases: its interpreter, or its translator where that takes the instruction. */
export class InterpreterExecutor implements Executor {
  readonly vcpu: WasmVcpu;
  readonly #ram: Uint8Array;
  readonly #view: DataView;
  readonly #background = memoryBackground();
  readonly #before = new Uint8Array(DATA_BYTES);
  readonly #outcome: { vector: number; errorCode: number; cr2: bigint; state: MachineState; writes: Patch[] };
  #lastCode = new Uint8Array(0);
  #lastOffset = -1;
  readonly #isTranslating: boolean;
  /** Instructions that were run as translated code. */
  translated = 0;

  /** `check`: one of how many calls of translated code is checked. */
  constructor(model: CpuModel, tier: 'interpreter' | 'translator' = 'interpreter', check?: number) {
    this.#isTranslating = tier === 'translator';
    const interpreter = compileInterpreter(undefined, model, { notesWrites: check !== undefined });
    const checking = check === undefined ? {} : { checkTranslation: { every: check, eager: false } };
    const { vcpu, ram } = testVcpu({ ramBytes: 8 << 20, interpreter, ...checking });
    this.vcpu = vcpu;
    this.#ram = ram;
    this.#view = new DataView(ram.buffer, ram.byteOffset, ram.length);
    this.#outcome = { vector: VECTOR_NONE, errorCode: 0, cr2: 0n, state: new MachineState(), writes: [] };
    this.#prepare(model);
  }

  #prepare(model: CpuModel): void {
    let next = TABLES;
    const tables = new PageTables(this.#view, () => {
      next += 0x1000;
      return next - 0x1000;
    });
    for (const high of [0n, HIGH]) {
      for (let at = 0; at < CODE_BYTES; at += 4096) tables.map(BigInt(CODE_LOW + at) + high, CODE + at, P | U);
      for (let at = 0; at < DATA_BYTES; at += 4096) {
        tables.map(BigInt(DATA_START + at) + high, DATA + at, P | U | NX | (at < DATA_WRITABLE_BYTES ? W : 0n));
      }
    }
    for (let at = 0; at < CODE_BYTES; at += 4096) {
      tables.map(BigInt(CODE_LOW + WRITABLE_CODE + at), CODE + at, P | U | W | NX);
    }
    for (let at = 0; at < 0x2000; at += 4096) tables.map(SYSTEM_LINEAR + BigInt(at), GDT + at, P | W);
    this.#ram.fill(INT3, CODE, CODE + CODE_BYTES);
    for (const d of DESCRIPTORS) {
      const table = (d.selector & 4) !== 0 ? LDT : GDT;
      const limit = d.granular ? d.limit >>> 12 : d.limit;
      const attributes = attributesOf(d.selector);
      const low = BigInt(limit & 0xffff) | (BigInt(d.base & 0xff_ffff) << 16n) | (BigInt(attributes & 0xff) << 40n);
      const high =
        (BigInt((limit >>> 16) & 15) << 48n) |
        (BigInt((attributes >> 12) & 15) << 52n) |
        (BigInt(d.base >>> 24) << 56n);
      this.#view.setBigUint64(table + (d.selector & ~7), low | high, true);
    }
    const { state } = this.vcpu;
    state.cr0 = 0x8005_0033;
    // OSXSAVE, FSGSBASE, OSXMMEXCPT, OSFXSR, PAE, UMIP.
    state.cr4 = 0x0005_0e20;
    state.setBig(XCR0, model === 'v3' ? 7n : 3n);
    state.efer = 0xd01;
    state.setBig(CR3, BigInt(TABLES));
    state.cpl = 3;
    const hi = Number(SYSTEM_LINEAR >> 32n);
    state.setTable(GDTR, 0, hi, 0xff);
    this.#prepareTraps();
    state.setTable(IDTR, IDT_AT, hi, 5 * 16 - 1);
    state.setSegment(LDTR, 0x40, 0x1000, hi, 0xff, 0x82);
    // A task-state segment too short for an I/O permission bitmap.
    state.setSegment(TR, 0x50, TSS_AT, hi, 0x20, 0x8b);
    this.vcpu.cpu.mmu.flushAll();
  }

  /** INT1, INT3 and INTO have gates; each leads to its own address at privilege level 0. */
  #prepareTraps(): void {
    for (const vector of [1, 3, 4]) {
      const at = GDT + IDT_AT + vector * 16,
        offset = SYSTEM_LINEAR + BigInt(vector * 16);
      // 64-bit interrupt gate, present; DPL 3 but for #DB, which INT1 reaches without a check.
      const kind = vector === 1 ? 0x8en : 0xeen;
      const low =
        (offset & 0xffffn) | (BigInt(SEL_KERNEL_CODE) << 16n) | (kind << 40n) | (((offset >> 16n) & 0xffffn) << 48n);
      this.#view.setBigUint64(at, low, true);
      this.#view.setBigUint64(at + 8, offset >> 32n, true);
    }
    this.#view.setBigUint64(GDT + SEL_KERNEL_CODE, 0x0020_9b00_0000_0000n, true);
    this.#view.setBigUint64(GDT + TSS_AT + 4, SYSTEM_LINEAR + BigInt(TRAP_STACK_AT), true);
  }

  /** Puts registers, memory and code where a case wants them. `keepCode`: the code is what was there before. */
  load(input: CaseInput, keepCode = false): void {
    const { initial } = input;
    const env = ENVIRONMENTS[input.environment];
    if (env === undefined) throw new Error(`environment ${input.environment}`);
    const { state } = this.vcpu;
    for (let i = 0; i < 16; i++) state.setGpr(i, initial.gpr[i] as bigint);
    state.codeSize = env.bits;
    env.selectors.forEach((selector, index) => {
      const d = descriptorOf(selector);
      if (d === undefined) state.setSegment(index, selector, 0, 0, 0, 1 << 16);
      else state.setSegment(index, selector, d.base, 0, d.limit, attributesOf(selector));
    });
    if (env.bits === 64) {
      if ((env.selectors[FS] ?? 0) === 0)
        state.setBase(FS, Number(initial.fsBase & 0xffff_ffffn), Number(initial.fsBase >> 32n));
      if ((env.selectors[GS] ?? 0) === 0)
        state.setBase(GS, Number(initial.gsBase & 0xffff_ffffn), Number(initial.gsBase >> 32n));
    }
    state.rip = initial.rip;
    state.rflags = initial.rflags | 0x202;
    state.cpl = 3;
    state.faultVector = -1;
    for (let i = 0; i < 16; i++) {
      state.setBig(xmmOffset(i), initial.xmm[i * 2] as bigint);
      state.setBig(xmmOffset(i) + 8, initial.xmm[i * 2 + 1] as bigint);
      state.setBig(xmmOffset(i) + 16, initial.ymmHigh[i * 2] as bigint);
      state.setBig(xmmOffset(i) + 24, initial.ymmHigh[i * 2 + 1] as bigint);
    }
    state.i32[MXCSR >> 2] = initial.mxcsr;
    state.i32[FPU_CONTROL >> 2] = initial.fcw;
    state.i32[FPU_STATUS >> 2] = initial.fsw;
    state.i32[FPU_TAGS >> 2] = initial.ftw;
    const top = (initial.fsw >> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const at = FPR + ((top + i) & 7) * 16;
      state.setBig(at, initial.st[i * 2] as bigint);
      state.setBig(at + 8, (initial.st[i * 2 + 1] as bigint) & 0xffffn);
    }
    // Memory and code, through the same path that guest stores take, so that decoded code is dropped.
    this.#ram.set(this.#background, DATA);
    for (const patch of input.patches) this.#ram.set(patch.bytes, DATA + patch.offset);
    this.#before.set(this.#ram.subarray(DATA, DATA + DATA_BYTES));
    const linear = Number(BigInt.asUintN(32, initial.rip + BigInt(env.bits === 64 ? 0 : env.codeBase)));
    const offset = linear - CODE_LOW;
    this.vcpu.cpu.mmu.modeChanged();
    if (keepCode) {
      this.#restore(offset, input.code);
      return;
    }
    if (this.#lastOffset >= 0)
      this.#ram.fill(INT3, CODE + this.#lastOffset, CODE + this.#lastOffset + this.#lastCode.length);
    this.#ram.set(input.code, CODE + offset);
    this.#lastOffset = offset;
    this.#lastCode = input.code as Uint8Array<ArrayBuffer>;
    this.vcpu.dropCode();
  }

  /** Writes back what a program has rewritten of itself, as the CPU writes. */
  #restore(offset: number, code: Uint8Array): void {
    for (const [at, byte] of code.entries()) {
      if (this.#ram[CODE + offset + at] === byte) continue;
      this.vcpu.cpu.mmu.write(CODE_LOW + WRITABLE_CODE + offset + at, 0, 1, Access.User, byte, 0);
    }
  }

  run(input: CaseInput): Outcome {
    this.load(input);
    const { state } = this.vcpu;
    const { initial } = input;
    let status = 0;
    // A repeated string instruction may take several turns at the same RIP.
    for (let turn = 0; turn < MAX_TURNS; turn++) {
      status = this.#execute();
      if (status === STATUS_FAULT || state.rip !== initial.rip || !isRepeated(input.code)) break;
    }
    // A branch that went astray faults when its target is fetched.
    if (status !== STATUS_FAULT && state.rip !== initial.rip && state.cpl === 3 && !this.#onCodePage(state.rip)) {
      status = this.vcpu.executeOne();
    }
    return this.#outcomeOf(status, initial, input.environment);
  }

  /** Runs code that ends with a fault, in slices of `slice` instructions; translated code as if it were `hot`. */
  runProgram(input: CaseInput, slice: number, hot = false): Outcome {
    for (let turn = 0; ; turn++) {
      if (turn > MAX_TURNS) throw new Error('the program does not end');
      if (this.#isTranslating) this.vcpu.translateHere(undefined, hot);
      if (this.vcpu.execute(slice) === STATUS_FAULT) break;
    }
    return this.#outcomeOf(STATUS_FAULT, input.initial, input.environment);
  }

  #outcomeOf(status: number, initial: MachineState, environment: number): Outcome {
    const { state } = this.vcpu;
    const outcome = this.#outcome;
    // A trap went through its gate: the frame on the stack is the state after the instruction.
    const trapped = status !== STATUS_FAULT && state.cpl === 0;
    outcome.vector = status === STATUS_FAULT ? state.faultVector : VECTOR_NONE;
    outcome.errorCode = status === STATUS_FAULT && state.faultError !== -1 ? state.faultError : 0;
    outcome.cr2 = outcome.vector === 14 ? state.cr2 : 0n;
    const out = outcome.state;
    out.copyFrom(initial);
    for (let i = 0; i < 16; i++) out.gpr[i] = state.gpr(i);
    out.rip = state.rip;
    out.rflags = state.rflags & ~0x1_0000;
    for (let i = 0; i < 6; i++) out.selectors[i] = state.selector(i);
    out.fsBase = (BigInt(state.baseHi(FS)) << 32n) | BigInt(state.baseLo(FS));
    out.gsBase = (BigInt(state.baseHi(GS)) << 32n) | BigInt(state.baseLo(GS));
    if (ENVIRONMENTS[environment]?.bits !== 64) {
      out.fsBase = initial.fsBase;
      out.gsBase = initial.gsBase;
    }
    for (let i = 0; i < 16; i++) {
      out.xmm[i * 2] = state.big(xmmOffset(i));
      out.xmm[i * 2 + 1] = state.big(xmmOffset(i) + 8);
      out.ymmHigh[i * 2] = state.big(xmmOffset(i) + 16);
      out.ymmHigh[i * 2 + 1] = state.big(xmmOffset(i) + 24);
    }
    out.mxcsr = state.i32[MXCSR >> 2] as number;
    out.fcw = state.i32[FPU_CONTROL >> 2] as number;
    out.fsw = state.i32[FPU_STATUS >> 2] as number;
    out.ftw = state.i32[FPU_TAGS >> 2] as number;
    const top = (out.fsw >> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const at = FPR + ((top + i) & 7) * 16;
      out.st[i * 2] = state.big(at);
      out.st[i * 2 + 1] = state.big(at + 8) & 0xffffn;
    }
    if (trapped) this.#readTrapFrame(out);
    outcome.writes = this.#writes();
    return outcome;
  }

  #execute(): number {
    const status = this.#isTranslating ? this.vcpu.executeOneTranslated() : undefined;
    if (status === undefined) return this.vcpu.executeOne();
    this.translated++;
    return status;
  }

  #readTrapFrame(out: MachineState): void {
    const word = (index: number): bigint => this.#view.getBigUint64(GDT + TRAP_STACK_AT - 40 + index * 8, true);
    this.#outcome.vector = Number((out.rip - SYSTEM_LINEAR) >> 4n);
    out.rip = word(0);
    out.selectors[1] = Number(word(1));
    out.rflags = Number(word(2)) & ~0x1_0000;
    out.gpr[4] = word(3);
    out.selectors[2] = Number(word(4));
  }

  #onCodePage(rip: bigint): boolean {
    const { state } = this.vcpu;
    // A far transfer may have changed mode and segment.
    const long = state.codeSize === 64;
    const linear = long ? rip : BigInt.asUintN(32, rip + BigInt(state.baseLo(1) >>> 0));
    const within = (base: bigint): boolean => linear >= base && linear < base + BigInt(CODE_BYTES);
    const inLimit = long || rip <= BigInt(state.limit(1));
    return inLimit && (within(BigInt(CODE_LOW)) || (long && within(BigInt(CODE_LOW) + HIGH)));
  }

  /** Runs of bytes that changed. */
  #writes(): Patch[] {
    const now = this.#ram.subarray(DATA, DATA + DATA_BYTES);
    const found: Patch[] = [];
    for (let i = 0; i < DATA_BYTES; i++) {
      if (now[i] === this.#before[i]) continue;
      let end = i + 1;
      while (end < DATA_BYTES && now[end] !== this.#before[end]) end++;
      found.push({ offset: i, bytes: now.slice(i, end) });
      i = end;
    }
    return found;
  }
}

/** True when the bytes begin with prefixes that hold F2 or F3. */
function isRepeated(code: Uint8Array): boolean {
  for (const byte of code) {
    if (byte === 0xf2 || byte === 0xf3) return true;
    const prefix = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0].includes(byte) || (byte & 0xf0) === 0x40;
    if (!prefix) return false;
  }
  return false;
}
