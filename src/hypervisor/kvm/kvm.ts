/**
 * /dev/kvm: whether it is there and good enough, and what it offers (Linux Documentation/virt/kvm/api.rst, sections 4.1 to 4.46).
 *
 * @module
 */
import {
  KVM_API_VERSION,
  KVM_CAP_DEBUGREGS,
  KVM_CAP_EXT_CPUID,
  KVM_CAP_IMMEDIATE_EXIT,
  KVM_CAP_IOEVENTFD,
  KVM_CAP_IRQ_ROUTING,
  KVM_CAP_IRQCHIP,
  KVM_CAP_IRQFD,
  KVM_CAP_MAX_VCPUS,
  KVM_CAP_MP_STATE,
  KVM_CAP_PIT_STATE2,
  KVM_CAP_PIT2,
  KVM_CAP_SET_IDENTITY_MAP_ADDR,
  KVM_CAP_SET_TSS_ADDR,
  KVM_CAP_SIGNAL_MSI,
  KVM_CAP_USER_MEMORY,
  KVM_CAP_VCPU_EVENTS,
  KVM_CAP_XCRS,
  KVM_CAP_XSAVE,
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VM,
  KVM_GET_API_VERSION,
  KVM_GET_MSR_INDEX_LIST,
  KVM_GET_SUPPORTED_CPUID,
  KVM_GET_VCPU_MMAP_SIZE,
  O_CLOEXEC,
  O_RDWR,
} from './defs.ts';
import { type CpuidEntry, readCpuid } from './cpuid.ts';
import { KVM_DEVICE } from './device.ts';
import { EINTR, expectSuccess, type SystemCalls } from './system-calls.ts';

/** What a machine does not work without. All of it is older than Linux 4.13. */
export const REQUIRED_CAPABILITIES: Readonly<Record<string, number>> = {
  KVM_CAP_IRQCHIP,
  KVM_CAP_USER_MEMORY,
  KVM_CAP_SET_TSS_ADDR,
  KVM_CAP_EXT_CPUID,
  KVM_CAP_MP_STATE,
  KVM_CAP_IRQ_ROUTING,
  KVM_CAP_IRQFD,
  KVM_CAP_PIT2,
  KVM_CAP_PIT_STATE2,
  KVM_CAP_IOEVENTFD,
  KVM_CAP_SET_IDENTITY_MAP_ADDR,
  KVM_CAP_VCPU_EVENTS,
  KVM_CAP_DEBUGREGS,
  KVM_CAP_XSAVE,
  KVM_CAP_XCRS,
  KVM_CAP_SIGNAL_MSI,
  KVM_CAP_IMMEDIATE_EXIT,
};

/** errno values of `open` and KVM_CREATE_VM that have a usual cause. */
const OPEN_HINTS: Readonly<Record<number, string>> = {
  2: 'there is no KVM: load the module kvm_intel or kvm_amd, and enable virtualisation in the firmware or the cloud',
  13: 'you are not in group kvm: sudo usermod -aG kvm $USER, then log in again',
  19: 'the processor or the firmware does not offer virtualisation',
};
const CREATE_HINTS: Readonly<Record<number, string>> = {
  12: 'the host has no memory left',
  16: 'another hypervisor uses the processor',
  24: 'too many open files: raise "ulimit -n"',
};

/** KVM is there, but not one that this program can use. */
export class KvmUnusableError extends Error {
  override readonly name = 'KvmUnusableError';
}

/** More entries than any kernel gives. */
const MAX_CPUID_ENTRIES = 256;
const CPUID_ENTRY_BYTES = 40;
const MAX_MSRS = 2048;

export class Kvm implements Disposable {
  readonly calls: SystemCalls;
  readonly fd: number;
  /** Bytes of a vCPU's shared page, struct kvm_run and what follows it. */
  readonly runBytes: number;

  /** @throws SystemCallError or KvmUnusableError */
  constructor(calls: SystemCalls) {
    this.calls = calls;
    const fd = calls.open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
    this.fd = expectSuccess(fd, KVM_DEVICE, OPEN_HINTS[-fd]);
    try {
      const version = calls.ioctl(this.fd, KVM_GET_API_VERSION, 0);
      if (version !== KVM_API_VERSION) {
        throw new KvmUnusableError(`${KVM_DEVICE}: its API has version ${version}, not ${KVM_API_VERSION}`);
      }
      const missing = Object.entries(REQUIRED_CAPABILITIES).filter(([, number]) => this.capability(number) === 0);
      if (missing.length > 0) {
        throw new KvmUnusableError(`${KVM_DEVICE}: it lacks ${missing.map(([name]) => name).join(', ')}`);
      }
      this.runBytes = expectSuccess(calls.ioctl(this.fd, KVM_GET_VCPU_MMAP_SIZE, 0), 'KVM_GET_VCPU_MMAP_SIZE');
    } catch (error) {
      calls.close(this.fd);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.calls.close(this.fd);
  }

  /** What KVM_CHECK_EXTENSION says; 0: not there. */
  capability(number: number): number {
    return Math.max(0, this.calls.ioctl(this.fd, KVM_CHECK_EXTENSION, number));
  }

  get maxVcpus(): number {
    return this.capability(KVM_CAP_MAX_VCPUS);
  }

  /** The descriptor of a new virtual machine. */
  createVm(): number {
    let fd: number;
    // The kernel waits for other processors there, and gives up when a signal comes: a profiler's, a timer's.
    do fd = this.calls.ioctl(this.fd, KVM_CREATE_VM, 0);
    while (fd === -EINTR);
    return expectSuccess(fd, 'KVM_CREATE_VM', CREATE_HINTS[-fd]);
  }

  /** The CPUID leaves that this host can give a guest. */
  supportedCpuid(): CpuidEntry[] {
    const bytes = new Uint8Array(8 + MAX_CPUID_ENTRIES * CPUID_ENTRY_BYTES);
    new DataView(bytes.buffer).setUint32(0, MAX_CPUID_ENTRIES, true);
    expectSuccess(this.calls.ioctlStruct(this.fd, KVM_GET_SUPPORTED_CPUID, bytes), 'KVM_GET_SUPPORTED_CPUID');
    return readCpuid(bytes);
  }

  /** The model-specific registers that are a guest's state. */
  msrIndices(): number[] {
    const view = new DataView(new ArrayBuffer(4 + MAX_MSRS * 4));
    view.setUint32(0, MAX_MSRS, true);
    const bytes = new Uint8Array(view.buffer);
    expectSuccess(this.calls.ioctlStruct(this.fd, KVM_GET_MSR_INDEX_LIST, bytes), 'KVM_GET_MSR_INDEX_LIST');
    return Array.from({ length: view.getUint32(0, true) }, (_, index) => view.getUint32(4 + index * 4, true));
  }
}
