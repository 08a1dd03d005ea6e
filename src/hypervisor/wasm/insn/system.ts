/**
 * System instructions: rows whose semantics are functions of system/ (TypeScript on the state record), and the few
 * segment moves that are simple enough to be lifted.
 *
 * @module
 */
import { f64, i32, type I32, i64 } from '../emit/expr.ts';
import { call, type Callee } from '../emit/function-builder.ts';
import { CPL, CR4, MSR_TSC_AUX, RAX, RCX, RDX, SEG_SELECTOR, segmentOffset } from '../state.ts';
import { CR4_TSD } from '../system/cpu-state.ts';
import { TSC_OFFSET_EXACT } from '../system/private-state.ts';
import { push } from './branch.ts';
import { GP } from './lift-builder.ts';
import { type Lift, type Row, row, systemRow } from './row.ts';

/** MOV from a segment register: 16 bits to memory, zero-extended to a register. */
const movFromSegment: Lift = (b) => {
  const selector = i32.load16U(b.readSegmentPointer(1));
  if (b.isMemory(0)) b.write(0, selector, 2);
  else b.write(0, b.size === 8 ? i64.extendI32U(selector) : selector);
};

const pushSegment: Lift = (b) => {
  const selector: I32 = i32.load16U(b.cpu, segmentOffset(b.arg) + SEG_SELECTOR);
  // Outside 64-bit mode only the selector is written, whatever the operand size.
  push(b, b.size, b.size === 8 ? i64.extendI32U(selector) : selector, b.form.legacy ? 2 : b.size);
};

/** RDTSC: the host's nanoseconds plus an offset (system/tsc.ts); #GP(0) under CR4.TSD outside CPL 0. */
const readTsc: Lift = (b) => {
  const { f, cpu } = b;
  const isForbidden = i32.shrU(i32.load(cpu, CR4), i32.const(Math.log2(CR4_TSD)));
  f.if(i32.and(isForbidden, i32.ne(i32.load(cpu, CPL), i32.const(0))), () => b.raise(GP, i32.const(0)));
  const ticks = i64.truncSatF64S(f64.floor(call('f64', b.helpers['clock'] as Callee)));
  const tsc = b.let(i64.add(ticks, i64.load(cpu, TSC_OFFSET_EXACT)));
  b.setGpr(RAX, 8, i64.and(tsc, i64.const(0xffff_ffff)));
  b.setGpr(RDX, 8, i64.shrU(tsc, i64.const(32)));
};

/** RDTSCP: RDTSC, and IA32_TSC_AUX in ECX. */
const readTscAndAux: Lift = (b) => {
  readTsc(b);
  b.setGpr(RCX, 8, i64.load32U(b.cpu, MSR_TSC_AUX));
};

const ES = 0,
  CS = 1,
  SS = 2,
  DS = 3,
  FS = 4,
  GS = 5;
const sys = systemRow;

export const systemRows: readonly Row[] = [
  row('8C', 'mov', 'Ev,Sw', movFromSegment),
  sys('8E', 'mov', 'Sw,Ew', 'mov_sreg'),
  row('06', 'push', '', pushSegment, { no64: true, arg: ES, d64: true }),
  row('0E', 'push', '', pushSegment, { no64: true, arg: CS, d64: true }),
  row('16', 'push', '', pushSegment, { no64: true, arg: SS, d64: true }),
  row('1E', 'push', '', pushSegment, { no64: true, arg: DS, d64: true }),
  row('0F A0', 'push', '', pushSegment, { arg: FS, d64: true }),
  row('0F A8', 'push', '', pushSegment, { arg: GS, d64: true }),
  sys('07', 'pop', '', 'pop_sreg', { no64: true, arg: ES, d64: true }),
  sys('17', 'pop', '', 'pop_sreg', { no64: true, arg: SS, d64: true }),
  sys('1F', 'pop', '', 'pop_sreg', { no64: true, arg: DS, d64: true }),
  sys('0F A1', 'pop', '', 'pop_sreg', { arg: FS, d64: true }),
  sys('0F A9', 'pop', '', 'pop_sreg', { arg: GS, d64: true }),
  sys('C4', 'les', 'Gv,Mp', 'les', { no64: true }),
  sys('C5', 'lds', 'Gv,Mp', 'lds', { no64: true }),
  sys('0F B2', 'lss', 'Gv,Mp', 'lss'),
  sys('0F B4', 'lfs', 'Gv,Mp', 'lfs'),
  sys('0F B5', 'lgs', 'Gv,Mp', 'lgs'),

  sys('CC', 'int3', '', 'int3'),
  sys('CD', 'int', 'Ib', 'int'),
  sys('CE', 'into', '', 'into', { no64: true }),
  sys('F1', 'int1', '', 'int1'),
  sys('CF', 'iret', '', 'iret', { names: ['iretw', 'iret', 'iretq'] }),
  sys('0F AA', 'rsm', '', 'rsm'),
  sys('F4', 'hlt', '', 'hlt'),

  sys('0F 05', 'syscall', '', 'syscall', { only64: true }),
  sys('0F 07', 'sysret', '', 'sysret', { names: ['sysret', 'sysretd', 'sysretq'], only64: true }),
  sys('0F 34', 'sysenter', '', 'sysenter'),
  sys('0F 35', 'sysexit', '', 'sysexit', { names: ['sysexit', 'sysexitd', 'sysexitq'] }),

  sys('9A', 'call', 'Ap', 'call_far_direct', { no64: true }),
  sys('EA', 'jmp', 'Ap', 'jmp_far_direct', { no64: true }),
  sys('FF /3', 'call', 'Mp', 'call_far'),
  sys('FF /5', 'jmp', 'Mp', 'jmp_far'),
  sys('CA', 'retf', 'Iw', 'retf'),
  sys('CB', 'retf', '', 'retf'),

  sys('0F 20', 'mov', 'Ry,Cy', 'mov_from_cr', { f64: true }),
  sys('0F 22', 'mov', 'Cy,Ry', 'mov_to_cr', { f64: true }),
  sys('0F 21', 'mov', 'Ry,Dy', 'mov_from_dr', { f64: true }),
  sys('0F 23', 'mov', 'Dy,Ry', 'mov_to_dr', { f64: true }),
  sys('0F 06', 'clts', '', 'clts'),
  sys('0F 01 /6', 'lmsw', 'Ew', 'lmsw'),
  sys('0F 01 /4', 'smsw', 'Ev', 'smsw'),
  sys('0F 01 /7', 'invlpg', 'Mb', 'invlpg'),
  sys('66 0F 38 82', 'invpcid', 'Gy,Mo', 'invpcid'),
  sys('0F 09', 'wbinvd', '', 'wbinvd'),
  sys('0F 08', 'invd', '', 'invd'),
  sys('NP 0F 01 !D1', 'xsetbv', '', 'xsetbv'),
  sys('NP 0F 01 !D0', 'xgetbv', '', 'xgetbv'),

  sys('0F 01 /0', 'sgdt', 'M', 'sgdt', { f64: true }),
  sys('0F 01 /1', 'sidt', 'M', 'sidt', { f64: true }),
  sys('0F 01 /2', 'lgdt', 'M', 'lgdt', { f64: true }),
  sys('0F 01 /3', 'lidt', 'M', 'lidt', { f64: true }),
  sys('0F 00 /0', 'sldt', 'Ev', 'sldt'),
  sys('0F 00 /1', 'str', 'Ev', 'str'),
  sys('0F 00 /2', 'lldt', 'Ew', 'lldt'),
  sys('0F 00 /3', 'ltr', 'Ew', 'ltr'),
  sys('0F 00 /4', 'verr', 'Ew', 'verr'),
  sys('0F 00 /5', 'verw', 'Ew', 'verw'),
  sys('0F 02', 'lar', 'Gv,Ew', 'lar'),
  sys('0F 03', 'lsl', 'Gv,Ew', 'lsl'),
  sys('63', 'arpl', 'Ew,Gw', 'arpl', { no64: true }),

  sys('0F 32', 'rdmsr', '', 'rdmsr'),
  sys('0F 30', 'wrmsr', '', 'wrmsr'),
  sys('0F A2', 'cpuid', '', 'cpuid'),
  row('0F 31', 'rdtsc', '', readTsc),
  row('0F 01 !F9', 'rdtscp', '', readTscAndAux),
  sys('F3 0F C7 /7', 'rdpid', 'Ry', 'rdpid', { f64: true }),
  sys('0F 33', 'rdpmc', '', 'rdpmc'),
  sys('NFx 0F C7 /6', 'rdrand', 'Rv', 'rdrand'),
  sys('NFx 0F C7 /7', 'rdseed', 'Rv', 'rdseed'),

  sys('NP 0F AE /0', 'fxsave', 'Mo', 'fxsave', { names: ['fxsave', 'fxsave', 'fxsave64'] }),
  sys('NP 0F AE /1', 'fxrstor', 'Mo', 'fxrstor', { names: ['fxrstor', 'fxrstor', 'fxrstor64'] }),
  sys('NP 0F AE /2', 'ldmxcsr', 'Md', 'ldmxcsr', { unit: 'sse' }),
  sys('NP 0F AE /3', 'stmxcsr', 'Md', 'stmxcsr', { unit: 'sse' }),
  sys('NP 0F AE /4', 'xsave', 'Mo', 'xsave', { names: ['xsave', 'xsave', 'xsave64'] }),
  sys('NP 0F AE /5', 'xrstor', 'Mo', 'xrstor', { names: ['xrstor', 'xrstor', 'xrstor64'] }),
  sys('NP 0F AE /6', 'xsaveopt', 'Mo', 'xsaveopt', { names: ['xsaveopt', 'xsaveopt', 'xsaveopt64'] }),
  sys('NP 0F C7 /3', 'xrstors', 'Mo', 'xrstors', { names: ['xrstors', 'xrstors', 'xrstors64'] }),
  sys('NP 0F C7 /4', 'xsavec', 'Mo', 'xsavec', { names: ['xsavec', 'xsavec', 'xsavec64'] }),
  sys('NP 0F C7 /5', 'xsaves', 'Mo', 'xsaves', { names: ['xsaves', 'xsaves', 'xsaves64'] }),

  sys('E4', 'in', 'AL,Ib', 'in', { arg: 1 }),
  sys('E5', 'in', 'eAX,Ib', 'in'),
  sys('EC', 'in', 'AL,DX', 'in', { arg: 1 }),
  sys('ED', 'in', 'eAX,DX', 'in'),
  sys('E6', 'out', 'Ib,AL', 'out', { arg: 1 }),
  sys('E7', 'out', 'Ib,eAX', 'out'),
  sys('EE', 'out', 'DX,AL', 'out', { arg: 1 }),
  sys('EF', 'out', 'DX,eAX', 'out'),
  sys('6C', 'ins', '', 'ins', { arg: 1, rep: 'rep' }),
  sys('6D', 'ins', '', 'ins', { rep: 'rep' }),
  sys('6E', 'outs', '', 'outs', { arg: 1, rep: 'rep' }),
  sys('6F', 'outs', '', 'outs', { rep: 'rep' }),
];
