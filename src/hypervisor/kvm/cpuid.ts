/**
 * The CPUID leaves of a KVM guest: what the host supports, with this machine's topology (SDM 2A CPUID; AMD APM 3, appendix E).
 *
 * All vCPUs are cores of one package, one thread each; APIC IDs are their indices, as the MADT says.
 *
 * @module
 */
import { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } from './defs.ts';

/** struct kvm_cpuid_entry2. */
export interface CpuidEntry {
  readonly leaf: number;
  readonly subleaf: number;
  readonly flags: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

const HEADER_BYTES = 8;
const ENTRY_BYTES = 40;

/** The entries of a struct kvm_cpuid2. */
export function readCpuid(bytes: Uint8Array): CpuidEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: view.getUint32(0, true) }, (_, index) => {
    const word = (field: number): number => view.getUint32(HEADER_BYTES + index * ENTRY_BYTES + field * 4, true);
    const [leaf, subleaf, flags, eax, ebx, ecx, edx] = [0, 1, 2, 3, 4, 5, 6].map(word) as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return { leaf, subleaf, flags, eax, ebx, ecx, edx };
  });
}

/** A struct kvm_cpuid2. */
export function writeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + entries.length * ENTRY_BYTES));
  view.setUint32(0, entries.length, true);
  for (const [index, { leaf, subleaf, flags, eax, ebx, ecx, edx }] of entries.entries()) {
    for (const [field, value] of [leaf, subleaf, flags, eax, ebx, ecx, edx].entries()) {
      view.setUint32(HEADER_BYTES + index * ENTRY_BYTES + field * 4, value, true);
    }
  }
  return new Uint8Array(view.buffer);
}

export interface CpuTopology {
  readonly index: number;
  readonly count: number;
  /** KVM offers the local APIC's TSC deadline mode, which the supported set does not say. */
  readonly tscDeadline: boolean;
}

/** Leaf 1. */
const ECX_TSC_DEADLINE = 1 << 24;
const ECX_HYPERVISOR = 1 << 31;
const EDX_HTT = 1 << 28;
/** Leaf 4: "has no more subleaves" when the type is 0. */
const CACHE_TYPE = 0x1f;
const CACHE_LEVEL_SHIFT = 5;
/** Leaves Bh and 1Fh: types of levels. */
const LEVEL_SMT = 1;
const LEVEL_CORE = 2;
/** Leaf 80000001h: CmpLegacy, several cores without threads. */
const ECX_CMP_LEGACY = 1 << 1;
/** Leaf 80000008h: cores less one, and bits of an APIC ID that number cores. */
const ECX_NC = 0xff;
const ECX_APIC_ID_SIZE = 0xf000;

/** How many bits number `count` things. */
const bitsFor = (count: number): number => Math.ceil(Math.log2(count));

/** The leaves of one vCPU. */
export function vcpuCpuid(supported: readonly CpuidEntry[], topology: CpuTopology): CpuidEntry[] {
  const { index, count, tscDeadline } = topology;
  const coreBits = bitsFor(count);
  const last = count - 1;
  const entries = supported
    .filter(({ leaf }) => leaf !== 0xb && leaf !== 0x1f)
    .map((entry): CpuidEntry => {
      const { leaf, eax, ebx, ecx, edx } = entry;
      switch (leaf) {
        case 1:
          return {
            ...entry,
            ebx: ((ebx & 0xffff) | ((count & 0xff) << 16) | (index << 24)) >>> 0,
            ecx: (ecx | ECX_HYPERVISOR | (tscDeadline ? ECX_TSC_DEADLINE : 0)) >>> 0,
            edx: (count > 1 ? edx | EDX_HTT : edx & ~EDX_HTT) >>> 0,
          };
        case 4:
        case 0x8000001d: {
          if ((eax & CACHE_TYPE) === 0) return entry;
          // The first two levels are a core's own, the third the package's.
          const sharing = ((eax >> CACHE_LEVEL_SHIFT) & 7) >= 3 ? 2 ** coreBits - 1 : 0;
          const cores = leaf === 4 ? 2 ** coreBits - 1 : 0;
          return { ...entry, eax: ((eax & 0x3fff) | (sharing << 14) | (cores << 26)) >>> 0 };
        }
        case 0x80000001:
          return { ...entry, ecx: (count > 1 ? ecx | ECX_CMP_LEGACY : ecx & ~ECX_CMP_LEGACY) >>> 0 };
        case 0x80000008:
          return { ...entry, ecx: ((ecx & ~(ECX_NC | ECX_APIC_ID_SIZE)) | last | (coreBits << 12)) >>> 0 };
        case 0x8000001e:
          // Extended APIC ID; a core's number with one thread; node 0.
          return { ...entry, eax: index, ebx: index & 0xff, ecx: 0, edx: 0 };
        default:
          return entry;
      }
    });
  for (const leaf of [0xb, 0x1f]) {
    if (!supported.some((entry) => entry.leaf === leaf)) continue;
    const level = (subleaf: number, eax: number, ebx: number, type: number): CpuidEntry => ({
      leaf,
      subleaf,
      flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
      eax,
      ebx,
      ecx: subleaf | (type << 8),
      edx: index,
    });
    entries.push(level(0, 0, 1, LEVEL_SMT), level(1, coreBits, count, LEVEL_CORE), level(2, 0, 0, 0));
  }
  return entries;
}

/** MAXPHYADDR of the supported set; 36 where the leaf is missing. */
export function physicalAddressBits(supported: readonly CpuidEntry[]): number {
  const entry = supported.find(({ leaf }) => leaf === 0x80000008);
  return entry === undefined ? 36 : entry.eax & 0xff;
}
