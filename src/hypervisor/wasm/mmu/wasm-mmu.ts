/**
 * Memory as system/ uses it, over the page walk in WebAssembly.
 *
 * @module
 */
import { CODE_SIZE, FAULT_VECTOR, STATE_BYTES } from '../state.ts';
import { Access, type AccessBytes, guestFault, type Mmu } from '../system/mmu.ts';
import { ACCESS_IMPLICIT, PF_U, PF_W, PHYSICAL } from './layout.ts';
import type { Tlb } from './tlb.ts';
import { NON_CANONICAL, type RamWindow } from './walk.ts';

export interface WasmMmuOptions {
  readonly buffer: ArrayBufferLike;
  readonly cpu: number;
  readonly ram: RamWindow;
  readonly tlb: Tlb;
  /** The core module's walk(cpu, low, high, access). */
  readonly walk: (cpu: number, low: number, high: number, access: number) => number;
  /** The core module's codeWrite(cpu, host, bytes). */
  readonly codeWrite: (cpu: number, host: number, bytes: number) => void;
  readonly mmioRead: (address: number, bytes: 1 | 2 | 4) => number;
  readonly mmioWrite: (address: number, bytes: 1 | 2 | 4, value: number) => void;
}

const RIGHTS: Record<Access, number> = {
  [Access.User]: PF_U,
  [Access.Supervisor]: 0,
  [Access.System]: ACCESS_IMPLICIT,
};

export class WasmMmu implements Mmu {
  readonly #o: WasmMmuOptions;
  readonly #view: DataView;
  readonly #words: Uint32Array;
  readonly words: Uint32Array;
  high = 0;

  constructor(options: WasmMmuOptions) {
    this.#o = options;
    this.#view = new DataView(options.buffer);
    this.words = new Uint32Array(options.buffer);
    this.#words = new Uint32Array(options.buffer, options.cpu, STATE_BYTES / 4);
  }

  /** Physical address of a linear one; throws `guestFault`. */
  #translate(lo: number, hi: number, access: number): number {
    if (this.#o.walk(this.#o.cpu, lo, hi, access) === 0) {
      if (this.#words[FAULT_VECTOR >> 2] === NON_CANONICAL) this.#words[FAULT_VECTOR >> 2] = 13;
      throw guestFault;
    }
    return (this.#words[(PHYSICAL + 4) >> 2] as number) * 0x1_0000_0000 + (this.#words[PHYSICAL >> 2] as number);
  }

  /** Physical address of the byte `offset` further on. */
  #translateAt(lo: number, hi: number, offset: number, access: number): number {
    const low = (lo >>> 0) + offset;
    const carry = low > 0xffff_ffff && this.#words[CODE_SIZE >> 2] === 64 ? 1 : 0;
    return this.#translate(low >>> 0, (hi + carry) | 0, access);
  }

  #host(physical: number, bytes: number): number {
    const { ram } = this.#o;
    return physical + bytes <= ram.bytes ? ram.offset + physical : -1;
  }

  read(lo: number, hi: number, bytes: AccessBytes, access: Access): number {
    const rights = RIGHTS[access];
    const physical = this.#translate(lo, hi, rights);
    if ((lo & 0xfff) + bytes <= 4096) {
      const host = this.#host(physical, bytes);
      if (host >= 0) {
        const view = this.#view;
        switch (bytes) {
          case 1:
            return view.getUint8(host);
          case 2:
            return view.getUint16(host, true);
          case 4:
            return view.getUint32(host, true);
          case 8:
            this.high = view.getUint32(host + 4, true);
            return view.getUint32(host, true);
        }
      }
      if (bytes === 8) {
        const low = this.#o.mmioRead(physical, 4);
        this.high = this.#o.mmioRead(physical + 4, 4) >>> 0;
        return low >>> 0;
      }
      return this.#o.mmioRead(physical, bytes) >>> 0;
    }
    const first = 4096 - (lo & 0xfff);
    const second = this.#translateAt(lo, hi, first, rights);
    let low = 0;
    let high = 0;
    for (let i = 0; i < bytes; i++) {
      const byte = this.#readByte(i < first ? physical + i : second + i - first);
      if (i < 4) low |= byte << (8 * i);
      else high |= byte << (8 * (i - 4));
    }
    this.high = high >>> 0;
    return low >>> 0;
  }

  #readByte(physical: number): number {
    const host = this.#host(physical, 1);
    return host >= 0 ? this.#view.getUint8(host) : this.#o.mmioRead(physical, 1) & 0xff;
  }

  write(lo: number, hi: number, bytes: AccessBytes, access: Access, valueLo: number, valueHi: number): void {
    const rights = RIGHTS[access] | PF_W;
    const physical = this.#translate(lo, hi, rights);
    if ((lo & 0xfff) + bytes <= 4096) {
      const host = this.#host(physical, bytes);
      if (host >= 0) {
        this.#o.codeWrite(this.#o.cpu, host, bytes);
        const view = this.#view;
        if (bytes === 1) view.setUint8(host, valueLo);
        else if (bytes === 2) view.setUint16(host, valueLo, true);
        else view.setUint32(host, valueLo, true);
        if (bytes === 8) view.setUint32(host + 4, valueHi, true);
        return;
      }
      if (bytes === 8) {
        this.#o.mmioWrite(physical, 4, valueLo >>> 0);
        this.#o.mmioWrite(physical + 4, 4, valueHi >>> 0);
      } else this.#o.mmioWrite(physical, bytes, bytes === 4 ? valueLo >>> 0 : valueLo & (bytes === 2 ? 0xffff : 0xff));
      return;
    }
    const first = 4096 - (lo & 0xfff);
    const second = this.#translateAt(lo, hi, first, rights);
    for (let i = 0; i < bytes; i++) {
      const byte = ((i < 4 ? valueLo >>> (8 * i) : valueHi >>> (8 * (i - 4))) & 0xff) >>> 0;
      const at = i < first ? physical + i : second + i - first;
      const host = this.#host(at, 1);
      if (host >= 0) {
        this.#o.codeWrite(this.#o.cpu, host, 1);
        this.#view.setUint8(host, byte);
      } else this.#o.mmioWrite(at, 1, byte);
    }
  }

  probe(lo: number, hi: number, bytes: number, access: Access, write: boolean): void {
    const rights = RIGHTS[access] | (write ? PF_W : 0);
    this.#translate(lo, hi, rights);
    // A fault on the second page is reported at its first byte.
    if ((lo & 0xfff) + bytes > 4096) this.#translateAt(lo, hi, 4096 - (lo & 0xfff), rights);
  }

  window(lo: number, hi: number, bytes: number, access: Access, write: boolean): number {
    if ((lo & 0xfff) + bytes > 4096) return -1;
    const host = this.#host(this.#translate(lo, hi, RIGHTS[access] | (write ? PF_W : 0)), bytes);
    if (host < 0) return -1;
    if (write) this.#o.codeWrite(this.#o.cpu, host, bytes);
    return host >>> 2;
  }

  readPhysical(address: number): bigint {
    const host = this.#host(address, 8);
    return host >= 0 ? this.#view.getBigUint64(host, true) : 0xffff_ffff_ffff_ffffn;
  }

  flushAll(): void {
    this.#o.tlb.flushAll();
  }

  flushAddressSpace(pcid: number): void {
    this.#o.tlb.flushAddressSpace(pcid);
  }

  flushNonGlobal(): void {
    this.#o.tlb.flushNonGlobal();
  }

  invalidatePage(lo: number, hi: number): void {
    this.#o.tlb.invalidatePage(lo, hi);
  }

  invalidatePageIn(pcid: number, lo: number, hi: number): void {
    this.#o.tlb.invalidatePageIn(pcid, lo, hi);
  }

  modeChanged(): void {
    this.#o.tlb.modeChanged();
  }
}
