/**
 * A processor, memory and a bus, and nothing else: no devices, no firmware, no interrupts. For small guests that a program runs on its own
 * thread, on either hypervisor.
 *
 * @module
 */
import type { AccessWidth } from '../../bus/bus-device.ts';
import { allOnes } from '../../bus/bus.ts';
import { ControlArea, REQUEST_STOP, VcpuControl } from '../../bus/control.ts';
import type { VcpuBus } from '../../bus/vcpu-bus.ts';
import type { VcpuExit } from '../../hypervisor/exit.ts';
import type { Vcpu } from '../../hypervisor/hypervisor.ts';
import type { InitialCpuState } from '../../hypervisor/initial-state.ts';
import { vcpuCpuid } from '../../hypervisor/kvm/cpuid.ts';
import { mapGuestRam } from '../../hypervisor/kvm/guest-ram.ts';
import { VcpuAccess } from '../../hypervisor/kvm/vcpu-state.ts';
import { KvmVcpu } from '../../hypervisor/kvm/vcpu.ts';
import { KvmVm } from '../../hypervisor/kvm/vm.ts';
import { PHYSICAL_ADDRESS_BITS } from '../../hypervisor/wasm/system/cpu-model.ts';
import { IrqChip } from '../../irqchip/irqchip.ts';
import { allocateMachineMemory, type MachineMemoryMap, planMachineMemory } from '../../memory/machine-memory.ts';
import { KVM_IDENTITY_MAP_ADDRESS, KVM_TSS_ADDRESS } from '../../boot/layout.ts';
import { createClock } from './clock.ts';
import { openKvm } from './kvm/open-kvm.ts';

export interface BareMachineOptions {
  readonly hypervisor: 'kvm' | 'wasm';
  /** Guest RAM from address 0 on, a multiple of 64 KiB. */
  readonly memBytes: number;
  /** Where accesses to ports and outside RAM go; without a function reads give all ones, and writes vanish. */
  readonly bus?: Partial<VcpuBus>;
}

/** Why `run` came back. */
export type BareExit =
  | { readonly kind: 'halted' }
  | { readonly kind: 'stopped' }
  | Exclude<VcpuExit, { readonly kind: 'kicked' }>;

export interface BareMachine extends Disposable {
  /** Guest RAM. */
  readonly memory: Uint8Array;
  /** Puts the processor somewhere. */
  load(state: InitialCpuState): void;
  /** Runs the guest on this thread until it halts, crashes, or the bus calls `stop`. */
  run(): BareExit;
  stop(): void;
}

/** Nothing ends a halt here, so that it ends the run. */
class HaltingControl extends VcpuControl {
  halted = false;

  override waitForKick(): void {
    this.halted = true;
    this.request(REQUEST_STOP);
  }
}

interface Parts {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly control: VcpuControl;
  readonly bus: VcpuBus;
}

/** @throws SystemCallError, KvmUnusableError or NoSystemCallsError where there is no KVM; RangeError for a size that does not fit. */
export async function createBareMachine(options: BareMachineOptions): Promise<BareMachine> {
  const { hypervisor, memBytes, bus = {} } = options;
  using undo = new DisposableStack();
  const make = hypervisor === 'kvm' ? await kvmVcpu(undo) : await wasmVcpu();
  const map = planMachineMemory({ ramBytes: memBytes, vcpuCount: 1, vcpuBytes: make.areaBytes });
  const memory = allocateMachineMemory(map);
  const area = new ControlArea(memory.buffer, map);
  area.initialize();
  const control = new HaltingControl(area, 0);
  const vcpu = make.vcpu({ memory, map, control, bus: { ...NOTHING, ...bus } });
  const resources = undo.move();
  return {
    memory: new Uint8Array(memory.buffer, map.ram, memBytes),
    load: (state) => vcpu.load(state),
    run() {
      const exit = vcpu.run();
      control.clearRequest(REQUEST_STOP);
      if (exit.kind !== 'kicked') return exit;
      const { halted } = control;
      control.halted = false;
      return { kind: halted ? 'halted' : 'stopped' };
    },
    stop: () => control.request(REQUEST_STOP),
    [Symbol.dispose]: () => resources.dispose(),
  };
}

const NOTHING: VcpuBus = {
  portRead: (_port: number, width: AccessWidth) => allOnes(width),
  portWrite() {},
  mmioRead: (_address: number, width: AccessWidth) => allOnes(width),
  mmioWrite() {},
};

interface VcpuMaker {
  readonly areaBytes: number;
  vcpu(parts: Parts): Vcpu;
}

/** What is made is undone in the opposite order. */
async function kvmVcpu(undo: DisposableStack): Promise<VcpuMaker> {
  const kvm = undo.use(await openKvm());
  return {
    areaBytes: 4096,
    vcpu({ memory, map, control, bus }) {
      const { calls } = kvm;
      const vm = undo.use(new KvmVm(kvm));
      const { address } = undo.use(mapGuestRam(calls, memory.buffer, map, 'memfd'));
      vm.setRealModePages(KVM_TSS_ADDRESS, KVM_IDENTITY_MAP_ADDRESS);
      vm.setMemory({ slot: 0, guestAddress: 0, bytes: map.ramBytes, hostAddress: address });
      const handle = vm.createVcpu(0);
      const topology = { index: 0, count: 1, tscDeadline: false };
      new VcpuAccess(calls, handle.fd).setCpuid(vcpuCpuid(kvm.supportedCpuid(), topology));
      return new KvmVcpu({ calls, handle, bus, control });
    },
  };
}

async function wasmVcpu(): Promise<VcpuMaker> {
  const { wasmHypervisor } = await import('../../hypervisor/wasm/hypervisor.ts');
  const { VCPU_AREA_BYTES } = await import('../../hypervisor/wasm/mmu/layout.ts');
  return {
    areaBytes: VCPU_AREA_BYTES,
    vcpu({ memory, map, control, bus }) {
      const clock = createClock();
      const irqchip = new IrqChip({
        buffer: memory.buffer,
        map,
        clock,
        kick: () => control.kick(),
        tscOffset: () => 0,
        physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      });
      irqchip.initialize();
      const interrupts = irqchip.vcpu(0);
      const options = { memory, map, index: 0, clock, interrupts, bus, control, random32: () => undefined };
      return wasmHypervisor().createVcpu(options);
    },
  };
}
