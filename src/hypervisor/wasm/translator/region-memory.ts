/**
 * Memory accesses of translated code: through what is known of the page (near-accesses.ts), the page that the base register was last in
 * (page-caches.ts), or the TLB. Where none of these has the page, helpers do the access.
 *
 * What a helper cannot do so that the region can go on, a store into translated code above all, it leaves to the interpreter: the region is
 * left before the instruction. So nothing that has been stored is asked about afterwards.
 *
 * @module
 */
import { type Expr, type I32, i32, i64, type I64, type V128 } from '../emit/expr.ts';
import { call, type Callee, type Label, Local } from '../emit/function-builder.ts';
import { v128 } from '../emit/simd.ts';
import type { IntegerSize } from '../insn/flags.ts';
import { STACK_ACCESS, UNALIGNED_ACCESS } from '../insn/lift-builder.ts';
import { TLB_ADDEND, TLB_READ, TLB_WRITE } from '../mmu/layout.ts';
import { PROBE_WRITE } from '../mmu/slow.ts';
import { BOUNCE, SS } from '../state.ts';
import { GuestAddress } from './guest-address.ts';
import type { NearBytes } from './near-accesses.ts';
import type { RegionInsn } from './region-insn.ts';
import { type PageCache, type RegionContext, RegionOperands } from './region-operands.ts';

/** An access, and what becomes of it where the bytes have been found. */
type Access =
  /** `value` is set to the integer there, or the vector. */
  | { readonly kind: 'load'; readonly bytes: number; readonly write: false; readonly value: Local }
  /** `value` is set to where they are in linear memory. */
  | { readonly kind: 'locate'; readonly bytes: number; readonly write: boolean; readonly value: Local<'i32'> }
  /** Values of `width` bytes are stored, one behind the other. */
  | {
      readonly kind: 'store';
      readonly bytes: number;
      readonly write: true;
      readonly values: readonly Local[];
      readonly width: 1 | 2 | 4 | 8 | 16;
    };

/** Where the bytes of an access are, once those that it was looked up with have been found. */
interface Found {
  /** What is known from then on. */
  readonly near: NearBytes;
  readonly offset: number;
}

export abstract class RegionMemory extends RegionOperands {
  /** The block that the instruction is in. */
  readonly block: number;
  readonly #context: RegionContext;
  /** Addresses that are in locals; few instructions have such. */
  #addresses: Map<Local, GuestAddress> | undefined;
  /** The value loaded last. */
  #loaded: Local | undefined;

  protected constructor(context: RegionContext, insn: RegionInsn, block: number, end: Label | undefined) {
    super(context, insn, end);
    this.#context = context;
    this.block = block;
  }

  override let<T extends 'i32' | 'i64' | 'f32' | 'f64' | 'v128'>(value: Expr<T>): Local<T> {
    // What a load or an address has been put into is never written again.
    if (value instanceof Local && (value === this.#loaded || this.#addresses?.has(value) === true)) {
      return value as Local as Local<T>;
    }
    const local = super.let(value);
    if (value instanceof GuestAddress) (this.#addresses ??= new Map()).set(local, value);
    return local;
  }

  #addressIn(value: Expr): GuestAddress | undefined {
    if (value instanceof GuestAddress) return value;
    return this.#addresses !== undefined && value instanceof Local ? this.#addresses.get(value) : undefined;
  }

  override load(size: IntegerSize, va: I64): Expr {
    const value = this.f.local(size === 8 ? 'i64' : 'i32') as Local;
    this.#access(va, { kind: 'load', bytes: size, write: false, value });
    this.#loaded = value;
    return value;
  }

  override loadXmm(va: I64): V128 {
    const value = this.f.local('v128');
    this.#access(va, { kind: 'load', bytes: 16, write: false, value });
    return value;
  }

  hostRead(va: Local<'i64'>, bytes: number): Local<'i32'> {
    return this.#locate(va, bytes, false);
  }

  hostWrite(va: Local<'i64'>, bytes: number): Local<'i32'> {
    return this.#locate(va, bytes, true);
  }

  #locate(va: Local<'i64'>, bytes: number, write: boolean): Local<'i32'> {
    const value = this.f.local('i32');
    this.#access(va, { kind: 'locate', bytes, write, value });
    return value;
  }

  override storeAll(va: I64, width: 1 | 2 | 4 | 8 | 16, values: readonly Expr[]): void {
    const kept = values.map((value) => (value instanceof Local ? value : this.f.let(value)));
    this.#access(va, { kind: 'store', bytes: width * values.length, write: true, values: kept, width });
  }

  /** Does an access at an offset from `host` in linear memory. */
  #atHost(access: Access, host: I32, offset: number): void {
    const { f } = this;
    switch (access.kind) {
      case 'load': {
        const { bytes, value } = access;
        f.set(value, bytes === 16 ? v128.load(host, offset) : this.plainLoad(bytes as IntegerSize, host, offset));
        break;
      }
      case 'locate':
        f.set(access.value, offset === 0 ? host : i32.add(host, i32.const(offset)));
        break;
      case 'store': {
        const { values, width } = access;
        const at = values.length === 1 ? host : f.let(host);
        let to = offset;
        for (const value of values) {
          f.store(width, at, value, to);
          to += width;
        }
      }
    }
  }

  /** Has an access done by a helper, or its bytes found; leaves where that faults. */
  #slowly(access: Access, va: I64): void {
    const { f } = this;
    const { slowRead, regionWrite, regionStore } = this.helpers;
    const bytes = this.#accessBytes(access.bytes);
    if (access.kind === 'store') {
      this.#atHost(access, this.cpu, BOUNCE);
      this.#leaveUnless(call('i32', regionStore as Callee, this.cpu, va, bytes));
    } else if (access.write) {
      f.set(access.value, call('i32', regionWrite as Callee, this.cpu, va, bytes));
      this.#leaveUnless(access.value);
    } else {
      const host = f.let(call('i32', slowRead, this.cpu, va, bytes));
      this.#leaveUnless(host);
      this.#atHost(access, host, 0);
    }
  }

  /** A helper has said in FAULT_VECTOR why it has not. */
  #leaveUnless(isDone: I32): void {
    this.f.beginUnlikely(i32.eqz(isDone));
    this.leaveWithFault();
    this.f.endBlock();
  }

  /** Writes are in place. */
  finishWrite(): void {}

  isOrdinary(): I32 {
    throw new Error('string instructions are called, not translated');
  }

  checkCodeWrite(): void {
    throw new Error('string instructions are called, not translated');
  }

  #accessBytes(bytes: number): I32 {
    const stack = this.stack || (this.insn.decoded.hasMemory && this.insn.decoded.segment === SS);
    return i32.const(bytes | (stack ? STACK_ACCESS : 0) | (this.unaligned ? UNALIGNED_ACCESS : 0));
  }

  #access(va: I64, access: Access): void {
    const { near } = this.#context;
    const { bytes, write } = access;
    const address = this.#addressIn(va);
    if (address === undefined) {
      this.#translated(va, bytes, access, undefined, undefined, undefined);
      return;
    }
    const value = va instanceof Local ? va : address.value;
    const { parts, displacement } = address;
    const known = near.find(parts, displacement, bytes, write);
    if (known !== undefined) {
      this.#byKnown(known, displacement, access, value);
      return;
    }
    const created = this.isUnconditional ? near.create(parts, displacement, bytes, write) : undefined;
    const all = created?.bytes ?? bytes;
    const cache =
      parts.segment < 0
        ? this.#context.pageCaches.of(this.block, this.insn, parts.base, parts.index, displacement, all, write)
        : undefined;
    if (created === undefined) {
      this.#translated(value, bytes, access, undefined, undefined, cache);
      return;
    }
    const first = this.addressBy(parts, created.from).value;
    const offset = displacement - created.from;
    this.#translated(first, all, access, offset === 0 ? undefined : value, { near: created, offset }, cache);
  }

  #byKnown(known: NearBytes, displacement: number, access: Access, va: I64): void {
    const { f } = this;
    f.beginUnlikely(i32.eqz(known.host));
    this.#slowly(access, va);
    f.else();
    this.#atHost(access, known.host, displacement - known.from);
    f.endBlock();
  }

  #tlbMiss(va: I64, entry: I32, bytes: number, tagOffset: number): I32 {
    const last = bytes === 1 ? va : i64.add(va, i64.const(bytes - 1));
    return i64.ne(i64.load(entry, tagOffset), i64.or(i64.and(last, i64.const(-4096)), this.locals.tlbTag));
  }

  /** Looks up `bytes` bytes from `first` on, in one page, by a cache in front of the TLB or the TLB, and does the access, which is at `va` where not there. */
  #translated(
    first: I64,
    bytes: number,
    access: Access,
    va: I64 | undefined,
    found: Found | undefined,
    cache: PageCache | undefined,
  ): void {
    const { f } = this;
    const from = first instanceof Local ? (first as Local<'i64'>) : f.let(first);
    if (cache === undefined) {
      this.#byTlb(from, bytes, access, va, found, undefined);
      return;
    }
    f.beginUnlikely(i64.geU(i64.sub(from, cache.page), cache.places));
    this.#byTlb(from, bytes, access, va, found, cache);
    f.else();
    this.#foundAt(from, cache.addend, access, found);
    f.endBlock();
  }

  #byTlb(
    from: Local<'i64'>,
    bytes: number,
    access: Access,
    va: I64 | undefined,
    found: Found | undefined,
    cache: PageCache | undefined,
  ): void {
    const { f } = this;
    const index = i32.and(i32.shrU(i32.wrap(from), i32.const(7)), i32.const(0x7fe0));
    const entry = f.let(i32.add(this.locals.tlbBase, index));
    f.beginUnlikely(this.#tlbMiss(from, entry, bytes, access.write ? TLB_WRITE : TLB_READ));
    this.#slowly(access, va ?? from);
    if (found !== undefined) {
      const wanted = i32.const(bytes | (access.write ? PROBE_WRITE : 0));
      f.set(found.near.host, call('i32', this.helpers['probe'] as Callee, this.cpu, from, wanted));
    }
    f.else();
    const addend = i32.load(entry, TLB_ADDEND);
    if (cache === undefined) this.#foundAt(from, addend, access, found);
    else {
      f.set(cache.page, i64.and(from, i64.const(-4096)));
      f.set(cache.places, i64.const(cache.placesOfPage));
      f.set(cache.addend, addend);
      this.#foundAt(from, cache.addend, access, found);
    }
    f.endBlock();
  }

  #foundAt(from: Local<'i64'>, addend: I32, access: Access, found: Found | undefined): void {
    const host = i32.add(i32.wrap(from), addend);
    if (found === undefined) {
      this.#atHost(access, host, 0);
      return;
    }
    this.f.set(found.near.host, host);
    this.#atHost(access, found.near.host, found.offset);
  }

  /** Leaves before the instruction, with what is in FAULT_VECTOR. */
  abstract override leaveWithFault(): void;
}
