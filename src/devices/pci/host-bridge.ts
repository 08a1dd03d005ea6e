/**
 * The host bridge at 00:00.0: an Intel 440FX, as in crosvm and QEMU. Kernels want to see one before they trust the
 * configuration mechanism; there is nothing else to it.
 *
 * @module
 */
import * as P from './config-space.ts';

const VENDOR_INTEL = 0x8086;
const DEVICE_82441 = 0x1237;
const REVISION = 0x02;
const CLASS_BRIDGE = 0x06;
const SUBCLASS_HOST = 0x00;
/** Memory space and bus mastering, fixed on. */
const COMMAND = 0x0006;
/** Medium DEVSEL timing. */
const STATUS = 0x0200;

export function hostBridge(): P.PciConfigSpace {
  const config = new P.PciConfigSpace();
  config.set(P.PCI_VENDOR_ID, 2, VENDOR_INTEL);
  config.set(P.PCI_DEVICE_ID, 2, DEVICE_82441);
  config.set(P.PCI_COMMAND, 2, COMMAND);
  config.set(P.PCI_STATUS, 2, STATUS);
  config.set(P.PCI_REVISION_ID, 1, REVISION);
  config.set(P.PCI_CLASS, 1, CLASS_BRIDGE);
  config.set(P.PCI_SUBCLASS, 1, SUBCLASS_HOST);
  return config;
}
