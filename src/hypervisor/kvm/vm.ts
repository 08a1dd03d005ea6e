/**
 * One virtual machine of KVM: its memory slots, interrupt controllers, interrupt routes, doorbells, and the descriptors of its vCPUs
 * (Linux Documentation/virt/kvm/api.rst). Everything here is done on the VMM thread.
 *
 * @module
 */
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  KVM_CAP_SPLIT_IRQCHIP,
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_CREATE_VCPU,
  KVM_ENABLE_CAP,
  KVM_GET_DIRTY_LOG,
  KVM_GET_IRQCHIP,
  KVM_GET_PIT2,
  KVM_IOEVENTFD,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IRQ_LINE,
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  KVM_IRQCHIP_BYTES,
  KVM_IRQCHIP_IOAPIC,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
  KVM_IRQFD,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_PIT_SPEAKER_DUMMY,
  KVM_PIT_STATE2_BYTES,
  KVM_SET_GSI_ROUTING,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_IRQCHIP,
  KVM_SET_PIT2,
  KVM_SET_TSS_ADDR,
  KVM_SET_USER_MEMORY_REGION,
  KVM_SIGNAL_MSI,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from './defs.ts';
import type { Kvm } from './kvm.ts';
import { EPERM, expectSuccess, type SystemCalls } from './system-calls.ts';

const PAGE_BYTES = 4096;
/** Pins of the kernel's IO-APIC. */
export const IOAPIC_PINS = 24;
const PIC_PINS = 8;

/** Who has interrupt controllers: the kernel all of them, the kernel only local APICs, nobody. */
export type KvmIrqchip = 'kernel' | 'split' | 'none';

/** Where a global system interrupt goes. */
export type InterruptRoute =
  | { readonly gsi: number; readonly chip: number; readonly pin: number }
  | { readonly gsi: number; readonly address: number; readonly data: number };

export interface MemorySlot {
  readonly slot: number;
  readonly guestAddress: number;
  /** 0 removes the slot. */
  readonly bytes: number;
  /** Where the memory is in this process. */
  readonly hostAddress: number;
  readonly logDirtyPages?: boolean;
}

/** Guest writes that become a count in an eventfd. */
export interface Doorbell {
  readonly space: 'port' | 'memory';
  readonly address: number;
  /** 1, 2, 4, 8; 0: a write of any width. */
  readonly bytes: 0 | 1 | 2 | 4 | 8;
  /** Only writes of this value. */
  readonly value?: number;
}

/** A vCPU's descriptor and its page shared with the kernel: plain data for the thread that will run it. */
export interface VcpuHandle {
  readonly irqchip: KvmIrqchip;
  readonly fd: number;
  readonly runAddress: number;
  readonly runBytes: number;
}

/**
 * The wires of a PC: the 8254's interrupt arrives at pin 2 of the IO-APIC (the MADT says so), the others at the pin of their number;
 * the first 16 arrive at the 8259 pair too, but for the cascade.
 */
export function pcRoutes(): InterruptRoute[] {
  const routes: InterruptRoute[] = [];
  for (let gsi = 0; gsi < IOAPIC_PINS; gsi++) {
    if (gsi === 2) continue;
    if (gsi < 2 * PIC_PINS) {
      const chip = gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
      routes.push({ gsi, chip, pin: gsi % PIC_PINS });
    }
    routes.push({ gsi, chip: KVM_IRQCHIP_IOAPIC, pin: gsi === 0 ? 2 : gsi });
  }
  return routes;
}

export class KvmVm implements Disposable {
  readonly fd: number;
  readonly #kvm: Kvm;
  readonly #calls: SystemCalls;
  readonly #vcpus: VcpuHandle[] = [];
  #irqchip: KvmIrqchip = 'none';
  readonly #slots = new Map<number, MemorySlot>();
  readonly #line = new Uint32Array(2);
  readonly #lineBytes: Uint8Array;

  constructor(kvm: Kvm) {
    this.#kvm = kvm;
    this.#calls = kvm.calls;
    this.#lineBytes = new Uint8Array(this.#line.buffer);
    this.fd = kvm.createVm();
  }

  /** Ends the machine. No thread may run a vCPU of it, or look at its shared page, any more. */
  [Symbol.dispose](): void {
    for (const { fd, runAddress, runBytes } of this.#vcpus) {
      this.#calls.munmap(runAddress, runBytes);
      this.#calls.close(fd);
    }
    this.#vcpus.length = 0;
    this.#calls.close(this.fd);
  }

  #struct(request: number, call: string, bytes: Uint8Array, hint?: string): number {
    return expectSuccess(this.#calls.ioctlStruct(this.fd, request, bytes), call, hint);
  }

  // --- Memory ---

  /** What KVM on Intel needs to run real mode: guest-physical pages that the guest must not use. Before any vCPU is created. */
  setRealModePages(tssAddress: number, identityMapAddress: number): void {
    const address = new Uint8Array(new BigUint64Array([BigInt(identityMapAddress)]).buffer);
    this.#struct(KVM_SET_IDENTITY_MAP_ADDR, 'KVM_SET_IDENTITY_MAP_ADDR', address);
    expectSuccess(this.#calls.ioctl(this.fd, KVM_SET_TSS_ADDR, tssAddress), 'KVM_SET_TSS_ADDR');
  }

  /** Adds, changes or removes guest memory: struct kvm_userspace_memory_region. */
  setMemory(slot: MemorySlot): void {
    const view = new DataView(new ArrayBuffer(32));
    view.setUint32(0, slot.slot, true);
    view.setUint32(4, slot.logDirtyPages === true ? KVM_MEM_LOG_DIRTY_PAGES : 0, true);
    view.setBigUint64(8, BigInt(slot.guestAddress), true);
    view.setBigUint64(16, BigInt(slot.bytes), true);
    view.setBigUint64(24, BigInt(slot.hostAddress), true);
    this.#struct(KVM_SET_USER_MEMORY_REGION, 'KVM_SET_USER_MEMORY_REGION', new Uint8Array(view.buffer));
    if (slot.bytes === 0) this.#slots.delete(slot.slot);
    else this.#slots.set(slot.slot, slot);
  }

  /** A bit for every page of a slot that the guest has written to since the last call. The slot must log dirty pages. */
  takeDirtyPages(slot: number): Uint8Array {
    const bytes = this.#slots.get(slot)?.bytes;
    if (bytes === undefined) throw new RangeError(`memory slot ${slot} does not exist`);
    // The kernel writes whole longs.
    const bitmap = new Uint8Array(Math.ceil(bytes / PAGE_BYTES / 64) * 8);
    const view = new DataView(new ArrayBuffer(16));
    view.setUint32(0, slot, true);
    view.setBigUint64(8, BigInt(this.#calls.addressOf(bitmap.buffer)), true);
    this.#struct(KVM_GET_DIRTY_LOG, 'KVM_GET_DIRTY_LOG', new Uint8Array(view.buffer));
    return bitmap;
  }

  // --- Interrupts ---

  /** Local APICs, IO-APIC, 8259 pair and 8254 in the kernel, wired as in a PC. Before any vCPU is created. */
  createIrqchip(): void {
    expectSuccess(this.#calls.ioctl(this.fd, KVM_CREATE_IRQCHIP, 0), 'KVM_CREATE_IRQCHIP');
    const pit = new Uint8Array(64);
    // Port 61h is the kernel's too: without it the guest could not calibrate with the 8254.
    new DataView(pit.buffer).setUint32(0, KVM_PIT_SPEAKER_DUMMY, true);
    this.#struct(KVM_CREATE_PIT2, 'KVM_CREATE_PIT2', pit);
    this.setRoutes(pcRoutes());
    this.#irqchip = 'kernel';
  }

  /** Local APICs in the kernel, everything else with the caller: GSIs are only what `setRoutes` makes of them. */
  createSplitIrqchip(): void {
    const view = new DataView(new ArrayBuffer(104));
    view.setUint32(0, KVM_CAP_SPLIT_IRQCHIP, true);
    view.setBigUint64(8, BigInt(IOAPIC_PINS), true);
    this.#struct(KVM_ENABLE_CAP, 'KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP)', new Uint8Array(view.buffer));
    this.#irqchip = 'split';
  }

  /** Replaces all interrupt routes: struct kvm_irq_routing with entries of 48 bytes. */
  setRoutes(routes: readonly InterruptRoute[]): void {
    const view = new DataView(new ArrayBuffer(8 + routes.length * 48));
    view.setUint32(0, routes.length, true);
    for (const [index, route] of routes.entries()) {
      const at = 8 + index * 48;
      view.setUint32(at, route.gsi, true);
      if ('chip' in route) {
        view.setUint32(at + 4, KVM_IRQ_ROUTING_IRQCHIP, true);
        view.setUint32(at + 16, route.chip, true);
        view.setUint32(at + 20, route.pin, true);
      } else {
        view.setUint32(at + 4, KVM_IRQ_ROUTING_MSI, true);
        view.setBigUint64(at + 16, BigInt(route.address), true);
        view.setUint32(at + 24, route.data, true);
      }
    }
    this.#struct(KVM_SET_GSI_ROUTING, 'KVM_SET_GSI_ROUTING', new Uint8Array(view.buffer));
  }

  /** Drives a line of the kernel's controllers. */
  setLine(gsi: number, level: boolean): void {
    this.#line[0] = gsi;
    this.#line[1] = level ? 1 : 0;
    this.#struct(KVM_IRQ_LINE, 'KVM_IRQ_LINE', this.#lineBytes);
  }

  /** Sends a message-signalled interrupt; false when no local APIC took it. */
  signalMsi(address: number, data: number): boolean {
    const view = new DataView(new ArrayBuffer(32));
    view.setBigUint64(0, BigInt(address), true);
    view.setUint32(8, data, true);
    const result = this.#calls.ioctlStruct(this.fd, KVM_SIGNAL_MSI, new Uint8Array(view.buffer));
    // What the kernel says when there is no such local APIC. A guest names the destination.
    if (result === -EPERM) return false;
    return expectSuccess(result, 'KVM_SIGNAL_MSI') > 0;
  }

  /** Whatever counts the eventfd up raises the edge of a GSI, without a thread of this process; or no longer. */
  attachInterrupt(eventfd: number, gsi: number, attached = true): void {
    const view = new DataView(new ArrayBuffer(32));
    view.setInt32(0, eventfd, true);
    view.setUint32(4, gsi, true);
    view.setUint32(8, attached ? 0 : KVM_IRQFD_FLAG_DEASSIGN, true);
    this.#struct(KVM_IRQFD, 'KVM_IRQFD', new Uint8Array(view.buffer));
  }

  /** Guest writes count the eventfd up and do not leave the kernel; or no longer. */
  attachDoorbell(eventfd: number, doorbell: Doorbell, attached = true): void {
    const { space, address, bytes, value } = doorbell;
    const view = new DataView(new ArrayBuffer(64));
    view.setBigUint64(0, BigInt(value ?? 0), true);
    view.setBigUint64(8, BigInt(address), true);
    view.setUint32(16, bytes, true);
    view.setInt32(20, eventfd, true);
    const flags =
      (space === 'port' ? KVM_IOEVENTFD_FLAG_PIO : 0) |
      (value === undefined ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH) |
      (attached ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN);
    view.setUint32(24, flags, true);
    this.#struct(KVM_IOEVENTFD, 'KVM_IOEVENTFD', new Uint8Array(view.buffer));
  }

  /** An eventfd for the two above, which does not block. Whoever makes it closes it. */
  createEventfd(): number {
    return expectSuccess(this.#calls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), 'eventfd');
  }

  /** The state of one of the kernel's controllers, KVM_IRQCHIP_*, and of the 8254. */
  saveIrqchip(chip: number): Uint8Array {
    const bytes = new Uint8Array(KVM_IRQCHIP_BYTES);
    new DataView(bytes.buffer).setUint32(0, chip, true);
    this.#struct(KVM_GET_IRQCHIP, 'KVM_GET_IRQCHIP', bytes);
    return bytes;
  }

  restoreIrqchip(state: Uint8Array): void {
    this.#struct(KVM_SET_IRQCHIP, 'KVM_SET_IRQCHIP', state.slice());
  }

  savePit(): Uint8Array {
    const bytes = new Uint8Array(KVM_PIT_STATE2_BYTES);
    this.#struct(KVM_GET_PIT2, 'KVM_GET_PIT2', bytes);
    return bytes;
  }

  restorePit(state: Uint8Array): void {
    this.#struct(KVM_SET_PIT2, 'KVM_SET_PIT2', state.slice());
  }

  // --- Processors ---

  /** The processor with this APIC ID; 0 is the one that boots. */
  createVcpu(index: number): VcpuHandle {
    const calls = this.#calls;
    const created = calls.ioctl(this.fd, KVM_CREATE_VCPU, index);
    const fd = expectSuccess(created, `KVM_CREATE_VCPU ${index}`, `at most ${this.#kvm.maxVcpus} are possible`);
    const { runBytes } = this.#kvm;
    const runAddress = calls.mmap(0, runBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (runAddress < 0) calls.close(fd);
    const irqchip = this.#irqchip;
    const handle = { irqchip, fd, runAddress: expectSuccess(runAddress, 'mmap of a vCPU'), runBytes };
    this.#vcpus.push(handle);
    return handle;
  }
}
