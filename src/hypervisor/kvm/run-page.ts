/**
 * struct kvm_run, the page that a vCPU's thread shares with the kernel (linux/kvm.h), as much of it as the run loop reads: byte offsets,
 * and the parts of the union behind `exit_reason`.
 *
 * @module
 */
/** Asks for an exit as soon as the guest takes an interrupt. */
export const RUN_REQUEST_INTERRUPT_WINDOW = 0;
export const RUN_IMMEDIATE_EXIT = 1;
export const RUN_EXIT_REASON = 8;
/** KVM_INTERRUPT would be taken now. */
export const RUN_READY_FOR_INTERRUPT = 12;
/** The union of what the exit reasons have to say. */
const UNION = 32;

export const RUN_HARDWARE_EXIT_REASON: number = UNION;

/** KVM_EXIT_IO: `count` items of `size` bytes at `data_offset` in the page. */
export const RUN_IO_DIRECTION: number = UNION;
export const RUN_IO_SIZE: number = UNION + 1;
export const RUN_IO_PORT: number = UNION + 2;
export const RUN_IO_COUNT: number = UNION + 4;
export const RUN_IO_DATA_OFFSET: number = UNION + 8;

/** KVM_EXIT_MMIO. */
export const RUN_MMIO_ADDRESS: number = UNION;
export const RUN_MMIO_DATA: number = UNION + 8;
export const RUN_MMIO_LENGTH: number = UNION + 16;
export const RUN_MMIO_IS_WRITE: number = UNION + 20;

/** KVM_EXIT_FAIL_ENTRY. */
export const RUN_ENTRY_FAILURE: number = UNION;

/** KVM_EXIT_INTERNAL_ERROR: `ndata` longs; of an emulation failure the first is flags, behind it length and bytes of the instruction. */
export const RUN_SUBERROR: number = UNION;
export const RUN_ERROR_WORDS: number = UNION + 4;
export const RUN_ERROR_DATA: number = UNION + 8;
export const RUN_ERROR_HAS_INSTRUCTION = 1n;
export const RUN_ERROR_INSTRUCTION_LENGTH: number = UNION + 16;
export const RUN_ERROR_INSTRUCTION: number = UNION + 17;
export const RUN_ERROR_MAX_INSTRUCTION = 15;

/** KVM_EXIT_IOAPIC_EOI. */
export const RUN_EOI_VECTOR: number = UNION;

/** KVM_EXIT_SYSTEM_EVENT. */
export const RUN_SYSTEM_EVENT: number = UNION;
