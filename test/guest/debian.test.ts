import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  busyboxInitrd,
  busyboxInitrdFile,
  debianKernel,
  debianVmlinux,
  need,
  skipReason,
  skipWithout,
} from './debian.ts';
import { QemuGuest, skipWithoutQemu } from './qemu.ts';

const cloud = debianKernel('cloud');
const initrd = busyboxInitrdFile();
const skip = skipReason(cloud) || skipReason(initrd);

test('the cloud kernel is a bzImage that carries its release in its name', { skip }, () => {
  const { bzImage, release } = need(cloud);
  assert.match(release, /^6\.1\.\d+-\d+-cloud-amd64$/);
  assert.equal(readFileSync(bzImage).toString('latin1', 0x202, 0x206), 'HdrS');
});

test('the cloud kernel is there as an ELF file too', { skip }, () => {
  assert.equal(readFileSync(need(debianVmlinux('cloud'))).toString('latin1', 1, 4), 'ELF');
});

test('a test script comes into the initrd as /test', { skip }, () => {
  const archive = Buffer.from(need(busyboxInitrd({ script: 'echo from the script' })));
  assert.ok(archive.includes('#!/bin/sh\necho from the script\n'));
});

test('the cloud kernel reaches the init of the test initrd and powers off', {
  skip: skip || skipWithoutQemu(),
}, async () => {
  await using guest = new QemuGuest({
    kernel: need(cloud).bzImage,
    initrd: need(initrd),
    append: 'console=ttyS0 quiet poweroff_now',
  });
  assert.equal(await guest.end(), 0);
  assert.match(guest.transcript, /^BOOT-OK [\d.]+\nLinux .* 6\.1\.\S+-cloud-amd64 /m);
});

test('a command that is not installed is a reason to skip', () => {
  assert.equal(skipWithout('no-such-command-anywhere'), 'no-such-command-anywhere is not installed');
});

test('a command on the PATH is no reason to skip', { skip: !existsSync('/bin/sh') && 'no /bin/sh' }, () => {
  assert.equal(skipWithout('sh'), false);
});
