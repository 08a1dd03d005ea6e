/**
 * The privileged paths that a 64-bit kernel takes thousands of times a second, as WebAssembly functions: SYSCALL, SYSRET, IRETQ,
 * and delivery through the gates of a 64-bit IDT.
 *
 * Each is the usual case of a function of system/, which has the references and is asked whenever anything is unusual: a
 * debugger, a segment that is not flat, a descriptor that must be marked, an access that misses or faults, a check that fails.
 * Until all that is ruled out nothing has changed but memory below the stack pointer.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import { type I32, i32, type I64, i64, select } from '../emit/expr.ts';
import { call, type Callee, type FunctionBuilder, type Local } from '../emit/function-builder.ts';
import type { ModuleBuilder } from '../emit/module-builder.ts';
import { adjustFlag, carryFlag, overflowFlag, parityFlag, signFlag, zeroFlag } from '../insn/flags.ts';
import { interruptWaits } from '../mmu/interrupts.ts';
import { EXCEPTIONS } from '../mmu/layout.ts';
import {
  ACTIVITY,
  ACTIVITY_RUNNING,
  ATTR_UNUSABLE,
  CODE_SIZE,
  CPL,
  CS,
  DR,
  DS,
  EFER,
  EFLAGS_SYSTEM,
  ES,
  FAULT_ERROR,
  FAULT_VECTOR,
  FLAG_AUX,
  FLAG_RESULT,
  FS,
  GDTR,
  gprOffset,
  GS,
  IDTR,
  INTERRUPT_SHADOW,
  MSR_FMASK,
  MSR_LSTAR,
  MSR_STAR,
  RCX,
  RIP,
  RSP,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_LIMIT,
  SEG_SELECTOR,
  segmentOffset,
  SS,
  TR,
} from '../state.ts';
import { NMI_BLOCKED, PENDING_DEBUG } from '../system/private-state.ts';
import { STATUS_JUMP, STATUS_LEAVE, STATUS_REFUSED } from './record.ts';

const FLAG_TF = 1 << 8,
  FLAG_IF = 1 << 9,
  FLAG_NT = 1 << 14,
  FLAG_RF = 1 << 16,
  FLAG_VM = 1 << 17,
  FLAG_FIXED1 = 2;
/** The flags held in EFLAGS_SYSTEM, and those held in the lazy pair. */
const FLAGS_SYSTEM = 0x3f_7700,
  FLAGS_ARITHMETIC = 0x8d5;
const EFER_SCE = 1,
  EFER_LMA = 1 << 10;
const DR7 = DR + 56;
/** Flat segments as SYSCALL and SYSRET load them. */
const FLAT_CODE = 0xa09b,
  FLAT_DATA = 0xc093,
  DPL3 = 0x60;
/** Exceptions that come here: all faults but #DB, #DF and #MF. */
const VECTORS = [0, 5, 6, 7, 10, 11, 12, 13, 14, 17, 19].reduce((mask, vector) => mask | (1 << vector), 0);
const R11 = 11;

/** Descriptor bits in the upper half: present, code or data, accessed. */
const DESCRIPTOR_CODE64 = 0x20_9900,
  DESCRIPTOR_CODE64_MASK = 0x60_9d00,
  DESCRIPTOR_DATA = 0x9300,
  DESCRIPTOR_DATA_MASK = 0x9b00;

/** The instructions with a function of their own, by which regions leave too. */
export const TRANSFERS = ['syscall', 'sysret', 'iret'] as const;

/** Which function an instruction of 64-bit code has: the returns with 64-bit operands only. */
export function transferOf({ row, operandSize }: Decoded): (typeof TRANSFERS)[number] | undefined {
  const found = TRANSFERS.find((name) => name === row.system);
  return found === 'syscall' || operandSize === 8 ? found : undefined;
}

export interface FastSystem {
  /** (cpu, RIP of the next instruction i64) -> STATUS_JUMP, STATUS_LEAVE, or STATUS_REFUSED when system/ must be asked. */
  readonly syscall: Callee;
  readonly sysret: Callee;
  readonly iret: Callee;
  /** (cpu, vector, error, fault) -> 1 when the event was delivered. `error` is -1 for none; `fault` 0 for interrupts. */
  readonly deliver: Callee;
  /** (cpu) -> 1 when the fault in FAULT_VECTOR and FAULT_ERROR was delivered. */
  readonly deliverFault: Callee;
}

export interface FastSystemImports {
  readonly selectMode: Callee;
  /** (cpu, va i64, write) -> offset in linear memory of a supervisor access within a page of RAM, or 0; raises nothing. */
  readonly systemHost: Callee;
}

const and = (...conditions: readonly I32[]): I32 => conditions.reduce((x, y) => i32.and(x, y));
const or = (...conditions: readonly I32[]): I32 => conditions.reduce((x, y) => i32.or(x, y));
const bits = (value: I32, mask: number): I32 => i32.and(value, i32.const(mask));
const isCanonical = (value: I64): I32 => i64.eq(i64.shrS(i64.shl(value, i64.const(16)), i64.const(16)), value);

/** RFLAGS as an image: what CpuState.rflags reads. */
function rflags(f: FunctionBuilder, cpu: I32): Local<'i32'> {
  const aux = f.let(i32.load(cpu, FLAG_AUX));
  const result = f.let(i64.load(cpu, FLAG_RESULT));
  const at = (flag: I32, position: number): I32 => i32.shl(flag, i32.const(position));
  return f.let(
    or(
      bits(i32.load(cpu, EFLAGS_SYSTEM), FLAGS_SYSTEM),
      i32.const(FLAG_FIXED1),
      carryFlag(aux),
      at(parityFlag(result, aux), 2),
      at(adjustFlag(aux), 4),
      at(zeroFlag(result), 6),
      at(signFlag(result, aux), 7),
      at(overflowFlag(aux), 11),
    ),
  );
}

/** Takes an image apart: what CpuState.rflags writes. */
function setRflags(f: FunctionBuilder, cpu: I32, image: Local<'i32'>): void {
  const at = (position: number): I32 => i32.and(i32.shrU(image, i32.const(position)), i32.const(1));
  f.store(4, cpu, i32.or(bits(image, FLAGS_SYSTEM), i32.const(FLAG_FIXED1)), EFLAGS_SYSTEM);
  f.store(8, cpu, i64.extendI32U(i32.eqz(at(6))), FLAG_RESULT);
  const aux = or(
    i32.shl(at(0), i32.const(31)),
    i32.shl(i32.xor(at(0), at(11)), i32.const(30)),
    // A result of 1 has odd parity, one of 0 even.
    i32.shl(i32.xor(at(2), at(6)), i32.const(8)),
    i32.shl(at(4), i32.const(3)),
    at(7),
  );
  f.store(4, cpu, aux, FLAG_AUX);
}

function setSegment(
  f: FunctionBuilder,
  cpu: I32,
  index: number,
  selector: I32,
  base: I64,
  limit: I32,
  attributes: I32,
): void {
  const at = segmentOffset(index);
  f.store(8, cpu, base, at + SEG_BASE);
  f.store(4, cpu, limit, at + SEG_LIMIT);
  f.store(4, cpu, selector, at + SEG_SELECTOR);
  f.store(4, cpu, attributes, at + SEG_ATTRIBUTES);
}

/** No breakpoint is armed, no debug trap waits, and nothing is single-stepped. */
const noDebugger = (cpu: I32): I32 =>
  and(
    i32.eqz(bits(i32.load(cpu, DR7), 0xff)),
    i32.eqz(i32.load(cpu, PENDING_DEBUG)),
    i32.eqz(bits(i32.load(cpu, EFLAGS_SYSTEM), FLAG_TF)),
  );

/** Ends an instruction that may have set IF: out of the loop when an interrupt waits for it. */
function finish(f: FunctionBuilder, cpu: I32, selectMode: Callee): void {
  f.store(4, cpu, i32.const(0), INTERRUPT_SHADOW);
  f.callVoid(selectMode, cpu);
  f.if(bits(i32.load(cpu, EFLAGS_SYSTEM), FLAG_IF), () => {
    f.if(interruptWaits(cpu), () => f.return(i32.const(STATUS_LEAVE)));
  });
  f.return(i32.const(STATUS_JUMP));
  f.unreachable();
}

/** A descriptor of the GDT, as far as loading a segment register needs it. */
class GdtEntry {
  readonly #f: FunctionBuilder;
  readonly low: Local<'i32'>;
  readonly high: Local<'i32'>;

  /** Reads the descriptor of a selector; goes to `refuse` when that is null, of the LDT, or beyond the table. */
  constructor(f: FunctionBuilder, cpu: I32, selector: Local<'i32'>, systemHost: Callee, refuse: () => void) {
    this.#f = f;
    const offset = f.let(bits(selector, 0xfff8));
    const usable = and(
      i32.ne(offset, i32.const(0)),
      i32.eqz(bits(selector, 4)),
      i32.leU(i32.add(offset, i32.const(7)), i32.load(cpu, GDTR + 8)),
    );
    f.if(i32.eqz(usable), refuse);
    const va = f.let(i64.add(i64.load(cpu, GDTR), i64.extendI32U(offset)));
    const host = f.let(hostWithin(f, cpu, va, 8, false, systemHost, refuse));
    this.low = f.let(i32.load(host));
    this.high = f.let(i32.load(host, 4));
  }

  get dpl(): I32 {
    return bits(i32.shrU(this.high, i32.const(13)), 3);
  }

  load(cpu: I32, register: number, selector: I32): void {
    const { low, high } = this;
    const raw = this.#f.let(i32.or(bits(low, 0xffff), bits(high, 0xf_0000)));
    const scaled = i32.or(i32.shl(raw, i32.const(12)), i32.const(0xfff));
    const limit = select(bits(high, 0x80_0000), scaled, raw);
    const base = or(
      i32.shrU(low, i32.const(16)),
      i32.shl(bits(high, 0xff), i32.const(16)),
      bits(high, 0xff00_0000 | 0),
    );
    const attributes = bits(i32.shrU(high, i32.const(8)), 0xf0ff);
    setSegment(this.#f, cpu, register, selector, i64.extendI32U(base), limit, attributes);
  }
}

/** `systemHost` of `bytes` bytes that must lie within a page. */
function hostWithin(
  f: FunctionBuilder,
  cpu: I32,
  va: Local<'i64'>,
  bytes: number,
  write: boolean,
  systemHost: Callee,
  refuse: () => void,
): Local<'i32'> {
  f.if(i32.gtU(i32.and(i32.wrap(va), i32.const(0xfff)), i32.const(4096 - bytes)), refuse);
  const host = f.let(call('i32', systemHost, cpu, va, i32.const(write ? 1 : 0)));
  f.if(i32.eqz(host), refuse);
  return host;
}

export function buildFastSystem(module: ModuleBuilder, imports: FastSystemImports): FastSystem {
  const syscall = module.function(['i32', 'i64'], 'i32');
  buildSyscall(syscall, imports);
  const sysret = module.function(['i32', 'i64'], 'i32');
  buildSysret(sysret, imports);
  const iret = module.function(['i32', 'i64'], 'i32');
  buildIret(iret, imports);
  const deliver = module.function(['i32', 'i32', 'i32', 'i32'], 'i32');
  buildDeliver(deliver, imports);

  const deliverFault = module.function(['i32'], 'i32');
  {
    const f = deliverFault;
    const cpu = f.param('i32', 0);
    const vector = f.let(i32.load(cpu, FAULT_VECTOR));
    f.if(i32.geU(vector, i32.const(32)), () => f.return(i32.const(0)));
    f.if(i32.eqz(i32.and(i32.shrU(i32.const(VECTORS), vector), i32.const(1))), () => f.return(i32.const(0)));
    const done = f.let(call('i32', deliver, cpu, vector, i32.load(cpu, FAULT_ERROR), i32.const(1)));
    f.if(done, () => {
      f.store(4, cpu, i32.const(-1), FAULT_VECTOR);
      f.store(4, cpu, i32.add(i32.load(cpu, EXCEPTIONS), i32.const(1)), EXCEPTIONS);
    });
    f.return(done);
    f.unreachable();
  }
  return { syscall, sysret, iret, deliver, deliverFault };
}

/** SYSCALL and SYSRET are there, and nothing is being debugged. */
const callsEnabled = (cpu: I32): I32 =>
  and(i32.eq(i32.load(cpu, CODE_SIZE), i32.const(64)), bits(i32.load(cpu, EFER), EFER_SCE), noDebugger(cpu));

/** CS and SS as SYSCALL and SYSRET load them, and the CPL. */
function loadFlat(f: FunctionBuilder, cpu: I32, code: I32, stack: I32, dpl: number): void {
  setSegment(f, cpu, CS, code, i64.const(0), i32.const(-1), i32.const(FLAT_CODE | dpl));
  setSegment(f, cpu, SS, stack, i64.const(0), i32.const(-1), i32.const(FLAT_DATA | dpl));
  f.store(4, cpu, i32.const(dpl >> 5), CPL);
}

function buildSyscall(f: FunctionBuilder, { selectMode }: FastSystemImports): void {
  const cpu = f.param('i32', 0);
  f.if(i32.eqz(callsEnabled(cpu)), () => f.return(i32.const(STATUS_REFUSED)));
  const flags = rflags(f, cpu);
  f.set(flags, bits(flags, ~FLAG_RF));
  f.store(8, cpu, f.param('i64', 1), gprOffset(RCX));
  f.store(8, cpu, i64.extendI32U(flags), gprOffset(R11));
  f.store(8, cpu, i64.load(cpu, MSR_LSTAR), RIP);
  f.set(flags, i32.and(flags, i32.xor(i32.load(cpu, MSR_FMASK), i32.const(-1))));
  setRflags(f, cpu, flags);
  const selector = f.let(bits(i32.load(cpu, MSR_STAR + 4), 0xfffc));
  loadFlat(f, cpu, selector, bits(i32.add(selector, i32.const(8)), 0xffff), 0);
  finish(f, cpu, selectMode);
}

/** With a 64-bit operand size only. */
function buildSysret(f: FunctionBuilder, { selectMode }: FastSystemImports): void {
  const cpu = f.param('i32', 0);
  const target = f.let(i64.load(cpu, gprOffset(RCX)));
  const flags = f.let(bits(i32.load(cpu, gprOffset(R11)), 0x3c_7fd7));
  const usual = and(callsEnabled(cpu), i32.eqz(i32.load(cpu, CPL)), isCanonical(target), i32.eqz(bits(flags, FLAG_TF)));
  f.if(i32.eqz(usual), () => f.return(i32.const(STATUS_REFUSED)));
  f.store(8, cpu, target, RIP);
  setRflags(f, cpu, flags);
  const base = f.let(i32.shrU(i32.load(cpu, MSR_STAR + 4), i32.const(16)));
  const selector = (above: number): I32 => i32.or(bits(i32.add(base, i32.const(above)), 0xffff), i32.const(3));
  loadFlat(f, cpu, selector(16), selector(8), DPL3);
  finish(f, cpu, selectMode);
}

/** IRETQ from privilege level 0 of 64-bit code to 64-bit code. */
function buildIret(f: FunctionBuilder, { selectMode, systemHost }: FastSystemImports): void {
  const cpu = f.param('i32', 0);
  const refuse = (): void => f.return(i32.const(STATUS_REFUSED));
  const old = f.let(i32.load(cpu, EFLAGS_SYSTEM));
  const usual = and(
    i32.eq(i32.load(cpu, CODE_SIZE), i32.const(64)),
    i32.eqz(i32.load(cpu, CPL)),
    i32.eqz(i32.load(cpu, NMI_BLOCKED)),
    i32.eqz(bits(old, FLAG_NT)),
    noDebugger(cpu),
  );
  f.if(i32.eqz(usual), refuse);
  const frame = hostWithin(f, cpu, f.let(i64.load(cpu, gprOffset(RSP))), 40, false, systemHost, refuse);
  const target = f.let(i64.load(frame, 0));
  const selector = f.let(i32.load16U(frame, 8));
  const image = f.let(i32.load(frame, 16));
  const stackPointer = f.let(i64.load(frame, 24));
  const stackSelector = f.let(i32.load16U(frame, 32));
  f.if(i32.or(i32.eqz(isCanonical(target)), bits(image, FLAG_TF)), refuse);
  const cpl = f.let(bits(selector, 3));
  const code = new GdtEntry(f, cpu, selector, systemHost, refuse);
  const goodCode = and(
    i32.eq(bits(code.high, DESCRIPTOR_CODE64_MASK), i32.const(DESCRIPTOR_CODE64)),
    i32.eq(code.dpl, cpl),
  );
  f.if(i32.eqz(goodCode), refuse);
  // A null selector for privilege level 0 does without a descriptor.
  const stackless = f.let(and(i32.eqz(stackSelector), i32.eqz(cpl)));
  f.if(cpl, () => {
    // Data segments that privilege level 3 may not keep: not in a kernel that leaves DS and ES null.
    for (const index of [ES, DS, FS, GS]) {
      const attributes = f.let(i32.load(cpu, segmentOffset(index) + SEG_ATTRIBUTES));
      const kept = i32.or(bits(attributes, ATTR_UNUSABLE), i32.geU(bits(i32.shrU(attributes, i32.const(5)), 3), cpl));
      f.if(i32.eqz(kept), refuse);
    }
  });
  f.if(
    stackless,
    () => setSegment(f, cpu, SS, i32.const(0), i64.const(0), i32.const(0), i32.const(ATTR_UNUSABLE)),
    () => {
      const stack = new GdtEntry(f, cpu, stackSelector, systemHost, refuse);
      const goodStack = and(
        i32.eq(bits(stack.high, DESCRIPTOR_DATA_MASK), i32.const(DESCRIPTOR_DATA)),
        i32.eq(stack.dpl, cpl),
        i32.eq(bits(stackSelector, 3), cpl),
      );
      f.if(i32.eqz(goodStack), refuse);
      stack.load(cpu, SS, stackSelector);
    },
  );
  // Nothing is refused from here on. RF would only keep a breakpoint from hitting twice, and none is armed.
  const flags = f.let(i32.or(bits(image, FLAGS_SYSTEM & ~(FLAG_RF | FLAG_VM)), bits(old, FLAG_VM)));
  f.set(flags, i32.or(flags, bits(image, FLAGS_ARITHMETIC)));
  setRflags(f, cpu, flags);
  f.store(8, cpu, stackPointer, gprOffset(RSP));
  code.load(cpu, CS, selector);
  f.store(8, cpu, target, RIP);
  f.store(4, cpu, cpl, CPL);
  finish(f, cpu, selectMode);
}

/** To privilege level 0 through an interrupt or trap gate, on the present stack, that of the TSS, or one of the IST. */
function buildDeliver(f: FunctionBuilder, { selectMode, systemHost }: FastSystemImports): void {
  const cpu = f.param('i32', 0);
  const vector = f.param('i32', 1);
  const error = f.param('i32', 2);
  const fault = f.param('i32', 3);
  const refuse = (): void => f.return(i32.const(0));
  const offset = f.let(i32.shl(vector, i32.const(4)));
  const usual = and(
    i32.ne(bits(i32.load(cpu, EFER), EFER_LMA), i32.const(0)),
    noDebugger(cpu),
    i32.leU(i32.add(offset, i32.const(15)), i32.load(cpu, IDTR + 8)),
  );
  f.if(i32.eqz(usual), refuse);
  const gateAt = f.let(i64.add(i64.load(cpu, IDTR), i64.extendI32U(offset)));
  const gate = hostWithin(f, cpu, gateAt, 16, false, systemHost, refuse);
  const gateLow = f.let(i32.load(gate));
  const gateHigh = f.let(i32.load(gate, 4));
  // Present, type 14 or 15.
  f.if(i32.ne(bits(gateHigh, 0x9e00), i32.const(0x8e00)), refuse);
  const low = i32.or(bits(gateLow, 0xffff), bits(gateHigh, 0xffff_0000 | 0));
  const target = f.let(i64.or(i64.extendI32U(low), i64.shl(i64.load32U(gate, 8), i64.const(32))));
  f.if(i32.eqz(isCanonical(target)), refuse);
  const selector = f.let(i32.shrU(gateLow, i32.const(16)));
  const code = new GdtEntry(f, cpu, selector, systemHost, refuse);
  const goodCode = and(
    i32.eq(bits(code.high, DESCRIPTOR_CODE64_MASK), i32.const(DESCRIPTOR_CODE64)),
    i32.eqz(code.dpl),
  );
  f.if(i32.eqz(goodCode), refuse);

  const oldCpl = f.let(i32.load(cpu, CPL));
  const ist = f.let(bits(gateHigh, 7));
  const oldPointer = f.let(i64.load(cpu, gprOffset(RSP)));
  const pointer = f.let(oldPointer);
  f.if(i32.or(ist, oldCpl), () => {
    const at = f.let(select(ist, i32.add(i32.const(28), i32.shl(ist, i32.const(3))), i32.const(4)));
    f.if(i32.gtU(i32.add(at, i32.const(7)), i32.load(cpu, segmentOffset(TR) + SEG_LIMIT)), refuse);
    const va = f.let(i64.add(i64.load(cpu, segmentOffset(TR) + SEG_BASE), i64.extendI32U(at)));
    f.set(pointer, i64.load(hostWithin(f, cpu, va, 8, false, systemHost, refuse)));
  });
  const hasError = f.let(i32.ne(error, i32.const(-1)));
  f.set(pointer, i64.sub(i64.and(pointer, i64.const(-16)), i64.const(48)));
  // The frame is 48 bytes, of which the lowest 8 are the error code; without one it starts 8 bytes higher.
  f.if(i32.eqz(isCanonical(pointer)), refuse);
  const frame = hostWithin(f, cpu, pointer, 48, true, systemHost, refuse);
  const flags = rflags(f, cpu);
  f.set(flags, select(fault, i32.or(flags, i32.const(FLAG_RF)), bits(flags, ~FLAG_RF)));
  const selectorOf = (index: number): I64 => i64.load32U(cpu, segmentOffset(index) + SEG_SELECTOR);
  f.store(8, frame, selectorOf(SS), 40);
  f.store(8, frame, oldPointer, 32);
  f.store(8, frame, i64.extendI32U(flags), 24);
  f.store(8, frame, selectorOf(CS), 16);
  f.store(8, frame, i64.load(cpu, RIP), 8);
  f.if(
    hasError,
    () => f.store(8, frame, i64.extendI32U(error), 0),
    () => f.set(pointer, i64.add(pointer, i64.const(8))),
  );

  f.if(oldCpl, () => setSegment(f, cpu, SS, i32.const(0), i64.const(0), i32.const(0), i32.const(ATTR_UNUSABLE)));
  f.store(8, cpu, pointer, gprOffset(RSP));
  code.load(cpu, CS, bits(selector, 0xfffc));
  f.store(8, cpu, target, RIP);
  f.store(4, cpu, i32.const(0), CPL);
  f.store(4, cpu, i32.const(64), CODE_SIZE);
  const cleared = FLAG_TF | FLAG_VM | FLAG_RF | FLAG_NT;
  // Type 14, an interrupt gate, clears IF besides.
  const kept = select(bits(gateHigh, 0x100), i32.const(~cleared), i32.const(~(cleared | FLAG_IF)));
  f.store(4, cpu, i32.and(i32.load(cpu, EFLAGS_SYSTEM), kept), EFLAGS_SYSTEM);
  f.store(4, cpu, i32.const(0), INTERRUPT_SHADOW);
  f.store(4, cpu, i32.const(ACTIVITY_RUNNING), ACTIVITY);
  f.callVoid(selectMode, cpu);
  f.return(i32.const(1));
  f.unreachable();
}
