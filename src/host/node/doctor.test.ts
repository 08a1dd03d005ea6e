/** What `typervisor doctor` finds, on hosts made up for it and on this one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatFindings } from '../../cli/doctor.ts';
import type { SystemCalls } from '../../hypervisor/kvm/system-calls.ts';
import { type ExaminedHost, examine, type Finding, thisHost } from './doctor.ts';

/** A host that has nothing. */
const BARE: ExaminedHost = {
  versions: { node: '26.0.0', v8: '14.6' },
  read: () => undefined,
  tryDevice: () => 'ENOENT',
  whyNotKvm: () => 'there is no /dev/kvm',
  openKvm: () => Promise.reject(new Error('/dev/kvm: ENOENT: there is no KVM')),
  loadSystemCalls: () => Promise.reject(new Error('koffi is not installed')),
  allocateMemory64() {
    throw new RangeError('no 64-bit memories');
  },
};

const finding = async (host: ExaminedHost, name: string): Promise<Finding> => {
  const found = (await examine(host)).find((one) => one.name === name);
  assert.ok(found, name);
  return found;
};

test('a host that has nothing is told what each absence means', async () => {
  const findings = await examine(BARE);
  for (const { name, state, detail, without } of findings.slice(1)) {
    assert.equal(state, 'no', name);
    assert.ok(detail.length > 0 && without.length > 0, name);
  }
});

test('KVM that cannot be opened says why', async () => {
  assert.equal((await finding(BARE, 'KVM')).detail, '/dev/kvm: ENOENT: there is no KVM');
});

test('a sysctl that forbids user namespaces is named with its value', async () => {
  const host = {
    ...BARE,
    read: (path: string) =>
      path.endsWith('unprivileged_userns_clone') ? '0\n' : path.endsWith('uid_map') ? '0 0 1' : undefined,
  };
  const { state, detail } = await finding(host, 'User namespaces');
  assert.deepEqual([state, detail], ['no', '/proc/sys/kernel/unprivileged_userns_clone is 0']);
});

test('Landlock is there with its version, or not with the error', async () => {
  const withLandlock = (version: number): ExaminedHost => ({
    ...BARE,
    loadSystemCalls: () => Promise.resolve({ landlockVersion: () => version } as unknown as SystemCalls),
  });
  const { state, detail } = await finding(withLandlock(4), 'Landlock');
  assert.deepEqual([state, detail], ['yes', 'version 4']);
  assert.equal((await finding(withLandlock(-95), 'Landlock')).detail, 'landlock_create_ruleset: EOPNOTSUPP');
});

test('this host is examined without an error, and KVM is only a clear yes where auto takes it', async () => {
  const { state } = await finding(thisHost, 'KVM');
  assert.equal(state === 'yes', thisHost.whyNotKvm() === undefined && state !== 'no');
  assert.equal((await finding(thisHost, 'Node')).detail, `${process.versions.node}, V8 ${process.versions.v8}`);
});

test('findings are columns, with what an absence means below', () => {
  const text = formatFindings([
    { name: 'KVM', state: 'no', detail: 'there is no /dev/kvm', without: 'machines are slower' },
    { name: 'seccomp', state: 'yes', detail: 'actions errno', without: 'nothing' },
  ]);
  assert.equal(
    text,
    'KVM                         no      there is no /dev/kvm\n' +
      '                                    without it machines are slower\n' +
      'seccomp                     yes     actions errno\n',
  );
});
