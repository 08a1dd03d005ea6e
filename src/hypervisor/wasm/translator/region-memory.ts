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
import { call, type Callee, Local } from '../emit/function-builder.ts';
import { v128 } from '../emit/simd.ts';
import type { IntegerSize } from '../insn/flags.ts';
import { STACK_ACCESS, UNALIGNED_ACCESS } from '../insn/lift-builder.ts';
import { TLB_ADDEND, TLB_READ, TLB_WRITE } from '../mmu/layout.ts';
import { PROBE_WRITE } from '../mmu/slow.ts';
import { BOUNCE, SS } from '../state.ts';
import { GuestAddress } from './guest-address.ts';
import type { NearBytes } from './near-accesses.ts';
import { type PageCache, RegionOperands } from './region-operands.ts';

/** Does the access at an offset from `host` in linear memory. */
type AtHost = (host: I32, offset: number) => void;

export abstract class RegionMemory extends RegionOperands {
  /** Addresses that are in locals. */
  readonly #addresses = new Map<Local, GuestAddress>();

  override let<T extends 'i32' | 'i64' | 'f32' | 'f64' | 'v128'>(value: Expr<T>): Local<T> {
    const local = super.let(value);
    const address = this.#addressIn(value);
    if (address !== undefined) this.#addresses.set(local, address);
    return local;
  }

  #addressIn(value: Expr): GuestAddress | undefined {
    return value instanceof GuestAddress ? value : value instanceof Local ? this.#addresses.get(value) : undefined;
  }

  override load(size: IntegerSize, va: I64): Expr {
    const value = this.f.local(size === 8 ? 'i64' : 'i32') as Local;
    this.#read(va, size, (host, offset) => this.f.set(value, this.plainLoad(size, host, offset)));
    return value;
  }

  override loadXmm(va: I64): V128 {
    const value = this.f.local('v128');
    this.#read(va, 16, (host, offset) => this.f.set(value, v128.load(host, offset)));
    return value;
  }

  hostRead(va: Local<'i64'>, bytes: number): Local<'i32'> {
    const at = this.f.local('i32');
    this.#read(va, bytes, (host, offset) => this.f.set(at, i32.add(host, i32.const(offset))));
    return at;
  }

  #read(va: I64, bytes: number, atHost: AtHost): void {
    this.#access(va, bytes, false, atHost, () => {
      const host = this.f.let(call('i32', this.helpers.slowRead, this.cpu, va, this.#accessBytes(bytes)));
      this.f.unlikely(i32.eqz(host), () => this.leaveWithFault());
      atHost(host, 0);
    });
  }

  override storeAll(va: I64, width: 1 | 2 | 4 | 8 | 16, values: readonly Expr[]): void {
    const { f } = this;
    const kept = values.map((value) => (value instanceof Local ? value : f.let(value)));
    const bytes = width * values.length;
    const storeAt: AtHost = (host, offset) => {
      const at = kept.length === 1 ? host : f.let(host);
      kept.forEach((value, n) => f.store(width, at, value, offset + n * width));
    };
    this.#access(va, bytes, true, storeAt, () => {
      storeAt(this.cpu, BOUNCE);
      const isDone = call('i32', this.helpers['regionStore'] as Callee, this.cpu, va, this.#accessBytes(bytes));
      f.unlikely(i32.eqz(isDone), () => this.leaveWithFault());
    });
  }

  hostWrite(va: Local<'i64'>, bytes: number): Local<'i32'> {
    const { f } = this;
    const at = f.local('i32');
    const setTo: AtHost = (host, offset) => f.set(at, i32.add(host, i32.const(offset)));
    this.#access(va, bytes, true, setTo, () => {
      f.set(at, call('i32', this.helpers['regionWrite'] as Callee, this.cpu, va, this.#accessBytes(bytes)));
      f.unlikely(i32.eqz(at), () => this.leaveWithFault());
    });
    return at;
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

  /** Writes the access: `atHost`, where the bytes are found here, `slow` where not. */
  #access(va: I64, bytes: number, write: boolean, atHost: AtHost, slow: () => void): void {
    const { near } = this.control;
    const address = this.#addressIn(va);
    if (address === undefined) {
      this.#translated(va, bytes, write, undefined, (host) => atHost(host, 0), slow);
      return;
    }
    const { parts, displacement } = address;
    const known = near.find(parts, displacement, bytes, write);
    if (known !== undefined) {
      this.#byKnown(known, displacement, atHost, slow);
      return;
    }
    const created = this.isUnconditional ? near.create(parts, displacement, bytes, write) : undefined;
    const all = created?.bytes ?? bytes;
    const cache =
      parts.segment < 0 ? this.control.cacheOf(parts.base, parts.index, displacement, all, write) : undefined;
    if (created === undefined) {
      this.#translated(va, bytes, write, cache, (host) => atHost(host, 0), slow);
      return;
    }
    const { f } = this;
    const first = this.addressBy(parts, created.from);
    const found = (host: I32): void => {
      f.set(created.host, host);
      atHost(created.host, displacement - created.from);
    };
    this.#translated(first, created.bytes, write, cache, found, () => {
      slow();
      const wanted = i32.const(created.bytes | (write ? PROBE_WRITE : 0));
      f.set(created.host, call('i32', this.helpers['probe'] as Callee, this.cpu, first, wanted));
    });
  }

  #byKnown(known: NearBytes, displacement: number, atHost: AtHost, slow: () => void): void {
    this.f.unlikely(i32.eqz(known.host), slow, () => atHost(known.host, displacement - known.from));
  }

  #tlbMiss(va: I64, entry: I32, bytes: number, tagOffset: number): I32 {
    const last = bytes === 1 ? va : i64.add(va, i64.const(bytes - 1));
    return i64.ne(i64.load(entry, tagOffset), i64.or(i64.and(last, i64.const(-4096)), this.locals.tlbTag));
  }

  /** `found` where the bytes lie in one page, by the TLB or a cache in front of it; else `missed`. */
  #translated(
    address: I64,
    bytes: number,
    write: boolean,
    cache: PageCache | undefined,
    found: (host: I32) => void,
    missed: () => void,
  ): void {
    const { f } = this;
    const va = address instanceof Local ? (address as Local<'i64'>) : f.let(address);
    const byTlb = (then: (addend: I32) => void): void => {
      const index = i32.and(i32.shrU(i32.wrap(va), i32.const(7)), i32.const(0x7fe0));
      const entry = f.let(i32.add(this.locals.tlbBase, index));
      f.unlikely(this.#tlbMiss(va, entry, bytes, write ? TLB_WRITE : TLB_READ), missed, () =>
        then(i32.load(entry, TLB_ADDEND)),
      );
    };
    const foundAt = (addend: I32): void => found(i32.add(i32.wrap(va), addend));
    if (cache === undefined) {
      byTlb(foundAt);
      return;
    }
    f.unlikely(
      i64.geU(i64.sub(va, cache.page), cache.places),
      () => {
        byTlb((addend) => {
          f.set(cache.page, i64.and(va, i64.const(-4096)));
          f.set(cache.places, i64.const(cache.placesOfPage));
          f.set(cache.addend, addend);
          foundAt(cache.addend);
        });
      },
      () => foundAt(cache.addend),
    );
  }

  /** Leaves before the instruction, with what is in FAULT_VECTOR. */
  abstract override leaveWithFault(): void;
}
