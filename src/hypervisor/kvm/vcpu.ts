/**
 * One vCPU of KVM on the thread that runs it: enters the guest, and answers what comes out (Linux Documentation/virt/kvm/api.rst,
 * section 5). Interrupts, halts and timers are the kernel's.
 *
 * A thread that wants the vCPU out sets its request, then `immediate_exit` in the shared page, then sends the thread a signal: the
 * second catches a vCPU that is just about to enter the guest, the third one that is in it.
 *
 * @module
 */
import type { AccessWidth } from '../../bus/bus-device.ts';
import type { VcpuControl } from '../../bus/control.ts';
import { STATE_HALTED, STATE_RUNNING } from '../../bus/control.ts';
import type { VcpuBus } from '../../bus/vcpu-bus.ts';
import type { VcpuExit } from '../exit.ts';
import type { ExternalInterrupts, Vcpu } from '../hypervisor.ts';
import type { InitialCpuState } from '../initial-state.ts';
import type { KvmExitName, OwnKvmVcpuStats } from '../stats.ts';
import {
  KVM_EXIT_DEBUG,
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_HLT,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_INTR,
  KVM_EXIT_IO,
  KVM_EXIT_IO_OUT,
  KVM_EXIT_IOAPIC_EOI,
  KVM_EXIT_IRQ_WINDOW_OPEN,
  KVM_EXIT_MMIO,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_SYSTEM_EVENT,
  KVM_EXIT_UNKNOWN,
  KVM_INTERNAL_ERROR_EMULATION,
  KVM_INTERRUPT,
  KVM_RUN,
  KVM_SYSTEM_EVENT_CRASH,
  KVM_SYSTEM_EVENT_RESET,
  KVM_SYSTEM_EVENT_SHUTDOWN,
} from './defs.ts';
import { entryFailure } from './entry-failure.ts';
import * as R from './run-page.ts';
import { EAGAIN, EINTR, errorName, type SystemCalls } from './system-calls.ts';
import { formatRegisters, REGS, SREGS, VcpuAccess } from './vcpu-state.ts';
import type { VcpuHandle } from './vm.ts';

export interface KvmVcpuOptions {
  readonly calls: SystemCalls;
  readonly handle: VcpuHandle;
  readonly bus: VcpuBus;
  readonly control: VcpuControl;
  /** The 8259 pair where it is not the kernel's and this is the processor it interrupts. */
  readonly external?: ExternalInterrupts | undefined;
}

/** Exit reasons that a guest can make often are counted by name, and everything else together. */
const COUNTED: Readonly<Record<number, KvmExitName>> = {
  [KVM_EXIT_IO]: 'io',
  [KVM_EXIT_MMIO]: 'mmio',
  [KVM_EXIT_HLT]: 'hlt',
  [KVM_EXIT_INTR]: 'interrupted',
};
const COUNTERS = 64;
/** Where KVM_RUN that came back with EINTR is counted: it leaves the exit reason as it was. */
const INTERRUPTED = KVM_EXIT_INTR;
/** EOI register of an IO-APIC of version 20h, which is not the kernel's where it asks for this. */
const IOAPIC_EOI_ADDRESS = 0xfec0_0040;
/** How long a halted vCPU without interrupt controllers sleeps before it looks again. */
const RECHECK_MS = 1000;
const KICKED: VcpuExit = { kind: 'kicked' };

export class KvmVcpu implements Vcpu {
  readonly #calls: SystemCalls;
  readonly #fd: number;
  readonly #bus: VcpuBus;
  readonly #control: VcpuControl;
  readonly #external: ExternalInterrupts | undefined;
  readonly #vector = new Uint8Array(4);
  readonly #access: VcpuAccess;
  readonly #page: Uint8Array;
  readonly #run: DataView;
  readonly #exits = new Float64Array(COUNTERS);
  /** The last exit has been answered, but only entering again completes its instruction. */
  #incomplete = false;
  /** Stopped at HLT, with nothing in the kernel that could go on. */
  #halted = false;

  constructor(options: KvmVcpuOptions) {
    const { calls, handle, bus, control, external } = options;
    this.#calls = calls;
    this.#fd = handle.fd;
    this.#bus = bus;
    this.#control = control;
    this.#external = external;
    this.#access = new VcpuAccess(calls, handle.fd);
    const page = calls.view(handle.runAddress, handle.runBytes);
    this.#page = new Uint8Array(page);
    this.#run = new DataView(page);
    control.thread = calls.gettid();
  }

  /** Puts the processor, which is in its power-on state, where a loader wants it. */
  load(initial: InitialCpuState): void {
    this.#halted = false;
    this.#access.load(initial);
  }

  /** Nothing to do: the VMM thread has put all processors into their power-on state while they were paused. */
  reset(): void {
    this.#halted = false;
  }

  stats(): OwnKvmVcpuStats {
    const exits: Record<KvmExitName, number> = { io: 0, mmio: 0, hlt: 0, interrupted: 0, other: 0 };
    for (const [reason, count] of this.#exits.entries()) exits[COUNTED[reason] ?? 'other'] += count;
    return { hypervisor: 'kvm', exits };
  }

  run(): VcpuExit {
    const control = this.#control;
    for (;;) {
      this.#page[R.RUN_IMMEDIATE_EXIT] = 0;
      // An atomic store, so that the line above is done before requests are looked at: who sets them sets that after.
      control.clearKick();
      if (control.requests !== 0) return this.#complete() ?? KICKED;
      if (this.#halted) {
        control.waitForKick(RECHECK_MS);
        continue;
      }
      const exit = this.#injectExternal() ?? this.#enter();
      if (exit !== undefined) return exit;
    }
  }

  /** Hands the kernel a vector of the 8259 pair, or asks for an exit as soon as it would take one. */
  #injectExternal(): VcpuExit | undefined {
    const external = this.#external;
    if (external === undefined) return undefined;
    const page = this.#page;
    page[R.RUN_REQUEST_INTERRUPT_WINDOW] = 0;
    if (!external.asserted) return undefined;
    if (page[R.RUN_READY_FOR_INTERRUPT] === 0) {
      page[R.RUN_REQUEST_INTERRUPT_WINDOW] = 1;
      return undefined;
    }
    const vector = external.acknowledge();
    if (vector < 0) return undefined;
    this.#vector[0] = vector;
    const result = this.#calls.ioctlStruct(this.#fd, KVM_INTERRUPT, this.#vector);
    if (result < 0) return this.#error(`KVM_INTERRUPT: ${errorName(-result)}`);
    // The kernel has room for one. Another that waits is handed over as soon as this one is taken.
    page[R.RUN_REQUEST_INTERRUPT_WINDOW] = external.asserted ? 1 : 0;
    return undefined;
  }

  /** Completes the instruction of the last exit without going on behind it: the state is whole after that. */
  #complete(): VcpuExit | undefined {
    while (this.#incomplete) {
      this.#page[R.RUN_IMMEDIATE_EXIT] = 1;
      const exit = this.#enter();
      if (exit !== undefined) return exit;
    }
    return undefined;
  }

  /** Enters the guest once and answers its exit; undefined: it may go on. */
  #enter(): VcpuExit | undefined {
    const result = this.#calls.ioctl(this.#fd, KVM_RUN, 0);
    if (result < 0) {
      const errno = -result;
      if (errno === EINTR) {
        // The kernel completes what is incomplete before it looks for a reason to leave.
        this.#incomplete = false;
        this.#exits[INTERRUPTED]!++;
        return undefined;
      }
      // A processor that waited for its start-up interrupt has got it.
      if (errno === EAGAIN) return undefined;
      return this.#error(`KVM_RUN: ${errorName(errno)}`);
    }
    const run = this.#run;
    const reason = run.getUint32(R.RUN_EXIT_REASON, true);
    this.#exits[reason < COUNTERS ? reason : KVM_EXIT_UNKNOWN]!++;
    this.#incomplete = false;
    switch (reason) {
      case KVM_EXIT_IO:
        this.#portAccess();
        return undefined;
      case KVM_EXIT_MMIO:
        this.#memoryAccess();
        return undefined;
      case KVM_EXIT_INTR:
      case KVM_EXIT_IRQ_WINDOW_OPEN:
        return undefined;
      case KVM_EXIT_IOAPIC_EOI:
        this.#bus.mmioWrite(IOAPIC_EOI_ADDRESS, 4, run.getUint8(R.RUN_EOI_VECTOR));
        return undefined;
      case KVM_EXIT_HLT:
        this.#halt();
        return undefined;
      case KVM_EXIT_SHUTDOWN:
        return { kind: 'shutdown' };
      case KVM_EXIT_SYSTEM_EVENT:
        return this.#systemEvent(run.getUint32(R.RUN_SYSTEM_EVENT, true));
      case KVM_EXIT_FAIL_ENTRY: {
        const failure = entryFailure(run.getBigUint64(R.RUN_ENTRY_FAILURE, true));
        return this.#error(`the processor does not enter the guest: hardware entry failure reason ${failure}`);
      }
      case KVM_EXIT_INTERNAL_ERROR:
        return this.#internalError();
      case KVM_EXIT_DEBUG:
        return this.#error('a debug exit that nobody asked for');
      case KVM_EXIT_UNKNOWN: {
        const hardware = run.getBigUint64(R.RUN_HARDWARE_EXIT_REASON, true).toString(16);
        return this.#error(`unknown hardware exit reason 0x${hardware}`);
      }
      default:
        return this.#error(`exit reason ${reason}, which is not handled`);
    }
  }

  #halt(): void {
    this.#halted = true;
    this.#control.state = STATE_HALTED;
    this.#control.waitForKick(RECHECK_MS);
    this.#control.state = STATE_RUNNING;
  }

  /** One access, or as many as a string instruction makes at once. */
  #portAccess(): void {
    this.#incomplete = true;
    const run = this.#run;
    const isWrite = run.getUint8(R.RUN_IO_DIRECTION) === KVM_EXIT_IO_OUT;
    const width = run.getUint8(R.RUN_IO_SIZE) as AccessWidth;
    const port = run.getUint16(R.RUN_IO_PORT, true);
    const count = run.getUint32(R.RUN_IO_COUNT, true);
    // Below the size of the page, so the low word is all of it.
    let at = run.getUint32(R.RUN_IO_DATA_OFFSET, true);
    for (let n = 0; n < count; n++, at += width) {
      if (isWrite) this.#bus.portWrite(port, width, this.#data(at, width));
      else this.#setData(at, width, this.#bus.portRead(port, width));
    }
  }

  /** At most 8 bytes; what has no width of its own goes in pieces, lowest first. */
  #memoryAccess(): void {
    this.#incomplete = true;
    const run = this.#run;
    const low = run.getUint32(R.RUN_MMIO_ADDRESS, true);
    const address = run.getUint32(R.RUN_MMIO_ADDRESS + 4, true) * 0x1_0000_0000 + low;
    const length = run.getUint32(R.RUN_MMIO_LENGTH, true);
    const isWrite = run.getUint8(R.RUN_MMIO_IS_WRITE) !== 0;
    for (let done = 0; done < length; ) {
      const rest = length - done;
      const width = rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
      const at = R.RUN_MMIO_DATA + done;
      if (isWrite) this.#bus.mmioWrite(address + done, width, this.#data(at, width));
      else this.#setData(at, width, this.#bus.mmioRead(address + done, width));
      done += width;
    }
  }

  #data(at: number, width: AccessWidth): number {
    const run = this.#run;
    return width === 1 ? run.getUint8(at) : width === 2 ? run.getUint16(at, true) : run.getUint32(at, true);
  }

  #setData(at: number, width: AccessWidth, value: number): void {
    const run = this.#run;
    if (width === 1) run.setUint8(at, value);
    else if (width === 2) run.setUint16(at, value, true);
    else run.setUint32(at, value, true);
  }

  #systemEvent(type: number): VcpuExit {
    switch (type) {
      case KVM_SYSTEM_EVENT_SHUTDOWN:
        return { kind: 'system-event', event: 'power-off' };
      case KVM_SYSTEM_EVENT_RESET:
        return { kind: 'system-event', event: 'reset' };
      case KVM_SYSTEM_EVENT_CRASH:
        return { kind: 'system-event', event: 'crash' };
      default:
        return this.#error(`system event ${type}, which is not handled`);
    }
  }

  #internalError(): VcpuExit {
    const run = this.#run;
    const suberror = run.getUint32(R.RUN_SUBERROR, true);
    if (suberror !== KVM_INTERNAL_ERROR_EMULATION) return this.#error(`KVM internal error ${suberror}`);
    const words = run.getUint32(R.RUN_ERROR_WORDS, true);
    const known = words > 0 && (run.getBigUint64(R.RUN_ERROR_DATA, true) & R.RUN_ERROR_HAS_INSTRUCTION) !== 0n;
    const length = Math.min(run.getUint8(R.RUN_ERROR_INSTRUCTION_LENGTH), R.RUN_ERROR_MAX_INSTRUCTION);
    const bytes = this.#page.slice(R.RUN_ERROR_INSTRUCTION, R.RUN_ERROR_INSTRUCTION + length);
    const instruction = known ? [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ') : 'unknown';
    return this.#error(`KVM cannot emulate the instruction ${instruction}`);
  }

  #error(reason: string): VcpuExit {
    let detail: string;
    try {
      detail = formatRegisters(this.#access.get(REGS), this.#access.get(SREGS));
    } catch (error) {
      detail = `its registers cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    }
    return { kind: 'error', reason, detail };
  }
}
