/**
 * The interrupt controllers' block of shared memory: what lies where in it. Everything a guest can see of them is
 * here as plain data; saving the block saves them.
 *
 *     +0       header: magic, version, vCPU count, time origin; the lock; source counters (not guest state)
 *     +256     8259A pair
 *     +384     8254 and port 61h
 *     +768     IO-APIC
 *     +1280    interrupt sources, one bit mask per GSI
 *     +1536    IGNNE#, and INTR where the local APICs are somebody else's
 *     +2048    one local APIC record of 1152 bytes per vCPU
 *
 * Words are i32, little-endian; times are f64, nanoseconds on the machine clock. Offsets are in bytes.
 *
 * @module
 */

export const IRQCHIP_MAGIC = 0x63717269; // "irqc"
export const IRQCHIP_VERSION = 1;

export const MAGIC = 0;
export const VERSION = 4;
export const VCPU_COUNT = 8;
/** f64: the machine time at which the ACPI PM timer and the refresh toggle stood at zero. */
export const TIME_ORIGIN = 16;
/** f64: the machine time at which a saved block was saved. */
export const SAVED_AT = 24;
/** Round-robin start for lowest-priority delivery: i32 index of a vCPU. */
export const ARBITRATION_NEXT = 32;
/** The lock word, on a cache line of its own. */
export const LOCK = 64;
/** u8 per GSI: interrupt sources handed out so far. */
export const SOURCE_COUNTS = 128;

/** The part of the block from here on is the guest's; what is before it belongs to the running machine. */
export const PIC = 256;
export const PIC_BYTES = 128;
export const PIT = 384;
export const PIT_BYTES = 384;
export const IOAPIC = 768;
export const IOAPIC_BYTES = 512;
export const SOURCES = 1280;
export const SOURCES_BYTES = 256;
/** i32: 1 from a write to port F0h until the x87 error that it was for is gone. */
export const IGNNE = 1536;
/** i32: 1 while the 8259 pair asks for an interrupt. Kept only where the local APICs are not in this block. */
export const INTR = 1540;
export const LOCAL_APICS = 2048;
export const LOCAL_APIC_BYTES = 1152;

/** Global system interrupts: the pins of the IO-APIC. */
export const GSI_COUNT = 24;
/** Devices that may share one GSI: bits of its source mask. */
export const SOURCES_PER_GSI = 32;

export const localApicAt = (vcpu: number): number => LOCAL_APICS + vcpu * LOCAL_APIC_BYTES;
export const irqchipBytes = (vcpuCount: number): number => localApicAt(vcpuCount);
