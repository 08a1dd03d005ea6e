/**
 * What this host offers a virtual machine monitor, and what follows where something is missing: `typervisor doctor`.
 *
 * Every finding is of something tried: a file opened, a call made, a memory allocated.
 *
 * @module
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { KVM_CAP_MAX_VCPUS, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_TSC_DEADLINE_TIMER } from '../../hypervisor/kvm/defs.ts';
import type { Kvm } from '../../hypervisor/kvm/kvm.ts';
import { errorName, type SystemCalls } from '../../hypervisor/kvm/system-calls.ts';
import { loadSystemCalls } from './kvm/load-system-calls.ts';
import { openKvm } from './kvm/open-kvm.ts';
import { whyNotKvm } from './kvm/why-not-kvm.ts';

export interface Finding {
  readonly name: string;
  /** 'partly': it is there, but not all that one would expect of it. */
  readonly state: 'yes' | 'partly' | 'no';
  /** What was found, or why not. */
  readonly detail: string;
  /** What a host without it cannot do, or does in its place. */
  readonly without: string;
}

/** What is looked at; a test has its own. */
export interface ExaminedHost {
  readonly versions: { readonly node: string; readonly v8: string };
  /** The contents of a file; undefined when it cannot be read. */
  read(path: string): string | undefined;
  /** Opens a device for reading and writing, and closes it; the name of the error when that fails. */
  tryDevice(path: string): string | undefined;
  /** Why KVM will not be taken automatically. */
  whyNotKvm(): string | undefined;
  openKvm(): Promise<Kvm>;
  loadSystemCalls(): Promise<SystemCalls>;
  /** Allocates a shared memory with 64-bit addresses. @throws where there is none */
  allocateMemory64(): void;
}

export const thisHost: ExaminedHost = {
  versions: process.versions,
  read(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  },
  tryDevice(path) {
    try {
      closeSync(openSync(path, 'r+'));
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  },
  whyNotKvm,
  openKvm,
  loadSystemCalls,
  allocateMemory64: () => void new WebAssembly.Memory({ initial: 1n, maximum: 1n, shared: true, address: 'i64' }),
};

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function examineKvm(host: ExaminedHost): Promise<Finding> {
  const name = 'KVM';
  const without = 'machines run on the WebAssembly CPU: one processor, up to 3072 MiB, slower';
  try {
    using kvm = await host.openKvm();
    const offers = [`up to ${kvm.capability(KVM_CAP_MAX_VCPUS)} processors`];
    if (kvm.capability(KVM_CAP_SPLIT_IRQCHIP) > 0) offers.push('split irqchip');
    if (kvm.capability(KVM_CAP_TSC_DEADLINE_TIMER) > 0) offers.push('TSC deadline timer');
    const obstacle = host.whyNotKvm();
    if (obstacle === undefined) return { name, state: 'yes', detail: offers.join(', '), without };
    const detail = `${offers.join(', ')}; but ${obstacle}: --hypervisor auto takes WebAssembly, and kvm runs small guests at best`;
    return { name, state: 'partly', detail, without };
  } catch (error) {
    return { name, state: 'no', detail: message(error), without };
  }
}

async function examineCalls(host: ExaminedHost): Promise<[Finding, SystemCalls | undefined]> {
  const name = 'System calls';
  const without = 'KVM cannot be used';
  try {
    const calls = await host.loadSystemCalls();
    return [{ name, state: 'yes', detail: `by ${calls.implementation}`, without }, calls];
  } catch (error) {
    return [{ name, state: 'no', detail: message(error), without }, undefined];
  }
}

function examineDevice(host: ExaminedHost, name: string, path: string, without: string): Finding {
  const error = host.tryDevice(path);
  return {
    name,
    state: error === undefined ? 'yes' : 'no',
    detail: `${path}${error === undefined ? '' : `: ${error}`}`,
    without,
  };
}

/** Sysctls that forbid an ordinary user to make a user namespace, and the value that does. */
const NAMESPACE_SYSCTLS: readonly (readonly [path: string, forbids: string])[] = [
  ['/proc/sys/user/max_user_namespaces', '0'],
  ['/proc/sys/kernel/unprivileged_userns_clone', '0'],
  ['/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1'],
];

function examineNamespaces(host: ExaminedHost): Finding {
  const name = 'User namespaces';
  const without = 'device processes cannot be confined without root';
  if (host.read('/proc/self/ns/user') === undefined && host.read('/proc/self/uid_map') === undefined) {
    return { name, state: 'no', detail: 'the kernel has none', without };
  }
  const forbidding = NAMESPACE_SYSCTLS.find(([path, forbids]) => host.read(path)?.trim() === forbids);
  if (forbidding === undefined) return { name, state: 'yes', detail: 'no setting forbids them', without };
  return { name, state: 'no', detail: `${forbidding[0]} is ${forbidding[1]}`, without };
}

function examineSeccomp(host: ExaminedHost): Finding {
  const actions = host.read('/proc/sys/kernel/seccomp/actions_avail')?.trim();
  return {
    name: 'seccomp',
    state: actions === undefined ? 'no' : 'yes',
    detail: actions === undefined ? 'the kernel has no filters' : `actions ${actions}`,
    without: 'device processes keep all system calls',
  };
}

function examineLandlock(calls: SystemCalls | undefined): Finding {
  const version = calls?.landlockVersion();
  return {
    name: 'Landlock',
    state: version !== undefined && version > 0 ? 'yes' : 'no',
    detail:
      version === undefined
        ? 'not known without system calls'
        : version > 0
          ? `version ${version}`
          : `landlock_create_ruleset: ${errorName(-version)}`,
    without: 'device processes keep the whole file system',
  };
}

function examineMemory64(host: ExaminedHost): Finding {
  const name = 'Large WebAssembly memories';
  const without = 'machines have up to 3072 MiB';
  try {
    host.allocateMemory64();
    return { name, state: 'yes', detail: '64-bit addresses, shared', without };
  } catch (error) {
    return { name, state: 'no', detail: message(error), without };
  }
}

/** Everything in the order in which it is told. */
export async function examine(host: ExaminedHost = thisHost): Promise<Finding[]> {
  const { node, v8 } = host.versions;
  const [calls, callsOrNone] = await examineCalls(host);
  return [
    { name: 'Node', state: 'yes', detail: `${node}, V8 ${v8}`, without: '' },
    examineMemory64(host),
    calls,
    await examineKvm(host),
    examineDevice(host, 'TUN/TAP', '/dev/net/tun', 'a guest cannot be bridged into the network of the host'),
    examineDevice(host, 'vhost-net', '/dev/vhost-net', 'packets of a guest go through this process'),
    examineDevice(host, 'vhost-vsock', '/dev/vhost-vsock', 'sockets between host and guest go through this process'),
    examineNamespaces(host),
    examineSeccomp(host),
    examineLandlock(callsOrNone),
  ];
}
