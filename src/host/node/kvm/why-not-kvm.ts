/**
 * Whether this host's KVM will run an ordinary kernel.
 *
 * A /dev/kvm on a processor that shows neither VT-x nor AMD-V is emulated or paravirtual: it passes every test of its interface, but runs
 * little more than real mode. So the processor's flags count too when the choice is automatic.
 *
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { KVM_DEVICE } from '../../../hypervisor/kvm/device.ts';

/** The flag by which the processor shows hardware virtualisation. */
export type VirtualisationFlag = 'vmx' | 'svm';

/** The flag in the text of /proc/cpuinfo. */
export function virtualisationFlag(cpuinfo: string): VirtualisationFlag | undefined {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.split(' ') ?? [];
  return flags.includes('vmx') ? 'vmx' : flags.includes('svm') ? 'svm' : undefined;
}

/** Why the automatic choice passes KVM by without opening it; undefined: it is worth opening. */
export function whyNotKvm(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'this is not Linux on x86-64';
  if (!existsSync(KVM_DEVICE)) return `there is no ${KVM_DEVICE}`;
  let cpuinfo: string;
  try {
    cpuinfo = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '/proc/cpuinfo cannot be read';
  }
  if (virtualisationFlag(cpuinfo) !== undefined) return undefined;
  return 'the processor shows neither vmx nor svm';
}
