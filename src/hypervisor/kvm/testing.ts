/**
 * Real-mode guests on the host's KVM, for tests: a megabyte of RAM, code at 1000h, and a bus that writes down what comes out. What the
 * guest executes has to end with a write to port F4h, which ends `run`.
 *
 * @module
 */
import { openKvm } from '../../host/node/kvm/open-kvm.ts';
import { ControlArea, REQUEST_STOP, type VcpuControl } from '../../bus/control.ts';
import type { VcpuBus } from '../../bus/vcpu-bus.ts';
import { type RamBacking, allocateMachineMemory, planMachineMemory } from '../../memory/machine-memory.ts';
import type { VcpuExit } from '../exit.ts';
import type { InitialCpuState } from '../initial-state.ts';
import { realModeState as startState } from '../real-mode.ts';
import { mapGuestRam } from './guest-ram.ts';
import type { Kvm } from './kvm.ts';
import { VcpuAccess } from './vcpu-state.ts';
import { KvmVcpu } from './vcpu.ts';
import { KvmVm } from './vm.ts';

export const RAM_BYTES = 0x10_0000;
export const CODE = 0x1000;
export const STACK = 0x8000;
export const END_PORT = 0xf4;

/** mov al, 0; out F4h, al; jmp back to it, should anything go on. */
export const END = 'b0 00 e6 f4 eb fc';

/** KVM of this host, and why tests of it are skipped. */
export async function hostKvm(): Promise<{ kvm: Kvm; skip: string | false }> {
  try {
    return { kvm: await openKvm(), skip: false };
  } catch (error) {
    return { kvm: undefined as never, skip: `no KVM: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Bytes in hexadecimal. */
export const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));

/** 16-bit code at `rip`, all segments but DS at 0. */
export function realModeState(rip: number, dataBase = 0): InitialCpuState {
  const state = startState(rip, { rsp: STACK });
  return { ...state, ds: { ...state.ds, selector: dataBase >> 4, base: dataBase } };
}

export interface RealModeOptions {
  readonly irqchip?: 'kernel' | 'split' | 'none';
  /** Where DS begins, for accesses outside RAM. */
  readonly dataBase?: number;
  readonly logDirtyPages?: boolean;
  /** What guest RAM is: a memfd by default. */
  readonly backing?: RamBacking;
  /** What reads give: by default all ones. */
  readonly read?: (address: number, width: number) => number;
  /** Called on writes, before they are written down. */
  readonly write?: (machine: RealModeMachine, address: number, value: number) => void;
}

export class RealModeMachine implements Disposable {
  readonly vm: KvmVm;
  readonly vcpu: KvmVcpu;
  readonly access: VcpuAccess;
  readonly control: VcpuControl;
  readonly ram: Uint8Array;
  /** Accesses as "out 3f8/1 41", "in 60/1", "store d0000/4 12345678", "load d0000/2". */
  readonly log: string[] = [];
  readonly #undo = new DisposableStack();

  constructor(kvm: Kvm, code: string, options: RealModeOptions = {}) {
    const { irqchip = 'none', dataBase = 0, backing = 'memfd', logDirtyPages = false, read, write } = options;
    const map = planMachineMemory({ ramBytes: RAM_BYTES, vcpuCount: 1, vcpuBytes: 4096 });
    const memory = allocateMachineMemory(map);
    this.vm = this.#undo.use(new KvmVm(kvm));
    const ram = this.#undo.use(mapGuestRam(kvm.calls, memory.buffer, map, backing));
    this.ram = new Uint8Array(memory.buffer, map.ram, map.ramBytes);
    this.ram.set(bytes(code), CODE);
    this.vm.setMemory({ slot: 0, guestAddress: 0, bytes: RAM_BYTES, hostAddress: ram.address, logDirtyPages });
    this.vm.setRealModePages(0xfeff_d000, 0xfeff_c000);
    if (irqchip === 'kernel') this.vm.createIrqchip();
    else if (irqchip === 'split') this.vm.createSplitIrqchip();
    const handle = this.vm.createVcpu(0);
    const area = new ControlArea(memory.buffer, map);
    area.initialize();
    this.control = area.vcpu(0);
    this.access = new VcpuAccess(kvm.calls, handle.fd);
    const note = (what: string, address: number, width: number, value?: number): void => {
      this.log.push(`${what} ${address.toString(16)}/${width}${value === undefined ? '' : ` ${value.toString(16)}`}`);
    };
    const answer = read ?? ((_, width) => 2 ** (8 * width) - 1);
    const bus: VcpuBus = {
      portRead: (port, width) => {
        note('in', port, width);
        return answer(port, width);
      },
      portWrite: (port, width, value) => {
        if (port === END_PORT) {
          this.control.request(REQUEST_STOP);
          return;
        }
        write?.(this, port, value);
        note('out', port, width, value);
      },
      mmioRead: (address, width) => {
        note('load', address, width);
        return answer(address, width);
      },
      mmioWrite: (address, width, value) => {
        write?.(this, address, value);
        note('store', address, width, value);
      },
    };
    this.vcpu = new KvmVcpu({ calls: kvm.calls, handle, bus, control: this.control });
    this.vcpu.load(realModeState(CODE, dataBase));
  }

  run(): VcpuExit {
    return this.vcpu.run();
  }

  [Symbol.dispose](): void {
    this.#undo.dispose();
  }
}
