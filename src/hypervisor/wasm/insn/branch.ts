/**
 * Near control transfers and the stack (SDM volume 2: JMP Jcc JCXZ LOOPcc CALL RET PUSH POP PUSHA POPA ENTER LEAVE PUSHF POPF).
 *
 * @module
 */
import { type Expr, i32, type I32, i64, type I64 } from '../emit/expr.ts';
import { call, type Local } from '../emit/function-builder.ts';
import { interruptWaits } from '../mmu/interrupts.ts';
import { ATTR_DB, CPL, EFLAGS_SYSTEM, SEG_ATTRIBUTES, segmentOffset, SS } from '../state.ts';
import type { IntegerSize } from './flags.ts';
import { GP, type LiftBuilder } from './lift-builder.ts';
import { CONDITIONS, type Lift, type Row, row } from './row.ts';

const RSP = 4,
  RBP = 5;

/** 0xffffffff or 0xffff by SS.B; for 16- and 32-bit code. */
export function stackMask(b: LiftBuilder): Local<'i64'> {
  const big = i32.and(i32.load(b.cpu, segmentOffset(SS) + SEG_ATTRIBUTES), i32.const(ATTR_DB));
  const mask = b.f.local('i64');
  b.f.if(
    big,
    () => b.f.set(mask, i64.const(0xffff_ffff)),
    () => b.f.set(mask, i64.const(0xffff)),
  );
  return mask;
}

/** Writes SP, ESP or RSP as the stack size says; `mask` from `stackMask`. */
function setStackPointer(b: LiftBuilder, value: I64, mask: Local<'i64'> | undefined): void {
  if (mask === undefined) {
    b.setGpr(RSP, 8, value);
    return;
  }
  const kept = i64.and(b.gpr(RSP, 8) as I64, i64.xor(mask, i64.const(-1)));
  const cleared = i64.and(kept, i64.const(0xffff_ffff));
  b.setGpr(RSP, 8, i64.or(cleared, i64.and(value, mask)));
}

export interface StackAccess {
  readonly pointer: Local<'i64'>;
  readonly mask: Local<'i64'> | undefined;
}

/** Linear address of `bytes` bytes at stack offset `pointer`. */
function stackLinear(b: LiftBuilder, pointer: I64, bytes: number, write: boolean): Local<'i64'> {
  if (!b.form.legacy) return b.let(pointer);
  const linear = b.let(
    call('i64', b.helpers.legacyLinear, b.cpu, i32.const(SS), pointer, i32.const(bytes), i32.const(write ? 1 : 0)),
  );
  b.f.if(i64.eq(linear, i64.const(-1)), () => b.leaveWithFault());
  return linear;
}

/** Pushes and commits the stack pointer. `width` bytes are written where it is less than the slot (PUSH of a segment register). */
export function push(
  b: LiftBuilder,
  size: IntegerSize,
  value: Expr,
  width: IntegerSize = size,
  beforeCommit: () => void = () => {},
): void {
  const mask = b.form.legacy ? stackMask(b) : undefined;
  const moved = b.displaced(RSP, -size);
  const pointer = b.let(mask === undefined ? moved : i64.and(moved, mask));
  const linear = stackLinear(b, pointer, width, true);
  b.onStack(() => b.store(width, linear, value));
  beforeCommit();
  setStackPointer(b, pointer, mask);
}

/** Reads the top of the stack; `commit` moves the pointer. */
export function pop(b: LiftBuilder, size: IntegerSize): { value: Expr; commit: (extra?: I64) => void } {
  const mask = b.form.legacy ? stackMask(b) : undefined;
  const pointer = b.let(mask === undefined ? b.displaced(RSP, 0) : i64.and(b.gpr(RSP, 8) as I64, mask));
  const linear = stackLinear(b, pointer, size, false);
  const value = b.onStack(() => b.load(size, linear));
  return {
    value,
    commit(extra) {
      const moved = i64.add(pointer, i64.const(size));
      setStackPointer(b, extra === undefined ? moved : i64.add(moved, extra), mask);
    },
  };
}

const pushOperand: Lift = (b) => {
  const value = b.form.shapes[0] === 'i' && b.size !== 8 ? b.immediate32() : b.read(0);
  push(b, b.size, b.let(value as Expr<'i32'>));
};

/** POP to a register: the pointer moves first, so that POP RSP keeps the popped value. */
const popRegister: Lift = (b) => {
  const { value, commit } = pop(b, b.size);
  commit();
  b.write(0, value);
};

/** POP to memory: the address is computed with the moved stack pointer, and a fault must leave it unmoved. */
const popMemory: Lift = (b) => {
  const before = b.let(b.gpr(RSP, 8) as I64);
  const { value, commit } = pop(b, b.size);
  commit();
  const after = b.let(b.gpr(RSP, 8) as I64);
  const address = b.let(b.address(0));
  b.setGpr(RSP, 8, before);
  b.store(b.size, address, value);
  b.setGpr(RSP, 8, after);
};

/** A value of the operand size as a RIP. */
function asRip(b: LiftBuilder, value: Expr): Local<'i64'> {
  return b.let(b.size === 8 ? (value as I64) : i64.extendI32U(value as I32));
}

const nextAsOperand = (b: LiftBuilder): Expr => (b.size === 8 ? b.nextRip() : i32.wrap(b.nextRip()));

/** #GP(0) before anything is committed when the target is not canonical (64-bit) or beyond the code segment. */
function checkTarget(b: LiftBuilder, rip: Local<'i64'>): void {
  if (b.form.legacy) {
    const limit = i64.load32U(b.cpu, segmentOffset(1) + 8);
    b.f.if(i64.gtU(rip, limit), () => b.raise(GP, i32.const(0)));
    return;
  }
  const canonical = i64.eq(i64.shrS(i64.shl(rip, i64.const(16)), i64.const(16)), rip);
  b.f.if(i32.eqz(canonical), () => b.raise(GP, i32.const(0)));
}

const jumpNear: Lift = (b) => {
  if (b.form.legacy) checkTarget(b, b.let(b.directTarget()));
  b.jumpDirect();
};

const jumpIndirect: Lift = (b) => {
  const target = asRip(b, b.read(0));
  checkTarget(b, target);
  b.jump(target);
};

const jumpCondition: Lift = (b) => {
  b.f.if(b.condition(b.arg), () => {
    if (b.form.legacy) checkTarget(b, b.let(b.directTarget()));
    b.jumpDirect();
  });
};

/** The return address is written before a bad target is noticed. */
const callDirect: Lift = (b) => {
  push(b, b.size, nextAsOperand(b), b.size, () => {
    if (b.form.legacy) checkTarget(b, b.let(b.directTarget()));
  });
  b.jumpDirect();
};

const callIndirect: Lift = (b) => {
  const target = asRip(b, b.read(0));
  push(b, b.size, nextAsOperand(b), b.size, () => checkTarget(b, target));
  b.jump(target);
};

const ret: Lift = (b) => {
  const { value, commit } = pop(b, b.size);
  const target = asRip(b, value);
  checkTarget(b, target);
  if (b.form.shapes[0] === 'i') commit(i64.extendI32U(i32.and(b.immediate32(), i32.const(0xffff))));
  else commit();
  b.jump(target);
};

/** RCX, ECX or CX by address size. */
const counter = (b: LiftBuilder): I64 =>
  b.form.addressSize === 8 ? (b.gpr(1, 8) as I64) : i64.extendI32U(b.gpr(1, b.form.addressSize) as I32);

const jumpCounterZero: Lift = (b) => {
  b.f.if(i64.eqz(counter(b)), () => {
    if (b.form.legacy) checkTarget(b, b.let(b.directTarget()));
    b.jumpDirect();
  });
};

/** arg: -1 LOOP, else the condition that must hold besides. */
const loop: Lift = (b) => {
  const size = b.form.addressSize;
  const left = b.let(i64.sub(counter(b), i64.const(1)));
  const wanted = size === 8 ? left : b.let(i64.and(left, i64.const(size === 4 ? 0xffff_ffff : 0xffff)));
  let taken: I32 = i32.eqz(i64.eqz(wanted));
  if (b.arg >= 0) taken = i32.and(taken, b.condition(b.arg));
  const go = b.let(taken);
  if (b.form.legacy) b.f.if(go, () => checkTarget(b, b.let(b.directTarget())));
  b.setGpr(1, size, size === 8 ? wanted : i32.wrap(wanted));
  b.f.if(go, () => b.jumpDirect());
};

const pushAll: Lift = (b) => {
  const mask = stackMask(b);
  const start = b.let(b.gpr(RSP, 8) as I64);
  const original = b.let(b.gpr(RSP, b.size) as Expr<'i32'>);
  const lowest = b.let(i64.and(i64.sub(start, i64.const(8 * b.size)), mask));
  // One after the other: a fault half-way leaves the first ones written and the stack pointer unmoved.
  for (let i = 0; i < 8; i++) {
    const at = b.let(i64.and(i64.sub(start, i64.const((i + 1) * b.size)), mask));
    b.store(b.size, stackLinear(b, at, b.size, true), i === RSP ? original : b.gpr(i, b.size));
  }
  setStackPointer(b, lowest, mask);
};

const popAll: Lift = (b) => {
  const mask = stackMask(b);
  const start = b.let(b.gpr(RSP, 8) as I64);
  const values: Expr[] = [];
  for (let i = 0; i < 8; i++) {
    const at = b.let(i64.and(i64.add(start, i64.const(i * b.size)), mask));
    values.push(b.load(b.size, stackLinear(b, at, b.size, false)));
  }
  for (let i = 0; i < 8; i++) if (7 - i !== RSP) b.setGpr(7 - i, b.size, values[i] as Expr);
  setStackPointer(b, i64.add(start, i64.const(8 * b.size)), mask);
};

const leave: Lift = (b) => {
  const mask = b.form.legacy ? stackMask(b) : undefined;
  const frame = b.let(mask === undefined ? b.displaced(RBP, 0) : i64.and(b.gpr(RBP, 8) as I64, mask));
  const linear = stackLinear(b, frame, b.size, false);
  const value = b.onStack(() => b.load(b.size, linear));
  setStackPointer(b, i64.add(frame, i64.const(b.size)), mask);
  b.setGpr(RBP, b.size, value);
};

/** ENTER with nesting levels 0..31 (the aux word of the record holds the level). */
const enter: Lift = (b) => {
  const { f, size } = b;
  const mask = b.form.legacy ? stackMask(b) : undefined;
  const masked = (value: I64): I64 => (mask === undefined ? value : i64.and(value, mask));
  const allocate = b.let(i64.extendI32U(i32.and(b.immediate32(), i32.const(0xffff))));
  const level = b.let(i64.extendI32U(i32.and(b.secondImmediate(), i32.const(31))));
  const pointer = b.let(masked(i64.sub(b.gpr(RSP, 8) as I64, i64.const(size))));
  const first = stackLinear(b, pointer, size, true);
  b.onStack(() => b.store(size, first, b.gpr(RBP, size)));
  const frame = b.let(pointer);
  f.if(i32.eqz(i64.eqz(level)), () => {
    const source = b.let(b.gpr(RBP, 8) as I64);
    f.block((done) => {
      f.loop((again) => {
        f.set(level, i64.sub(level, i64.const(1)));
        f.brIf(done, i64.eqz(level));
        f.set(source, i64.sub(source, i64.const(size)));
        const value = b.load(size, stackLinear(b, masked(source), size, false));
        f.set(pointer, masked(i64.sub(pointer, i64.const(size))));
        b.store(size, stackLinear(b, pointer, size, true), value);
        f.br(again);
      });
    });
    f.set(pointer, masked(i64.sub(pointer, i64.const(size))));
    b.store(size, stackLinear(b, pointer, size, true), size === 8 ? frame : i32.wrap(frame));
  });
  const lowered = b.let(masked(i64.sub(pointer, allocate)));
  // The processor touches the new top of the stack for writing.
  const lowest = stackLinear(b, lowered, size, true);
  b.onStack(() => b.hostWrite(lowest, size, true));
  b.setGpr(RBP, size, size === 8 ? frame : i32.wrap(frame));
  setStackPointer(b, lowered, mask);
};

/** VM and IOPL of EFLAGS. */
const VM = 0x2_0000,
  IOPL = 0x3000;

/** #GP(0) for PUSHF and POPF in virtual-8086 mode below IOPL 3 (SDM 2B; there is no VME). */
function checkVirtual8086(b: LiftBuilder): void {
  if (!b.form.legacy) return;
  const mode = i32.and(i32.load(b.cpu, EFLAGS_SYSTEM), i32.const(VM | IOPL));
  // Without VM the difference is negative, and as an unsigned number large.
  b.f.if(i32.ltU(i32.sub(mode, i32.const(VM)), i32.const(IOPL)), () => b.raise(GP, i32.const(0)));
}

const pushFlags: Lift = (b) => {
  checkVirtual8086(b);
  const flags = b.let(b.rflags());
  const visible = i32.and(flags, i32.const(0x00fc_ffff));
  push(b, b.size, b.size === 8 ? i64.extendI32U(visible) : visible);
};

/** POPF: IOPL changes only at CPL 0, IF only when CPL <= IOPL; VIP, VIF and VM stay, RF is cleared. */
const popFlags: Lift = (b) => {
  const { f } = b;
  checkVirtual8086(b);
  const { value, commit } = pop(b, b.size);
  const wanted = b.let(b.size === 8 ? i32.wrap(value as I64) : (value as I32));
  const system = b.let(i32.load(b.cpu, EFLAGS_SYSTEM));
  const cpl = b.let(i32.load(b.cpu, CPL));
  // TF DF NT AC ID; a 16-bit POPF does not reach AC and ID.
  const mask = b.let(i32.const(b.size === 2 ? 0x4500 : 0x24_4500));
  f.if(
    i32.eqz(cpl),
    () => f.set(mask, i32.or(mask, i32.const(0x3200))),
    () => {
      const iopl = i32.and(i32.shrU(system, i32.const(12)), i32.const(3));
      f.if(i32.leU(cpl, iopl), () => f.set(mask, i32.or(mask, i32.const(0x200))));
    },
  );
  const kept = i32.and(system, i32.xor(i32.or(mask, i32.const(0x1_0000)), i32.const(-1)));
  const merged = b.let(i32.or(kept, i32.and(wanted, mask)));
  commit();
  loadArithmeticFlags(b, wanted);
  f.store(4, b.cpu, merged, EFLAGS_SYSTEM);
  // AC chooses the TLB array under SMAP; TF, and IF when an interrupt waits for it, change what the run loop must do.
  const differs = b.let(i32.xor(merged, system));
  f.if(i32.and(differs, i32.const(0x4_0000)), () => f.callVoid(b.helpers['modeChanged'] as never, b.cpu));
  f.if(i32.and(i32.or(differs, merged), i32.const(0x100)), () => b.leaveAfter());
  f.if(i32.and(i32.and(differs, merged), i32.const(0x200)), () => {
    f.if(interruptWaits(b.cpu), () => b.leaveAfter());
  });
};

/** Loads OF SF ZF AF PF CF from the bits of an RFLAGS image. */
export function loadArithmeticFlags(b: LiftBuilder, image: I32): void {
  const at = (position: number): I32 => i32.and(i32.shrU(image, i32.const(position)), i32.const(1));
  b.setFlagBits({ cf: at(0), pf: at(2), af: at(4), zf: at(6), sf: at(7), of: at(11) });
}

const conditionalRows: Row[] = CONDITIONS.flatMap((name, code) => {
  const hex = (base: number): string => (base + code).toString(16).toUpperCase();
  return [
    row(hex(0x70), `j${name}`, 'Jb', jumpCondition, { arg: code, f64: true, ends: true, hot: true, fusedJump: true }),
    row(`0F ${hex(0x80)}`, `j${name}`, 'Jz', jumpCondition, {
      arg: code,
      f64: true,
      ends: true,
      hot: true,
      fusedJump: true,
    }),
  ];
});

export const branchRows: readonly Row[] = [
  ...conditionalRows,
  row('EB', 'jmp', 'Jb', jumpNear, { f64: true, ends: true, hot: true }),
  row('E9', 'jmp', 'Jz', jumpNear, { f64: true, ends: true, hot: true }),
  row('FF /4', 'jmp', 'Ev', jumpIndirect, { f64: true, ends: true, hot: true }),
  row('E8', 'call', 'Jz', callDirect, { f64: true, ends: true, hot: true }),
  row('FF /2', 'call', 'Ev', callIndirect, { f64: true, ends: true, hot: true }),
  row('C3', 'ret', '', ret, { f64: true, ends: true, hot: true }),
  row('C2', 'ret', 'Iw', ret, { f64: true, ends: true }),
  row('E3', 'jrcxz', 'Jb', jumpCounterZero, { f64: true, ends: true }),
  row('E2', 'loop', 'Jb', loop, { f64: true, ends: true, arg: -1 }),
  row('E1', 'loope', 'Jb', loop, { f64: true, ends: true, arg: 4 }),
  row('E0', 'loopne', 'Jb', loop, { f64: true, ends: true, arg: 5 }),
  row('50+r', 'push', 'Zv', pushOperand, { d64: true, hot: true }),
  row('58+r', 'pop', 'Zv', popRegister, { d64: true, hot: true }),
  row('68', 'push', 'Iz', pushOperand, { d64: true }),
  row('6A', 'push', 'Ibs', pushOperand, { d64: true }),
  row('FF /6', 'push', 'Ev', pushOperand, { d64: true }),
  row('8F /0', 'pop', 'Rv', popRegister, { d64: true }),
  row('8F /0', 'pop', 'Mv', popMemory, { d64: true }),
  row('60', 'pusha', '', pushAll, { no64: true }),
  row('61', 'popa', '', popAll, { no64: true }),
  row('C8', 'enter', 'Iw,Ib', enter, { d64: true }),
  row('C9', 'leave', '', leave, { d64: true, hot: true }),
  row('9C', 'pushf', '', pushFlags, { d64: true }),
  row('9D', 'popf', '', popFlags, { d64: true }),
];
