/**
 * Forms that are not inline in the main loop and that nearly every guest meets: their handlers are functions of the core module, which V8
 * compiles when they are first called. Any other form is a module of its own, made when it is met, which takes a millisecond: in a boot of
 * Debian's kernel 257 were, 4 % of the vCPU's time.
 *
 * The list is what was met by the embedded guest, by Debian 12 while systemd started it, and by the benchmark's programs. It
 * is for speed only: what is not in it works alike.
 *
 * @module
 */
import type { DecodeTable } from '../decode/table.ts';
import type { ColdForm } from './cold-module.ts';
import { contextOfBits, formKey, formOf } from './forms.ts';

/** Rows by encoding and operands, with the contexts they are met in (`contextBits`). */
// biome-ignore format: a table
export const USUAL: readonly (readonly [enc: string, ops: string, ...contexts: number[]])[] = [
  ['01',                    'Ev,Gv',         0x412, 0x434, 0x438, 0x2412, 0x2438], // add
  ['03',                    'Gv,Ev',         0x412, 0x2412], // add
  ['05',                    'rAX,Iz',        0x402], // add
  ['09',                    'Ev,Gv',         0x402, 0x412, 0x434, 0x438, 0x2412, 0x2414, 0x2418], // or
  ['0A',                    'Gb,Eb',         0x2414], // or
  ['0B',                    'Gv,Ev',         0x412, 0x2418], // or
  ['0D',                    'rAX,Iz',        0x402], // or
  ['0F 01 !F8',             '',              0x404], // swapgs
  ['0F 01 !F9',             '',              0x404], // rdtscp
  ['0F 1F',                 'Ev',            0x412, 0x414], // nop
  ['0F 31',                 '',              0x404], // rdtsc
  ['0F 45',                 'Gv,Ev',         0x2414], // cmovne
  ['0F 94',                 'Eb',            0x2414], // sete
  ['0F A3',                 'Ev,Gv',         0x404, 0x408, 0x414, 0x418], // bt
  ['0F A4',                 'Ev,Gv,Ib',      0x404, 0x408], // shld
  ['0F A5',                 'Ev,Gv,CL',      0x408], // shld
  ['0F AB',                 'Ev,Gv',         0x408, 0x418, 0x438], // bts
  ['0F AC',                 'Ev,Gv,Ib',      0x408], // shrd
  ['0F AD',                 'Ev,Gv,CL',      0x408], // shrd
  ['0F AF',                 'Gv,Ev',         0x2414, 0x2418], // imul
  ['0F B0',                 'Eb,Gb',         0x2414], // cmpxchg
  ['0F B1',                 'Ev,Gv',         0x414, 0x418, 0x434, 0x438, 0x2414, 0x2418, 0x2438], // cmpxchg
  ['0F B3',                 'Ev,Gv',         0x404, 0x408, 0x418, 0x438], // btr
  ['0F BA /4',              'Ev,Ib',         0x404, 0x408, 0x414], // bt
  ['0F BA /5',              'Ev,Ib',         0x404, 0x408, 0x414, 0x418, 0x434, 0x438, 0x2418, 0x2438], // bts
  ['0F BA /6',              'Ev,Ib',         0x404, 0x408, 0x418, 0x438], // btr
  ['0F BC',                 'Gv,Ev',         0x404, 0x408, 0x414], // bsf
  ['0F BD',                 'Gv,Ev',         0x404, 0x408, 0x414, 0x418, 0x2418], // bsr
  ['0F BE',                 'Gv,Eb',         0x412], // movsx
  ['0F C1',                 'Ev,Gv',         0x414, 0x418, 0x434, 0x438, 0x2412, 0x2414, 0x2418, 0x2438], // xadd
  ['0F C7 /1',              'My',            0x418, 0x438, 0x2418], // cmpxchg8b
  ['0F C8+r',               'Zv',            0x404, 0x408], // bswap
  ['11',                    'Ev,Gv',         0x408], // adc
  ['13',                    'Gv,Ev',         0x418], // adc
  ['18',                    'Eb,Gb',         0x404], // sbb
  ['19',                    'Ev,Gv',         0x402, 0x404, 0x408], // sbb
  ['1C',                    'AL,Ib',         0x404], // sbb
  ['21',                    'Ev,Gv',         0x402, 0x412, 0x2412, 0x2414, 0x2418], // and
  ['22',                    'Gb,Eb',         0x2414], // and
  ['23',                    'Gv,Ev',         0x412, 0x2412, 0x2414, 0x2418], // and
  ['25',                    'rAX,Iz',        0x402], // and
  ['29',                    'Ev,Gv',         0x434, 0x2418], // sub
  ['2B',                    'Gv,Ev',         0x412, 0x2412, 0x2414, 0x2418], // sub
  ['30',                    'Eb,Gb',         0x2414], // xor
  ['31',                    'Ev,Gv',         0x402], // xor
  ['32',                    'Gb,Eb',         0x2414], // xor
  ['33',                    'Gv,Ev',         0x412, 0x2412, 0x2414, 0x2418], // xor
  ['39',                    'Ev,Gv',         0x402, 0x412, 0x2412], // cmp
  ['3B',                    'Gv,Ev',         0x412, 0x2412], // cmp
  ['66 0F 10',              'Vo,Wo',         0x414], // movupd
  ['66 0F 12',              'Vq,Mq',         0x414], // movlpd
  ['66 0F 14',              'Vo,Wo',         0x404], // unpcklpd
  ['66 0F 15',              'Vo,Wo',         0x404], // unpckhpd
  ['66 0F 16',              'Vq,Mq',         0x414], // movhpd
  ['66 0F 28',              'Vo,Wo',         0x404, 0x414], // movapd
  ['66 0F 2E',              'Vq,Wq',         0x404, 0x414], // ucomisd
  ['66 0F 2F',              'Vq,Wq',         0x404], // comisd
  ['66 0F 38 00',           'Vo,Wo',         0x404], // pshufb
  ['66 0F 38 10',           'Vo,Wo',         0x404], // pblendvb
  ['66 0F 38 35',           'Vo,Wq',         0x2414], // pmovzxdq
  ['66 0F 38 DB',           'Vo,Wo',         0x404], // aesimc
  ['66 0F 38 DC',           'Vo,Wo',         0x404], // aesenc
  ['66 0F 38 DD',           'Vo,Wo',         0x404], // aesenclast
  ['66 0F 38 DE',           'Vo,Wo',         0x404], // aesdec
  ['66 0F 38 DF',           'Vo,Wo',         0x404], // aesdeclast
  ['66 0F 3A 0F',           'Vo,Wo,Ib',      0x404], // palignr
  ['66 0F 3A 16',           'Ey,Vo,Ib',      0x404], // pextrd
  ['66 0F 3A 44',           'Vo,Wo,Ib',      0x404], // pclmulqdq
  ['66 0F 3A 63',           'Vo,Wo,Ib',      0x404, 0x414], // pcmpistri
  ['66 0F 3A DF',           'Vo,Wo,Ib',      0x404], // aeskeygenassist
  ['66 0F 54',              'Vo,Wo',         0x414], // andpd
  ['66 0F 58',              'Vo,Wo',         0x404], // addpd
  ['66 0F 59',              'Vo,Wo',         0x404], // mulpd
  ['66 0F 5A',              'Vo,Wo',         0x404], // cvtpd2ps
  ['66 0F 5C',              'Vo,Wo',         0x404], // subpd
  ['66 0F 60',              'Vo,Wo',         0x404], // punpcklbw
  ['66 0F 61',              'Vo,Wo',         0x404], // punpcklwd
  ['66 0F 62',              'Vo,Wo',         0x404], // punpckldq
  ['66 0F 6A',              'Vo,Wo',         0x404], // punpckhdq
  ['66 0F 6C',              'Vo,Wo',         0x404], // punpcklqdq
  ['66 0F 6D',              'Vo,Wo',         0x404], // punpckhqdq
  ['66 0F 6E',              'Vy,Ey',         0x404, 0x408, 0x414, 0x2414], // movd
  ['66 0F 6F',              'Vo,Wo',         0x404, 0x414, 0x2414], // movdqa
  ['66 0F 70',              'Vo,Wo,Ib',      0x404], // pshufd
  ['66 0F 72 /2',           'Uo,Ib',         0x404], // psrld
  ['66 0F 72 /4',           'Uo,Ib',         0x404], // psrad
  ['66 0F 72 /6',           'Uo,Ib',         0x404], // pslld
  ['66 0F 73 /2',           'Uo,Ib',         0x404], // psrlq
  ['66 0F 73 /3',           'Uo,Ib',         0x404], // psrldq
  ['66 0F 73 /6',           'Uo,Ib',         0x404], // psllq
  ['66 0F 73 /7',           'Uo,Ib',         0x404], // pslldq
  ['66 0F 74',              'Vo,Wo',         0x404, 0x414], // pcmpeqb
  ['66 0F 76',              'Vo,Wo',         0x404, 0x414], // pcmpeqd
  ['66 0F 7E',              'Ey,Vy',         0x404, 0x408], // movd
  ['66 0F 7F',              'Wo,Vo',         0x414], // movdqa
  ['66 0F C4',              'Vo,Rd,Ib',      0x404], // pinsrw
  ['66 0F C5',              'Gd,Uo,Ib',      0x404], // pextrw
  ['66 0F C6',              'Vo,Wo,Ib',      0x404], // shufpd
  ['66 0F D4',              'Vo,Wo',         0x404, 0x414], // paddq
  ['66 0F D6',              'Wq,Vq',         0x414], // movq
  ['66 0F D7',              'Gd,Uo',         0x404], // pmovmskb
  ['66 0F DA',              'Vo,Wo',         0x404, 0x414], // pminub
  ['66 0F DB',              'Vo,Wo',         0x404, 0x414], // pand
  ['66 0F DF',              'Vo,Wo',         0x404], // pandn
  ['66 0F EB',              'Vo,Wo',         0x404], // por
  ['66 0F EE',              'Vo,Wo',         0x404], // pmaxsw
  ['66 0F EF',              'Vo,Wo',         0x404, 0x414], // pxor
  ['66 0F F5',              'Vo,Wo',         0x404], // pmaddwd
  ['66 0F F6',              'Vo,Wo',         0x404], // psadbw
  ['66 0F F8',              'Vo,Wo',         0x404], // psubb
  ['66 0F FB',              'Vo,Wo',         0x404], // psubq
  ['66 0F FD',              'Vo,Wo',         0x404], // paddw
  ['66 0F FE',              'Vo,Wo',         0x404, 0x414], // paddd
  ['69',                    'Gv,Ev,Iz',      0x2414], // imul
  ['6A',                    'Ibs',           0x408], // push
  ['80 /1',                 'Eb,Ib',         0x434], // or
  ['80 /2',                 'Eb,Ib',         0x404], // adc
  ['80 /4',                 'Eb,Ib',         0x434, 0x2414], // and
  ['80 /6',                 'Eb,Ib',         0x2414], // xor
  ['81 /0',                 'Ev,Iz',         0x438], // add
  ['81 /1',                 'Ev,Iz',         0x402, 0x2414], // or
  ['81 /4',                 'Ev,Iz',         0x402, 0x412, 0x2414], // and
  ['81 /5',                 'Ev,Iz',         0x402, 0x434, 0x438], // sub
  ['81 /6',                 'Ev,Iz',         0x402], // xor
  ['83 /0',                 'Ev,Ibs',        0x412, 0x434, 0x2412, 0x2434], // add
  ['83 /1',                 'Ev,Ibs',        0x412, 0x434, 0x438, 0x2418], // or
  ['83 /2',                 'Ev,Ibs',        0x404, 0x408, 0x414, 0x418], // adc
  ['83 /3',                 'Ev,Ibs',        0x402, 0x404, 0x408, 0x414, 0x418], // sbb
  ['83 /4',                 'Ev,Ibs',        0x412, 0x2412], // and
  ['83 /5',                 'Ev,Ibs',        0x412, 0x434, 0x2412, 0x2414, 0x2418], // sub
  ['83 /7',                 'Ev,Ibs',        0x402, 0x412, 0x2412], // cmp
  ['85',                    'Ev,Gv',         0x402], // test
  ['86',                    'Eb,Gb',         0x404, 0x414], // xchg
  ['87',                    'Ev,Gv',         0x408, 0x414, 0x418, 0x2414, 0x2418], // xchg
  ['89',                    'Ev,Gv',         0x402, 0x412, 0x2412], // mov
  ['8B',                    'Gv,Ev',         0x412, 0x2412], // mov
  ['8C',                    'Ev,Sw',         0x402, 0x404], // mov
  ['8F /0',                 'Mv',            0x418], // pop
  ['90 B0',                 '',              0x402, 0x404], // nop
  ['90+r',                  'Zv,rAX',        0x404], // xchg
  ['98',                    '',              0x408], // cwde
  ['99',                    '',              0x404, 0x408], // cdq
  ['9C',                    '',              0x408], // pushf
  ['9D',                    '',              0x408], // popf
  ['A4',                    '',              0x401, 0x1401], // movs
  ['A5',                    '',              0x408, 0x1404, 0x1408], // movs
  ['A9',                    'rAX,Iz',        0x402], // test
  ['AA',                    '',              0x1401], // stos
  ['AB',                    '',              0x402, 0x404, 0x1402, 0x1404, 0x1408], // stos
  ['C0 /4',                 'Eb,Ib',         0x404], // shl
  ['C0 /5',                 'Eb,Ib',         0x404], // shr
  ['C0 /7',                 'Eb,Ib',         0x404], // sar
  ['C1 /0',                 'Ev,Ib',         0x402], // rol
  ['C1 /5',                 'Ev,Ib',         0x402], // shr
  ['C7 /0',                 'Ev,Iz',         0x412, 0x2412], // mov
  ['D0 /4',                 'Eb,1',          0x414], // shl
  ['D0 /7',                 'Eb,1',          0x414], // sar
  ['D1 /7',                 'Ev,1',          0x412], // sar
  ['D3 /0',                 'Ev,CL',         0x404, 0x408], // rol
  ['D3 /4',                 'Ev,CL',         0x404, 0x408, 0x418], // shl
  ['D3 /5',                 'Ev,CL',         0x404, 0x408, 0x414, 0x418], // shr
  ['D3 /7',                 'Ev,CL',         0x404, 0x408], // sar
  ['E8',                    'Jz',            0x208], // call
  ['F2 0F 10',              'Vq,Mq',         0x414], // movsd
  ['F2 0F 11',              'Wq,Vq',         0x414], // movsd
  ['F2 0F 2A',              'Vq,Ey',         0x404, 0x408, 0x414, 0x418], // cvtsi2sd
  ['F2 0F 2C',              'Gy,Wq',         0x404, 0x408], // cvttsd2si
  ['F2 0F 38 F0',           'Gy,Eb',         0x404, 0x414], // crc32
  ['F2 0F 38 F1',           'Gy,Ev',         0x408, 0x412, 0x414, 0x418], // crc32
  ['F2 0F 51',              'Vq,Wq',         0x404], // sqrtsd
  ['F2 0F 58',              'Vq,Wq',         0x404, 0x414], // addsd
  ['F2 0F 59',              'Vq,Wq',         0x404, 0x414], // mulsd
  ['F2 0F 5C',              'Vq,Wq',         0x404, 0x414], // subsd
  ['F2 0F 5E',              'Vq,Wq',         0x404], // divsd
  ['F3 0F 10',              'Vd,Md',         0x414], // movss
  ['F3 0F 11',              'Wd,Vd',         0x2414], // movss
  ['F3 0F 2A',              'Vd,Ey',         0x408], // cvtsi2ss
  ['F3 0F 59',              'Vd,Wd',         0x404], // mulss
  ['F3 0F 6F',              'Vo,Wo',         0x404, 0x414, 0x2414], // movdqu
  ['F3 0F 7E',              'Vq,Wq',         0x414, 0x2414], // movq
  ['F3 0F 7F',              'Wo,Vo',         0x414, 0x2414], // movdqu
  ['F3 0F AE /0',           'Ry',            0x408], // rdfsbase
  ['F3 0F AE /1',           'Ry',            0x408], // rdgsbase
  ['F3 0F AE /2',           'Ry',            0x408], // wrfsbase
  ['F3 0F AE /3',           'Ry',            0x408], // wrgsbase
  ['F3 0F B8',              'Gv,Ev',         0x404, 0x408], // popcnt
  ['F3 0F BC',              'Gv,Ev',         0x404, 0x408, 0x418, 0x2418], // tzcnt
  ['F6 /0',                 'Eb,Ib',         0x2414], // test
  ['F6 /3',                 'Eb',            0x404], // neg
  ['F7 /0',                 'Ev,Iz',         0x402, 0x412, 0x2418], // test
  ['F7 /4',                 'Ev',            0x404, 0x408, 0x418], // mul
  ['F7 /5',                 'Ev',            0x408], // imul
  ['F7 /6',                 'Ev',            0x404, 0x408, 0x414, 0x418, 0x2418], // div
  ['F7 /7',                 'Ev',            0x404, 0x408, 0x414], // idiv
  ['FA',                    '',              0x404], // cli
  ['FB',                    '',              0x404], // sti
  ['FC',                    '',              0x404], // cld
  ['FD',                    '',              0x404], // std
  ['FE /0',                 'Eb',            0x404, 0x414], // inc
  ['FE /1',                 'Eb',            0x404], // dec
  ['FF /0',                 'Ev',            0x402, 0x412, 0x434, 0x438, 0x2412, 0x2414, 0x2418], // inc
  ['FF /1',                 'Ev',            0x434, 0x438, 0x2414, 0x2418, 0x2434], // dec
  ['FF /2',                 'Ev',            0x2418], // call
  ['FF /4',                 'Ev',            0x2418], // jmp
  ['FF /6',                 'Ev',            0x418, 0x2418], // push
  ['NFx 0F 38 F0',          'Gv,Mv',         0x414, 0x418, 0x2414, 0x2418], // movbe
  ['NP 0F 01 !CA',          '',              0x404], // clac
  ['NP 0F 01 !CB',          '',              0x404], // stac
  ['NP 0F 10',              'Vo,Wo',         0x414, 0x2414], // movups
  ['NP 0F 11',              'Wo,Vo',         0x414, 0x2414], // movups
  ['NP 0F 12',              'Vq,Uq',         0x404], // movhlps
  ['NP 0F 16',              'Vq,Mq',         0x414], // movhps
  ['NP 0F 28',              'Vo,Wo',         0x404, 0x414, 0x2414], // movaps
  ['NP 0F 29',              'Wo,Vo',         0x414, 0x2414], // movaps
  ['NP 0F 57',              'Vo,Wo',         0x404], // xorps
  ['NP 0F 58',              'Vo,Wo',         0x404, 0x2414], // addps
  ['NP 0F 59',              'Vo,Wo',         0x404], // mulps
  ['NP 0F AE /6',           'Ry',            0x404], // mfence
  ['NP 0F C6',              'Vo,Wo,Ib',      0x404], // shufps
  ['VEX.128.66.0F.WIG 6E',  'Vy,Ey',         0x404, 0x408, 0x414, 0x2414], // vmovd
  ['VEX.128.66.0F.WIG 7E',  'Ey,Vy',         0x404, 0x408, 0x414, 0x2414], // vmovd
  ['VEX.128.66.0F.WIG D6',  'Wq,Vq',         0x414, 0x2414], // vmovq
  ['VEX.128.66.0F38.WIG DC', 'Vo,Ho,Wo',      0x404, 0x414], // vaesenc
  ['VEX.128.66.0F38.WIG DD', 'Vo,Ho,Wo',      0x404, 0x414], // vaesenclast
  ['VEX.128.66.0F3A.WIG 22', 'Vo,Ho,Ey,Ib',   0x408], // vpinsrd
  ['VEX.128.66.0F3A.WIG 44', 'Vo,Ho,Wo,Ib',   0x404], // vpclmulqdq
  ['VEX.128.F3.0F.WIG 7E',  'Vq,Wq',         0x414, 0x2414], // vmovq
  ['VEX.128.NP.0F.WIG 77',  '',              0x404], // vzeroupper
  ['VEX.256.66.0F3A.W0 18', 'Vx,Hx,Wo,Ib',   0x414], // vinsertf128
  ['VEX.256.66.0F3A.W0 46', 'Vx,Hx,Wx,Ib',   0x404], // vperm2i128
  ['VEX.LZ.66.0F38.WIG F7', 'Gy,Ey,By',      0x404], // shlx
  ['VEX.LZ.F2.0F38.WIG F7', 'Gy,Ey,By',      0x404], // shrx
  ['VEX.LZ.F2.0F3A.WIG F0', 'Gy,Ey,Ib',      0x404, 0x408], // rorx
  ['VEX.LZ.F3.0F38.WIG F7', 'Gy,Ey,By',      0x404], // sarx
  ['VEX.LZ.NP.0F38.WIG F2', 'Gy,By,Ey',      0x404], // andn
  ['VEX.LZ.NP.0F38.WIG F3 /2', 'By,Ey',         0x404, 0x408], // blsmsk
  ['VEX.LZ.NP.0F38.WIG F5', 'Gy,Ey,By',      0x404, 0x408], // bzhi
  ['VEX.X.66.0F.WIG 64',    'Vx,Hx,Wx',      0x404], // vpcmpgtb
  ['VEX.X.66.0F.WIG 6F',    'Vx,Wx',         0x404, 0x414, 0x2414], // vmovdqa
  ['VEX.X.66.0F.WIG 70',    'Vx,Wx,Ib',      0x404], // vpshufd
  ['VEX.X.66.0F.WIG 72 /2', 'Hx,Ux,Ib',      0x404], // vpsrld
  ['VEX.X.66.0F.WIG 72 /6', 'Hx,Ux,Ib',      0x404], // vpslld
  ['VEX.X.66.0F.WIG 73 /2', 'Hx,Ux,Ib',      0x404], // vpsrlq
  ['VEX.X.66.0F.WIG 73 /3', 'Hx,Ux,Ib',      0x404], // vpsrldq
  ['VEX.X.66.0F.WIG 73 /6', 'Hx,Ux,Ib',      0x404], // vpsllq
  ['VEX.X.66.0F.WIG 73 /7', 'Hx,Ux,Ib',      0x404], // vpslldq
  ['VEX.X.66.0F.WIG 74',    'Vx,Hx,Wx',      0x404, 0x414, 0x2414], // vpcmpeqb
  ['VEX.X.66.0F.WIG 76',    'Vx,Hx,Wx',      0x414], // vpcmpeqd
  ['VEX.X.66.0F.WIG 7F',    'Wx,Vx',         0x404, 0x414, 0x2414], // vmovdqa
  ['VEX.X.66.0F.WIG D4',    'Vx,Hx,Wx',      0x404, 0x414], // vpaddq
  ['VEX.X.66.0F.WIG D7',    'Gd,Ux',         0x404], // vpmovmskb
  ['VEX.X.66.0F.WIG DA',    'Vx,Hx,Wx',      0x404, 0x414], // vpminub
  ['VEX.X.66.0F.WIG DB',    'Vx,Hx,Wx',      0x404, 0x414], // vpand
  ['VEX.X.66.0F.WIG DF',    'Vx,Hx,Wx',      0x404], // vpandn
  ['VEX.X.66.0F.WIG EB',    'Vx,Hx,Wx',      0x404], // vpor
  ['VEX.X.66.0F.WIG EF',    'Vx,Hx,Wx',      0x404, 0x414, 0x2414], // vpxor
  ['VEX.X.66.0F.WIG FC',    'Vx,Hx,Wx',      0x404], // vpaddb
  ['VEX.X.66.0F.WIG FE',    'Vx,Hx,Wx',      0x404, 0x414], // vpaddd
  ['VEX.X.66.0F38.W0 78',   'Vx,Wb',         0x404], // vpbroadcastb
  ['VEX.X.66.0F38.WIG 00',  'Vx,Hx,Wx',      0x404, 0x414], // vpshufb
  ['VEX.X.66.0F38.WIG 17',  'Vx,Wx',         0x414], // vptest
  ['VEX.X.66.0F3A.W0 02',   'Vx,Hx,Wx,Ib',   0x404], // vpblendd
  ['VEX.X.66.0F3A.WIG 0F',  'Vx,Hx,Wx,Ib',   0x404], // vpalignr
  ['VEX.X.F3.0F.WIG 6F',    'Vx,Wx',         0x404, 0x414, 0x2414], // vmovdqu
  ['VEX.X.F3.0F.WIG 7F',    'Wx,Vx',         0x404, 0x414, 0x2414], // vmovdqu
  ['VEX.X.NP.0F.WIG 10',    'Vx,Wx',         0x414], // vmovups
];

/** The forms that a table has, by `formKey`. */
export function usualForms(table: DecodeTable): Map<string, ColdForm> {
  const contexts = new Map(USUAL.map(([enc, ops, ...bits]) => [`${enc} ${ops}`, bits]));
  const forms = new Map<string, ColdForm>();
  for (const encoding of table.encodings()) {
    const { lift, enc, ops } = encoding.row;
    if (lift === undefined) continue;
    for (const bits of contexts.get(`${enc} ${ops}`) ?? []) {
      const form = formOf(encoding, contextOfBits(bits));
      const key = formKey(lift, form);
      if (!forms.has(key)) forms.set(key, { lift, form });
    }
  }
  return forms;
}
