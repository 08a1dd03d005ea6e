/**
 * Stack, branch and string forms, and instructions that user mode may not execute.
 *
 * @module
 */
import { type Form, formTable, Profile } from './form.ts';

const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

export const stackForms: readonly Form[] = formTable(
  `
    50+r     | push  | Zv     |
    68       | push  | Iz     |
    6A       | push  | Ibs    |
    FF /6    | push  | Ev     | x2
    06       | push  | ES     | sized no64
    0E       | push  | CS     | sized no64
    16       | push  | SS     | sized no64
    1E       | push  | DS     | sized no64
    0F A0    | push  | FS     |
    0F A8    | push  | GS     |
    58+r     | pop   | Zv     |
    8F /0    | pop   | Ev     | x2
    60       | pusha |        | sized no64 x2
    61       | popa  |        | sized no64 x2
    9C       | pushf |        | x2
    9D       | popf  |        | x3
    C8       | enter | Iw,Ib  | x4
    C9       | leave |        | x2
`,
  Profile.Integer,
  ['stack', 'd64', 'norep'],
);

const jumps = CONDITIONS.map(
  (name, n) => `
    ${hex(0x70 + n)}    | j${name} | Jb |
    0F ${hex(0x80 + n)} | j${name} | Jz |`,
).join('\n');

export const branchForms: readonly Form[] = formTable(
  `
    ${jumps}
    EB       | jmp    | Jb    |
    E9       | jmp    | Jz    |
    FF /4    | jmp    | Ev    | x2
    E8       | call   | Jz    | x2
    FF /2    | call   | Ev    | x3
    C3       | ret    |       | x2
    C2       | ret    | Iw    | x2
    E3       | jrcxz  | Jb    | memory x2
    E2       | loop   | Jb    | memory x2
    E1       | loope  | Jb    | memory x2
    E0       | loopne | Jb    | memory x2
`,
  Profile.Integer,
  ['branch', 'f64', 'sized', 'plain'],
);

export const stringForms: readonly Form[] = formTable(
  `
    A4       | movs  |        | byte x4
    A5       | movs  |        | sized x6
    A6       | cmps  |        | byte x4
    A7       | cmps  |        | sized x6
    AA       | stos  |        | byte x4
    AB       | stos  |        | sized x6
    AC       | lods  |        | byte x2
    AD       | lods  |        | sized x3
    AE       | scas  |        | byte x4
    AF       | scas  |        | sized x6
`,
  Profile.Integer,
  ['string', 'norep', 'plain', 'memory'],
);

/** #GP(0) at privilege level 3, whatever the operands; reading memory comes after the check. */
export const privilegedForms: readonly Form[] = formTable(
  `
    F4        | hlt     |        |
    FA        | cli     |        |
    FB        | sti     |        |
    E4        | in      | AL,Ib  |
    E5        | in      | rAX,Ib |
    E6        | out     | Ib,AL  |
    E7        | out     | Ib,rAX |
    EC        | in      | AL,DX  |
    ED        | in      | rAX,DX |
    EE        | out     | DX,AL  |
    EF        | out     | DX,rAX |
    6C        | insb    |        |
    6D        | ins     |        |
    6E        | outsb   |        |
    6F        | outs    |        |
    0F 06     | clts    |        |
    0F 08     | invd    |        |
    0F 09     | wbinvd  |        |
    0F 30     | wrmsr   |        |
    0F 32     | rdmsr   |        |
    0F 20     | mov     | Ry     | digit0
    0F 22     | mov     | Ry     | digit3
    0F 21     | mov     | Ry     | digit7
    0F 23     | mov     | Ry     | digit7
    0F 01 /2  | lgdt    | M      | only64
    0F 01 /3  | lidt    | M      | only64
    0F 01 /6  | lmsw    | Ew     |
    0F 01 /7  | invlpg  | M      |
    0F 00 /2  | lldt    | Ew     |
    0F 00 /3  | ltr     | Ew     |
    0F 01 !F8 | swapgs  |        | only64
    66 0F 38 82 | invpcid | Gq,Mo | only64
    0F 35     | sysexit |        |
    0F 33     | rdpmc   |        |
    NP 0F 01 !D1 | xsetbv |      |
    NP 0F 01 !D0 | xgetbv |      | absent
    NP 0F C7 /5 | xsaves | M     | only64
    NP 0F C7 /3 | xrstors | M    | only64
    0F AA     | rsm     |        |
    NP 0F 01 !CA | clac |        |
    NP 0F 01 !CB | stac |        |
    0F 07     | sysret  |        | only64
`,
  Profile.Integer,
  ['plain', 'norep', 'rare'],
);

/** Loads and stores of segment registers, far transfers, checks of selectors, software interrupts. */
export const segmentForms: readonly Form[] = formTable(
  `
    8C       | mov   | Ev,Sw  | sized x2
    8E       | mov   | Sw,Ew  | x6
    07       | pop   | ES     | sized no64 d64 x2
    17       | pop   | SS     | sized no64 d64 x2
    1F       | pop   | DS     | sized no64 d64 x2
    0F A1    | pop   | FS     | sized d64 x3
    0F A9    | pop   | GS     | sized d64 x3
    C4       | les   | Gv,Mp  | no64 x2
    C5       | lds   | Gv,Mp  | no64 x2
    0F B2    | lss   | Gv,Mp  | x3
    0F B4    | lfs   | Gv,Mp  | x3
    0F B5    | lgs   | Gv,Mp  | x3
    9A       | call  | Ap     | far sized no64 x3
    EA       | jmp   | Ap     | far sized no64 x3
    FF /3    | call  | Mp     | far sized x6
    FF /5    | jmp   | Mp     | far sized x6
    CA       | retf  | Iw     | far sized x4
    CB       | retf  |        | far sized x4
    CF       | iret  |        | far sized x6
    0F 00 /4 | verr  | Ew     | x2
    0F 00 /5 | verw  | Ew     | x2
    0F 02    | lar   | Gv,Ew  | x4
    0F 03    | lsl   | Gv,Ew  | x4
    CC       | int3  |        |
    F1       | int1  |        |
    CE       | into  |        | no64
    CD       | int   | Ib     | x2
`,
  Profile.Integer,
  ['segment', 'plain', 'norep'],
);
