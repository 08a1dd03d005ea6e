/**
 * ADX, BMI1, BMI2 and LZCNT (SDM vol. 2).
 *
 * @module
 */
import { type Form, formTable, Profile } from './form.ts';

export const bmiForms: readonly Form[] = formTable(
  `
    F3 0F BC    | tzcnt  | Gv,Ev    | x2
    F3 0F BD    | lzcnt  | Gv,Ev    | x2
    66 0F 38 F6 | adcx   | Gy,Ey    | x2
    F3 0F 38 F6 | adox   | Gy,Ey    | x2
    VEX.LZ.NP.0F38.WIG F2    | andn   | Gy,By,Ey |
    VEX.LZ.NP.0F38.WIG F3 /1 | blsr   | By,Ey    |
    VEX.LZ.NP.0F38.WIG F3 /2 | blsmsk | By,Ey    |
    VEX.LZ.NP.0F38.WIG F3 /3 | blsi   | By,Ey    |
    VEX.LZ.NP.0F38.WIG F7    | bextr  | Gy,Ey,By | x2
    VEX.LZ.NP.0F38.WIG F5    | bzhi   | Gy,Ey,By | x2
    VEX.LZ.F2.0F38.WIG F6    | mulx   | Gy,By,Ey | x2
    VEX.LZ.F2.0F38.WIG F5    | pdep   | Gy,By,Ey | x2
    VEX.LZ.F3.0F38.WIG F5    | pext   | Gy,By,Ey | x2
    VEX.LZ.F2.0F3A.WIG F0    | rorx   | Gy,Ey,Ib |
    VEX.LZ.F3.0F38.WIG F7    | sarx   | Gy,Ey,By |
    VEX.LZ.66.0F38.WIG F7    | shlx   | Gy,Ey,By |
    VEX.LZ.F2.0F38.WIG F7    | shrx   | Gy,Ey,By |
`,
  Profile.Integer,
);
