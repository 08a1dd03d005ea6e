import { SYSTEM_PROBE } from './probe.ts';
import { type Part, testProbe } from './test-parts.ts';

const PARTS: readonly Part[] = [
  ['every kind of descriptor answers every instruction with a selector as recorded', ['seg', 'sys', 'odd']],
  [
    'gates, interrupt stacks and nested exceptions deliver as recorded',
    ['gate', 'ist', 'rsp', 'rsp0', 'tss', 'idt', 'nested'],
  ],
  ['IRET, far RET and the fast system calls return as recorded', ['iret', 'iretq', 'retf', 'syscall', 'sysenter']],
  [
    'page rights, reserved bits and page sizes fault as recorded',
    ['page', 'level', 'large', 'split', 'nxe', 'canonical'],
  ],
  ['single-stepping and breakpoints trap as recorded', ['tf', 'exec', 'data', 'off', 'global', 'dr7']],
];

testProbe(
  'the system probe',
  SYSTEM_PROBE,
  PARTS,
  'control registers, privileged instructions and ports answer as recorded',
);
