/**
 * The VMM thread's side of a hypervisor whose interrupt controllers and timers are irqchip/ in shared memory.
 *
 * @module
 */
import type { VirtualMachine, VirtualMachineFactory, VirtualMachineParts } from '../hypervisor/virtual-machine.ts';
import { IrqChip } from '../irqchip/irqchip.ts';
import { LOW_RAM_LIMIT } from '../memory/machine-memory.ts';

export interface SoftwareMachineOptions {
  readonly vcpuAreaBytes: number;
  readonly physicalAddressBits: number;
}

export function softwareMachine(options: SoftwareMachineOptions): VirtualMachineFactory {
  const { vcpuAreaBytes, physicalAddressBits } = options;
  return {
    vcpuAreaBytes,
    maxRamBytes: LOW_RAM_LIMIT,
    physicalAddressBits,
    keepsCode: true,
    create({ memory, map, control, clock }: VirtualMachineParts): VirtualMachine {
      const irqchip = new IrqChip({
        buffer: memory.buffer,
        map,
        clock,
        kick: (vcpu) => control.vcpu(vcpu).kick(),
        // TSC deadlines are written by the vCPU threads, which know their offsets.
        tscOffset: () => 0,
        physicalAddressBits,
      });
      irqchip.initialize();
      return {
        line: (gsi) => irqchip.line(gsi),
        msi: (address, data) => irqchip.msi(address, data),
        get timeOrigin() {
          return irqchip.timeOrigin;
        },
        // The kick that comes with every request is enough.
        interrupt() {},
        reset: () => irqchip.reset(),
        [Symbol.dispose]() {},
      };
    },
  };
}
