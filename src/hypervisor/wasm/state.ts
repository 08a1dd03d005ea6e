/**
 * The CPU state record of one vCPU: what lies where in its block of the shared memory.
 *
 * Offsets are in bytes from the start of the vCPU's private area, which is 64 KiB aligned. All fields are
 * little-endian. Everything a guest can see of the processor is here and nowhere else: saving this block (and
 * the irqchip) saves the CPU.
 *
 * @module
 */

/** General registers RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, i64 each. AH CH DH BH are byte 1 of the first four. */
export const GPR = 0x000;
// biome-ignore format: a table
export const RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7;
export const gprOffset = (index: number): number => GPR + index * 8;

/** i64. In 16- and 32-bit code the upper bits are zero. Valid whenever the interpreter loop is not running. */
export const RIP = 0x080;

/**
 * Lazy arithmetic flags (insn/flags.ts explains the encoding). FLAG_RESULT i64: the last result, sign-extended.
 * FLAG_AUX i32: carry vector and corrections.
 */
export const FLAG_RESULT = 0x088;
export const FLAG_AUX = 0x090;

/**
 * i32: RFLAGS without OF SF ZF AF PF CF, which live in the lazy pair: TF 8, IF 9, DF 10, IOPL 12-13, NT 14, RF 16,
 * VM 17, AC 18, VIF 19, VIP 20, ID 21. Bit 1 is always set here.
 */
export const EFLAGS_SYSTEM = 0x094;

/** i64, always zero: an absent base or index register points here. */
export const ZERO = 0x098;
/** i64: effective address handed from an address micro-operation to the instruction after it. */
export const EA = 0x0a0;
/** i64 scratch slots for handlers and slow paths. */
// biome-ignore format: a table
export const TEMP0 = 0x0a8, TEMP1 = 0x0b0;

/**
 * Pending fault, written before a handler leaves through its fault label. FAULT_VECTOR i32: exception vector, or -1 when none.
 * FAULT_ERROR i32: error code, or -1 when the vector pushes none. CR2 is set by whoever raises #PF.
 */
export const FAULT_VECTOR = 0x0c0;
export const FAULT_ERROR = 0x0c4;

/** u32: record of the instruction that faulted (interpreter/record.ts), or 0 when fetching it did. */
export const FAULT_RECORD = 0x0b8;

/** i32: current privilege level 0..3 (SS.DPL). */
export const CPL = 0x0c8;
/** i32: code size of CS in bits, 16, 32 or 64 (64 only when EFER.LMA and CS.L). */
export const CODE_SIZE = 0x0cc;
/** i32: 1 while interrupts are held off for one instruction (STI, MOV SS, POP SS). */
export const INTERRUPT_SHADOW = 0x0d0;
/** i32: ACTIVITY_* */
export const ACTIVITY = 0x0d4;
// biome-ignore format: a table
export const ACTIVITY_RUNNING = 0, ACTIVITY_HALTED = 1, ACTIVITY_WAIT_SIPI = 2, ACTIVITY_SHUTDOWN = 3;
/** i64: instructions retired. */
export const INSTRUCTIONS = 0x0d8;
/** i32: linear-memory offset of the active TLB array (see mmu/layout.ts), chosen by CPL and EFLAGS.AC. */
export const TLB_BASE = 0x0e0;
/** i32: tag in the low 12 bits of every valid entry of the active TLB array. */
export const TLB_TAG = 0x0e4;
/** i32: tag of valid jump-cache entries: address-space number and execution mode (see mmu/layout.ts). */
export const FETCH_TAG = 0x0e8;
/** i32: budget of the running slice, while a translated region runs. */
export const BUDGET = 0x0f0;
/** i32: moves whenever decoded or translated code of this vCPU is dropped. */
export const CODE_GENERATION = 0x0f4;
/** u32: record of the translated region that was called last: where the interpreter goes on when the region refuses. */
export const REGION_RECORD = 0x0f8;
/** i32: index of this vCPU. */
export const VCPU_INDEX = 0x0ec;

/**
 * Segment registers, 32 bytes each: base i64, limit u32 in bytes (G applied), selector u32 (16 bits used), attributes u32.
 * Attributes as in a VMCS / descriptor bits 40-55 shifted down: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15; bit 16 = unusable (null).
 */
export const SEGMENTS = 0x100;
// biome-ignore format: a table
export const ES = 0, CS = 1, SS = 2, DS = 3, FS = 4, GS = 5, LDTR = 6, TR = 7;
export const segmentOffset = (index: number): number => SEGMENTS + index * 32;
// biome-ignore format: a table
export const SEG_BASE = 0, SEG_LIMIT = 8, SEG_SELECTOR = 12, SEG_ATTRIBUTES = 16;
// biome-ignore format: a table
export const ATTR_S = 1 << 4, ATTR_P = 1 << 7, ATTR_L = 1 << 13, ATTR_DB = 1 << 14, ATTR_G = 1 << 15, ATTR_UNUSABLE = 1 << 16;

/** base i64, limit u32. */
export const GDTR = 0x200;
export const IDTR = 0x210;

/** Control registers, i64 each. */
// biome-ignore format: a table
export const CR0 = 0x220, CR2 = 0x228, CR3 = 0x230, CR4 = 0x238;
export const EFER = 0x240;
export const XCR0 = 0x248;
/** DR0..DR3 at +0..+24, DR6 at +48, DR7 at +56; i64 each. */
export const DR = 0x250;

/** Model-specific registers that live in the CPU, i64 each. */
// biome-ignore format: a table
export const MSR_STAR = 0x290, MSR_LSTAR = 0x298, MSR_CSTAR = 0x2a0, MSR_FMASK = 0x2a8;
export const MSR_KERNEL_GS_BASE = 0x2b0;
// biome-ignore format: a table
export const MSR_SYSENTER_CS = 0x2b8, MSR_SYSENTER_ESP = 0x2c0, MSR_SYSENTER_EIP = 0x2c8;
// biome-ignore format: a table
export const MSR_PAT = 0x2d0, MSR_TSC_ADJUST = 0x2d8, MSR_TSC_AUX = 0x2e0, MSR_MISC_ENABLE = 0x2e8;
/** f64: value to add to the host clock's nanoseconds (times the TSC frequency) to get the TSC. */
export const TSC_OFFSET = 0x2f0;
/** IA32_XSS, i64. */
export const MSR_XSS = 0x2f8;
/** MTRRs: default type, then 11 fixed, then 8 variable pairs, i64 each (0x300..0x3ff). */
export const MTRR = 0x300;

/** XMM0..15 (YMM with room for the upper half), 32 bytes each. */
export const XMM = 0x400;
export const xmmOffset = (index: number): number => XMM + index * 32;
/** i32. */
export const MXCSR = 0x600;

/** x87: eight *physical* registers R0..R7, 16 bytes each: significand u64, then sign and exponent u16. MMn is the significand of Rn. */
export const FPR = 0x610;
/** i32 each: control word; status word (TOP in bits 11-13); abridged tag byte (bit n set: Rn is not empty); last opcode (11 bits). */
// biome-ignore format: a table
export const FPU_CONTROL = 0x690, FPU_STATUS = 0x694, FPU_TAGS = 0x698, FPU_OPCODE = 0x69c;
/** Last instruction and data pointers: offset i64; selectors i32 each. */
// biome-ignore format: a table
export const FPU_IP = 0x6a0, FPU_DP = 0x6a8, FPU_CS = 0x6b0, FPU_DS = 0x6b4;

/**
 * Bounce buffer for accesses that cannot be done in place (page crossing, MMIO): 64 bytes, then a pending
 * commit record (mmu/slow.ts).
 */
export const BOUNCE = 0x700;
export const BOUNCE_PENDING = 0x740;

/** Counters for --stats, i64 each: instructions executed in translated regions; how often the main loop called one. */
// biome-ignore format: a table
export const STATS_TRANSLATED = 0x780, STATS_REGION_CALLS = 0x788;

/** Further system state of system/: free for that folder, up to FPU_IMAGE. */
export const SYSTEM_PRIVATE = 0x800;

/** 112 bytes: an x87 environment or state image between guest memory and x87/environment.ts. */
export const FPU_IMAGE = 0xf80;

/** End of the record. */
export const STATE_BYTES = 0x1000;
