/**
 * The processor model: what CPUID says (SDM 2A CPUID). docs/decisions/0001-cpu-model.md gives the reasons.
 *
 * An Intel family 6 signature of an in-order core, which operating systems know to need no mitigations against
 * speculation; every feature bit says what is there and nothing else.
 *
 * @module
 */
import { RAX, RBX, RCX, RDX } from '../state.ts';
import type { Cpu } from './cpu.ts';
import { PHYSICAL_ADDRESS_BITS } from './cpu-model.ts';
import { CR4_OSXSAVE } from './cpu-state.ts';
import { IMAGE_YMM, YMM_BYTES } from './fpu-image.ts';
import { supportedComponents, XSTATE_AVX } from './xsave-components.ts';

export { PHYSICAL_ADDRESS_BITS };
export const LINEAR_ADDRESS_BITS = 48;

/** TSC and core crystal frequency, ratio 1/1. */
export const TSC_HZ = 1_000_000_000;

const VENDOR = 'GenuineIntel';
const BRAND = 'typervisor x86-64 CPU on WebAssembly @ 1.00GHz';
const HYPERVISOR_SIGNATURE = 'typervisor\0\0';

/** Family 6, model 0x36, stepping 1: see the decision record. */
export const SIGNATURE = 0x0003_0661;

const MAX_BASIC_LEAF = 0x16;
const MAX_EXTENDED_LEAF = 0x8000_0008;
const MAX_HYPERVISOR_LEAF = 0x4000_0010;

const CACHE_LINE_BYTES = 64;
/** An XSAVE area with the components of a mask: standard and compacted alike. */
const areaBytes = (components: number): number => IMAGE_YMM + ((components & XSTATE_AVX) !== 0 ? YMM_BYTES : 0);

/** Feature bits by register (SDM 2A tables 3-10, 3-11, and the structured and extended leaves). */
const bits = (...numbers: number[]): number => numbers.reduce((sum, bit) => sum | (1 << bit), 0) >>> 0;

/** Leaf 1 ECX: SSE3, SSSE3, CMPXCHG16B, PCID, SSE4.1, SSE4.2, x2APIC, MOVBE, POPCNT, TSC-deadline, XSAVE, RDRAND, hypervisor. */
const FEATURES_1_ECX = bits(0, 9, 13, 17, 19, 20, 21, 22, 23, 24, 26, 30, 31);
/** The same of x86-64-v3: PCLMULQDQ, FMA, AES, AVX, F16C. */
const FEATURES_1_ECX_V3 = bits(1, 12, 25, 28, 29);
const OSXSAVE = bits(27);
/** Leaf 1 EDX: FPU DE PSE TSC MSR PAE MCE CX8 (APIC) SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 SS. */
const FEATURES_1_EDX = bits(0, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26, 27);
const APIC = bits(9),
  HTT = bits(28);
/**
 * Leaf 7 EBX: FSGSBASE, TSC_ADJUST, FDP_EXCPTN_ONLY (FDP and FOP change on unmasked exceptions only), SMEP, ERMS, INVPCID,
 * FCS and FDS always zero, RDSEED, SMAP, CLFLUSHOPT.
 */
const FEATURES_7_EBX = bits(0, 1, 6, 7, 9, 10, 13, 18, 20, 23);
/** The same of x86-64-v3: BMI1, AVX2, BMI2, ADX. */
const FEATURES_7_EBX_V3 = bits(3, 5, 8, 19);
/** Leaf 7 ECX: UMIP, RDPID. */
const FEATURES_7_ECX = bits(2, 22);
/** Leaf 7 EDX: FSRM, ARCH_CAPABILITIES. */
const FEATURES_7_EDX = bits(4, 29);
/** Leaf 0x80000001 ECX: LAHF in 64-bit mode, PREFETCHW. */
const FEATURES_81_ECX = bits(0, 8);
/** The same of x86-64-v3: LZCNT. */
const FEATURES_81_ECX_V3 = bits(5);
/** Leaf 0x80000001 EDX: NX, 1 GiB pages, RDTSCP, long mode; and SYSCALL, which Intel announces in 64-bit mode only. */
const FEATURES_81_EDX = bits(20, 26, 27, 29);
const SYSCALL = bits(11);

export interface CpuidResult {
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** Four characters as a little-endian word. */
const word = (text: string, at: number): number =>
  (text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)) >>>
  0;

interface Cache {
  readonly type: 1 | 2 | 3;
  readonly level: number;
  readonly ways: number;
  readonly bytes: number;
  readonly shared: boolean;
}

/** Leaf 4. A large last level keeps C libraries from non-temporal copies, which are no faster here than REP MOVS. */
const CACHES: readonly Cache[] = [
  { type: 1, level: 1, ways: 8, bytes: 32 << 10, shared: false },
  { type: 2, level: 1, ways: 8, bytes: 32 << 10, shared: false },
  { type: 3, level: 2, ways: 8, bytes: 1 << 20, shared: false },
  { type: 3, level: 3, ways: 16, bytes: 32 << 20, shared: true },
];

/** Bits of the APIC ID that number the processors of a package. */
const idBits = (processors: number): number => Math.ceil(Math.log2(processors));

function cacheLeaf(result: CpuidResult, index: number, processors: number): void {
  const cache = CACHES[index];
  if (cache === undefined) return;
  const sets = cache.bytes / (cache.ways * CACHE_LINE_BYTES);
  const sharing = cache.shared ? (1 << idBits(processors)) - 1 : 0;
  const cores = (1 << idBits(processors)) - 1;
  // Bit 8: self-initialising.
  result.eax = (cache.type | (cache.level << 5) | (1 << 8) | (sharing << 14) | (cores << 26)) >>> 0;
  result.ebx = ((CACHE_LINE_BYTES - 1) | ((cache.ways - 1) << 22)) >>> 0;
  result.ecx = sets - 1;
  // Bit 1: inclusive of lower levels, for the last level.
  result.edx = cache.shared ? 2 : 0;
}

function topologyLeaf(result: CpuidResult, level: number, processors: number, apicId: number): void {
  result.ecx = level & 0xff;
  result.edx = apicId;
  if (level === 0) {
    result.ebx = 1;
    result.ecx |= 1 << 8;
  } else if (level === 1) {
    result.eax = idBits(processors);
    result.ebx = processors;
    result.ecx |= 2 << 8;
  }
}

/** The answer to CPUID `leaf`, `subleaf`, in the CPU's present state. Unknown leaves answer as the highest basic one (SDM 2A). */
export function cpuidLeaf(cpu: Cpu, leaf: number, subleaf: number): CpuidResult {
  const { state } = cpu;
  const { processors, model } = cpu.topology;
  const v3 = model === 'v3';
  const apicId = state.vcpuIndex;
  const result: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  switch (leaf >>> 0) {
    case 0:
      result.eax = MAX_BASIC_LEAF;
      result.ebx = word(VENDOR, 0);
      result.edx = word(VENDOR, 4);
      result.ecx = word(VENDOR, 8);
      break;
    case 1: {
      const apicEnabled = ((cpu.host.interrupts.readMsr(0x1b) ?? 0n) & 0x800n) !== 0n;
      result.eax = SIGNATURE;
      result.ebx = (((CACHE_LINE_BYTES / 8) << 8) | ((1 << idBits(processors)) << 16) | ((apicId & 0xff) << 24)) >>> 0;
      result.ecx =
        (FEATURES_1_ECX | (v3 ? FEATURES_1_ECX_V3 : 0) | ((state.cr4 & CR4_OSXSAVE) !== 0 ? OSXSAVE : 0)) >>> 0;
      result.edx = (FEATURES_1_EDX | (apicEnabled ? APIC : 0) | (processors > 1 ? HTT : 0)) >>> 0;
      break;
    }
    case 2:
      // One descriptor, 0xff: the caches are in leaf 4.
      result.eax = 0xff01;
      break;
    case 4:
      cacheLeaf(result, subleaf, processors);
      break;
    case 6:
      // ARAT: the APIC timer never stops.
      result.eax = 4;
      break;
    case 7:
      if (subleaf === 0) {
        result.ebx = FEATURES_7_EBX | (v3 ? FEATURES_7_EBX_V3 : 0);
        result.ecx = FEATURES_7_ECX;
        result.edx = FEATURES_7_EDX;
      }
      break;
    case 0xb:
      topologyLeaf(result, subleaf, processors, apicId);
      break;
    case 0xd:
      if (subleaf === 0) {
        result.eax = supportedComponents(cpu);
        result.ebx = areaBytes(state.xcr0);
        result.ecx = areaBytes(supportedComponents(cpu));
      } else if (subleaf === 1) {
        // XSAVEOPT, XSAVEC, XGETBV with ECX = 1, XSAVES.
        result.eax = 0xf;
        result.ebx = areaBytes(state.xcr0);
      } else if (subleaf === 2 && v3) {
        // Not aligned to 64 bytes in the compacted format, and a user component.
        result.eax = YMM_BYTES;
        result.ebx = IMAGE_YMM;
      }
      break;
    // Defined leaves with nothing in them: serial number, MONITOR, DCA, performance monitoring, RDT, SGX, trace.
    case 3:
    case 5:
    case 8:
    case 9:
    case 0xa:
    case 0xc:
    case 0xe:
    case 0xf:
    case 0x10:
    case 0x11:
    case 0x12:
    case 0x13:
    case 0x14:
      break;
    case 0x15:
      result.eax = 1;
      result.ebx = 1;
      result.ecx = TSC_HZ;
      break;
    case 0x4000_0000:
      result.eax = MAX_HYPERVISOR_LEAF;
      result.ebx = word(HYPERVISOR_SIGNATURE, 0);
      result.ecx = word(HYPERVISOR_SIGNATURE, 4);
      result.edx = word(HYPERVISOR_SIGNATURE, 8);
      break;
    case 0x4000_0010:
      // The generic timing leaf: TSC and local APIC timer frequency in kHz.
      result.eax = TSC_HZ / 1000;
      result.ebx = TSC_HZ / 1000;
      break;
    case 0x8000_0000:
      result.eax = MAX_EXTENDED_LEAF;
      break;
    case 0x8000_0001:
      result.ecx = FEATURES_81_ECX | (v3 ? FEATURES_81_ECX_V3 : 0);
      result.edx = (FEATURES_81_EDX | (state.codeSize === 64 ? SYSCALL : 0)) >>> 0;
      break;
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const text = BRAND.padEnd(48, '\0');
      const at = ((leaf >>> 0) - 0x8000_0002) * 16;
      result.eax = word(text, at);
      result.ebx = word(text, at + 4);
      result.ecx = word(text, at + 8);
      result.edx = word(text, at + 12);
      break;
    }
    case 0x8000_0005:
      break;
    case 0x8000_0006:
      // L2: 1 MiB, 8-way (code 6).
      result.ecx = ((1024 << 16) | (6 << 12) | CACHE_LINE_BYTES) >>> 0;
      break;
    case 0x8000_0007:
      // Invariant TSC.
      result.edx = 1 << 8;
      break;
    case 0x8000_0008:
      result.eax = PHYSICAL_ADDRESS_BITS | (LINEAR_ADDRESS_BITS << 8);
      break;
    default:
      if (leaf >>> 0 > 0x4000_0000 && leaf >>> 0 < MAX_HYPERVISOR_LEAF) break;
      // Leaf 0x16 and, as on Intel processors, everything out of range: base, maximum and reference frequency in MHz.
      result.eax = TSC_HZ / 1e6;
      result.ebx = TSC_HZ / 1e6;
      result.ecx = 100;
      break;
  }
  return result;
}

/** CPUID. */
export function cpuid(cpu: Cpu): void {
  const { state } = cpu;
  const { eax, ebx, ecx, edx } = cpuidLeaf(cpu, state.gprLo(RAX), state.gprLo(RCX));
  state.setGprHalves(RAX, eax, 0);
  state.setGprHalves(RBX, ebx, 0);
  state.setGprHalves(RCX, ecx, 0);
  state.setGprHalves(RDX, edx, 0);
}
