/**
 * Numbers of linux/kvm.h and of the other kernel headers that go with it, in their spelling: requests, capabilities, exit reasons.
 * The layout of a structure is where the structure is used.
 *
 * @module
 */

/** asm-generic/ioctl.h: a request is direction, size of the argument, type and number. */
const KVMIO = 0xae;
const _IO = (number: number): number => (KVMIO << 8) | number;
const _IOW = (number: number, bytes: number): number => ((1 << 30) | (bytes << 16) | (KVMIO << 8) | number) >>> 0;
const _IOR = (number: number, bytes: number): number => ((2 << 30) | (bytes << 16) | (KVMIO << 8) | number) >>> 0;
const _IOWR = (number: number, bytes: number): number => ((3 << 30) | (bytes << 16) | (KVMIO << 8) | number) >>> 0;

// --- Of /dev/kvm ---

export const KVM_API_VERSION = 12;
export const KVM_GET_API_VERSION: number = _IO(0x00);
export const KVM_CREATE_VM: number = _IO(0x01);
export const KVM_GET_MSR_INDEX_LIST: number = _IOWR(0x02, 4);
export const KVM_CHECK_EXTENSION: number = _IO(0x03);
export const KVM_GET_VCPU_MMAP_SIZE: number = _IO(0x04);
export const KVM_GET_SUPPORTED_CPUID: number = _IOWR(0x05, 8);

// --- Of a virtual machine ---

export const KVM_CREATE_VCPU: number = _IO(0x41);
export const KVM_GET_DIRTY_LOG: number = _IOW(0x42, 16);
export const KVM_SET_USER_MEMORY_REGION: number = _IOW(0x46, 32);
export const KVM_SET_TSS_ADDR: number = _IO(0x47);
export const KVM_SET_IDENTITY_MAP_ADDR: number = _IOW(0x48, 8);
export const KVM_CREATE_IRQCHIP: number = _IO(0x60);
export const KVM_IRQ_LINE: number = _IOW(0x61, 8);
export const KVM_IRQCHIP_BYTES = 520;
export const KVM_GET_IRQCHIP: number = _IOWR(0x62, KVM_IRQCHIP_BYTES);
export const KVM_SET_IRQCHIP: number = _IOR(0x63, KVM_IRQCHIP_BYTES);
export const KVM_SET_GSI_ROUTING: number = _IOW(0x6a, 8);
export const KVM_IRQFD: number = _IOW(0x76, 32);
export const KVM_CREATE_PIT2: number = _IOW(0x77, 64);
export const KVM_IOEVENTFD: number = _IOW(0x79, 64);
export const KVM_PIT_STATE2_BYTES = 112;
export const KVM_GET_PIT2: number = _IOR(0x9f, KVM_PIT_STATE2_BYTES);
export const KVM_SET_PIT2: number = _IOW(0xa0, KVM_PIT_STATE2_BYTES);
export const KVM_ENABLE_CAP: number = _IOW(0xa3, 104);
export const KVM_SIGNAL_MSI: number = _IOW(0xa5, 32);

// --- Of a vCPU ---

export const KVM_RUN: number = _IO(0x80);
export const KVM_REGS_BYTES = 144;
export const KVM_GET_REGS: number = _IOR(0x81, KVM_REGS_BYTES);
export const KVM_SET_REGS: number = _IOW(0x82, KVM_REGS_BYTES);
export const KVM_SREGS_BYTES = 312;
export const KVM_GET_SREGS: number = _IOR(0x83, KVM_SREGS_BYTES);
export const KVM_SET_SREGS: number = _IOW(0x84, KVM_SREGS_BYTES);
export const KVM_INTERRUPT: number = _IOW(0x86, 4);
export const KVM_GET_MSRS: number = _IOWR(0x88, 8);
export const KVM_SET_MSRS: number = _IOW(0x89, 8);
export const KVM_LAPIC_STATE_BYTES = 1024;
export const KVM_GET_LAPIC: number = _IOR(0x8e, KVM_LAPIC_STATE_BYTES);
export const KVM_SET_LAPIC: number = _IOW(0x8f, KVM_LAPIC_STATE_BYTES);
export const KVM_SET_CPUID2: number = _IOW(0x90, 8);
export const KVM_GET_MP_STATE: number = _IOR(0x98, 4);
export const KVM_SET_MP_STATE: number = _IOW(0x99, 4);
export const KVM_VCPU_EVENTS_BYTES = 64;
export const KVM_GET_VCPU_EVENTS: number = _IOR(0x9f, KVM_VCPU_EVENTS_BYTES);
export const KVM_SET_VCPU_EVENTS: number = _IOW(0xa0, KVM_VCPU_EVENTS_BYTES);
export const KVM_DEBUGREGS_BYTES = 128;
export const KVM_GET_DEBUGREGS: number = _IOR(0xa1, KVM_DEBUGREGS_BYTES);
export const KVM_SET_DEBUGREGS: number = _IOW(0xa2, KVM_DEBUGREGS_BYTES);
export const KVM_XSAVE_BYTES = 4096;
export const KVM_GET_XSAVE: number = _IOR(0xa4, KVM_XSAVE_BYTES);
export const KVM_SET_XSAVE: number = _IOW(0xa5, KVM_XSAVE_BYTES);
export const KVM_XCRS_BYTES = 392;
export const KVM_GET_XCRS: number = _IOR(0xa6, KVM_XCRS_BYTES);
export const KVM_SET_XCRS: number = _IOW(0xa7, KVM_XCRS_BYTES);

// --- Capabilities ---

export const KVM_CAP_IRQCHIP = 0;
export const KVM_CAP_USER_MEMORY = 3;
export const KVM_CAP_SET_TSS_ADDR = 4;
export const KVM_CAP_EXT_CPUID = 7;
export const KVM_CAP_MP_STATE = 14;
export const KVM_CAP_IRQ_ROUTING = 25;
export const KVM_CAP_IRQFD = 32;
export const KVM_CAP_PIT2 = 33;
export const KVM_CAP_PIT_STATE2 = 35;
export const KVM_CAP_IOEVENTFD = 36;
export const KVM_CAP_SET_IDENTITY_MAP_ADDR = 37;
export const KVM_CAP_VCPU_EVENTS = 41;
export const KVM_CAP_DEBUGREGS = 50;
export const KVM_CAP_XSAVE = 55;
export const KVM_CAP_XCRS = 56;
export const KVM_CAP_MAX_VCPUS = 66;
export const KVM_CAP_TSC_DEADLINE_TIMER = 72;
export const KVM_CAP_SIGNAL_MSI = 77;
export const KVM_CAP_SPLIT_IRQCHIP = 121;
export const KVM_CAP_IMMEDIATE_EXIT = 136;

// --- Exit reasons ---

export const KVM_EXIT_UNKNOWN = 0;
export const KVM_EXIT_IO = 2;
export const KVM_EXIT_DEBUG = 4;
export const KVM_EXIT_HLT = 5;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_IRQ_WINDOW_OPEN = 7;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_FAIL_ENTRY = 9;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_INTERNAL_ERROR = 17;
export const KVM_EXIT_SYSTEM_EVENT = 24;
export const KVM_EXIT_IOAPIC_EOI = 26;

export const KVM_EXIT_IO_OUT = 1;

export const KVM_SYSTEM_EVENT_SHUTDOWN = 1;
export const KVM_SYSTEM_EVENT_RESET = 2;
export const KVM_SYSTEM_EVENT_CRASH = 3;

export const KVM_INTERNAL_ERROR_EMULATION = 1;

// --- Flags and small structures ---

export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_IRQCHIP_PIC_MASTER = 0;
export const KVM_IRQCHIP_PIC_SLAVE = 1;
export const KVM_IRQCHIP_IOAPIC = 2;
export const KVM_IRQ_ROUTING_IRQCHIP = 1;
export const KVM_IRQ_ROUTING_MSI = 2;
export const KVM_PIT_SPEAKER_DUMMY = 1;
export const KVM_IRQFD_FLAG_DEASSIGN = 1;
export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
export const KVM_IOEVENTFD_FLAG_PIO = 2;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;
export const KVM_CPUID_FLAG_SIGNIFCANT_INDEX = 1;

// --- fcntl.h, sys/mman.h, sys/eventfd.h ---

export const O_RDWR = 2;
export const O_CLOEXEC = 0o2000000;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MFD_CLOEXEC = 1;
export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;
