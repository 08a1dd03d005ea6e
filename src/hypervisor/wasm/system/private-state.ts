/**
 * The fields of the CPU state record that belong to system/ (from SYSTEM_PRIVATE on): offsets in bytes, as in state.ts.
 *
 * @module
 */
import { SYSTEM_PRIVATE } from '../state.ts';

/** i64 x 4: PDPTE0..3 as last loaded by MOV CR3 or a mode change under PAE paging (SDM 3A 4.4.1). The page walk reads these, not memory. */
export const PDPTE = SYSTEM_PRIVATE;
/** i32: 1 while NMIs are blocked, from NMI delivery until the next IRET (SDM 3A 6.7.1). */
export const NMI_BLOCKED = SYSTEM_PRIVATE + 0x20;
/** i32: DR6 bits (B0..B3, BS) of a debug trap that waits for the end of an interrupt shadow (SDM 3A 6.8.3). */
export const PENDING_DEBUG = SYSTEM_PRIVATE + 0x24;
/** i64: IA32_MCG_STATUS. */
export const MSR_MCG_STATUS = SYSTEM_PRIVATE + 0x28;
/** i64: the value TSC_OFFSET approximates when it does not fit a double exactly. */
export const TSC_OFFSET_EXACT = SYSTEM_PRIVATE + 0x30;
/** i64: IA32_DEBUGCTL: BTF, single-step on branches, and nothing else. */
export const MSR_DEBUGCTL = SYSTEM_PRIVATE + 0x38;
export const DEBUGCTL_BTF = 1 << 1;
