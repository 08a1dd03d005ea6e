import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootCommand, instructionsOf, ProgramError, secondsOf } from './systems.ts';

test('the seconds are read from the row of the program, with lines of the kernel around it', () => {
  const output = '[    3.1] a message\r\ncrc32 0.123456789 0000000004ce460e\r\nDONE 0\r\n';
  assert.equal(secondsOf('crc32', output), 0.123456789);
});

test('a program that printed something else has failed, and the reason is what it printed', () => {
  const output = 'bench: crc32: unit 0 has checksum 1, not 2\r\nDONE 1\r\n';
  assert.throws(() => secondsOf('crc32', output), new ProgramError('bench: crc32: unit 0 has checksum 1, not 2'));
  assert.throws(() => secondsOf('crc32', 'crc32 0.1 short\n'), ProgramError);
  assert.throws(() => secondsOf('crc32', 'DONE 0\r\n'), new ProgramError('crc32 printed nothing'));
});

test('the instructions are found among the counters', () => {
  const stats =
    'vCPU 0, 3.1 s\n\nguest instructions\n  executed       66,724,053\n\nsystem\n  executed       215,477\n';
  assert.equal(instructionsOf(stats), 66_724_053);
  assert.equal(instructionsOf(''), undefined);
});

test('both systems get the same kernel, initrd, memory and kernel parameters', () => {
  const boot = { kernel: 'K', initrd: 'I', params: 'quiet', memMib: 512, debugExit: 0xf4 };
  const qemu = bootCommand('qemu', boot).join(' ');
  const typervisor = bootCommand('typervisor', boot).join(' ');
  assert.match(
    qemu,
    /-m 512 .*-kernel K -initrd I -append console=ttyS0 panic=-1 quiet -device isa-debug-exit,iobase=244$/,
  );
  assert.match(typervisor, /run K -m 512 .*-i I -p quiet --debug-exit port=244$/);
});
