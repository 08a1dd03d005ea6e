/**
 * The rest of a vCPU's private area, after its CPU state record: TLB, jump cache, block cache. Offsets in bytes from the
 * start of the area.
 *
 * A TLB entry is 32 bytes: read tag i64, write tag i64, execute tag i64, addend u32, physical page number u32. A tag
 * is the page's linear address with the array's current tag number (1..4095) in the low 12 bits; it never matches when
 * it is zero. `addend + low 32 bits of the linear address` is the offset in linear memory.
 *
 * There is one array for each way of accessing: supervisor; user; supervisor with EFLAGS.AC set under SMAP; and one that is
 * never filled, for the rare modes that must see every access (alignment checks, data breakpoints).
 *
 * @module
 */
export const TLB_ENTRIES = 1024;
export const TLB_ENTRY_BYTES = 32;
export const TLB_ARRAY_BYTES = TLB_ENTRIES * TLB_ENTRY_BYTES;
// biome-ignore format: a table
export const TLB_READ = 0, TLB_WRITE = 8, TLB_EXECUTE = 16, TLB_ADDEND = 24, TLB_PAGE = 28;
export const TLB = 0x10000;
// biome-ignore format: a table
export const TLB_SUPERVISOR = 0, TLB_USER = 1, TLB_SUPERVISOR_AC = 2, TLB_NEVER = 3;
export const tlbArray = (index: number): number => TLB + index * TLB_ARRAY_BYTES;

/** Tag number of each user address space, u16 by PCID; 0: none given out. */
export const PCID_TAGS = 0x2000;

/**
 * The region that large pages were cached in, one for each half of the address space (user, kernel): base i64, mask i64
 * (0: none). INVLPG in it flushes everything, for the entries of a large page are cached as 4 KiB pieces.
 */
export const LARGE_REGIONS = 0x4000;

/** The first of the entries that NOT_GLOBAL_COUNT counts, u32 each: offsets in linear memory. */
export const NOT_GLOBAL_LIST = 0x4100;
export const NOT_GLOBAL_MAX = 32;

/**
 * Where guest RAM is in linear memory and how long it is, u32 each in bytes: here rather than in the code, so that the compiled
 * interpreter serves machines of every size.
 */
// biome-ignore format: a table
export const RAM_OFFSET = 0x4200, RAM_BYTES = 0x4204;
/** u32: offset in linear memory of the word that other threads set to make this vCPU look up (bus/control.ts). */
export const KICK_WORD = 0x4208;
/** i32: not zero when something waits for RFLAGS.IF: whatever sets that comes out of the loop. */
export const INTERRUPT_WAITS = 0x420c;
/** i32: MODE_SINGLE while single instructions are run; MODE_WATCHING while every data access must be seen. */
export const MODE_FORCED = 0x4210;
export const MODE_WATCHING = 1;
/** u32: moves when numbers in FETCH_TAG are given out anew, so that the two together never come again. */
export const FETCH_EPOCH = 0x4218;
/** u32: exceptions delivered without leaving the loop, for statistics. */
export const EXCEPTIONS = 0x4214;
/** i32: calls of regions until one is checked, while regions are (check/checked-region.ts). */
export const CHECK_COUNTDOWN = 0x421c;

/**
 * Of `measures.ts`. OCCUPATION i32: what this vCPU's thread is doing. LIVE_REGIONS i32. And what only an interpreter counts that measures, i64
 * each: TLB_MISSES of reads, writes and fetches; REGION_ENDS by status, 8 of them.
 */
// biome-ignore format: a table
export const OCCUPATION = 0x4220, LIVE_REGIONS = 0x4224, TLB_MISSES = 0x4228, REGION_ENDS = 0x4240;

/**
 * Which pages the jump cache may hold entries of, one byte each by a hash of the page number (`codePageSlot`), and one for all
 * pages, where addresses are not linear: 16- and 32-bit code. INVLPG of another page leaves the jump cache alone.
 */
export const CODE_PAGES = 0x6000;
export const CODE_PAGES_BYTES = 0x1000;
export const CODE_PAGES_ALL: number = CODE_PAGES + CODE_PAGES_BYTES;

/**
 * How often a region was left to a block that has none, u16 by a hash of the block's first record. At EXITS_UNTIL_TRANSLATED the run loop is
 * told (interpreter/core-module.ts).
 */
export const EXIT_COUNTS = 0x8000;
export const EXIT_COUNTS_ENTRIES = 0x4000;

/** Jump cache: 16 bytes an entry: RIP i64, fetch tag i32, block u32. Indexed by `jumpCacheIndex`. */
export const JUMP_CACHE = 0x30000;
export const JUMP_CACHE_ENTRIES = 8192;

/**
 * Where blocks have been decoded: a filter of bits by a hash of the first byte's offset and the mode (interpreter/known-blocks.ts). For the
 * translator, which may run on another thread.
 */
export const KNOWN_BLOCKS = 0x50000;
export const KNOWN_BLOCKS_BYTES = 0x20000;

/**
 * Block cache: 16 bytes an entry: offset in linear memory of the first byte u32, execution mode i32 (CODE_MODE), block u32, unused.
 * Indexed by the first two. Blocks that cross a page are not here.
 */
export const BLOCK_CACHE = 0x80000;
export const BLOCK_CACHE_ENTRIES = 32768;

/** Decoded blocks, 32 bytes a record, bump-allocated; dropped all at once when full. */
export const ARENA = 0x100000;
export const ARENA_BYTES = 0x2000000;

export const VCPU_AREA_BYTES = ARENA + ARENA_BYTES;

/** MMU fields of the state record. */
export const MMU_STATE = 0x7c0;
/** i32: tag number of the supervisor array, of the user arrays, and the next one to give out. */
// biome-ignore format: a table
export const TAG_SUPERVISOR = MMU_STATE, TAG_USER = MMU_STATE + 4, TAG_NEXT = MMU_STATE + 8;
/** i32: how many entries of the supervisor array were filled with pages that are not global since the last flush of those. */
export const NOT_GLOBAL_COUNT = MMU_STATE + 12;
/** i32: 1 when code in a page that is not global may be in the jump cache as a supervisor's. */
export const NOT_GLOBAL_CODE = MMU_STATE + 28;
/** i64: result of a translation (physical address). */
export const PHYSICAL = MMU_STATE + 16;
/** i32: which TLB array is active (TLB_*). */
export const TLB_INDEX = MMU_STATE + 40;
/** i32: jump-cache generation; moves when single pages are invalidated. */
export const FETCH_GENERATION = MMU_STATE + 44;
/** i64: linear address of the running block's page minus CS.base; `record.offset + RIP_BASE` is its RIP. */
export const RIP_BASE = MMU_STATE + 48;
/** i64: RIP after the instruction that set INTERRUPT_SHADOW. */
export const SHADOW_RIP = MMU_STATE + 56;

/**
 * i32: what besides the bytes a decoded block depends on: code size 0-1 (0 16-bit, 1 32-bit, 2 64-bit), CR0.MP, EM, TS 2-4,
 * CR4.OSFXSR 5, single instructions 6, VEX encodings 7, AVX enabled 8.
 */
export const CODE_MODE = MMU_STATE + 24;
/** In CODE_MODE: blocks of single instructions. */
export const MODE_SINGLE = 0x40;
/** VEX encodings exist (protected mode), and so do those on YMM registers. */
export const MODE_VEX = 0x80,
  MODE_AVX = 0x100;

/** Page-fault error code bits, also used to say what an access is (SDM 3A, 4.7). */
// biome-ignore format: a table
export const PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16;
/** Access flag: implicit supervisor access (descriptor tables, TSS): EFLAGS.AC does not override SMAP. */
export const ACCESS_IMPLICIT = 0x100;

/** Physical-address width announced in CPUID leaf 80000008h. */
export const PHYSICAL_BITS = 40;
