/**
 * Decoded basic blocks of one vCPU: found by physical address and execution mode, decoded on a miss, dropped when their
 * bytes are written.
 *
 * A block lies within one page, but for blocks of a single instruction that crosses into the next page: those are never
 * linked to, so that they are always found through the jump cache, whose entries live no longer than the translations
 * they were made under.
 *
 * @module
 */
import type { CodeSize, Decoded, Decoder } from '../decode/decoder.ts';
import {
  ARENA,
  ARENA_BYTES,
  BLOCK_CACHE,
  BLOCK_CACHE_ENTRIES,
  EXIT_COUNTS,
  EXIT_COUNTS_ENTRIES,
  CODE_MODE,
  MODE_SINGLE,
  TLB,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_PAGE,
  TLB_WRITE,
} from '../mmu/layout.ts';
import type { RamWindow } from '../mmu/walk.ts';
import {
  CODE_GENERATION,
  CODE_SIZE,
  CS,
  FAULT_ERROR,
  FAULT_VECTOR,
  FS,
  RIP,
  SEG_BASE,
  SEG_LIMIT,
  segmentOffset,
  STATE_BYTES,
} from '../state.ts';
import type { Row } from '../insn/row.ts';
import { Assembler } from './assembler.ts';
import { canIndex, contextOf, memorySize, operandShape } from './forms.ts';
import { transferOf } from './fast-system.ts';
import type { Handlers } from './handlers.ts';
import { KnownBlocks } from './known-blocks.ts';
import { unavailable } from './unavailable.ts';
import {
  AUX_NO_LINK,
  HANDLER_EXIT,
  HANDLER_GOTO,
  HANDLER_IRET,
  HANDLER_LEAVE,
  HANDLER_SYSCALL,
  HANDLER_SYSRET,
  HANDLER_SYSTEM,
  RECORD_BYTES,
  R_AUX,
  R_HANDLER,
} from './record.ts';

/** Longest block in instructions; the count in a record is a byte. */
export const MAX_INSTRUCTIONS = 64;
/** Room one block may need: two records an instruction, and its end. */
const BLOCK_RESERVE = (MAX_INSTRUCTIONS * 2 + 2) * RECORD_BYTES;

/** Room that the records of one region may need. */
const REGION_RESERVE = 0x10000;

/** Words of the state record. */
const CS_LIMIT = (segmentOffset(CS) + SEG_LIMIT) >> 2,
  CS_BASE = (segmentOffset(CS) + SEG_BASE) >> 2;

const UD = 6,
  GP = 13;

interface Block {
  readonly host: number;
  readonly mode: number;
  readonly at: number;
  readonly end: number;
  /** Number of the translated region that the block starts, or -1. */
  region: number;
  /** Nothing of it can be translated. */
  isPlain: boolean;
}

/** Bytes of code within one page, as offsets in linear memory. */
export interface CodeExtent {
  readonly from: number;
  readonly to: number;
}

export interface BlockCacheOptions {
  readonly memory: WebAssembly.Memory;
  /** Offset of the vCPU's private area. */
  readonly cpu: number;
  readonly ram: RamWindow;
  readonly codeMap: number;
  readonly decoder: Decoder;
  readonly handlers: Handlers;
  /** The core module's fetch(cpu, low, high). */
  readonly fetch: (cpu: number, low: number, high: number) => number;
  /** Registers a system instruction as decoded now; returns its index. */
  readonly system: (row: Row) => number;
  /** All blocks are gone: forget system indices. `invalidated` follows. */
  readonly flushed: () => void;
  /** Blocks are gone: make every jump-cache entry invalid. */
  readonly invalidated: () => void;
  /** A translated region is gone. */
  readonly regionDropped: (index: number) => void;
}

export class BlockCache {
  readonly #options: BlockCacheOptions;
  readonly #assembler: Assembler;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  /** The CPU's state record. */
  readonly #state: Uint32Array;
  readonly #codeMap: Int32Array;
  /** Blocks by mode, then by the offset in linear memory of their first byte. */
  readonly #blocks: (Map<number, Block> | undefined)[] = [];
  readonly #pages = new Map<number, Block[]>();
  readonly #known: KnownBlocks;
  readonly #crossing = new Uint8Array(32);
  readonly #arenaEnd: number;
  #accessBytes = 1;
  #accessWrite = false;
  /** Instructions decoded, for statistics. */
  decoded = 0;
  lookups = 0;
  flushes = 0;

  constructor(options: BlockCacheOptions) {
    this.#options = options;
    const { buffer } = options.memory;
    this.#assembler = new Assembler(buffer, options.cpu);
    this.#assembler.at = options.cpu + ARENA;
    this.#arenaEnd = options.cpu + ARENA + ARENA_BYTES - BLOCK_RESERVE;
    this.#known = new KnownBlocks(buffer, options.cpu);
    this.#view = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#state = new Uint32Array(buffer, options.cpu, STATE_BYTES / 4);
    this.#codeMap = new Int32Array(buffer, options.codeMap, Math.ceil(options.ram.bytes / 4096));
  }

  /** The block at RIP as an offset in linear memory; 0 when fetching it faults (FAULT_VECTOR is set). */
  lookup(): number {
    this.lookups++;
    const { cpu, fetch } = this.#options;
    const state = this.#state;
    const codeSize = state[CODE_SIZE >> 2] as number as CodeSize;
    // As two halves: a number of 64 bits would be an object for each block of a boot.
    let low = state[RIP >> 2] as number;
    let high = state[(RIP >> 2) + 1] as number;
    if (codeSize !== 64) {
      if (high !== 0 || low > (state[CS_LIMIT] as number)) return this.#fault(GP, 0);
      low = (low + (state[CS_BASE] as number)) >>> 0;
      high = 0;
    }
    const host = fetch(cpu, low, high) >>> 0;
    if (host === 0) return 0;
    // Code outside RAM: nothing of ours executes from device memory.
    if (host === 1) return this.#fault(UD, -1);
    const mode = state[CODE_MODE >> 2] as number;
    let blocks = this.#blocks[mode];
    if (blocks === undefined) {
      blocks = new Map();
      this.#blocks[mode] = blocks;
    }
    // As a signed number, so that the map's keys stay small integers.
    const key = host | 0;
    const known = blocks.get(key);
    if (known !== undefined) {
      this.#remember(host, mode, known.at);
      return known.at;
    }
    const full = this.#assembler.at > this.#arenaEnd;
    if (full) this.flush();
    const made = this.#decode(host, low, high, codeSize, mode, blocks);
    // The branch that brought us here is gone with the rest: it must not be linked.
    if (full && made !== 0) this.#noLink(made);
    return made;
  }

  #fault(vector: number, error: number): 0 {
    const { cpu } = this.#options;
    this.#view.setInt32(cpu + FAULT_VECTOR, vector, true);
    this.#view.setInt32(cpu + FAULT_ERROR, error, true);
    return 0;
  }

  /** Decodes the block at an offset in linear memory, whose linear address is given in two halves. */
  #decode(
    host: number,
    low: number,
    high: number,
    codeSize: CodeSize,
    mode: number,
    blocks: Map<number, Block>,
  ): number {
    const { decoder, handlers, ram } = this.#options;
    const assembler = this.#assembler;
    const start = assembler.at;
    const pageHost = host - ((host - ram.offset) & 0xfff);
    const pageEnd = pageHost + 4096;
    const single = (mode & MODE_SINGLE) !== 0;
    let at = host;
    let count = 0;
    let secondPage = -1;
    /** Handler of the instruction before, when that has one. */
    let previous = -1;
    for (;;) {
      const offset = at - pageHost;
      if (count === (single ? 1 : MAX_INSTRUCTIONS) || at >= pageEnd) {
        if (single) assembler.plain(HANDLER_LEAVE, offset, count + 1);
        else assembler.goto(offset, offset, count);
        break;
      }
      let decoded = decoder.decode(this.#bytes, at, pageEnd, codeSize);
      if (decoded === 'truncated') {
        if (count > 0) {
          assembler.goto(offset, offset, count);
          break;
        }
        const second = this.#fetchSecond(low, high, at, pageEnd, codeSize);
        if (second === 0) {
          assembler.at = start;
          return 0;
        }
        secondPage = second;
        decoded = decoder.decode(this.#crossing, 0, 30, codeSize);
      }
      if (typeof decoded === 'string') {
        assembler.raise(offset, count + 1, decoded === 'too-long' ? GP : UD, decoded === 'too-long' ? 0 : -1);
        // The bytes looked at decide: mark them as code.
        at = Math.min(at + 15, pageEnd);
        break;
      }
      this.decoded++;
      count++;
      const { row, length } = decoded;
      const vector = unavailable(row, mode);
      if (vector >= 0) {
        assembler.raise(offset, count, vector, -1);
        at += length;
        break;
      }
      if (row.lift === undefined) {
        assembler.system(systemHandler(decoded, codeSize), offset, count, length, this.#options.system(row));
      } else {
        const legacy = codeSize !== 64;
        // An index or a segment base, but not both, is the handler's own business; the rest takes an address micro-operation.
        const based = decoded.segment >= FS && !decoded.encoding.isLea;
        const indexed =
          decoded.hasMemory &&
          !legacy &&
          decoded.addressSize === 8 &&
          decoded.index >= 0 !== based &&
          row.ignoresMemory !== true &&
          canIndex(decoded.encoding);
        const handler = handlers.find(decoded.encoding, row.lift, {
          operandSize: decoded.operandSize,
          memory: decoded.hasMemory,
          indexed,
          lock: decoded.lock,
          legacy,
          addressSize: decoded.addressSize,
          rep: row.rep === undefined ? 0 : decoded.rep,
        });
        if (legacy && decoded.hasMemory) this.#measureAccess();
        assembler.instruction(decoded, handler, offset, count, this.#accessBytes, this.#accessWrite, legacy, indexed);
        if (row.fusedJump === true && !legacy && previous >= 0) {
          const fused = handlers.fused(previous, row.arg ?? 0);
          if (fused !== undefined) assembler.fuse(fused);
        }
        previous = handler;
      }
      at += length;
      if (row.ends === true || secondPage >= 0) {
        const next = at - pageHost;
        if (single) assembler.plain(HANDLER_LEAVE, next, count + 1);
        else assembler.goto(next & 0xffff, next, count);
        break;
      }
    }
    if (secondPage >= 0) this.#noLink(start);
    handlers.compile();
    const block: Block = { host, mode, at: start, end: assembler.at, region: -1, isPlain: secondPage >= 0 };
    this.#known.add(host, mode);
    // A block across two pages is found again only under the translations it was made with: by the jump cache.
    if (secondPage < 0) {
      blocks.set(host | 0, block);
      this.#remember(host, mode, start);
    }
    this.#mark(pageHost, host, Math.min(at, pageEnd), block);
    if (secondPage >= 0) this.#mark(secondPage, secondPage, secondPage + (at - pageEnd), block);

    return start;
  }

  #slot(host: number, mode: number): number {
    return this.#options.cpu + BLOCK_CACHE + ((host ^ (host >>> 15) ^ mode) & (BLOCK_CACHE_ENTRIES - 1)) * 16;
  }

  /** Puts a block where the main loop finds it by itself. */
  #remember(host: number, mode: number, at: number): void {
    const slot = this.#slot(host, mode);
    this.#view.setUint32(slot, host, true);
    this.#view.setInt32(slot + 4, mode, true);
    this.#view.setUint32(slot + 8, at, true);
  }

  #forget(host: number, mode: number): void {
    const slot = this.#slot(host, mode);
    if (this.#view.getUint32(slot, true) === host) this.#view.setUint32(slot, 0, true);
  }

  #noLink(at: number): void {
    this.#view.setUint16(at + R_AUX, this.#view.getUint16(at + R_AUX, true) | AUX_NO_LINK, true);
  }

  /** Bytes and direction of the memory operand of the instruction just decoded, for limit checks in 16- and 32-bit code. */
  #measureAccess(): void {
    const d = this.#options.decoder.result;
    const { encoding } = d;
    const index = encoding.operands.findIndex((o) => operandShape(o, d.hasMemory) === 'm');
    const size = index < 0 ? 1 : memorySize(encoding, index, d.operandSize);
    // BOUND reads a pair.
    this.#accessBytes = d.row.name === 'bound' ? size * 2 : size;
    this.#accessWrite = index === 0 && !READ_ONLY.has(d.row.name);
  }

  /** Puts the bytes of an instruction that starts at `at` and its continuation in the next page side by side. */
  #fetchSecond(low: number, high: number, at: number, pageEnd: number, codeSize: CodeSize): number {
    const { cpu, fetch } = this.#options;
    const head = pageEnd - at;
    const state = this.#state;
    if (codeSize !== 64 && (state[RIP >> 2] as number) + head > (state[CS_LIMIT] as number)) return this.#fault(GP, 0);
    const carry = low + head > 0xffff_ffff ? 1 : 0;
    const host = fetch(cpu, (low + head) >>> 0, codeSize === 64 ? (high + carry) >>> 0 : 0) >>> 0;
    if (host === 0) return 0;
    this.#crossing.fill(0);
    this.#crossing.set(this.#bytes.subarray(at, pageEnd));
    if (host > 1) this.#crossing.set(this.#bytes.subarray(host, host + 15), head);
    return host;
  }

  /** The execution mode that blocks are looked up in. */
  get mode(): number {
    return this.#view.getInt32(this.#options.cpu + CODE_MODE, true);
  }

  /** A region's records are not counted when there is room for one more block. */
  get hasRoomForRegion(): boolean {
    return this.#assembler.at <= this.#arenaEnd - REGION_RESERVE;
  }

  /** True for a known block that has no region yet and may get one. */
  canTranslate(host: number, mode: number): boolean {
    if (!this.hasRoomForRegion) return false;
    const block = this.#blocks[mode]?.get(host | 0);
    return block !== undefined && block.region < 0 && !block.isPlain;
  }

  /** Number of the region that starts there, or -1. */
  regionAt(host: number, mode: number): number {
    return this.#blocks[mode]?.get(host | 0)?.region ?? -1;
  }

  refuseTranslation(host: number, mode: number): void {
    const block = this.#blocks[mode]?.get(host | 0);
    if (block !== undefined) block.isPlain = true;
  }

  /**
   * Puts a call of a region in front of a block: a copy of the block with the call before it, for the region may refuse; the old
   * one leads there.
   */
  installRegion(host: number, mode: number, index: number, extents: readonly CodeExtent[]): void {
    const assembler = this.#assembler;
    const blocks = this.#blocks[mode] as Map<number, Block>;
    const old = blocks.get(host | 0) as Block;
    const at = assembler.at;
    const { ram } = this.#options;
    const offset = (host - ram.offset) & 0xfff;
    assembler.region(offset, index);
    this.#bytes.copyWithin(assembler.at, old.at, old.end);
    assembler.at += old.end - old.at;
    assembler.forward(old.at, offset, at);
    const block: Block = { host, mode, at, end: assembler.at, region: index, isPlain: false };
    blocks.set(host | 0, block);
    this.#remember(host, mode, at);
    this.#markAll(extents, block);
  }

  /** The region of a block has been translated again, with more code. */
  extendRegion(host: number, mode: number, extents: readonly CodeExtent[]): void {
    const block = this.#blocks[mode]?.get(host | 0);
    if (block !== undefined) this.#markAll(extents, block);
  }

  #markAll(extents: readonly CodeExtent[], block: Block): void {
    const { ram } = this.#options;
    for (const { from, to } of extents) {
      const page = from - ((from - ram.offset) & 0xfff);
      this.#mark(page, from, to, block);
    }
  }

  /** Room in the arena until all code is dropped, 8-byte aligned and zero. */
  reserve(bytes: number): number {
    const assembler = this.#assembler;
    const at = assembler.at;
    assembler.at += Math.ceil(bytes / RECORD_BYTES) * RECORD_BYTES;
    this.#bytes.fill(0, at, assembler.at);
    return at;
  }

  /**
   * A record outside any block, for a region that has the interpreter execute one instruction, which is the decoder's result. `index` is
   * where its handler is in the table, or what `system` knows a system instruction by.
   */
  recordFor(decoded: Decoded, offset: number): { readonly index: number; readonly record: number } {
    const { handlers } = this.#options;
    const { row } = decoded;
    if (row.lift === undefined) {
      const index = this.#options.system(row);
      this.#assembler.system(HANDLER_SYSTEM, offset, 1, decoded.length, index);
      return { index, record: this.#assembler.at - RECORD_BYTES };
    }
    const handler = handlers.find(decoded.encoding, row.lift, contextOf(decoded));
    this.#assembler.instruction(decoded, handler, offset, 1, 1, false, false, false);
    handlers.compile();
    return { index: handlers.tableIndex(handler), record: this.#assembler.at - RECORD_BYTES };
  }

  /** Notes that [from, to) of a page is decoded code; the first time, takes the page's write entries out of the TLB. */
  #mark(pageHost: number, from: number, to: number, block: Block): void {
    const { cpu, ram } = this.#options;
    const page = (pageHost - ram.offset) >>> 12;
    const inPage = (host: number): number => (host - ram.offset) & 0xfff;
    const first = inPage(from) >> 7;
    const last = inPage(Math.max(from, to - 1)) >> 7;
    const mask = (-1 << first) & (-1 >>> (31 - last));
    if (Atomics.or(this.#codeMap, page, mask) === 0) {
      for (let entry = cpu + TLB; entry < cpu + TLB + 3 * TLB_ENTRIES * TLB_ENTRY_BYTES; entry += TLB_ENTRY_BYTES) {
        if (this.#view.getUint32(entry + TLB_PAGE, true) === page) this.#view.setFloat64(entry + TLB_WRITE, 0, true);
      }
    }
    const list = this.#pages.get(page);
    if (list === undefined) this.#pages.set(page, [block]);
    else if (list.at(-1) !== block) list.push(block);
  }

  /** Drops the blocks of a physical page. A dropped block that is running leaves at its next instruction. */
  invalidatePage(page: number): void {
    const blocks = this.#pages.get(page);
    Atomics.store(this.#codeMap, page, 0);
    if (blocks === undefined) return;
    this.#pages.delete(page);
    for (const block of blocks) {
      const known = this.#blocks[block.mode];
      if (known?.get(block.host | 0) === block) known.delete(block.host | 0);
      this.#forget(block.host, block.mode);
      for (let at = block.at; at < block.end; at += RECORD_BYTES) {
        const handler = this.#view.getUint16(at + R_HANDLER, true);
        if (handler !== HANDLER_GOTO && handler !== HANDLER_LEAVE)
          this.#view.setUint16(at + R_HANDLER, HANDLER_EXIT, true);
      }
      this.#dropRegion(block);
    }
    this.#nextGeneration();
    this.#options.invalidated();
  }

  #dropRegion(block: Block): void {
    if (block.region < 0) return;
    this.#options.regionDropped(block.region);
    block.region = -1;
  }

  /** Running translated code looks at this after it has written. */
  #nextGeneration(): void {
    const at = this.#options.cpu + CODE_GENERATION;
    this.#view.setInt32(at, (this.#view.getInt32(at, true) + 1) | 0, true);
  }

  /** Drops everything; not while a block is running. */
  flush(): void {
    for (const blocks of this.#blocks) {
      if (blocks === undefined) continue;
      for (const block of blocks.values()) this.#dropRegion(block);
      blocks.clear();
    }
    this.#nextGeneration();
    this.#known.clear();
    // The records that were counted are gone, and others will be where they were.
    this.#bytes.fill(0, this.#options.cpu + EXIT_COUNTS, this.#options.cpu + EXIT_COUNTS + EXIT_COUNTS_ENTRIES * 2);
    const cache = this.#options.cpu + BLOCK_CACHE;
    this.#bytes.fill(0, cache, cache + BLOCK_CACHE_ENTRIES * 16);
    for (const page of this.#pages.keys()) Atomics.store(this.#codeMap, page, 0);
    this.#pages.clear();
    this.#assembler.at = this.#options.cpu + ARENA;
    this.flushes++;
    this.#options.flushed();
    this.#options.invalidated();
  }
}

const TRANSFER_HANDLERS = { syscall: HANDLER_SYSCALL, sysret: HANDLER_SYSRET, iret: HANDLER_IRET };

/** The handler of a system instruction. */
function systemHandler(decoded: Decoded, codeSize: CodeSize): number {
  const transfer = codeSize === 64 ? transferOf(decoded) : undefined;
  return transfer === undefined ? HANDLER_SYSTEM : TRANSFER_HANDLERS[transfer];
}

/** Instructions whose memory operand 0 is only read. */
const READ_ONLY = new Set([
  'cmp',
  'test',
  'bt',
  'push',
  'call',
  'jmp',
  'mul',
  'imul',
  'div',
  'idiv',
  'nop',
  'clflush',
  'clflushopt',
]);
