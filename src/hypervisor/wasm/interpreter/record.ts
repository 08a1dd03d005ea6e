/**
 * A decoded record: what the interpreter executes. 32 bytes, little-endian; pointers are offsets in linear memory.
 *
 *     0  u16 handler      2  u16 offset of the instruction in its page      4  u32 operand 0      8  u32 operand 1 / index register
 *     12 u32 base register      16 i64 immediate (branches: u32 linked block at 16)      24 i32 displacement / branch target
 *     28 u8 length      29 u8 count: instructions of the block up to and including this one      30 u16 auxiliary
 *
 * The upper half of the immediate holds the register in VEX.vvvv, the lower half the one in the immediate byte; with a vector of
 * indices, which is operand 1, the lower half points at the segment's base. A branch target is relative to RIP_BASE. The auxiliary word holds, for address micro-operations, the scale, segment and
 * access (of gathers, segment and scale: AUX_SCALE); bit 15 of the first record of a block: the block crosses a page and must not be linked to.
 *
 * @module
 */
export const RECORD_BYTES = 32;
// biome-ignore format: a table
export const R_HANDLER = 0, R_OFFSET = 2, R_OPERAND0 = 4, R_OPERAND1 = 8, R_BASE = 12, R_IMMEDIATE = 16, R_LINK = 16;
// biome-ignore format: a table
export const R_VVVV = 20, R_IMMEDIATE_REGISTER = 16, R_SEGMENT_BASE = 16;
// biome-ignore format: a table
export const R_DISPLACEMENT = 24, R_LENGTH = 28, R_COUNT = 29, R_AUX = 30;

/** Auxiliary bits. */
export const AUX_NO_LINK = 0x8000;
/** Of an address micro-operation in 16- and 32-bit code: the operand must be 16-byte aligned; it belongs to an MMX instruction. */
// biome-ignore format: a table
export const AUX_ALIGNED = 0x80, AUX_MMX = 0x100;
/** Of gathers: where the scale is, above the segment register. */
export const AUX_SCALE = 3;
/** The memory operand's default segment is SS (a non-canonical address raises #SS). */
export const AUX_STACK = 0x4000;

/**
 * Handlers that are not instructions; the lowest numbers.
 *
 * EXIT: the block was dropped, look the instruction up anew. GOTO: go on at the static target, which is not an instruction of its own.
 * LEAVE: come out to the run loop. SYSTEM: a system/ instruction, immediate = its index. RAISE: exception, immediate = vector.
 * ADDRESS*: compute an effective address into EA; 64-bit; 32-bit in 64-bit code; without segment (LEA, 64-bit and by mask);
 * absolute 64-bit offset; segmented (16- and 32-bit code).
 */
// biome-ignore format: a table
export const HANDLER_EXIT = 0, HANDLER_GOTO = 1, HANDLER_LEAVE = 2, HANDLER_SYSTEM = 3, HANDLER_RAISE = 4;
// biome-ignore format: a table
export const HANDLER_ADDRESS = 5, HANDLER_ADDRESS32 = 6, HANDLER_ADDRESS16 = 7, HANDLER_ADDRESS_ABSOLUTE = 8, HANDLER_ADDRESS_LEGACY = 9;
/** REGION: call the translated region whose number is the immediate. FORWARD: go on at the linked record. */
// biome-ignore format: a table
export const HANDLER_REGION = 10, HANDLER_FORWARD = 11;
/** SYSTEM instructions with a fast path in 64-bit code. */
// biome-ignore format: a table
export const HANDLER_SYSCALL = 12, HANDLER_SYSRET = 13, HANDLER_IRET = 14;
export const SPECIAL_HANDLERS = 15;

/** What `run` returns, and what a cold handler returns to the main loop. */
// biome-ignore format: a table
export const STATUS_NEXT = 0, STATUS_JUMP = 1, STATUS_FAULT = 2, STATUS_LEAVE = 3, STATUS_AGAIN = 4, STATUS_BUDGET = 5;
/** A region: the pages that its code lies in are not mapped as they were. */
export const STATUS_REFUSED = 6;
/** The budget ended within a region. */
export const STATUS_REGION_BUDGET = 7;

/** Regions have often been left to the block at RIP, which has none: a region of its own would pay. */
export const STATUS_LEFT_OFTEN = 8;

/** The instruction at RIP is to be executed by the interpreter, alone: a region cannot, and would be entered again. */
export const STATUS_STEP = 9;

/** Instructions that one turn of a repeated string instruction is charged for. */
export const STRING_TURN_COST = 256;
