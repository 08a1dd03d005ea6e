import { LEGACY_PROBE } from './probe.ts';
import { type Part, testProbe } from './test-parts.ts';

const PARTS: readonly Part[] = [
  [
    'every kind of 32-bit descriptor answers every instruction with a selector as recorded, and limits hold',
    ['seg32', 'sys32', 'limit'],
  ],
  ['interrupt and call gates of 16 and 32 bits change levels and stacks as recorded', ['gate32', 'inner', 'callgate']],
  ['IRET and far RET of 16 and 32 bits return as recorded', ['iret32', 'retf32']],
  [
    'task switches save, load and refuse as recorded, and a fault in the new task is taken there, before its first instruction',
    ['task'],
  ],
  ['IOPL decides in virtual-8086 mode as recorded', ['v86']],
  ['32-bit and PAE paging grant and fault as recorded', ['page32', 'page4m', 'pae', 'pdpte']],
];

testProbe('the legacy probe', LEGACY_PROBE, PARTS, 'real mode divides, traps, faults and returns as recorded');
