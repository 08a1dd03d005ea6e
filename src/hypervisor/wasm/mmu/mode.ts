/**
 * Which TLB array, which tags and which decoded code belong to the execution mode, as a WebAssembly function. The tag numbers
 * themselves are tlb.ts's business: whatever changes CR3 or flushes goes through there, the rest comes straight here.
 *
 * @module
 */
import { i32, type I32 } from '../emit/expr.ts';
import { type FunctionBuilder, type Local } from '../emit/function-builder.ts';
import { CODE_SIZE, CPL, CR0, CR4, EFLAGS_SYSTEM, FETCH_TAG, TLB_BASE, TLB_TAG, XCR0 } from '../state.ts';
import {
  CODE_MODE,
  FETCH_GENERATION,
  MODE_AVX,
  MODE_FORCED,
  MODE_SINGLE,
  MODE_VEX,
  MODE_WATCHING,
  TAG_SUPERVISOR,
  TAG_USER,
  TLB,
  TLB_ARRAY_BYTES,
  TLB_INDEX,
  TLB_NEVER,
  TLB_SUPERVISOR,
  TLB_SUPERVISOR_AC,
  TLB_USER,
} from './layout.ts';

const CR0_PE = 1 << 0,
  CR0_AM = 1 << 18,
  CR4_SMAP = 1 << 21,
  CR4_OSFXSR = 1 << 9,
  CR4_OSXSAVE = 1 << 18;
/** XCR0 must enable both, for AVX. */
const XCR0_SSE_AVX = 6;
const EFLAGS_TF = 1 << 8,
  EFLAGS_VM = 1 << 17,
  EFLAGS_AC = 1 << 18;

/**
 * Builds `selectMode(cpu)`: TLB_INDEX, TLB_BASE, TLB_TAG, CODE_MODE and FETCH_TAG from CPL, RFLAGS, CR0, CR4, the code size and
 * the current tags.
 */
export function buildSelectMode(f: FunctionBuilder): void {
  const cpu = f.param('i32', 0);
  const flags = f.let(i32.load(cpu, EFLAGS_SYSTEM));
  const forced = f.let(i32.load(cpu, MODE_FORCED));
  const cr0 = f.let(i32.load(cpu, CR0));
  const cr4 = f.let(i32.load(cpu, CR4));
  const userTag = f.let(i32.load(cpu, TAG_USER));
  const tag = f.let(userTag);
  const index = f.local('i32');
  const fetchTag = f.local('i32');
  const codeSize = f.let(i32.load(cpu, CODE_SIZE));
  const set = (local: Local<'i32'>, value: number): void => f.set(local, i32.const(value));
  const alignment = i32.and(flags, i32.const(EFLAGS_AC));
  const both = (bits: I32, bit: number): I32 =>
    i32.and(i32.ne(alignment, i32.const(0)), i32.shrU(bits, i32.const(bit)));
  f.if(
    i32.eq(i32.load(cpu, CPL), i32.const(3)),
    () => {
      set(index, TLB_USER);
      f.if(both(cr0, Math.log2(CR0_AM)), () => set(index, TLB_NEVER));
      f.set(fetchTag, i32.or(userTag, i32.const(0x1000)));
    },
    () => {
      set(index, TLB_SUPERVISOR);
      f.set(tag, i32.load(cpu, TAG_SUPERVISOR));
      f.set(fetchTag, tag);
      f.if(both(cr4, Math.log2(CR4_SMAP)), () => {
        set(index, TLB_SUPERVISOR_AC);
        f.set(tag, userTag);
      });
    },
  );
  f.if(i32.and(forced, i32.const(MODE_WATCHING)), () => {
    set(index, TLB_NEVER);
    f.set(tag, userTag);
  });
  f.store(4, cpu, index, TLB_INDEX);
  f.store(4, cpu, i32.add(i32.add(cpu, i32.const(TLB)), i32.mul(index, i32.const(TLB_ARRAY_BYTES))), TLB_BASE);
  f.store(4, cpu, tag, TLB_TAG);
  // 16, 32 and 64 bits are 0, 1 and 2. CR0.MP, EM and TS are bits 1 to 3.
  const mode = f.let(i32.shrU(codeSize, i32.const(5)));
  f.set(mode, i32.or(mode, i32.shl(i32.and(cr0, i32.const(0xe)), i32.const(1))));
  f.set(mode, i32.or(mode, i32.shrU(i32.and(cr4, i32.const(CR4_OSFXSR)), i32.const(Math.log2(CR4_OSFXSR) - 5))));
  f.set(mode, i32.or(mode, i32.and(forced, i32.const(MODE_SINGLE))));
  f.if(i32.and(flags, i32.const(EFLAGS_TF)), () => f.set(mode, i32.or(mode, i32.const(MODE_SINGLE))));
  const isVirtual = i32.and(flags, i32.const(EFLAGS_VM));
  f.if(i32.and(i32.and(cr0, i32.const(CR0_PE)), i32.eqz(isVirtual)), () => {
    f.set(mode, i32.or(mode, i32.const(MODE_VEX)));
    const enabled = i32.eq(i32.and(i32.load(cpu, XCR0), i32.const(XCR0_SSE_AVX)), i32.const(XCR0_SSE_AVX));
    const managed = i32.ne(i32.and(cr4, i32.const(CR4_OSXSAVE)), i32.const(0));
    f.if(i32.and(enabled, managed), () => f.set(mode, i32.or(mode, i32.const(MODE_AVX))));
  });
  f.store(4, cpu, mode, CODE_MODE);
  const generation = i32.shl(i32.load(cpu, FETCH_GENERATION), i32.const(22));
  f.store(4, cpu, i32.or(i32.or(fetchTag, i32.shl(mode, i32.const(13))), generation), FETCH_TAG);
}
