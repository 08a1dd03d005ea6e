/**
 * Numbers of the PCI transport (VIRTIO 1.2, section 4.1), in the spelling of the specification and of Linux's
 * virtio_pci.h. Offsets are in bytes.
 *
 * @module
 */

/** Identification (4.1.2). */
export const VIRTIO_PCI_VENDOR = 0x1af4;
export const VIRTIO_PCI_DEVICE_BASE = 0x1040;
export const VIRTIO_PCI_REVISION = 1;
export const VIRTIO_PCI_SUBSYSTEM = 0x0040;

/** Capability structures (4.1.4). */
export const VIRTIO_PCI_CAP_COMMON_CFG = 1;
export const VIRTIO_PCI_CAP_NOTIFY_CFG = 2;
export const VIRTIO_PCI_CAP_ISR_CFG = 3;
export const VIRTIO_PCI_CAP_DEVICE_CFG = 4;
export const VIRTIO_PCI_CAP_PCI_CFG = 5;
/** Fields of struct virtio_pci_cap, and what follows it in some. */
export const CAP_BAR = 4;
export const CAP_OFFSET = 8;
export const CAP_LENGTH = 12;
export const CAP_EXTRA = 16;

/** Where the structures lie in the BAR. */
export const BAR_BYTES = 0x8000;
export const BAR_COMMON = 0x0000;
export const BAR_ISR = 0x1000;
export const BAR_DEVICE = 0x2000;
export const BAR_NOTIFY = 0x3000;
export const BAR_MSIX_TABLE = 0x6000;
export const BAR_MSIX_PENDING = 0x7000;
export const NOTIFY_MULTIPLIER = 4;

/** struct virtio_pci_common_cfg (4.1.4.3), by words. */
export const COMMON_BYTES = 56;
export const VIRTIO_PCI_COMMON_DFSELECT = 0x00;
export const VIRTIO_PCI_COMMON_DF = 0x04;
export const VIRTIO_PCI_COMMON_GFSELECT = 0x08;
export const VIRTIO_PCI_COMMON_GF = 0x0c;
export const VIRTIO_PCI_COMMON_MSIX = 0x10;
export const VIRTIO_PCI_COMMON_STATUS = 0x14;
export const VIRTIO_PCI_COMMON_Q_SELECT = 0x16;
export const VIRTIO_PCI_COMMON_Q_SIZE = 0x18;
export const VIRTIO_PCI_COMMON_Q_MSIX = 0x1a;
export const VIRTIO_PCI_COMMON_Q_ENABLE = 0x1c;
export const VIRTIO_PCI_COMMON_Q_DESCLO = 0x20;

export const VIRTIO_MSI_NO_VECTOR = 0xffff;

/** ISR status (4.1.4.5). */
export const VIRTIO_PCI_ISR_QUEUE = 1;
export const VIRTIO_PCI_ISR_CONFIG = 2;
