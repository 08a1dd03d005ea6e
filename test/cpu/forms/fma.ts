/**
 * FMA3 and F16C (SDM vol. 2).
 *
 * @module
 */
import { type Form, formTable, Profile } from './form.ts';

const ORDERS = ['132', '213', '231'];
const hex = (value: number): string => value.toString(16).toUpperCase();
/** Opcode of the packed 132 form; 213 and 231 are 10h and 20h further, scalars one. */
const OPERATIONS: readonly (readonly [number, string])[] = [
  [0x96, 'vfmaddsub'],
  [0x97, 'vfmsubadd'],
  [0x98, 'vfmadd'],
  [0x9a, 'vfmsub'],
  [0x9c, 'vfnmadd'],
  [0x9e, 'vfnmsub'],
];
const lines = (w: string, type: string, size: string): string =>
  OPERATIONS.flatMap(([opcode, name]) =>
    ORDERS.flatMap((order, i) => {
      const at = opcode + i * 16;
      const packed = `VEX.X.66.0F38.${w} ${hex(at)} | ${name}${order}p${type} | Vx,Hx,Wx | fp x2`;
      if (opcode < 0x98) return [packed];
      return [
        packed,
        `VEX.LIG.66.0F38.${w} ${hex(at + 1)} | ${name}${order}s${type} | V${size},H${size},W${size} | fp x2`,
      ];
    }),
  ).join('\n');

export const fmaForms: readonly Form[] = [
  ...formTable(lines('W0', 's', 'd'), Profile.F32, ['vector', 'fused']),
  ...formTable(lines('W1', 'd', 'q'), Profile.F64, ['vector', 'fused']),
  ...formTable('VEX.X.66.0F38.W0 13 | vcvtph2ps | Vx,Wxh | fp x3', Profile.Random, ['vector']),
  ...formTable('VEX.X.66.0F3A.W0 1D | vcvtps2ph | Wxh,Vx,Ib | fp x3', Profile.F32, ['vector']),
];
