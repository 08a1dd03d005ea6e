/**
 * Which I/O ports the machine's own devices have, for whoever wants to add one. The addresses are those of devices/platform and
 * irqchip; ports.test.ts compares.
 *
 * @module
 */

interface PortRange {
  readonly first: number;
  readonly last: number;
  readonly owner: string;
}

// biome-ignore format: a table
const MACHINE_PORTS: readonly PortRange[] = [
  { first: 0x20,  last: 0x21,  owner: 'the interrupt controller' },
  { first: 0x40,  last: 0x43,  owner: 'the timer' },
  { first: 0x60,  last: 0x61,  owner: 'the keyboard controller and the speaker' },
  { first: 0x64,  last: 0x64,  owner: 'the keyboard controller' },
  { first: 0x70,  last: 0x71,  owner: 'the clock' },
  { first: 0x80,  last: 0x80,  owner: 'progress codes' },
  { first: 0xa0,  last: 0xa1,  owner: 'the interrupt controller' },
  { first: 0xe9,  last: 0xe9,  owner: 'the debug console' },
  { first: 0xf0,  last: 0xf0,  owner: 'the coprocessor error' },
  { first: 0x2e8, last: 0x2ef, owner: 'COM4' },
  { first: 0x2f8, last: 0x2ff, owner: 'COM2' },
  { first: 0x3e8, last: 0x3ef, owner: 'COM3' },
  { first: 0x3f8, last: 0x3ff, owner: 'COM1' },
  { first: 0x402, last: 0x402, owner: 'the debug console' },
  { first: 0x4d0, last: 0x4d1, owner: 'the interrupt controller' },
  { first: 0x505, last: 0x505, owner: 'pvpanic' },
  { first: 0x600, last: 0x605, owner: 'power management' },
  { first: 0x608, last: 0x60b, owner: 'power management' },
  { first: 0x620, last: 0x623, owner: 'power management' },
  { first: 0xcf8, last: 0xcff, owner: 'PCI configuration' },
];

/** Whose one of `count` ports from `first` on is; undefined when all are free. */
export function portOwner(first: number, count: number): string | undefined {
  return MACHINE_PORTS.find((range) => range.first < first + count && first <= range.last)?.owner;
}
