/**
 * IO-APIC, 8259 pair and 8254 of irqchip/ on the VMM thread, in front of the local APICs that KVM has in the kernel (its split irqchip):
 * messages of the IO-APIC are MSIs, ends of level-triggered vectors come back as writes to its EOI register, an interrupt of the 8259
 * pair gets the first processor out, whose thread acknowledges it, and the 8254 ticks by a timer of the host.
 *
 * The 8259's INTR goes to the first processor only, which is where firmware and kernels take it.
 *
 * @module
 */
import type { KernelApics, OuterIrqchip } from '../hypervisor/kvm/machine.ts';
import type { VirtualMachineParts } from '../hypervisor/virtual-machine.ts';
import { Bus } from '../bus/bus.ts';
import { IrqChip } from '../irqchip/irqchip.ts';
import { formatMsi } from '../irqchip/msi.ts';
import type { TimerHandle } from '../util/timers.ts';

/** Where the local APICs are somebody else's, nothing here depends on it. */
const PHYSICAL_ADDRESS_BITS = 36;

export function outerIrqchip(parts: VirtualMachineParts, apics: KernelApics): OuterIrqchip {
  const { memory, map, clock, timers } = parts;
  let armed: { readonly at: number; readonly timer: TimerHandle } | undefined;
  const arm = (): void => {
    const at = irqchip.nextTimerInterrupt;
    if (armed?.at === at) return;
    if (armed !== undefined) timers.clear(armed.timer);
    armed = at === Infinity ? undefined : { at, timer: timers.set(at, tick) };
  };
  const tick = (): void => {
    armed = undefined;
    irqchip.pollTimer();
    arm();
  };
  const irqchip = new IrqChip({
    buffer: memory.buffer,
    map,
    clock,
    kick() {},
    tscOffset: () => 0,
    physicalAddressBits: PHYSICAL_ADDRESS_BITS,
    external: {
      send(message) {
        const { address, data } = formatMsi(message);
        return apics.send(address, data);
      },
      levelRoutes: (routes) =>
        apics.setLevelRoutes(routes.map(({ pin, message }) => ({ gsi: pin, ...formatMsi(message) }))),
      intr: () => apics.interruptFirst(),
      timerMoved: arm,
    },
  });
  irqchip.initialize();
  return {
    line: (gsi) => irqchip.line(gsi),
    attach({ ports, mmio, claim }) {
      const own = new Bus();
      irqchip.attach(own, mmio);
      for (const { name, base, bytes, device } of own.ranges) {
        ports.add(name, base, bytes, device);
        claim(base, bytes);
      }
    },
    reset() {
      irqchip.reset();
      arm();
    },
    [Symbol.dispose]() {
      if (armed !== undefined) timers.clear(armed.timer);
      armed = undefined;
    },
  };
}
