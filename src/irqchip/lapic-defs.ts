/**
 * Registers and bits of the local APIC (Intel SDM volume 3A, chapter "Advanced Programmable Interrupt Controller").
 * Register names are the SDM's; offsets are in bytes from the APIC base, and x2APIC register n is offset n * 16.
 *
 * @module
 */
export const APIC_ID = 0x020;
export const APIC_VERSION = 0x030;
export const APIC_TPR = 0x080;
export const APIC_APR = 0x090;
export const APIC_PPR = 0x0a0;
export const APIC_EOI = 0x0b0;
export const APIC_RRD = 0x0c0;
export const APIC_LDR = 0x0d0;
export const APIC_DFR = 0x0e0;
export const APIC_SVR = 0x0f0;
/** Eight 32-bit words each, 16 bytes apart. */
export const APIC_ISR = 0x100;
export const APIC_TMR = 0x180;
export const APIC_IRR = 0x200;
export const APIC_ESR = 0x280;
export const APIC_ICR = 0x300;
export const APIC_ICR2 = 0x310;
export const APIC_LVT_TIMER = 0x320;
export const APIC_LVT_THERMAL = 0x330;
export const APIC_LVT_PERFORMANCE = 0x340;
export const APIC_LVT_LINT0 = 0x350;
export const APIC_LVT_LINT1 = 0x360;
export const APIC_LVT_ERROR = 0x370;
export const APIC_INITIAL_COUNT = 0x380;
export const APIC_CURRENT_COUNT = 0x390;
export const APIC_DIVIDE_CONFIGURATION = 0x3e0;
/** x2APIC only. */
export const APIC_SELF_IPI = 0x3f0;

export const SVR_ENABLE: number = 1 << 8;
export const SVR_SUPPRESS_EOI_BROADCAST: number = 1 << 12;
export const SVR_WRITABLE = 0x13ff;

export const LVT_MASKED: number = 1 << 16;
export const LVT_TIMER_MODE_SHIFT = 17;
export const TIMER_ONE_SHOT = 0;
export const TIMER_PERIODIC = 1;
export const TIMER_TSC_DEADLINE = 2;

/** Bits of each LVT entry that a guest may write; the delivery status and remote IRR read as zero. */
export const LVT_WRITABLE: Readonly<Record<number, number>> = {
  [APIC_LVT_TIMER]: 0x7_00ff,
  [APIC_LVT_THERMAL]: 0x1_07ff,
  [APIC_LVT_PERFORMANCE]: 0x1_07ff,
  [APIC_LVT_LINT0]: 0x1_a7ff,
  [APIC_LVT_LINT1]: 0x1_a7ff,
  [APIC_LVT_ERROR]: 0x1_00ff,
};
/** Read-only bits that a write may carry all the same. */
export const LVT_READ_ONLY = 0x5000;

/** Delivery modes of the ICR, the LVT, redirection table entries and MSI data. */
export const DELIVERY_FIXED = 0;
export const DELIVERY_LOWEST_PRIORITY = 1;
export const DELIVERY_SMI = 2;
export const DELIVERY_NMI = 4;
export const DELIVERY_INIT = 5;
export const DELIVERY_STARTUP = 6;
export const DELIVERY_EXTINT = 7;

export const ICR_LOGICAL: number = 1 << 11;
export const ICR_BUSY: number = 1 << 12;
export const ICR_ASSERT: number = 1 << 14;
export const ICR_LEVEL: number = 1 << 15;
export const ICR_WRITABLE: number = 0x000c_dfff & ~ICR_BUSY;
export const SHORTHAND_NONE = 0;
export const SHORTHAND_SELF = 1;
export const SHORTHAND_ALL = 2;
export const SHORTHAND_OTHERS = 3;

export const ESR_SEND_ILLEGAL_VECTOR: number = 1 << 5;
export const ESR_RECEIVE_ILLEGAL_VECTOR: number = 1 << 6;
export const ESR_ILLEGAL_REGISTER: number = 1 << 7;
/** Vectors below are not interrupts. */
export const FIRST_LEGAL_VECTOR = 16;

/** Version 14h; six LVT entries; EOI broadcasts can be suppressed. */
export const VERSION_VALUE: number = 0x14 | (5 << 16) | (1 << 24);

export const IA32_APIC_BASE = 0x1b;
export const APIC_BASE_BSP: number = 1 << 8;
export const APIC_BASE_EXTD: number = 1 << 10;
export const APIC_BASE_EN: number = 1 << 11;
export const APIC_BASE_DEFAULT = 0xfee0_0000;

export const X2APIC_FIRST = 0x800;
export const X2APIC_LAST = 0x8ff;
export const IA32_TSC_DEADLINE = 0x6e0;
