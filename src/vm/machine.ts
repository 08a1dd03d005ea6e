/**
 * A machine on the VMM thread: its memory, devices and boot image, its vCPU threads, and its life: start, reset in place, end.
 *
 * @module
 */
import type { LoadProgress, ByteFile } from '../boot/byte-file.ts';
import { prepareBoot } from '../boot/boot.ts';
import type { CpuBootState } from '../boot/cpu-boot-state.ts';
import type { ByteSink } from '../bus/byte-stream.ts';
import { CodeWrites } from '../bus/code-writes.ts';
import {
  ControlArea,
  REQUEST_PAUSE,
  REQUEST_RESET,
  REQUEST_STOP,
  STATE_PAUSED,
  STATE_STOPPED,
  type VcpuControl,
} from '../bus/control.ts';
import { MailboxServer } from '../bus/mailbox-server.ts';
import { PciConfigTable } from '../bus/pci-config.ts';
import { PortTable } from '../bus/port-table.ts';
import { PostedMmio } from '../bus/posted-mmio.ts';
import { createPlatform, type Platform, type SerialBackend } from '../devices/platform/platform.ts';
import type { VcpuStats } from '../hypervisor/stats.ts';
import type { VirtualMachine, VirtualMachineFactory } from '../hypervisor/virtual-machine.ts';
import { GuestMemory, gpa } from '../memory/guest-memory.ts';
import {
  allocateMachineMemory,
  FOUR_GIB,
  GUEST_PAGE_BYTES,
  type MachineMemoryMap,
  planMachineMemory,
  splitRam,
} from '../memory/machine-memory.ts';
import type { PersistentLayout } from '../memory/persistent-memory.ts';
import type { Clock, WallClock } from '../util/clock.ts';
import type { Logger } from '../util/log.ts';
import type { Timers } from '../util/timers.ts';
import type { Trace } from '../util/trace.ts';
import type { VcpuThreadConfig, VcpuThreadEnd } from './vcpu-thread.ts';
import { VirtioBus, type VirtioPlacement, type VirtioTransport } from './virtio-bus.ts';

/** Why a machine ended. */
export type MachineEnd =
  | { readonly kind: 'power-off' }
  /** The guest reset, and the machine does not reboot. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'triple-fault' }
  | { readonly kind: 'panic' }
  /** A kernel under test wrote to the debug-exit port; `status` is ready for `process.exit`. */
  | { readonly kind: 'debug-exit'; readonly status: number }
  /** Somebody called `stop`. */
  | { readonly kind: 'stopped' }
  /** Translated code did something else than the interpreter. */
  | { readonly kind: 'mismatch'; readonly reason: string; readonly detail: string }
  /** The hypervisor could not go on. */
  | { readonly kind: 'error'; readonly reason: string; readonly detail: string };

/** A vCPU's thread as the VMM thread holds it. */
export interface VcpuThread {
  /** Resolves when the thread has ended; rejects when it failed. */
  readonly ended: Promise<VcpuThreadEnd>;
  /** Sends where to start, at first and after each reset; before REQUEST_RESET. */
  sendInitialState(initial: CpuBootState): void;
}

/** What only the host can do. */
export interface MachineHost {
  readonly clock: Clock;
  readonly wallClock: WallClock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly random: (into: Uint8Array<ArrayBuffer>) => void;
  readonly startVcpu: (config: VcpuThreadConfig) => VcpuThread;
  /** `setImmediate` or its like. */
  readonly yieldTurn: (resume: () => void) => void;
  /** The VMM thread's track. */
  readonly trace?: Trace | undefined;
}

/** Memory of the guest whose contents come from the host, and stay when the machine has ended. */
export interface PersistentMemory extends PersistentLayout {
  /** Puts the contents of range `index` into its place. Once, before the guest starts. */
  map(index: number, place: Uint8Array): void;
}

export interface MachineOptions {
  readonly ramBytes: number;
  /** As placed behind that much RAM. */
  readonly persistent?: PersistentMemory | undefined;
  readonly vcpuCount: number;
  readonly hypervisor: VirtualMachineFactory;
  readonly kernel: ByteFile;
  readonly initrd?: ByteFile | undefined;
  readonly commandLine: string;
  /** COM1..COM4. */
  readonly serial: readonly (SerialBackend | undefined)[];
  readonly debug?: ByteSink | undefined;
  readonly debugExitPort?: number | undefined;
  readonly virtio?: { readonly transport: VirtioTransport; readonly devices: readonly VirtioPlacement[] } | undefined;
  /** A reset ends the machine. */
  readonly noReboot: boolean;
  readonly progress?: LoadProgress | undefined;
}

/** Counters of every vCPU at the end. */
export interface MachineResult {
  readonly end: MachineEnd;
  readonly vcpus: readonly VcpuStats[];
}

export class Machine {
  readonly #options: MachineOptions;
  readonly #host: MachineHost;
  readonly #map: MachineMemoryMap;
  readonly #memory: WebAssembly.Memory;
  readonly #guestMemory: GuestMemory;
  /** What the memory map lists as RAM: where kernels are loaded. */
  readonly #bootMemory: GuestMemory;
  readonly #control: ControlArea;
  readonly #ports: PortTable;
  readonly #vm: VirtualMachine;
  readonly #platform: Platform;
  readonly #virtio: VirtioBus;
  readonly #codeWrites: CodeWrites | undefined;
  readonly #server: MailboxServer;
  #threads: VcpuThread[] = [];
  #end: MachineEnd | undefined;
  #settle: (() => void) | undefined;
  #resetting = false;

  /** @throws RangeError when the sizes do not fit. */
  constructor(options: MachineOptions, host: MachineHost) {
    this.#options = options;
    this.#host = host;
    const { vcpuCount, ramBytes, hypervisor } = options;
    const { persistent } = options;
    const memoryBytes = persistent?.memoryBytes ?? ramBytes;
    if (memoryBytes > hypervisor.maxRamBytes) {
      const bytes = persistent?.ranges.reduce((sum, range) => sum + range.bytes, 0) ?? 0;
      const excess = bytes === 0 ? 'is more than' : `and persistent memory of ${bytes} do not fit into`;
      throw new RangeError(`guest RAM of ${ramBytes} bytes ${excess} ${hypervisor.maxRamBytes}`);
    }
    this.#map = planMachineMemory({ ramBytes: memoryBytes, vcpuCount, vcpuBytes: hypervisor.vcpuAreaBytes });
    this.#memory = allocateMachineMemory(this.#map);
    const { buffer } = this.#memory;
    const { lowEnd, highEnd } = splitRam(ramBytes);
    this.#bootMemory = new GuestMemory(buffer, this.#map.ram, lowEnd, highEnd - FOUR_GIB);
    const split = splitRam(memoryBytes);
    this.#guestMemory = new GuestMemory(buffer, this.#map.ram, split.lowEnd, split.highEnd - FOUR_GIB);
    this.#control = new ControlArea(buffer, this.#map);
    this.#control.initialize();
    this.#ports = new PortTable(buffer, this.#map);
    this.#ports.initialize();
    this.#vm = hypervisor.create({
      memory: this.#memory,
      map: this.#map,
      control: this.#control,
      clock: host.clock,
      timers: host.timers,
    });
    // Behind the hypervisor, which may have mapped memory of its own there.
    if (persistent !== undefined) {
      for (const [index, { address, bytes }] of persistent.ranges.entries()) {
        persistent.map(index, this.#guestMemory.slice(gpa(address), bytes));
      }
    }
    this.#platform = createPlatform({
      ports: this.#ports,
      pciConfig: new PciConfigTable(this.#control),
      clock: host.clock,
      wallClock: host.wallClock,
      timers: host.timers,
      line: (gsi) => this.#vm.line(gsi),
      events: {
        powerOff: () => this.#finish({ kind: 'power-off' }),
        reset: () => this.#reset(),
        panic: (event) => {
          if (event === 'panicked') this.#finish({ kind: 'panic' });
        },
        debugExit: (status) => this.#finish({ kind: 'debug-exit', status }),
      },
      pmTimerOrigin: () => this.#vm.timeOrigin,
      ramBelow4GiB: lowEnd,
      ramAbove4GiB: highEnd - FOUR_GIB,
      vcpuCount,
      serial: options.serial,
      ...(options.debug === undefined ? {} : { debug: options.debug }),
      ...(options.debugExitPort === undefined ? {} : { debugExitPort: options.debugExitPort }),
    });
    const { portBus, mmioBus } = this.#platform;
    this.#vm.attach?.({
      ports: portBus,
      mmio: mmioBus,
      claim: (port, count) => this.#ports.claim(port, count),
    });
    if (hypervisor.keepsCode) {
      this.#codeWrites = new CodeWrites(this.#control, {
        ram: this.#guestMemory.ram,
        codeMap: new Int32Array(buffer, this.#map.codeMap, memoryBytes / GUEST_PAGE_BYTES),
      });
    }
    this.#virtio = new VirtioBus({
      transport: options.virtio?.transport ?? 'pci',
      memory: this.#guestMemory,
      ramBytes: memoryBytes,
      physicalAddressBits: hypervisor.physicalAddressBits,
      pci: this.#platform.pci,
      mmio: this.#platform.mmioBus,
      line: (gsi) => this.#vm.line(gsi),
      sendMsi: (address, data) => void this.#vm.msi(address, data),
      postedMmio: new PostedMmio(this.#control),
      hostWrote: (parts) => this.#codeWrites?.hostWrote(parts),
      logger: host.logger,
    });
    for (const placement of options.virtio?.devices ?? []) this.#virtio.add(placement);
    this.#server = new MailboxServer({
      control: this.#control,
      ports: this.#platform.portBus,
      mmio: this.#platform.mmioBus,
      yieldTurn: host.yieldTurn,
      trace: host.trace,
      onFault: (error) => host.logger.log('error', 'bus', String(error instanceof Error ? error.stack : error)),
    });
  }

  /** Loads the kernel, runs the guest to its end. Throws what the loaders throw (KernelFormatError and the files' own errors). */
  async run(): Promise<MachineResult> {
    // Disposed of after the threads have ended; or when there is no kernel to run.
    using _vm = this.#vm;
    const settled = new Promise<void>((resolve) => {
      this.#settle = resolve;
    });
    // What the threads do first goes on beside the loading; the first processor waits for what it loads.
    this.#control.vcpu(0).request(REQUEST_PAUSE);
    for (let index = 0; index < this.#options.vcpuCount; index++) this.#startVcpu(index);
    try {
      const initial = this.#traced('load kernel', () => this.#boot(this.#options.progress));
      this.#threads[0]?.sendInitialState(initial);
    } catch (error) {
      this.#finish({ kind: 'stopped' });
      await Promise.allSettled(this.#threads.map((thread) => thread.ended));
      throw error;
    }
    this.#resume(this.#control.vcpu(0));
    const serving = this.#server.run();
    await settled;
    this.#codeWrites?.release();
    const ends = await Promise.allSettled(this.#threads.map((thread) => thread.ended));
    this.#server.stop();
    await serving;
    // What was posted before the end still goes out.
    while (this.#server.service());
    // Nothing reads or writes the guest's memory any more when this is over: its disks may be closed.
    await this.#virtio.reset();
    const vcpus = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value.stats] : []));
    return { end: this.#end as MachineEnd, vcpus };
  }

  /** All that is large in the machine's memory: the vCPUs' private areas, and guest RAM. */
  get bulk(): Uint8Array {
    const { vcpus, ram } = this.#map;
    return new Uint8Array(this.#memory.buffer, vcpus, ram - vcpus + this.#options.ramBytes);
  }

  /** Ends the machine from outside. */
  stop(): void {
    this.#finish({ kind: 'stopped' });
  }

  /** The guest sees its power button pressed. */
  pressPowerButton(): void {
    this.#platform.pressPowerButton();
  }

  #boot(progress: LoadProgress | undefined): CpuBootState {
    const { kernel, initrd, commandLine, ramBytes, vcpuCount } = this.#options;
    return prepareBoot({
      memory: this.#bootMemory,
      ramBytes,
      memoryBytes: this.#map.ramBytes,
      vcpuCount,
      kernel,
      initrd,
      commandLine,
      random: this.#host.random,
      physicalAddressBits: this.#options.hypervisor.physicalAddressBits,
      virtioMmio: this.#virtio.mmioResources,
      progress,
    });
  }

  /** Does something that is a slice of the trace. */
  #traced<T>(name: string, work: () => T): T {
    const { trace } = this.#host;
    if (trace === undefined) return work();
    const from = trace.now();
    try {
      return work();
    } finally {
      trace.slice(name, from, trace.now());
    }
  }

  #startVcpu(index: number): void {
    const thread = this.#host.startVcpu({
      memory: this.#memory,
      map: this.#map,
      index,
      physicalAddressBits: this.#options.hypervisor.physicalAddressBits,
    });
    this.#threads.push(thread);
    thread.ended.then(
      ({ exit }) => {
        if (exit.kind === 'shutdown') this.#finish({ kind: 'triple-fault' });
        else if (exit.kind === 'system-event') this.#onSystemEvent(exit.event);
        else if (exit.kind === 'error' || exit.kind === 'mismatch') this.#finish(exit);
      },
      (error: unknown) => {
        const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.#finish({
          kind: 'error',
          reason: `vCPU ${index} failed: ${error instanceof Error ? error.message : String(error)}`,
          detail,
        });
      },
    );
  }

  /** Asks a vCPU for something, wherever it is. */
  #request(vcpu: number, bits: number): void {
    this.#control.vcpu(vcpu).request(bits);
    this.#vm.interrupt(vcpu);
  }

  /** Its thread has ended, so that even a reset is an end. */
  #onSystemEvent(event: 'power-off' | 'reset' | 'crash'): void {
    this.#finish({ kind: event === 'crash' ? 'panic' : event });
  }

  #finish(end: MachineEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    // At once, so that the guest executes nothing behind the access that ended it.
    for (let index = 0; index < this.#threads.length; index++) this.#request(index, REQUEST_STOP);
    const { trace } = this.#host;
    trace?.mark(`end: ${end.kind}`, trace.now());
    this.#settle?.();
  }

  /** A reset that the guest asked for: ends the machine, or starts it anew with the same memory, devices and threads. */
  #reset(): void {
    if (this.#end !== undefined || this.#resetting) return;
    if (this.#options.noReboot) {
      this.#finish({ kind: 'reset' });
      return;
    }
    this.#resetting = true;
    const { trace } = this.#host;
    trace?.mark('reset', trace.now());
    this.#reboot().catch((error: unknown) => {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#finish({
        kind: 'error',
        reason: `cannot reboot: ${error instanceof Error ? error.message : String(error)}`,
        detail,
      });
    });
  }

  async #reboot(): Promise<void> {
    const controls = this.#threads.map((_, index) => this.#control.vcpu(index));
    for (let index = 0; index < controls.length; index++) this.#request(index, REQUEST_PAUSE);
    await Promise.all(
      controls.map((control) => Promise.race([control.reaches(STATE_PAUSED), control.reaches(STATE_STOPPED)])),
    );
    if (this.#end !== undefined) return;
    // What the guest wrote before the reset goes to the devices as they were.
    while (this.#server.service());
    // A read that is still under way must not land in the new guest.
    await this.#virtio.reset();
    if (this.#end !== undefined) return;
    this.#platform.reset();
    this.#vm.reset();
    const initial = this.#traced('load kernel', () => this.#boot(undefined));
    this.#threads[0]?.sendInitialState(initial);
    for (const control of controls) this.#resume(control);
    this.#resetting = false;
  }

  /** Lets a paused vCPU go on from its initial state. */
  #resume(control: VcpuControl): void {
    control.request(REQUEST_RESET);
    control.clearRequest(REQUEST_PAUSE);
    control.kick();
  }
}
