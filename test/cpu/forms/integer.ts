/**
 * Integer forms (SDM vol. 2, appendix A, one- and two-byte maps), without string, stack and branch instructions.
 *
 * @module
 */
import { type Form, formTable, Profile } from './form.ts';

const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

const alu = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp']
  .map((name, n) => {
    const lock = name === 'cmp' ? '' : 'lock';
    const at = (k: number): string => hex(n * 8 + k);
    return `
    ${at(0)}   | ${name} | Eb,Gb  | ${lock} x2
    ${at(1)}   | ${name} | Ev,Gv  | ${lock} x3
    ${at(2)}   | ${name} | Gb,Eb  |
    ${at(3)}   | ${name} | Gv,Ev  | x2
    ${at(4)}   | ${name} | AL,Ib  |
    ${at(5)}   | ${name} | rAX,Iz |
    80 /${n}   | ${name} | Eb,Ib  | ${lock}
    81 /${n}   | ${name} | Ev,Iz  | ${lock} x2
    82 /${n}   | ${name} | Eb,Ib  | ${lock} no64
    83 /${n}   | ${name} | Ev,Ibs | ${lock} x2`;
  })
  .join('\n');

const shifts = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar']
  .map(
    (name, n) => `
    C0 /${n}   | ${name} | Eb,Ib |  x2
    C1 /${n}   | ${name} | Ev,Ib |  x3
    D0 /${n}   | ${name} | Eb,1  |
    D1 /${n}   | ${name} | Ev,1  |
    D2 /${n}   | ${name} | Eb,CL |  x2
    D3 /${n}   | ${name} | Ev,CL |  x3`,
  )
  .join('\n');

const conditional = CONDITIONS.map(
  (name, n) => `
    0F ${hex(0x40 + n)} | cmov${name} | Gv,Ev |
    0F ${hex(0x90 + n)} | set${name}  | Eb    |`,
).join('\n');

export const integerForms: readonly Form[] = formTable(
  `
    ${alu}
    ${shifts}
    ${conditional}
    84         | test    | Eb,Gb   |
    85         | test    | Ev,Gv   | x2
    A8         | test    | AL,Ib   |
    A9         | test    | rAX,Iz  |
    F6 /0      | test    | Eb,Ib   |
    F6 /1      | test    | Eb,Ib   |
    F7 /0      | test    | Ev,Iz   |
    F7 /1      | test    | Ev,Iz   |
    F6 /2      | not     | Eb      | lock
    F7 /2      | not     | Ev      | lock
    F6 /3      | neg     | Eb      | lock
    F7 /3      | neg     | Ev      | lock
    FE /0      | inc     | Eb      | lock
    FE /1      | dec     | Eb      | lock
    FF /0      | inc     | Ev      | lock
    FF /1      | dec     | Ev      | lock
    40+r       | inc     | Zv      | no64
    48+r       | dec     | Zv      | no64
    F6 /4      | mul     | Eb      | x2
    F7 /4      | mul     | Ev      | x3
    F6 /5      | imul    | Eb      | x2
    F7 /5      | imul    | Ev      | x3
    0F AF      | imul    | Gv,Ev   | x3
    69         | imul    | Gv,Ev,Iz  | x2
    6B         | imul    | Gv,Ev,Ibs | x2
    F6 /6      | div     | Eb      | x4
    F7 /6      | div     | Ev      | x6
    F6 /7      | idiv    | Eb      | x4
    F7 /7      | idiv    | Ev      | x6
    0F A4      | shld    | Ev,Gv,Ib | x3
    0F A5      | shld    | Ev,Gv,CL | x3
    0F AC      | shrd    | Ev,Gv,Ib | x3
    0F AD      | shrd    | Ev,Gv,CL | x3
    0F A3      | bt      | Ev,Gv   | x2
    0F AB      | bts     | Ev,Gv   | lock x2
    0F B3      | btr     | Ev,Gv   | lock x2
    0F BB      | btc     | Ev,Gv   | lock x2
    0F BA /4   | bt      | Ev,Ib   |
    0F BA /5   | bts     | Ev,Ib   | lock
    0F BA /6   | btr     | Ev,Ib   | lock
    0F BA /7   | btc     | Ev,Ib   | lock
    0F BC      | bsf     | Gv,Ev   | x2
    0F BD      | bsr     | Gv,Ev   | x2
    F3 0F B8   | popcnt  | Gv,Ev   | x2
    F2 0F 38 F0 | crc32  | Gy,Eb   | x2
    F2 0F 38 F1 | crc32  | Gy,Ev   | x2
    0F C0      | xadd    | Eb,Gb   | lock x2
    0F C1      | xadd    | Ev,Gv   | lock x2
    0F B0      | cmpxchg | Eb,Gb   | lock x2
    0F B1      | cmpxchg | Ev,Gv   | lock x3
    0F C7 /1   | cmpxchg8b | My    | lock x4
    88         | mov     | Eb,Gb   |
    89         | mov     | Ev,Gv   | x2
    8A         | mov     | Gb,Eb   |
    8B         | mov     | Gv,Ev   | x2
    A0         | mov     | AL,Ob   |
    A1         | mov     | rAX,Ov  |
    A2         | mov     | Ob,AL   |
    A3         | mov     | Ov,rAX  |
    B0+r       | mov     | Zb,Ib   |
    B8+r       | mov     | Zv,Iv   |
    C6 /0      | mov     | Eb,Ib   |
    C7 /0      | mov     | Ev,Iz   |
    8D         | lea     | Gv,M    | x3
    0F B6      | movzx   | Gv,Eb   |
    0F B7      | movzx   | Gv,Ew   |
    0F BE      | movsx   | Gv,Eb   |
    0F BF      | movsx   | Gv,Ew   |
    63         | movsxd  | Gv,Ed   | only64
    63         | arpl    | Ew,Gw   | no64
    0F 38 F0   | movbe   | Gv,Mv   |
    0F 38 F1   | movbe   | Mv,Gv   |
    0F C8+r    | bswap   | Zv      |
    86         | xchg    | Eb,Gb   | lock
    87         | xchg    | Ev,Gv   | lock x2
    90+r       | xchg    | Zv,rAX  |
    98         | cwde    |         |
    99         | cdq     |         |
    D7         | xlat    |         | x2
    9E         | sahf    |         |
    9F         | lahf    |         |
    F5         | cmc     |         |
    F8         | clc     |         |
    F9         | stc     |         |
    FC         | cld     |         |
    FD         | std     |         |
    27         | daa     |         | no64 x4
    2F         | das     |         | no64 x4
    37         | aaa     |         | no64 x2
    3F         | aas     |         | no64 x2
    D4         | aam     | Ib      | no64 x2
    D5         | aad     | Ib      | no64 x2
    D6         | salc    |         | no64
    62         | bound   | Gv,Ma   | no64 x2
    90         | nop     |         |
    0F 1A      | nop     | Ev      |
    0F 1B      | nop     | Ev      |
    F3 90      | pause   |         |
    0F 1F      | nop     | Ev      |
    0F 19      | nop     | Ev      |
    0F 1C /1   | nop     | Ev      |
    0F 1D      | nop     | Ev      |
    0F 1E      | nop     | Ev      |
    F3 0F 1E !FA | endbr64 |       |
    F3 0F 1E !FB | endbr32 |       |
    0F 0D /1   | prefetchw | M     |
    0F 18 /0   | prefetchnta | M   |
    0F 18 /1   | prefetcht0 | M    |
    0F 18 /2   | prefetcht1 | M    |
    0F 18 /3   | prefetcht2 | M    |
    0F 18 /4   | nop     | Ev      |
    0F 0B      | ud2     |         |
    0F B9      | ud1     | Gv,Ev   |
    0F FF      | ud0     | Gv,Ev   |
    F3 0F AE /0 | rdfsbase | Ry    | only64
    F3 0F AE /1 | rdgsbase | Ry    | only64
    F3 0F AE /2 | wrfsbase | Ry    | only64
    F3 0F AE /3 | wrgsbase | Ry    | only64
    NP 0F AE /7 | clflush  | M     |
    66 0F AE /7 | clflushopt | M   |
    NP 0F AE !E8 | lfence  |       |
    NP 0F AE !F0 | mfence  |       |
    NP 0F AE !F8 | sfence  |       |
    NP 0F C3   | movnti  | My,Gy   |
    NP 0F AE /5 | lfence   | Ry    |
    NP 0F AE /6 | mfence   | Ry    |
    NP 0F AE /7 | sfence   | Ry    |
    0F 0D      | nop     | Rv      |
`,
  Profile.Integer,
);
