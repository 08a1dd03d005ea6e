/**
 * XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR and XRSTORS as WebAssembly functions, for the usual case: 64-bit code, an aligned area of
 * plain RAM that is in one piece, a header that is in order. system/xsave.ts has the references; it is asked when these refuse, and then
 * nothing has changed.
 *
 * @module
 */
import { i32, type I32, i64, type I64, select } from '../emit/expr.ts';
import { call, type Callee, type FunctionBuilder, type Local } from '../emit/function-builder.ts';
import { v128 } from '../emit/simd.ts';
import {
  CODE_SIZE,
  CR0,
  CR4,
  FPR,
  FPU_CONTROL,
  FPU_CS,
  FPU_DP,
  FPU_DS,
  FPU_IP,
  FPU_OPCODE,
  FPU_STATUS,
  FPU_TAGS,
  GPR,
  MXCSR,
  RAX,
  XCR0,
  xmmOffset,
} from '../state.ts';

/** What an instruction is, as `save` and `restore` are told. */
export const XSAVE_COMPACTED = 1,
  XSAVE_OPTIMIZED = 2,
  XSAVE_WIDE = 4;

const X87 = 1,
  SSE = 2,
  AVX = 4;
const CR0_TS = 1 << 3,
  CR4_OSXSAVE = 1 << 18;
/** The header's end, and that of the upper halves of the YMM registers behind it. */
const HEADER_END = 576,
  AREA_BYTES = 832;
/** Offsets in the area. */
const AREA_MXCSR = 24,
  AREA_ST = 32,
  AREA_XMM = 160,
  AREA_BV = 512,
  AREA_FORMAT = 520;
const MXCSR_MASK = 0xffff,
  MXCSR_RESET = 0x1f80,
  CONTROL_RESET = 0x37f;

const bits = (value: I32, mask: number): I32 => i32.and(value, i32.const(mask));
const both = (x: I32, y: I32): I32 => i32.and(i32.ne(x, i32.const(0)), i32.ne(y, i32.const(0)));

/** Offset in linear memory of the area at the address in parameters 1 and 2; refuses what is not usual. */
function areaOf(f: FunctionBuilder, cpu: I32, plainHost: Callee, write: boolean): Local<'i32'> {
  const refuse = (): void => f.return(i32.const(0));
  const low = f.param('i32', 1);
  const va = f.let(i64.or(i64.extendI32U(low), i64.shl(i64.extendI32U(f.param('i32', 2)), i64.const(32))));
  const unusual = i32.or(
    i32.or(i32.ne(i32.load(cpu, CODE_SIZE), i32.const(64)), i32.eqz(bits(i32.load(cpu, CR4), CR4_OSXSAVE))),
    i32.or(bits(i32.load(cpu, CR0), CR0_TS), bits(low, 63)),
  );
  f.if(unusual, refuse);
  const hostAt = (at: I64): I32 => call('i32', plainHost, cpu, at, i32.const(write ? 1 : 0));
  const host = f.let(hostAt(va));
  f.if(i32.eqz(host), refuse);
  f.if(i32.gtU(bits(low, 0xfff), i32.const(4096 - AREA_BYTES)), () => {
    // The kernel's own memory: the next page is most often the next in RAM too.
    const last = hostAt(i64.add(va, i64.const(AREA_BYTES - 1)));
    f.if(i32.ne(last, i32.add(host, i32.const(AREA_BYTES - 1))), refuse);
  });
  return host;
}

/** The requested components; none is not usual. */
function requested(f: FunctionBuilder, cpu: I32): Local<'i32'> {
  const components = f.let(i32.and(i32.load(cpu, GPR + RAX * 8), bits(i32.load(cpu, XCR0), X87 | SSE | AVX)));
  f.if(i32.eqz(components), () => f.return(i32.const(0)));
  return components;
}

/** Components in use: those with a register that is not as it was in the beginning. */
function inUse(f: FunctionBuilder, cpu: I32): Local<'i32'> {
  const words = [FPU_STATUS, FPU_TAGS, FPU_OPCODE, FPU_CS, FPU_DS].map((field) => i32.load(cpu, field));
  const pointers = [FPU_IP, FPU_DP].map((field) => i64.load(cpu, field));
  const fields = words.reduce((x, y) => i32.or(x, y), i32.xor(i32.load(cpu, FPU_CONTROL), i32.const(CONTROL_RESET)));
  let registers = pointers.reduce((x, y) => i64.or(x, y));
  for (let n = 0; n < 8; n++) {
    registers = i64.or(registers, i64.or(i64.load(cpu, FPR + n * 16), i64.load32U(cpu, FPR + n * 16 + 8)));
  }
  const x87 = i32.or(i32.ne(fields, i32.const(0)), i32.eqz(i64.eqz(registers)));
  let xmm = v128.load(cpu, xmmOffset(0));
  let upper = v128.load(cpu, xmmOffset(0) + 16);
  for (let n = 1; n < 16; n++) {
    xmm = v128.or(xmm, v128.load(cpu, xmmOffset(n)));
    upper = v128.or(upper, v128.load(cpu, xmmOffset(n) + 16));
  }
  const sse = i32.or(v128.anyTrue(xmm), i32.ne(i32.load(cpu, MXCSR), i32.const(MXCSR_RESET)));
  const avx = i32.shl(v128.anyTrue(upper), i32.const(2));
  return f.let(i32.or(i32.or(x87, i32.shl(sse, i32.const(1))), avx));
}

/** Offset of physical register (TOP + n) & 7. */
const physical = (cpu: I32, top: I32, n: number): I32 =>
  i32.add(cpu, i32.shl(bits(i32.add(top, i32.const(n)), 7), i32.const(4)));

const topOf = (status: I32): I32 => bits(i32.shrU(status, i32.const(11)), 7);

function saveX87(f: FunctionBuilder, cpu: I32, area: I32, wide: I32): void {
  f.store(2, area, i32.load(cpu, FPU_CONTROL), 0);
  f.store(2, area, i32.load(cpu, FPU_STATUS), 2);
  f.store(
    4,
    area,
    i32.or(bits(i32.load(cpu, FPU_TAGS), 0xff), i32.shl(bits(i32.load(cpu, FPU_OPCODE), 0x7ff), i32.const(16))),
    4,
  );
  const pointer = (field: number): I64 => select(wide, i64.load(cpu, field), i64.load32U(cpu, field));
  f.store(8, area, pointer(FPU_IP), 8);
  f.store(8, area, pointer(FPU_DP), 16);
  const top = f.let(topOf(i32.load(cpu, FPU_STATUS)));
  for (let n = 0; n < 8; n++) {
    const from = f.let(physical(cpu, top, n));
    f.store(8, area, i64.load(from, FPR), AREA_ST + n * 16);
    f.store(8, area, i64.load16U(from, FPR + 8), AREA_ST + n * 16 + 8);
  }
}

function loadX87(f: FunctionBuilder, cpu: I32, area: I32, wide: I32): void {
  const control = f.let(i32.or(bits(i32.load16U(area, 0), 0x1f3f), i32.const(0x40)));
  const status = f.let(bits(i32.load16U(area, 2), 0x7f7f));
  // ES and B say whether an unmasked exception is flagged.
  const flagged = i32.and(bits(status, 0x3f), i32.xor(control, i32.const(-1)));
  f.set(status, select(flagged, i32.or(status, i32.const(0x8080)), status));
  f.store(4, cpu, control, FPU_CONTROL);
  f.store(4, cpu, status, FPU_STATUS);
  f.store(4, cpu, i32.load8U(area, 4), FPU_TAGS);
  f.store(4, cpu, bits(i32.load16U(area, 6), 0x7ff), FPU_OPCODE);
  const pointer = (at: number): I64 => select(wide, i64.load(area, at), i64.load32U(area, at));
  f.store(8, cpu, pointer(8), FPU_IP);
  f.store(8, cpu, pointer(16), FPU_DP);
  const top = f.let(topOf(status));
  for (let n = 0; n < 8; n++) {
    const to = f.let(physical(cpu, top, n));
    f.store(8, to, i64.load(area, AREA_ST + n * 16), FPR);
    f.store(8, to, i64.load16U(area, AREA_ST + n * 16 + 8), FPR + 8);
  }
}

function initX87(f: FunctionBuilder, cpu: I32): void {
  f.memoryFill(i32.add(cpu, i32.const(FPR)), i32.const(0), i32.const(128));
  for (const field of [FPU_STATUS, FPU_TAGS, FPU_OPCODE, FPU_CS, FPU_DS]) f.store(4, cpu, i32.const(0), field);
  for (const field of [FPU_IP, FPU_DP]) f.store(8, cpu, i64.const(0), field);
  f.store(4, cpu, i32.const(CONTROL_RESET), FPU_CONTROL);
}

/** Builds `save(cpu, address low, address high, kind)` -> 1 when it was done. */
export function buildXsave(f: FunctionBuilder, plainHost: Callee): void {
  const cpu = f.param('i32', 0);
  const kind = f.param('i32', 3);
  const area = areaOf(f, cpu, plainHost, true);
  const components = requested(f, cpu);
  const used = f.let(i32.and(inUse(f, cpu), components));
  const compacted = bits(kind, XSAVE_COMPACTED);
  const saved = f.let(select(bits(kind, XSAVE_COMPACTED | XSAVE_OPTIMIZED), used, components));
  f.if(bits(saved, X87), () => saveX87(f, cpu, area, bits(kind, XSAVE_WIDE)));
  // The standard form has MXCSR whenever SSE or AVX is requested.
  f.if(select(compacted, bits(saved, SSE), bits(components, SSE | AVX)), () => {
    f.store(4, area, i32.load(cpu, MXCSR), AREA_MXCSR);
    f.store(4, area, i32.const(MXCSR_MASK), AREA_MXCSR + 4);
  });
  f.if(bits(saved, SSE), () => {
    for (let n = 0; n < 16; n++) f.store(16, area, v128.load(cpu, xmmOffset(n)), AREA_XMM + n * 16);
  });
  f.if(bits(saved, AVX), () => {
    for (let n = 0; n < 16; n++) f.store(16, area, v128.load(cpu, xmmOffset(n) + 16), HEADER_END + n * 16);
  });
  f.if(
    compacted,
    () => {
      f.store(8, area, i64.extendI32U(saved), AREA_BV);
      const format = i64.or(i64.extendI32U(components), i64.const(-0x8000_0000_0000_0000n));
      f.store(8, area, format, AREA_FORMAT);
    },
    () => {
      const others = i32.and(i32.load(area, AREA_BV), i32.xor(components, i32.const(-1)));
      f.store(4, area, i32.or(others, used), AREA_BV);
    },
  );
  f.return(i32.const(1));
  f.unreachable();
}

/** Builds `restore(cpu, address low, address high, kind)` -> 1 when it was done. XSAVE_COMPACTED: no other form will do. */
export function buildXrstor(f: FunctionBuilder, plainHost: Callee): void {
  const cpu = f.param('i32', 0);
  const kind = f.param('i32', 3);
  const refuse = (): void => f.return(i32.const(0));
  const area = areaOf(f, cpu, plainHost, false);
  const components = requested(f, cpu);
  const present = f.let(i64.load(area, AREA_BV));
  const format = f.let(i64.load(area, AREA_FORMAT));
  const enabled = f.let(i64.load32U(cpu, XCR0));
  const compacted = f.let(i32.wrap(i64.shrU(format, i64.const(63))));
  const named = f.let(i64.and(format, i64.const(0x7fff_ffff_ffff_ffffn)));
  const without = (value: I64, allowed: I64): I64 => i64.and(value, i64.xor(allowed, i64.const(-1)));
  f.if(
    compacted,
    () => {
      let rest = i64.or(without(named, enabled), without(present, named));
      for (let at = AREA_FORMAT + 8; at < HEADER_END; at += 8) rest = i64.or(rest, i64.load(area, at));
      f.if(i32.eqz(i64.eqz(rest)), refuse);
    },
    () => {
      f.if(bits(kind, XSAVE_COMPACTED), refuse);
      const rest = i64.or(i64.or(without(present, enabled), format), i64.load(area, AREA_FORMAT + 8));
      f.if(i32.eqz(i64.eqz(rest)), refuse);
    },
  );
  const loaded = f.let(i32.and(components, i32.wrap(present)));
  const mxcsr = f.let(i32.load(area, AREA_MXCSR));
  // The standard form loads MXCSR with SSE and AVX, even where the registers are initialised.
  const loadsMxcsr = f.let(select(compacted, bits(loaded, SSE), bits(components, SSE | AVX)));
  f.if(both(loadsMxcsr, bits(mxcsr, ~MXCSR_MASK)), refuse);

  f.if(bits(components, X87), () => {
    f.if(
      bits(loaded, X87),
      () => loadX87(f, cpu, area, bits(kind, XSAVE_WIDE)),
      () => initX87(f, cpu),
    );
  });
  f.if(loadsMxcsr, () => f.store(4, cpu, mxcsr, MXCSR));
  f.if(bits(components, AVX), () => {
    f.if(
      bits(loaded, AVX),
      () => {
        for (let n = 0; n < 16; n++) f.store(16, cpu, v128.load(area, HEADER_END + n * 16), xmmOffset(n) + 16);
      },
      () => {
        for (let n = 0; n < 16; n++) f.store(16, cpu, v128.zero(), xmmOffset(n) + 16);
      },
    );
  });
  f.if(bits(components, SSE), () => {
    f.if(i32.eqz(loadsMxcsr), () => f.store(4, cpu, i32.const(MXCSR_RESET), MXCSR));
    f.if(
      bits(loaded, SSE),
      () => {
        for (let n = 0; n < 16; n++) f.store(16, cpu, v128.load(area, AREA_XMM + n * 16), xmmOffset(n));
      },
      () => {
        for (let n = 0; n < 16; n++) f.store(16, cpu, v128.zero(), xmmOffset(n));
      },
    );
  });
  f.return(i32.const(1));
  f.unreachable();
}
