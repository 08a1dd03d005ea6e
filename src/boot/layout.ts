/**
 * The guest-physical and port layout of the machine: crosvm's, so that what boots there boots here.
 *
 *     0x0000_0000  RAM        BIOS data area, GDT, boot structures, page tables, command line, setup_data
 *     0x0009_e800  reserved   MP table, its floating pointer in the last 16 bytes below 640 KiB
 *     0x000a_0000  reserved   (backed) 0xe0000 ACPI tables, 0xf0000 SMBIOS
 *     0x0010_0000  RAM        kernel from 0x200000, initrd as high as the kernel allows
 *     0xd000_0000  PCI        32-bit MMIO window
 *     0xf400_0000  PCI        ECAM, room for 64 buses
 *     0xf800_0000  virtio     32 MMIO devices, where they are not on PCI
 *     0xfec0_0000  IO-APIC    0xfee0_0000 local APIC; 0xfeff_c000 KVM's identity map page and TSS
 *     0x1_0000_0000 RAM       what does not fit below 0xd0000000; then the 64-bit PCI window
 *
 * Addresses are guest-physical, sizes in bytes. `LOW_RAM_LIMIT` (memory/machine-memory.ts) is PCI_LOW_MMIO_START.
 *
 * @module
 */
import { FOUR_GIB, LOW_RAM_LIMIT, type RamSplit, splitRam } from '../memory/machine-memory.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

// --- Below 640 KiB: the BIOS data area and what a boot loader leaves for the kernel ---

/** BIOS data area (IBM PC): I/O bases of COM1..COM4, EBDA segment, KiB of conventional memory. */
export const BDA_COM_PORTS = 0x400;
export const BDA_EBDA_SEGMENT = 0x40e;
export const BDA_MEMORY_KIB = 0x413;

/** Boot GDT: null, unused, code 0x10, data 0x18, TSS 0x20; 8 bytes each (see gdt.ts). The IDT follows it, one empty gate. */
export const BOOT_GDT_ADDRESS = 0x1500;
export const BOOT_GDT_ENTRIES = 5;
export const BOOT_IDT_ADDRESS: number = BOOT_GDT_ADDRESS + BOOT_GDT_ENTRIES * 8;

/** One page for the Multiboot information structure or the PVH start info, and the tables they point to. */
export const BOOT_INFO_ADDRESS = 0x6000;
export const BOOT_INFO_BYTES = 0x1000;

/** struct boot_params, the "zero page" of the Linux boot protocol. */
export const ZERO_PAGE_ADDRESS = 0x7000;
export const ZERO_PAGE_BYTES = 0x1000;

/** Initial stack pointer: the stack grows down from here, over the end of the zero page, which nobody uses. */
export const BOOT_STACK_POINTER = 0x8000;

/** Identity map of the first 4 GiB: one PML4, one PDPT, four page directories of 2 MiB pages. */
export const BOOT_PML4_ADDRESS = 0x9000;
export const BOOT_PDPT_ADDRESS = 0xa000;
export const BOOT_PD_ADDRESS = 0xb000;
export const BOOT_PD_COUNT = 4;

/** Kernel command line with its terminating NUL. */
export const CMDLINE_ADDRESS = 0x20000;
export const CMDLINE_MAX_BYTES: number = 2 * KIB;

/** The chain of struct setup_data. */
export const SETUP_DATA_ADDRESS: number = CMDLINE_ADDRESS + CMDLINE_MAX_BYTES;
export const SETUP_DATA_END = 0x9e800;

/** MP configuration table; conventional RAM ends here in the memory map. */
export const MP_TABLE_ADDRESS: number = SETUP_DATA_END;
export const LOW_MEMORY_END: number = 640 * KIB;
/** "_MP_": in the last KiB of base memory, where MP 1.4 section 4 makes systems look. */
export const MP_POINTER_BYTES = 16;
export const MP_POINTER_ADDRESS: number = LOW_MEMORY_END - MP_POINTER_BYTES;

// --- 640 KiB to 1 MiB: reserved in the memory map, backed by RAM ---

export const ACPI_ADDRESS = 0xe0000;
export const ACPI_END = 0xf0000;
export const SMBIOS_ADDRESS = 0xf0000;
export const SMBIOS_END = 0x100000;

// --- From 1 MiB ---

export const HIGH_MEMORY_START: number = 1 * MIB;
/** Where a relocatable bzImage goes; its alignment (2 MiB) is what x86-64 kernels ask for. */
export const KERNEL_START: number = 2 * MIB;
/** Highest byte an initrd may reach when the kernel does not say: 64-bit kernels say the same. */
export const INITRD_ADDR_MAX_64 = 0x7fff_ffff;
/** The same for 32-bit kernels (boot.rst, initrd_addr_max before protocol 2.03). */
export const INITRD_ADDR_MAX_32 = 0x37ff_ffff;

// --- Below 4 GiB: PCI and the interrupt controllers ---

export const PCI_LOW_MMIO_START: number = LOW_RAM_LIMIT;
export const PCI_ECAM_START = 0xf400_0000;
export const PCI_LOW_MMIO_END: number = PCI_ECAM_START;
/** What is reserved: 64 buses, with 1 MiB of configuration space each. */
export const PCI_ECAM_BYTES: number = 64 * MIB;
/**
 * What the guest is told of. Linux looks for roots on every bus it has heard of beside the first, and asks each of its slots
 * (pcibios_fixup_peer_bridges): with 64 that was 4,032 of the 5,500 exits of a boot on KVM, for nothing.
 */
export const PCI_BUSES = 1;

/** Pages for virtio devices on MMIO, one a slot: behind ECAM, where crosvm has nothing. */
export const VIRTIO_MMIO_START: number = PCI_ECAM_START + PCI_ECAM_BYTES;
export const VIRTIO_MMIO_BYTES = 0x1000;

export const IOAPIC_ADDRESS = 0xfec0_0000;
/** As the IO-APIC's ID register reads after reset. */
export const IOAPIC_ID = 0;
export const IOAPIC_PINS = 24;
export const LOCAL_APIC_ADDRESS = 0xfee0_0000;

/** What KVM on Intel needs for real mode: four pages below the largest firmware image (1 MiB under 4 GiB). */
export const KVM_IDENTITY_MAP_ADDRESS = 0xfeff_c000;
export const KVM_TSS_ADDRESS = 0xfeff_d000;
export const KVM_TSS_END = 0xff00_0000;

export { FOUR_GIB, type RamSplit, splitRam };

/** The 64-bit PCI window: from the first GiB boundary above RAM to the end of the physical address space. */
export function pciHighMmio(ramBytes: number, physicalAddressBits: number): { start: number; end: number } {
  const start = Math.ceil(splitRam(ramBytes).highEnd / GIB) * GIB;
  return { start, end: Math.max(start, 2 ** Math.min(physicalAddressBits, 46)) };
}

// --- I/O ports and interrupts. GSIs are IO-APIC pins; ISA interrupts keep their number except the PIT's. ---

/** IRQ 0 of the PIT arrives on IO-APIC pin 2, as on every PC: pin 0 is the 8259 pair's. */
export const PIT_IRQ = 0;
export const PIT_GSI = 2;
export const RTC_PORT = 0x70;
export const RTC_IRQ = 8;
/** CMOS index of the century, announced in the FADT. */
export const RTC_CENTURY_INDEX = 0x32;

export interface SerialPort {
  readonly port: number;
  readonly irq: number;
}
/** COM1..COM4. */
export const SERIAL_PORTS: readonly SerialPort[] = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
];
export const SERIAL_PORT_BYTES = 8;

/** ACPI fixed hardware (ACPI 6.3, 4.8.3): PM1a status and enable, PM1a control, PM timer, GPE0 status and enable. */
export const ACPI_SCI_IRQ = 5;
export const PM1A_EVENT_PORT = 0x600;
export const PM1A_EVENT_BYTES = 4;
export const PM1A_CONTROL_PORT = 0x604;
export const PM1A_CONTROL_BYTES = 2;
export const PM_TIMER_PORT = 0x608;
export const PM_TIMER_BYTES = 4;
export const GPE0_PORT = 0x620;
/** Sixteen events: two bytes of status, two of enable. */
export const GPE0_BYTES = 4;
/** SLP_TYP of soft off, as \_S5 announces it: PM1 control bits 10..12. */
export const PM1_SLP_TYP_S5 = 5;

/** Reset control register of the chip set (PIIX, ICH): writing RESET_VALUE resets the machine. */
export const RESET_PORT = 0xcf9;
export const RESET_VALUE = 0x06;

/** PCI configuration mechanism 1. */
export const PCI_CONFIG_PORT = 0xcf8;
export const PCI_CONFIG_PORT_BYTES = 8;

/** QEMU's ISA pvpanic device. */
export const PVPANIC_PORT = 0x505;

/** The IO-APIC pin of a PCI function's interrupt line: pins 16..23, neighbours apart. `pin` 0 is INTA. */
export const PCI_INTX_GSI_BASE = 16;
export const pciIntxGsi = (device: number, pin: number): number => PCI_INTX_GSI_BASE + ((device + pin) & 7);
