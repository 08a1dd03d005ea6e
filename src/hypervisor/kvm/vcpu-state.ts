/**
 * The state of a vCPU as KVM's structures name it: read and written whole, put where a loader wants it, and shown to people.
 *
 * @module
 */
import type { InitialCpuState, InitialDescriptorTable, InitialSegment } from '../initial-state.ts';
import {
  KVM_DEBUGREGS_BYTES,
  KVM_GET_DEBUGREGS,
  KVM_GET_LAPIC,
  KVM_GET_MP_STATE,
  KVM_GET_MSRS,
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_GET_VCPU_EVENTS,
  KVM_GET_XCRS,
  KVM_GET_XSAVE,
  KVM_LAPIC_STATE_BYTES,
  KVM_REGS_BYTES,
  KVM_SET_CPUID2,
  KVM_SET_DEBUGREGS,
  KVM_SET_LAPIC,
  KVM_SET_MP_STATE,
  KVM_SET_MSRS,
  KVM_SET_REGS,
  KVM_SET_SREGS,
  KVM_SET_VCPU_EVENTS,
  KVM_SET_XCRS,
  KVM_SET_XSAVE,
  KVM_SREGS_BYTES,
  KVM_VCPU_EVENTS_BYTES,
  KVM_XCRS_BYTES,
  KVM_XSAVE_BYTES,
} from './defs.ts';
import { type CpuidEntry, writeCpuid } from './cpuid.ts';
import { expectSuccess, type SystemCalls } from './system-calls.ts';

/** Byte offsets into struct kvm_regs. */
export const Regs = {
  rax: 0,
  rbx: 8,
  rcx: 16,
  rdx: 24,
  rsi: 32,
  rdi: 40,
  rsp: 48,
  rbp: 56,
  r8: 64,
  r9: 72,
  r10: 80,
  r11: 88,
  r12: 96,
  r13: 104,
  r14: 112,
  r15: 120,
  rip: 128,
  rflags: 136,
} as const;

/** Byte offsets into struct kvm_sregs; a segment has 24 bytes, a descriptor table 16. */
export const Sregs = {
  cs: 0,
  ds: 24,
  es: 48,
  fs: 72,
  gs: 96,
  ss: 120,
  tr: 144,
  ldtr: 168,
  gdtr: 192,
  idtr: 208,
  cr0: 224,
  cr2: 232,
  cr3: 240,
  cr4: 248,
  cr8: 256,
  efer: 264,
  apicBase: 272,
} as const;

/** What a structure is called in messages, how it is read and written, and its size. */
interface StateStruct {
  readonly name: string;
  readonly get: number;
  readonly set: number;
  readonly bytes: number;
}

export const REGS: StateStruct = { name: 'KVM_REGS', get: KVM_GET_REGS, set: KVM_SET_REGS, bytes: KVM_REGS_BYTES };
export const SREGS: StateStruct = { name: 'KVM_SREGS', get: KVM_GET_SREGS, set: KVM_SET_SREGS, bytes: KVM_SREGS_BYTES };
export const LAPIC: StateStruct = {
  name: 'KVM_LAPIC',
  get: KVM_GET_LAPIC,
  set: KVM_SET_LAPIC,
  bytes: KVM_LAPIC_STATE_BYTES,
};
export const MP_STATE: StateStruct = { name: 'KVM_MP_STATE', get: KVM_GET_MP_STATE, set: KVM_SET_MP_STATE, bytes: 4 };
const XCRS: StateStruct = { name: 'KVM_XCRS', get: KVM_GET_XCRS, set: KVM_SET_XCRS, bytes: KVM_XCRS_BYTES };
const XSAVE: StateStruct = { name: 'KVM_XSAVE', get: KVM_GET_XSAVE, set: KVM_SET_XSAVE, bytes: KVM_XSAVE_BYTES };
const DEBUGREGS: StateStruct = {
  name: 'KVM_DEBUGREGS',
  get: KVM_GET_DEBUGREGS,
  set: KVM_SET_DEBUGREGS,
  bytes: KVM_DEBUGREGS_BYTES,
};
const VCPU_EVENTS: StateStruct = {
  name: 'KVM_VCPU_EVENTS',
  get: KVM_GET_VCPU_EVENTS,
  set: KVM_SET_VCPU_EVENTS,
  bytes: KVM_VCPU_EVENTS_BYTES,
};

/** In the order of restoring: the local APIC's mode is in SREGS; events and MP_STATE come last. */
const ALL_STRUCTS: readonly StateStruct[] = [SREGS, REGS, XCRS, XSAVE, DEBUGREGS, LAPIC, MP_STATE, VCPU_EVENTS];

export const IA32_TSC = 0x10;
const IA32_MISC_ENABLE = 0x1a0;
const IA32_MTRR_DEF_TYPE = 0x2ff;
const FAST_STRINGS = 1n;
/** Enabled, and write-back where no range says otherwise. */
const MTRR_WRITE_BACK = (1n << 11n) | 6n;
/** Local vector table: delivery modes as firmware leaves them, the 8259 on LINT0 and NMI on LINT1. */
const APIC_LVT0 = 0x350;
const APIC_LVT1 = 0x360;
const APIC_MODE_NMI = 0x400;
const APIC_MODE_EXTINT = 0x700;

/** All state of a vCPU that is at rest. */
export interface VcpuState {
  readonly structs: readonly Uint8Array[];
  readonly msrs: ReadonlyMap<number, bigint>;
}

/** Reads and writes the state of one vCPU, by its descriptor. Not while a thread runs it: that would wait for the thread. */
export class VcpuAccess {
  readonly #calls: SystemCalls;
  readonly #fd: number;

  constructor(calls: SystemCalls, fd: number) {
    this.#calls = calls;
    this.#fd = fd;
  }

  get(struct: StateStruct): DataView {
    const bytes = new Uint8Array(struct.bytes);
    expectSuccess(this.#calls.ioctlStruct(this.#fd, struct.get, bytes), `getting ${struct.name}`);
    return new DataView(bytes.buffer);
  }

  set(struct: StateStruct, view: DataView): void {
    const bytes = new Uint8Array(view.buffer);
    expectSuccess(this.#calls.ioctlStruct(this.#fd, struct.set, bytes), `setting ${struct.name}`);
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    expectSuccess(this.#calls.ioctlStruct(this.#fd, KVM_SET_CPUID2, writeCpuid(entries)), 'KVM_SET_CPUID2');
  }

  /** The registers of these that can be read. */
  getMsrs(indices: readonly number[]): Map<number, bigint> {
    const found = new Map<number, bigint>();
    this.#eachMsr(
      KVM_GET_MSRS,
      'KVM_GET_MSRS',
      indices.map((index) => [index, 0n] as const),
      (index, value) => {
        found.set(index, value);
      },
    );
    return found;
  }

  /** Writes these registers; one that the kernel refuses is skipped. Returns the refused. */
  setMsrs(values: Iterable<readonly [number, bigint]>): number[] {
    return this.#eachMsr(KVM_SET_MSRS, 'KVM_SET_MSRS', [...values], () => {});
  }

  /** struct kvm_msrs with entries of 16 bytes. The kernel does them in order up to the first that it refuses, and says how many. */
  #eachMsr(
    request: number,
    call: string,
    msrs: readonly (readonly [number, bigint])[],
    done: (index: number, value: bigint) => void,
  ): number[] {
    const refused: number[] = [];
    for (let first = 0; first < msrs.length; ) {
      const rest = msrs.slice(first);
      const view = new DataView(new ArrayBuffer(8 + rest.length * 16));
      view.setUint32(0, rest.length, true);
      for (const [at, [index, value]] of rest.entries()) {
        view.setUint32(8 + at * 16, index, true);
        view.setBigUint64(16 + at * 16, value, true);
      }
      const count = expectSuccess(this.#calls.ioctlStruct(this.#fd, request, new Uint8Array(view.buffer)), call);
      for (let at = 0; at < count; at++)
        done((rest[at] as readonly [number, bigint])[0], view.getBigUint64(16 + at * 16, true));
      const stopped = rest[count];
      if (stopped === undefined) break;
      refused.push(stopped[0]);
      first += count + 1;
    }
    return refused;
  }

  /** What firmware does before it hands over: fast strings, write-back memory, the wires of the local APIC. */
  setUpAsFirmware(hasLocalApic: boolean): void {
    this.setMsrs([
      [IA32_MISC_ENABLE, FAST_STRINGS],
      [IA32_MTRR_DEF_TYPE, MTRR_WRITE_BACK],
    ]);
    if (!hasLocalApic) return;
    const lapic = this.get(LAPIC);
    const deliver = (register: number, mode: number): void => {
      lapic.setUint32(register, (lapic.getUint32(register, true) & ~0x1_0700) | mode, true);
    };
    deliver(APIC_LVT0, APIC_MODE_EXTINT);
    deliver(APIC_LVT1, APIC_MODE_NMI);
    this.set(LAPIC, lapic);
  }

  save(msrIndices: readonly number[], hasLocalApic: boolean): VcpuState {
    return {
      structs: this.#structs(hasLocalApic).map((struct) => new Uint8Array(this.get(struct).buffer)),
      msrs: this.getMsrs(msrIndices),
    };
  }

  /** The time stamp counter goes on: a value of old would set the processors' counters apart. */
  restore(state: VcpuState, hasLocalApic: boolean): void {
    for (const [index, struct] of this.#structs(hasLocalApic).entries()) {
      this.set(struct, new DataView((state.structs[index] as Uint8Array).slice().buffer));
    }
    this.setMsrs([...state.msrs].filter(([index]) => index !== IA32_TSC));
  }

  #structs(hasLocalApic: boolean): readonly StateStruct[] {
    return hasLocalApic ? ALL_STRUCTS : ALL_STRUCTS.filter((struct) => struct !== LAPIC && struct !== MP_STATE);
  }

  /** Puts the processor where a loader wants it; what is not named keeps its value. */
  load(initial: InitialCpuState): void {
    const sregs = this.get(SREGS);
    for (const name of ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldtr'] as const) {
      writeSegment(sregs, Sregs[name], initial[name]);
    }
    writeTable(sregs, Sregs.gdtr, initial.gdtr);
    writeTable(sregs, Sregs.idtr, initial.idtr);
    for (const name of ['cr0', 'cr3', 'cr4', 'efer'] as const) {
      sregs.setBigUint64(Sregs[name], BigInt(initial[name]), true);
    }
    this.set(SREGS, sregs);
    const regs = new DataView(new ArrayBuffer(KVM_REGS_BYTES));
    for (const name of ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'rip', 'rflags'] as const) {
      regs.setBigUint64(Regs[name], BigInt(initial[name]), true);
    }
    this.set(REGS, regs);
  }
}

/** struct kvm_segment. */
function writeSegment(sregs: DataView, at: number, segment: InitialSegment): void {
  const { attributes } = segment;
  const bit = (number: number): number => (attributes >> number) & 1;
  sregs.setBigUint64(at, BigInt(segment.base), true);
  sregs.setUint32(at + 8, segment.limit, true);
  sregs.setUint16(at + 12, segment.selector, true);
  sregs.setUint8(at + 14, attributes & 15);
  sregs.setUint8(at + 15, bit(7));
  sregs.setUint8(at + 16, (attributes >> 5) & 3);
  sregs.setUint8(at + 17, bit(14));
  sregs.setUint8(at + 18, bit(4));
  sregs.setUint8(at + 19, bit(13));
  sregs.setUint8(at + 20, bit(15));
  sregs.setUint8(at + 21, bit(12));
  sregs.setUint8(at + 22, bit(16));
  sregs.setUint8(at + 23, 0);
}

/** struct kvm_dtable. */
function writeTable(sregs: DataView, at: number, table: InitialDescriptorTable): void {
  sregs.setBigUint64(at, BigInt(table.base), true);
  sregs.setUint16(at + 8, table.limit, true);
}

/** The registers of a vCPU, for people. */
export function formatRegisters(regs: DataView, sregs: DataView): string {
  const hex = (value: bigint | number, digits: number): string => value.toString(16).padStart(digits, '0');
  const lines: string[] = [];
  const names = Object.entries(Regs);
  for (let at = 0; at < names.length; at += 4) {
    lines.push(
      names
        .slice(at, at + 4)
        .map(([name, offset]) => `${name.padEnd(6)} ${hex(regs.getBigUint64(offset, true), 16)}`)
        .join('  '),
    );
  }
  for (const name of ['cs', 'ss', 'ds', 'es', 'fs', 'gs', 'tr', 'ldtr'] as const) {
    const at = Sregs[name];
    const flags = Array.from({ length: 9 }, (_, n) => sregs.getUint8(at + 14 + n));
    const [type = 0, present, dpl, db, s, l, g, avl, unusable] = flags;
    lines.push(
      `${name.padEnd(4)} ${hex(sregs.getUint16(at + 12, true), 4)} base ${hex(sregs.getBigUint64(at, true), 16)} ` +
        `limit ${hex(sregs.getUint32(at + 8, true), 8)} type ${hex(type, 1)} ` +
        `p ${present} dpl ${dpl} db ${db} s ${s} l ${l} g ${g} avl ${avl}${unusable === 0 ? '' : ' unusable'}`,
    );
  }
  for (const name of ['gdtr', 'idtr'] as const) {
    const at = Sregs[name];
    lines.push(`${name} ${hex(sregs.getBigUint64(at, true), 16)} limit ${hex(sregs.getUint16(at + 8, true), 4)}`);
  }
  const control = (['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const).map(
    (name) => `${name} ${sregs.getBigUint64(Sregs[name], true).toString(16)}`,
  );
  lines.push(control.join('  '));
  return lines.join('\n');
}
