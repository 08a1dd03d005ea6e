/**
 * String instructions (SDM volume 2: MOVS CMPS STOS LODS SCAS, REP REPE REPNE).
 *
 * A repeated instruction is done in one go as long as it stays within the pages it starts in and the turn's limit, then
 * starts again, so that interrupts and faults find RCX, RSI and RDI as after the last whole element.
 *
 * @module
 */
import { type Expr, i32, type I32, i64, type I64, select, type V128 } from '../emit/expr.ts';
import type { FunctionBuilder, Local } from '../emit/function-builder.ts';
import { v128 } from '../emit/simd.ts';
import { DR, DS, EFLAGS_SYSTEM, ES } from '../state.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';

const RAX = 0,
  RCX = 1,
  RSI = 6,
  RDI = 7;
/** Elements done before the interpreter looks at its budget again. */
const TURN = 4096;

/** EFLAGS.TF, and the enable bits of DR7 in DR. */
const FLAG_TF = 0x100,
  DR7 = DR + 56,
  DR7_ENABLED = 0xff;

type AnyLocal = Local<'i32'>;

/** A debugger steps or watches: a turn is then one element, for traps come after every element (SDM volume 3B, 17.3.1). */
const traced = (b: LiftBuilder): I32 =>
  i32.or(
    i32.and(i32.load(b.cpu, EFLAGS_SYSTEM), i32.const(FLAG_TF)),
    i32.and(i32.load(b.cpu, DR7), i32.const(DR7_ENABLED)),
  );

/** A register as the address size sees it. */
const offsetOf = (b: LiftBuilder, register: number): I64 =>
  b.form.addressSize === 8 ? (b.gpr(register, 8) as I64) : i64.extendI32U(b.gpr(register, b.form.addressSize) as I32);

function setOffset(b: LiftBuilder, register: number, value: I64): void {
  const { addressSize } = b.form;
  b.setGpr(register, addressSize, addressSize === 8 ? value : i32.wrap(value));
}

/** +size or -size by DF, as i64. */
function stride(b: LiftBuilder): Local<'i64'> {
  const down = i32.and(i32.load(b.cpu, EFLAGS_SYSTEM), i32.const(0x400));
  return b.let(select(down, i64.const(-b.size), i64.const(b.size)));
}

const sourceAddress = (b: LiftBuilder): I64 => b.stringAddress(offsetOf(b, RSI), DS, true, b.size, false);
const destinationAddress = (b: LiftBuilder, write: boolean): I64 =>
  b.stringAddress(offsetOf(b, RDI), ES, false, b.size, write);

const advance = (b: LiftBuilder, register: number, step: I64): void =>
  setOffset(b, register, i64.add(offsetOf(b, register), step));

/**
 * With 32-bit addresses in 64-bit code a repeated instruction clears the upper halves of its registers even when it does
 * nothing else, as processors do.
 */
function truncateRegisters(b: LiftBuilder, registers: readonly number[]): void {
  if (b.form.rep === 0 || b.form.legacy || b.form.addressSize !== 4) return;
  for (const register of registers) setOffset(b, register, offsetOf(b, register));
}

/**
 * Repeats `body` while RCX is not zero. `body` commits its own pointers, and may return a condition for going on
 * (REPE, REPNE) together with what to do at the end: flags are only then changed, for a fault half-way leaves them as
 * they were (SDM volume 2B, REP). `turn`: how many elements at most before it starts again.
 */
function repeat(
  b: LiftBuilder,
  body: () => { proceed: I32; finish: () => void } | undefined,
  turn: I32 = i32.const(TURN),
): void {
  const { f } = b;
  if (b.form.rep === 0) {
    body()?.finish();
    return;
  }
  f.if(i64.eqz(offsetOf(b, RCX)), () => b.next());
  const turns = b.let(select(traced(b), i32.const(1), turn));
  let finish: (() => void) | undefined;
  f.loop((again) => {
    const outcome = body();
    finish = outcome?.finish;
    setOffset(b, RCX, i64.sub(offsetOf(b, RCX), i64.const(1)));
    const done = i64.eqz(offsetOf(b, RCX));
    const over = outcome === undefined ? done : i32.or(done, i32.eqz(outcome.proceed));
    f.if(over, () => {
      finish?.();
      b.next();
    });
    f.set(turns, i32.sub(turns, i32.const(1)));
    f.brIf(again, turns);
  });
  finish?.();
  b.again();
}

const element = (b: LiftBuilder, value: Expr): AnyLocal => b.let(value as Expr<'i32'>);

/** Bytes from `address` to the end of its page. */
const pageRest = (address: I64): I32 => i32.sub(i32.const(4096), i32.and(i32.wrap(address), i32.const(4095)));

const smaller = (b: LiftBuilder, x: I32, y: I32): AnyLocal => {
  const p = b.let(x);
  const q = b.let(y);
  return b.let(select(i32.ltU(p, q), p, q));
};

/** How many elements fit: RCX, both page rests, the turn. None while each is a turn of its own. */
function bulkCount(b: LiftBuilder, addresses: readonly I64[]): AnyLocal {
  const { f } = b;
  const shift = i32.const(Math.log2(b.size));
  const left = b.let(offsetOf(b, RCX));
  let n = b.let(select(i64.gtU(left, i64.const(4096)), i32.const(4096), i32.wrap(left)));
  for (const address of addresses) n = smaller(b, n, i32.shrU(pageRest(address), shift));
  f.if(traced(b), () => f.set(n, i32.const(0)));
  return n;
}

const atLeastOne = (n: I32): I32 => select(n, n, i32.const(1));

function finishBulk(b: LiftBuilder, n: I32, registers: readonly number[]): void {
  const bytes = b.let(i64.mul(i64.extendI32U(n), i64.const(b.size)));
  for (const register of registers) advance(b, register, bytes);
  setOffset(b, RCX, i64.sub(offsetOf(b, RCX), i64.extendI32U(n)));
  b.f.if(i64.eqz(offsetOf(b, RCX)), () => b.next());
  b.again();
}

const upwards = (b: LiftBuilder): I32 => i32.eqz(i32.and(i32.load(b.cpu, EFLAGS_SYSTEM), i32.const(0x400)));

/** Bytes that one turn of `copyUpwards` takes. */
const CHUNK = 64;

/**
 * Copies from the lowest byte on. V8 copies shared memory with relaxed atomic accesses: byte by byte, where the two are not equally aligned,
 * which takes four times as long as this. The last bytes are read first: what is copied downwards by less than their length has overwritten them.
 */
function copyUpwards(f: FunctionBuilder, to: I32, from: I32, bytes: I32): void {
  const suitsV8 = i32.or(i32.eqz(i32.and(i32.xor(to, from), i32.const(7))), i32.ltU(bytes, i32.const(CHUNK)));
  f.if(
    suitsV8,
    () => f.memoryCopy(to, from, bytes),
    () => {
      const tail = i32.sub(bytes, i32.const(CHUNK));
      const parts = [0, 16, 32, 48];
      const last = parts.map((at) => f.let(v128.load(i32.add(from, tail), at)));
      const lastTo = f.let(i32.add(to, tail));
      const source = f.let(from);
      const destination = f.let(to);
      f.loop((again) => {
        for (const at of parts) f.store(16, destination, v128.load(source, at), at);
        f.set(source, i32.add(source, i32.const(CHUNK)));
        f.set(destination, i32.add(destination, i32.const(CHUNK)));
        f.brIf(again, i32.ltU(destination, lastTo));
      });
      parts.forEach((at, n) => f.store(16, lastTo, last[n] as V128, at));
    },
  );
}

/**
 * REP MOVS upwards, a page at a time as one memory.copy when the regions do not overlap in the way that makes REP MOVS a fill
 * (destination within the source, ahead of it). Returns how many elements are to be done one by one: the few before the next page, behind which
 * there is more to do at once.
 */
function bulkMove(b: LiftBuilder): I32 {
  const { f } = b;
  const turn = b.let(i32.const(TURN));
  f.if(i64.eqz(offsetOf(b, RCX)), () => b.next());
  f.if(upwards(b), () => {
    const from = b.let(sourceAddress(b));
    const to = b.let(destinationAddress(b, true));
    const n = bulkCount(b, [from, to]);
    f.if(
      i32.geU(n, i32.const(4)),
      () => {
        const hostFrom = b.hostRead(from, b.size);
        const hostTo = b.hostWrite(to, b.size, false);
        const bytes = b.let(i32.mul(n, i32.const(b.size)));
        // The bounce buffers of MMIO and page crossings hold one element only.
        const ordinary = i32.and(b.isOrdinary(hostFrom), b.isOrdinary(hostTo));
        const distance = i32.sub(hostTo, hostFrom);
        f.if(i32.and(ordinary, i32.geU(distance, bytes)), () => {
          b.checkCodeWrite(hostTo, bytes);
          copyUpwards(f, hostTo, hostFrom, bytes);
          finishBulk(b, n, [RSI, RDI]);
        });
      },
      () => f.set(turn, atLeastOne(n)),
    );
  });
  return turn;
}

const movs: Lift = (b) => {
  truncateRegisters(b, [RCX, RSI, RDI]);
  const turn = b.form.rep !== 0 && !b.form.legacy ? bulkMove(b) : undefined;
  const step = stride(b);
  repeat(
    b,
    () => {
      const value = b.load(b.size, sourceAddress(b));
      b.store(b.size, destinationAddress(b, true), value);
      advance(b, RSI, step);
      advance(b, RDI, step);
      return undefined;
    },
    turn,
  );
};

/** REP STOS upwards: memory.fill when all bytes of the element are equal, else doubling copies are not worth it. Returns what `bulkMove` does. */
function bulkFill(b: LiftBuilder): I32 {
  const { f } = b;
  const turn = b.let(i32.const(TURN));
  f.if(i64.eqz(offsetOf(b, RCX)), () => b.next());
  const byte = b.let(b.gpr(RAX, 1) as I32);
  const uniform =
    b.size === 1
      ? i32.const(1)
      : b.size === 8
        ? i64.eq(b.gpr(RAX, 8) as I64, i64.mul(i64.extendI32U(byte), i64.const(0x0101010101010101n)))
        : i32.eq(b.gpr(RAX, b.size) as I32, i32.mul(byte, i32.const(b.size === 4 ? 0x01010101 : 0x0101)));
  f.if(i32.and(upwards(b), uniform), () => {
    const to = b.let(destinationAddress(b, true));
    const n = bulkCount(b, [to]);
    f.if(
      i32.geU(n, i32.const(4)),
      () => {
        const host = b.hostWrite(to, b.size, false);
        f.if(b.isOrdinary(host), () => {
          const bytes = b.let(i32.mul(n, i32.const(b.size)));
          b.checkCodeWrite(host, bytes);
          f.memoryFill(host, byte, bytes);
          finishBulk(b, n, [RDI]);
        });
      },
      () => f.set(turn, atLeastOne(n)),
    );
  });
  return turn;
}

const stos: Lift = (b) => {
  truncateRegisters(b, [RCX, RDI]);
  const turn = b.form.rep !== 0 && !b.form.legacy ? bulkFill(b) : undefined;
  const step = stride(b);
  repeat(
    b,
    () => {
      b.store(b.size, destinationAddress(b, true), b.gpr(RAX, b.size));
      advance(b, RDI, step);
      return undefined;
    },
    turn,
  );
};

const lods: Lift = (b) => {
  truncateRegisters(b, [RCX]);
  const step = stride(b);
  repeat(b, () => {
    b.setGpr(RAX, b.size, b.load(b.size, sourceAddress(b)));
    advance(b, RSI, step);
    return undefined;
  });
};

/** Flags of `x - y` at the end, and whether REPE or REPNE goes on. */
function compare(b: LiftBuilder, x: AnyLocal, y: AnyLocal): { proceed: I32; finish: () => void } {
  const proceed = b.form.rep === 0xf3 ? b.t.eq(x, y) : b.t.ne(x, y);
  return { proceed, finish: () => b.flagsSub(x, y, element(b, b.t.sub(x, y))) };
}

const cmps: Lift = (b) => {
  truncateRegisters(b, [RCX]);
  const step = stride(b);
  repeat(b, () => {
    const y = element(b, b.load(b.size, destinationAddress(b, false)));
    const x = element(b, b.load(b.size, sourceAddress(b)));
    advance(b, RSI, step);
    advance(b, RDI, step);
    return compare(b, x, y);
  });
};

const scas: Lift = (b) => {
  truncateRegisters(b, [RCX]);
  const step = stride(b);
  repeat(b, () => {
    const x = element(b, b.gpr(RAX, b.size));
    const y = element(b, b.load(b.size, destinationAddress(b, false)));
    advance(b, RDI, step);
    return compare(b, x, y);
  });
};

const pair = (opcode: number, name: string, lift: Lift, rep: 'rep' | 'repz'): Row[] => {
  const hex = (value: number): string => value.toString(16).toUpperCase();
  return [row(hex(opcode), name, '', lift, { rep, size: 1 }), row(hex(opcode + 1), name, '', lift, { rep })];
};

export const stringRows: readonly Row[] = [
  ...pair(0xa4, 'movs', movs, 'rep'),
  ...pair(0xa6, 'cmps', cmps, 'repz'),
  ...pair(0xaa, 'stos', stos, 'rep'),
  ...pair(0xac, 'lods', lods, 'rep'),
  ...pair(0xae, 'scas', scas, 'repz'),
];
