/**
 * The interrupt controllers and timers of a machine, as one thread sees them. Every thread of the machine makes its
 * own `IrqChip` on the same shared memory and acts on it directly; one lock in that memory keeps them apart.
 *
 *     GSI 0         8259 input 0 and IO-APIC input 2; driven by the 8254
 *     GSI 1, 3-15   8259 and IO-APIC inputs of that number
 *     GSI 2, 16-23  IO-APIC inputs of that number
 *     IO-APIC input 0 is the INTR output of the 8259 pair, as on a PC with a PIIX
 *
 *     ports 20h-21h, A0h-A1h, 4D0h-4D1h   8259 pair          ports 40h-43h, 61h   8254
 *     ports 608h-60Bh                     ACPI PM timer      FEC00000h            IO-APIC
 *     port F0h                            coprocessor error
 *
 * The local APICs may be somebody else's (`ExternalApics`): KVM's, while the rest is here. IO-APIC input 0 is connected to nothing then.
 *
 * @module
 */
import { type Bus, byteDevice } from '../bus/bus.ts';
import type { InterruptLine } from '../bus/bus-device.ts';
import type { MachineMemoryMap } from '../memory/machine-memory.ts';
import type { Clock } from '../util/clock.ts';
import { SharedLock } from '../util/shared-lock.ts';
import { Delivery } from './delivery.ts';
import { IoApic, IOAPIC_ADDRESS, IOAPIC_WINDOW_BYTES } from './ioapic.ts';
import { type LapicPeers, LocalApic } from './lapic.ts';
import { LapicRecord } from './lapic-record.ts';
import * as L from './layout.ts';
import { type MsiMessage, parseMsi } from './msi.ts';
import { Pic } from './pic.ts';
import { Pit } from './pit.ts';
import { PmTimer } from './pm-timer.ts';
import { VcpuIrqchip } from './vcpu-irqchip.ts';

export interface IrqChipOptions {
  readonly buffer: ArrayBufferLike;
  readonly map: Pick<MachineMemoryMap, 'irqchip' | 'irqchipBytes' | 'vcpuCount'>;
  readonly clock: Clock;
  /** Makes a vCPU look at what is pending: `ControlArea.vcpu(n).kick()`. */
  readonly kick: (vcpu: number) => void;
  /** What to add to the clock's nanoseconds to get a vCPU's TSC; read when IA32_TSC_DEADLINE is written. */
  readonly tscOffset: (vcpu: number) => number;
  /** MAXPHYADDR as CPUID 80000008h announces it. */
  readonly physicalAddressBits: number;
  /** Whose the local APICs are; absent: they are here. */
  readonly external?: ExternalApics;
}

/** Local APICs that are not in this block. All of it is called with the lock held, and must neither throw nor wait. */
export interface ExternalApics {
  /** A message of the IO-APIC; false when no local APIC took it. */
  send(message: MsiMessage): boolean;
  /**
   * The inputs of the IO-APIC that are level-triggered, with what they send, each time one of them is changed: the end of such a
   * vector has to be written to the IO-APIC's EOI register.
   */
  levelRoutes(routes: readonly { readonly pin: number; readonly message: MsiMessage }[]): void;
  /** The 8259 pair asks for an interrupt: somebody is to `acknowledgePic`. */
  intr(): void;
  /** The 8254's next interrupt comes earlier than it did: somebody is to `pollTimer` then. */
  timerMoved(): void;
}

const LEVEL_ROUTES_NONE = '[]';

/** A saved irqchip block that does not fit this machine. */
export class IrqChipStateError extends Error {
  override readonly name = 'IrqChipStateError';
}

/** The 8254's interrupt, the processor's FERR# and the cascade have fixed wires; the other sources get theirs from `line`. */
const PIT_SOURCE = 0,
  FERR_SOURCE = 0;
const FERR_GSI = 13;
/** A write of anything acknowledges a coprocessor error: IRQ 13 falls, and IGNNE# lets x87 instructions pass. */
const FERR_PORT = 0xf0;

export class IrqChip {
  /** Serialises every access to the state; not re-entrant. */
  readonly #lock: SharedLock;
  readonly #clock: Clock;
  readonly #apics: readonly LocalApic[];
  readonly #pit: Pit;
  readonly #pic: Pic;
  readonly #ioapic: IoApic;
  readonly #delivery: Delivery;
  readonly #pmTimer: PmTimer;
  readonly #bytes: Uint8Array;
  readonly #header: Int32Array;
  readonly #times: Float64Array;
  readonly #sources: Int32Array;
  readonly #sourceCounts: Uint8Array;
  readonly #ignne: Int32Array;
  readonly #vcpuCount: number;
  readonly #intr: Int32Array;
  readonly #external: ExternalApics | undefined;
  /** What `levelRoutes` was told last. */
  #levelRoutes = LEVEL_ROUTES_NONE;

  /** Sees the state that is there. The first thread calls `initialize` before the others look. */
  constructor(options: IrqChipOptions) {
    const { buffer, map } = options;
    const at = map.irqchip;
    if (L.irqchipBytes(map.vcpuCount) > map.irqchipBytes) {
      throw new RangeError(`${map.vcpuCount} vCPUs do not fit into ${map.irqchipBytes} bytes of interrupt controllers`);
    }
    this.#clock = options.clock;
    this.#vcpuCount = map.vcpuCount;
    this.#external = options.external;
    this.#bytes = new Uint8Array(buffer, at, L.irqchipBytes(map.vcpuCount));
    this.#header = new Int32Array(buffer, at, L.PIC / 4);
    this.#times = new Float64Array(buffer, at, L.PIC / 8);
    this.#sources = new Int32Array(buffer, at + L.SOURCES, L.GSI_COUNT);
    this.#sourceCounts = new Uint8Array(buffer, at + L.SOURCE_COUNTS, L.GSI_COUNT);
    this.#ignne = new Int32Array(buffer, at + L.IGNNE, 1);
    this.#intr = new Int32Array(buffer, at + L.INTR, 1);
    this.#pmTimer = new PmTimer(buffer, map, options.clock);
    this.#lock = new SharedLock(this.#header, L.LOCK / 4);
    this.#pic = new Pic(new Int32Array(buffer, at + L.PIC, L.PIC_BYTES / 4));
    this.#pit = new Pit(
      new Int32Array(buffer, at + L.PIT, L.PIT_BYTES / 4),
      new Float64Array(buffer, at + L.PIT, L.PIT_BYTES / 8),
      (level) => this.#setSource(0, PIT_SOURCE, level),
    );
    const peers: LapicPeers = {
      sendIpi: (from, icr, destination, x2apic) => this.#delivery.sendIpi(from, icr, destination, x2apic),
      broadcastEoi: (vector) => this.#ioapic.endOfInterrupt(vector),
      extIntAsserted: () => this.#pic.output,
      extIntAcknowledge: () => this.#acknowledgePic(),
      kick: options.kick,
    };
    const { physicalAddressBits, tscOffset, external } = options;
    this.#apics = Array.from({ length: external === undefined ? map.vcpuCount : 0 }, (_, id) => {
      const record = new LapicRecord(buffer, at, id);
      return new LocalApic({ record, id, peers, physicalAddressBits, tscOffset: () => tscOffset(id) });
    });
    this.#delivery = new Delivery(this.#apics, this.#header);
    this.#ioapic = new IoApic(
      new Int32Array(buffer, at + L.IOAPIC, L.IOAPIC_BYTES / 4),
      (destination, logical, mode, vector, level) =>
        external?.send({ destination, logical, mode, vector, level }) ??
        this.#delivery.send(destination, logical, mode, vector, level, false),
      external === undefined ? undefined : () => this.#tellLevelRoutes(external),
    );
  }

  /** Makes the block valid and resets everything. Once per machine, before any other thread looks. */
  initialize(): void {
    this.#bytes.fill(0);
    this.#header[L.MAGIC / 4] = L.IRQCHIP_MAGIC;
    this.#header[L.VERSION / 4] = L.IRQCHIP_VERSION;
    this.#header[L.VCPU_COUNT / 4] = this.#vcpuCount;
    // The 8254's own source, and FERR#'s.
    this.#sourceCounts[0] = 1;
    this.#sourceCounts[FERR_GSI] = 1;
    this.reset();
  }

  /** Power-up state of every part; time counts from now. Lines that devices still assert are released. */
  reset(): void {
    const now = this.#clock.nanoseconds();
    this.#locked(() => {
      this.#times[L.TIME_ORIGIN / 8] = now;
      this.#header[L.ARBITRATION_NEXT / 4] = 0;
      this.#sources.fill(0);
      Atomics.store(this.#ignne, 0, 0);
      Atomics.store(this.#intr, 0, 0);
      this.#pic.reset();
      this.#pit.reset();
      this.#ioapic.reset();
      if (this.#external !== undefined) this.#tellLevelRoutes(this.#external);
      for (const apic of this.#apics) apic.reset(now);
      for (const apic of this.#apics) apic.refresh();
    });
  }

  /** Machine time, in nanoseconds, at which the ACPI PM timer stood at zero. */
  get timeOrigin(): number {
    return this.#pmTimer.origin;
  }

  /** The interrupt interface of one vCPU, for its thread. */
  vcpu(index: number): VcpuIrqchip {
    const apic = this.#apics[index];
    if (apic === undefined) throw new RangeError(`vCPU ${index} of ${this.#vcpuCount}`);
    const ferr = (asserted: boolean): boolean => this.#ferr(asserted);
    return new VcpuIrqchip(this.#lock, this.#clock, apic, index === 0 ? this.#pit : undefined, ferr);
  }

  /**
   * A new source on a global system interrupt, released. Sources on one GSI are ORed, as devices that share a level-triggered
   * line are. Made in the same order on every run, so that a restored state finds its sources.
   */
  line(gsi: number): InterruptLine {
    if (!(Number.isInteger(gsi) && gsi >= 0 && gsi < L.GSI_COUNT)) {
      throw new RangeError(`interrupt line ${gsi}: GSIs are 0 to ${L.GSI_COUNT - 1}`);
    }
    const source = Atomics.add(this.#sourceCounts, gsi, 1);
    if (source >= L.SOURCES_PER_GSI) {
      Atomics.sub(this.#sourceCounts, gsi, 1);
      throw new RangeError(`interrupt line ${gsi}: more than ${L.SOURCES_PER_GSI} sources`);
    }
    return {
      set: (level) => {
        // Devices set their line after every register access; mostly nothing has changed.
        if (((Atomics.load(this.#sources, gsi) >>> source) & 1) === (level ? 1 : 0)) return;
        this.#locked(() => this.#setSource(gsi, source, level));
      },
    };
  }

  /** A message-signalled interrupt. False when no local APIC took it. */
  msi(address: number, data: number): boolean {
    const message = parseMsi(address, data);
    if (message === undefined) return false;
    const { destination, logical, mode, vector, level } = message;
    this.#lock.lock();
    try {
      return this.#delivery.send(destination, logical, mode, vector, level, false);
    } finally {
      this.#lock.unlock();
    }
  }

  /** With external local APICs: true while the 8259 pair asks for an interrupt. Any thread, without the lock. */
  get intrAsserted(): boolean {
    return Atomics.load(this.#intr, 0) !== 0;
  }

  /** With external local APICs: what a processor's interrupt acknowledge cycle gives; -1 when the 8259 pair no longer asks. */
  acknowledgePic(): number {
    return this.#locked(() => (this.#pic.output ? this.#acknowledgePic() : -1));
  }

  /** With external local APICs: machine time at which `pollTimer` next has something to do; Infinity when it has nothing. */
  get nextTimerInterrupt(): number {
    return this.#pit.nextInterrupt;
  }

  /** With external local APICs: raises the 8254's interrupt when it is due. */
  pollTimer(): void {
    this.#locked(() => this.#pit.poll(this.#clock.nanoseconds()));
  }

  /** A non-maskable interrupt for one vCPU, as from a button. */
  nmi(vcpu: number): void {
    this.#locked(() => this.#apics[vcpu]?.injectNmi());
  }

  /** Attaches the ports and the IO-APIC's window to a thread's own buses. */
  attach(ports: Bus, mmio: Bus): void {
    const pic = (base: number): void => {
      const registers = {
        readByte: (offset: number) => this.#onPic(() => this.#pic.read(base + offset)),
        writeByte: (offset: number, value: number) => void this.#onPic(() => this.#pic.write(base + offset, value)),
      };
      ports.add(base === 0x20 ? '8259 master' : '8259 slave', base, 2, byteDevice(registers));
    };
    pic(0x20);
    pic(0xa0);
    ports.add(
      '8259 trigger modes',
      0x4d0,
      2,
      byteDevice({
        readByte: (offset) => this.#onPic(() => this.#pic.readElcr(offset)),
        writeByte: (offset, value) => void this.#onPic(() => this.#pic.writeElcr(offset, value)),
      }),
    );
    ports.add(
      '8254',
      0x40,
      4,
      byteDevice({
        readByte: (offset) => this.#onPit((now) => this.#pit.read(offset, now)),
        writeByte: (offset, value) => void this.#onPit((now) => this.#pit.write(offset, value, now)),
      }),
    );
    ports.add(
      '8254 gate',
      0x61,
      1,
      byteDevice({
        readByte: () => this.#onPit((now) => this.#pit.readPort61(now, this.#times[L.TIME_ORIGIN / 8]!)),
        writeByte: (_, value) => void this.#onPit((now) => this.#pit.writePort61(value, now)),
      }),
    );
    // Elsewhere a vCPU's thread has it.
    if (this.#external === undefined) this.#pmTimer.attach(ports);
    ports.add('coprocessor error', FERR_PORT, 1, {
      read: () => 0xff,
      write: () =>
        this.#locked(() => {
          if (((this.#sources[FERR_GSI]! >>> FERR_SOURCE) & 1) === 0) return;
          Atomics.store(this.#ignne, 0, 1);
          this.#setSource(FERR_GSI, FERR_SOURCE, false);
        }),
    });
    mmio.add('IO-APIC', IOAPIC_ADDRESS, IOAPIC_WINDOW_BYTES, {
      read: (offset, width) => this.#locked(() => this.#ioapic.read(offset, width)),
      write: (offset, _, value) => void this.#locked(() => this.#ioapic.write(offset, value)),
    });
  }

  /** A copy of the whole state. The vCPUs and devices must be at rest. */
  save(): Uint8Array {
    return this.#locked(() => {
      this.#times[L.SAVED_AT / 8] = this.#clock.nanoseconds();
      const copy = this.#bytes.slice();
      copy.fill(0, L.LOCK, L.PIC);
      return copy;
    });
  }

  /**
   * Takes over a saved state; guest time goes on where it stopped. The vCPUs and devices must be at rest.
   * @throws IrqChipStateError when it is not a state of this version and number of vCPUs.
   */
  restore(state: Uint8Array): void {
    if (state.length !== this.#bytes.length) {
      throw new IrqChipStateError(`interrupt controller state has ${state.length} bytes, not ${this.#bytes.length}`);
    }
    const view = new DataView(state.buffer, state.byteOffset, state.byteLength);
    const expect = (field: string, offset: number, wanted: number): void => {
      const found = view.getInt32(offset, true);
      if (found !== wanted)
        throw new IrqChipStateError(`interrupt controller state: ${field} is ${found}, not ${wanted}`);
    };
    expect('magic', L.MAGIC, L.IRQCHIP_MAGIC);
    expect('version', L.VERSION, L.IRQCHIP_VERSION);
    expect('number of vCPUs', L.VCPU_COUNT, this.#vcpuCount);
    const shift = this.#clock.nanoseconds() - view.getFloat64(L.SAVED_AT, true);
    if (!Number.isFinite(shift)) throw new IrqChipStateError('interrupt controller state: its time is not a number');
    this.#locked(() => {
      this.#bytes.set(state.subarray(0, L.LOCK));
      this.#bytes.set(state.subarray(L.PIC), L.PIC);
      this.#times[L.TIME_ORIGIN / 8] = this.#times[L.TIME_ORIGIN / 8]! + shift;
      this.#pit.shift(shift);
      for (const apic of this.#apics) {
        apic.timer.shift(shift);
        apic.refresh();
      }
    });
  }

  /** VcpuInterrupts.ferr. */
  #ferr(asserted: boolean): boolean {
    const ignored = Atomics.load(this.#ignne, 0) !== 0;
    if (ignored && !asserted) Atomics.store(this.#ignne, 0, 0);
    if (ignored || !asserted) return false;
    this.#locked(() => this.#setSource(FERR_GSI, FERR_SOURCE, true));
    return true;
  }

  #locked<T>(action: () => T): T {
    this.#lock.lock();
    try {
      return action();
    } finally {
      this.#lock.unlock();
    }
  }

  /** An access to the 8259 pair; its INTR may change, which every local APIC watches. */
  #onPic<T>(action: () => T): T {
    return this.#locked(() => {
      const result = action();
      this.#intrChanged();
      return result;
    });
  }

  /** An access to the 8254. When its next interrupt moves closer, vCPU 0, which waits for it, looks again. */
  #onPit<T>(action: (now: number) => T): T {
    return this.#locked(() => {
      const before = this.#pit.nextInterrupt;
      const result = action(this.#clock.nanoseconds());
      if (this.#pit.nextInterrupt < before) {
        if (this.#external === undefined) this.#apics[0]!.wake();
        else this.#external.timerMoved();
      }
      return result;
    });
  }

  #acknowledgePic(): number {
    const vector = this.#pic.acknowledge();
    // INTR falls between two requests, so that an edge-triggered IO-APIC input sees the second one.
    if (this.#external === undefined) this.#ioapic.setLine(0, false);
    this.#intrChanged();
    return vector;
  }

  #tellLevelRoutes(external: ExternalApics): void {
    const routes = this.#ioapic.levelRoutes();
    const told = JSON.stringify(routes);
    if (told === this.#levelRoutes) return;
    this.#levelRoutes = told;
    external.levelRoutes(routes);
  }

  #intrChanged(): void {
    if (this.#external !== undefined) {
      const asks = this.#pic.output;
      Atomics.store(this.#intr, 0, asks ? 1 : 0);
      if (asks) this.#external.intr();
      return;
    }
    this.#ioapic.setLine(0, this.#pic.output);
    for (const apic of this.#apics) apic.refresh();
  }

  /** Drives one source of a GSI; the inputs follow the OR of all. The lock is held. */
  #setSource(gsi: number, source: number, level: boolean): void {
    const before = this.#sources[gsi]!;
    const after = level ? before | (1 << source) : before & ~(1 << source);
    Atomics.store(this.#sources, gsi, after);
    if ((before !== 0) === (after !== 0)) return;
    if (gsi === 0 || gsi === 2) this.#ioapic.setLine(2, (this.#sources[0]! | this.#sources[2]!) !== 0);
    else this.#ioapic.setLine(gsi, after !== 0);
    if (gsi >= 16 || gsi === 2) return;
    const intr = this.#pic.output;
    this.#pic.setLine(gsi, after !== 0);
    if (this.#pic.output !== intr) this.#intrChanged();
  }
}
