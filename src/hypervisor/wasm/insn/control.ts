/**
 * Flag control, fences, no-operations and BCD adjustment (SDM volume 2: CLC STC CMC CLD STD CLI STI LAHF SAHF LFENCE MFENCE
 * SFENCE CLFLUSH UD DAA DAS AAA AAS).
 *
 * @module
 */
import { i32, type I32, i64, type I64 } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { CPL, EFLAGS_SYSTEM, INTERRUPT_SHADOW } from '../state.ts';
import { interruptWaits } from '../mmu/interrupts.ts';
import { SHADOW_RIP } from '../mmu/layout.ts';
import { adjustFlag, carryFlag, signExtended, withCarry } from './flags.ts';
import { BR, GP, type LiftBuilder, UD } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';

const setCarry =
  (cf: (b: LiftBuilder) => I32): Lift =>
  (b) => {
    const value = b.let(cf(b));
    b.setFlags(b.flagResult(), withCarry(b.flagAux(), value));
  };

const systemBit =
  (mask: number, value: boolean): Lift =>
  (b) => {
    const old = i32.load(b.cpu, EFLAGS_SYSTEM);
    b.f.store(4, b.cpu, value ? i32.or(old, i32.const(mask)) : i32.and(old, i32.const(~mask)), EFLAGS_SYSTEM);
  };

/** CLI and STI need CPL <= IOPL (virtual-8086 mode and PVI aside). */
function checkIopl(b: LiftBuilder): void {
  const iopl = i32.and(i32.shrU(i32.load(b.cpu, EFLAGS_SYSTEM), i32.const(12)), i32.const(3));
  b.f.if(i32.gtU(i32.load(b.cpu, CPL), iopl), () => b.raise(GP, i32.const(0)));
}

const cli: Lift = (b) => {
  checkIopl(b);
  systemBit(0x200, false)(b);
};

/** Interrupts stay off for one more instruction; the run loop sees to it when one waits. */
const sti: Lift = (b) => {
  checkIopl(b);
  const old = b.let(i32.load(b.cpu, EFLAGS_SYSTEM));
  b.f.if(i32.eqz(i32.and(old, i32.const(0x200))), () => {
    b.f.store(4, b.cpu, i32.or(old, i32.const(0x200)), EFLAGS_SYSTEM);
    b.f.store(4, b.cpu, i32.const(1), INTERRUPT_SHADOW);
    b.f.store(8, b.cpu, b.nextRip(), SHADOW_RIP);
    b.f.if(interruptWaits(b.cpu), () => b.leaveAfter());
  });
};

const lahf: Lift = (b) => b.setGpr(0, 1, i32.or(i32.and(b.rflags(), i32.const(0xd5)), i32.const(2)), true);

const sahf: Lift = (b) => {
  const ah = b.let(b.gpr(0, 1, true) as I32);
  const at = (position: number): I32 => i32.and(i32.shrU(ah, i32.const(position)), i32.const(1));
  b.setFlagBits({ cf: at(0), pf: at(2), af: at(4), zf: at(6), sf: at(7), of: b.let(b.condition(0)) });
};

const nop: Lift = () => {};
const undefinedInstruction: Lift = (b) => b.raise(UD);

/** CLFLUSH faults like a one-byte load. */
const flush: Lift = (b) => {
  b.load(1, b.address(0));
};

/** DAA and DAS (SDM volume 2A). */
const decimalAdjust =
  (subtract: boolean): Lift =>
  (b) => {
    const { f } = b;
    const old = b.let(b.gpr(0, 1) as I32);
    const aux = b.flagAux();
    const oldCarry = b.let(carryFlag(aux));
    const oldAdjust = b.let(adjustFlag(aux));
    const al = b.let(old);
    const cf = f.local('i32');
    const af = f.local('i32');
    f.set(cf, i32.const(0));
    f.set(af, i32.const(0));
    const change = (amount: number): I32 =>
      subtract ? i32.sub(al, i32.const(amount)) : i32.add(al, i32.const(amount));
    f.if(i32.or(i32.gtU(i32.and(al, i32.const(15)), i32.const(9)), oldAdjust), () => {
      f.set(al, change(6));
      f.set(cf, i32.or(oldCarry, i32.ne(i32.and(al, i32.const(0xff)), al)));
      f.set(af, i32.const(1));
    });
    f.if(i32.or(i32.gtU(old, i32.const(0x99)), oldCarry), () => {
      f.set(al, change(0x60));
      f.set(cf, i32.const(1));
    });
    f.set(al, i32.and(al, i32.const(0xff)));
    b.setGpr(0, 1, al);
    b.setFlags(
      signExtended(1, al),
      i32.or(i32.shl(i32.or(i32.shl(cf, i32.const(1)), cf), i32.const(30)), i32.shl(af, i32.const(3))),
    );
  };

/** AAA and AAS. */
const asciiAdjust =
  (subtract: boolean): Lift =>
  (b) => {
    const { f } = b;
    const ax = b.let(b.gpr(0, 2) as I32);
    const adjust = b.let(i32.or(i32.gtU(i32.and(ax, i32.const(15)), i32.const(9)), adjustFlag(b.flagAux())));
    f.if(adjust, () => f.set(ax, subtract ? i32.sub(ax, i32.const(0x106)) : i32.add(ax, i32.const(0x106))));
    const r = b.let(i32.and(ax, i32.const(0xff0f)));
    b.setGpr(0, 2, r);
    const aux = i32.or(
      i32.shl(i32.or(i32.shl(adjust, i32.const(1)), adjust), i32.const(30)),
      i32.shl(adjust, i32.const(3)),
    );
    b.setFlags(signExtended(1, b.let(i32.and(r, i32.const(0xff)))), aux);
  };

/** BOUND: #BR when the signed index is outside the pair of bounds. */
const bound: Lift = (b) => {
  const index = b.let(b.readSigned(0, b.size, 4) as I32);
  const address = b.let(b.address(1));
  const at = (offset: number): I32 => b.signed32(b.size, b.load(b.size, i64.add(address, i64.const(offset))) as I32);
  // The lower bound decides before the upper one is read.
  b.f.if(i32.ltS(index, at(0)), () => b.raise(BR));
  b.f.if(i32.gtS(index, at(b.size)), () => b.raise(BR));
};

/** SALC: undocumented, AL = CF ? FF : 0. */
const salc: Lift = (b) => b.setGpr(0, 1, i32.sub(i32.const(0), carryFlag(b.flagAux())));

/** RDFSBASE..WRGSBASE: #UD without CR4.FSGSBASE (bit 16); writes must be canonical. */
const segmentBase =
  (segment: number, write: boolean): Lift =>
  (b) => {
    const { f } = b;
    f.if(i32.eqz(i32.and(i32.load(b.cpu, 0x238), i32.const(0x1_0000))), () => b.raise(UD));
    const offset = 0x100 + segment * 32;
    if (!write) {
      const value = i64.load(b.cpu, offset);
      b.write(0, b.size === 8 ? value : i32.wrap(value));
      return;
    }
    const raw = b.read(0);
    const value: Local<'i64'> = b.let(b.size === 8 ? (raw as I64) : i64.extendI32U(raw as I32));
    const canonical = i64.eq(i64.shrS(i64.shl(value, i64.const(16)), i64.const(16)), value);
    f.if(i32.eqz(canonical), () => b.raise(GP, i32.const(0)));
    f.store(8, b.cpu, value, offset);
  };

/** SWAPGS: CPL 0 only. */
const swapgs: Lift = (b) => {
  b.f.if(i32.load(b.cpu, CPL), () => b.raise(GP, i32.const(0)));
  const base = b.let(i64.load(b.cpu, 0x1a0));
  b.f.store(8, b.cpu, i64.load(b.cpu, 0x2b0), 0x1a0);
  b.f.store(8, b.cpu, base, 0x2b0);
};

/** CLAC and STAC: CPL 0 only. EFLAGS.AC chooses the TLB array. */
const accessControl =
  (set: boolean): Lift =>
  (b) => {
    b.f.if(i32.load(b.cpu, CPL), () => b.raise(UD));
    systemBit(0x4_0000, set)(b);
    b.f.callVoid(b.helpers['modeChanged'] as never, b.cpu);
  };

export const controlRows: readonly Row[] = [
  row(
    'F8',
    'clc',
    '',
    setCarry(() => i32.const(0)),
  ),
  row(
    'F9',
    'stc',
    '',
    setCarry(() => i32.const(1)),
  ),
  row(
    'F5',
    'cmc',
    '',
    setCarry((b) => i32.xor(carryFlag(b.flagAux()), i32.const(1))),
  ),
  row('FC', 'cld', '', systemBit(0x400, false)),
  row('FD', 'std', '', systemBit(0x400, true)),
  row('FA', 'cli', '', cli),
  row('FB', 'sti', '', sti),
  row('9F', 'lahf', '', lahf),
  row('9E', 'sahf', '', sahf),
  // The register number is ignored.
  row('NP 0F AE /5', 'lfence', 'Ry', nop),
  row('NP 0F AE /6', 'mfence', 'Ry', nop),
  row('NP 0F AE /7', 'sfence', 'Ry', nop),
  row('NP 0F AE /7', 'clflush', 'Mb', flush),
  row('66 0F AE /7', 'clflushopt', 'Mb', flush),
  row('0F 0B', 'ud2', '', undefinedInstruction, { ends: true }),
  row('0F B9', 'ud1', 'Gv,Ev', undefinedInstruction, { ends: true, ignoresMemory: true }),
  row('0F FF', 'ud0', 'Gv,Ev', undefinedInstruction, { ends: true, ignoresMemory: true }),
  row('27', 'daa', '', decimalAdjust(false), { no64: true }),
  row('2F', 'das', '', decimalAdjust(true), { no64: true }),
  row('37', 'aaa', '', asciiAdjust(false), { no64: true }),
  row('3F', 'aas', '', asciiAdjust(true), { no64: true }),
  row('62', 'bound', 'Gv,Ma', bound, { no64: true }),
  row('D6', 'salc', '', salc, { no64: true }),
  row('F3 0F AE /0', 'rdfsbase', 'Ry', segmentBase(4, false), { only64: true }),
  row('F3 0F AE /1', 'rdgsbase', 'Ry', segmentBase(5, false), { only64: true }),
  row('F3 0F AE /2', 'wrfsbase', 'Ry', segmentBase(4, true), { only64: true }),
  row('F3 0F AE /3', 'wrgsbase', 'Ry', segmentBase(5, true), { only64: true }),
  row('0F 01 !F8', 'swapgs', '', swapgs, { only64: true }),
  row('NP 0F 01 !CA', 'clac', '', accessControl(false)),
  row('NP 0F 01 !CB', 'stac', '', accessControl(true)),
];
