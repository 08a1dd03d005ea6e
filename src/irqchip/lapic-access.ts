/**
 * How a processor reaches its local APIC: the memory-mapped page in xAPIC mode, MSRs 800h-8FFh in x2APIC mode, and
 * IA32_APIC_BASE and IA32_TSC_DEADLINE in both (SDM 3A, "Extended XAPIC (x2APIC)"). The caller holds the irqchip's lock.
 *
 * @module
 */
import type { AccessWidth } from '../bus/bus-device.ts';
import * as R from './lapic-defs.ts';
import type { LocalApic } from './lapic.ts';

/** What may be done to each register, by offset / 16: bits below. Those not listed do not exist. */
const XAPIC_READ = 1;
const XAPIC_WRITE = 2;
const X2APIC_READ = 4;
const X2APIC_WRITE = 8;
const BOTH_READ = XAPIC_READ | X2APIC_READ;
const BOTH_WRITE = XAPIC_WRITE | X2APIC_WRITE;

const ACCESS = new Uint8Array(0x40);
const allow = (offset: number, rights: number): void => {
  ACCESS[offset >> 4] = rights;
};
// biome-ignore format: one register per line, rights aligned
{
  // The ID can be written on some processors; here, as on most, a write changes nothing and is no error.
  allow(R.APIC_ID,                   BOTH_READ | XAPIC_WRITE);
  allow(R.APIC_VERSION,              BOTH_READ | XAPIC_WRITE);
  allow(R.APIC_TPR,                  BOTH_READ | BOTH_WRITE);
  allow(R.APIC_APR,                  XAPIC_READ);
  allow(R.APIC_PPR,                  BOTH_READ);
  allow(R.APIC_EOI,                  XAPIC_READ | BOTH_WRITE);
  allow(R.APIC_RRD,                  XAPIC_READ);
  allow(R.APIC_LDR,                  BOTH_READ | XAPIC_WRITE);
  allow(R.APIC_DFR,                  XAPIC_READ | XAPIC_WRITE);
  allow(R.APIC_SVR,                  BOTH_READ | BOTH_WRITE);
  for (let word = 0; word < 24; word++) allow(R.APIC_ISR + word * 16, BOTH_READ);
  allow(R.APIC_ESR,                  BOTH_READ | BOTH_WRITE);
  allow(R.APIC_ICR,                  BOTH_READ | BOTH_WRITE);
  allow(R.APIC_ICR2,                 XAPIC_READ | XAPIC_WRITE);
  allow(R.APIC_LVT_TIMER,            BOTH_READ | BOTH_WRITE);
  allow(R.APIC_LVT_THERMAL,          BOTH_READ | BOTH_WRITE);
  allow(R.APIC_LVT_PERFORMANCE,      BOTH_READ | BOTH_WRITE);
  allow(R.APIC_LVT_LINT0,            BOTH_READ | BOTH_WRITE);
  allow(R.APIC_LVT_LINT1,            BOTH_READ | BOTH_WRITE);
  allow(R.APIC_LVT_ERROR,            BOTH_READ | BOTH_WRITE);
  allow(R.APIC_INITIAL_COUNT,        BOTH_READ | BOTH_WRITE);
  allow(R.APIC_CURRENT_COUNT,        BOTH_READ);
  allow(R.APIC_DIVIDE_CONFIGURATION, BOTH_READ | BOTH_WRITE);
  allow(R.APIC_SELF_IPI,             X2APIC_WRITE);
}

/** Bits that an x2APIC write may carry; others raise #GP. */
function x2apicWritable(offset: number): number {
  switch (offset) {
    case R.APIC_TPR:
    case R.APIC_SELF_IPI:
      return 0xff;
    case R.APIC_EOI:
    case R.APIC_ESR:
      return 0;
    case R.APIC_SVR:
      return R.SVR_WRITABLE;
    case R.APIC_ICR:
      return R.ICR_WRITABLE | R.ICR_BUSY;
    case R.APIC_INITIAL_COUNT:
      return -1;
    case R.APIC_DIVIDE_CONFIGURATION:
      return 0x0b;
    default:
      return (R.LVT_WRITABLE[offset] ?? 0) | R.LVT_READ_ONLY;
  }
}

/** Memory-mapped read; `offset` 0..0xfff. Registers are 32 bits at multiples of 16; parts of one may be read. */
export function mmioRead(apic: LocalApic, offset: number, width: AccessWidth, now: number): number {
  const register = offset & 0xff0;
  const within = offset & 0xf;
  if (within + width > 4) return 0;
  if (register >= 0x400 || (ACCESS[register >> 4]! & XAPIC_READ) === 0) {
    apic.illegalRegister();
    return 0;
  }
  const value = apic.read(register, now);
  return width === 4 ? value : (value >>> (within * 8)) & (width === 1 ? 0xff : 0xffff);
}

/** Memory-mapped write. The SDM wants aligned 32-bit writes; others are dropped. */
export function mmioWrite(apic: LocalApic, offset: number, width: AccessWidth, value: number, now: number): void {
  if (width !== 4 || (offset & 0xf) !== 0) return;
  if (offset >= 0x400 || (ACCESS[offset >> 4]! & XAPIC_WRITE) === 0) {
    apic.illegalRegister();
    return;
  }
  apic.write(offset, value | 0, now);
}

/** RDMSR of one of the APIC's MSRs; undefined: #GP. */
export function readMsr(apic: LocalApic, msr: number, now: number): bigint | undefined {
  if (msr === R.IA32_APIC_BASE) return apic.baseMsr;
  if (msr === R.IA32_TSC_DEADLINE) return apic.timer.tscDeadline;
  const offset = x2apicOffset(apic, msr, X2APIC_READ);
  if (offset < 0) return undefined;
  const low = BigInt(apic.read(offset, now));
  return offset === R.APIC_ICR ? (BigInt(apic.read(R.APIC_ICR2, now)) << 32n) | low : low;
}

/** WRMSR; false: #GP. */
export function writeMsr(apic: LocalApic, msr: number, value: bigint, now: number): boolean {
  if (msr === R.IA32_APIC_BASE) return apic.writeBase(value, now);
  if (msr === R.IA32_TSC_DEADLINE) {
    apic.timer.setTscDeadline(value);
    apic.poll(now);
    return true;
  }
  const offset = x2apicOffset(apic, msr, X2APIC_WRITE);
  if (offset < 0) return false;
  const low = Number(value & 0xffff_ffffn) | 0;
  const high = Number((value >> 32n) & 0xffff_ffffn) | 0;
  if ((low & ~x2apicWritable(offset)) !== 0) return false;
  if (offset === R.APIC_ICR) apic.write(R.APIC_ICR2, high, now);
  else if (high !== 0) return false;
  if (offset === R.APIC_SELF_IPI) apic.selfIpi(low);
  else apic.write(offset, low, now);
  return true;
}

/** Register offset of an x2APIC MSR; -1 when it does not exist, or not in this mode. */
function x2apicOffset(apic: LocalApic, msr: number, right: number): number {
  const index = msr - R.X2APIC_FIRST;
  if (!apic.x2apic || index < 0 || index >= ACCESS.length || (ACCESS[index]! & right) === 0) return -1;
  return index << 4;
}
