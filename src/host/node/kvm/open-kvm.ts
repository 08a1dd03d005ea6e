/** Opening this host's KVM. @module */
import { Kvm } from '../../../hypervisor/kvm/kvm.ts';
import { loadSystemCalls } from './load-system-calls.ts';

/** @throws NoSystemCallsError, SystemCallError, KvmUnusableError; all of them one line for people. */
export async function openKvm(): Promise<Kvm> {
  return new Kvm(await loadSystemCalls());
}
