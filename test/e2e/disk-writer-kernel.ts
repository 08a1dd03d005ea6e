/**
 * A kernel of a few instructions that drives the first disk itself, through virtio-MMIO and a split ring that it polls: for ever four writes at
 * once, a flush when they have ended, and, when that has succeeded, a line with the number of the last write. Anything but success
 * prints "!" and halts.
 *
 * Write number n, counted from 1, fills the block of 4 KiB that `blockOf` names with n, in every word of 32 bits.
 *
 * @module
 */
import { VIRTIO_MMIO_BYTES, VIRTIO_MMIO_START } from '../../src/boot/layout.ts';
import { diskSlot } from '../../src/vm/slots.ts';
import { code, HEADER_BYTES, kernel, LOAD_ADDRESS } from './kernels.ts';

export const BLOCK_BYTES = 4096;
export const BLOCKS = 512;
/** Writes before each flush. */
export const BATCH = 4;

const REGISTERS = VIRTIO_MMIO_START + diskSlot(0) * VIRTIO_MMIO_BYTES;
/** Behind the code: descriptors, the two rings, headers of requests, their statuses, the last number, the state of the random numbers. */
const TABLES = LOAD_ADDRESS + 0x1000;
const [DESCRIPTORS, AVAILABLE, USED, HEADERS, STATUSES, NUMBER, STATE] = [
  0, 0x200, 0x400, 0x600, 0x680, 0x690, 0x694,
].map((offset) => TABLES + offset) as [number, number, number, number, number, number, number];
const TABLE_BYTES = 0x698;
const DATA = LOAD_ADDRESS + 0x1_0000;
const NEXT = 1;
const WRITE = 2;
const [TYPE_OUT, TYPE_FLUSH] = [1, 4];

const step = (state: number): number => (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;

/** The blocks that writes 1, 2, ... go to. */
export function* blocksOf(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = step(state);
    yield state >>> 23;
  }
}

function tables(seed: number): number[] {
  const bytes = new DataView(new ArrayBuffer(TABLE_BYTES));
  const descriptor = (index: number, address: number, length: number, flags: number): void => {
    const at = DESCRIPTORS - TABLES + index * 16;
    bytes.setUint32(at, address, true);
    bytes.setUint32(at + 8, length, true);
    bytes.setUint16(at + 12, flags, true);
    bytes.setUint16(at + 14, index + 1, true);
  };
  // Of each write header, data and status; of the flush header and status.
  for (let write = 0; write <= BATCH; write++) {
    const [header, status] = [HEADERS + write * 16, STATUSES + write];
    const isFlush = write === BATCH;
    let index = write * 3;
    descriptor(index++, header, 16, NEXT);
    if (!isFlush) descriptor(index++, DATA + write * BLOCK_BYTES, BLOCK_BYTES, NEXT);
    descriptor(index, status, 1, WRITE);
    bytes.setUint32(header - TABLES, isFlush ? TYPE_FLUSH : TYPE_OUT, true);
  }
  // No interrupts.
  bytes.setUint16(AVAILABLE - TABLES, 1, true);
  bytes.setUint32(STATE - TABLES, seed, true);
  return [...new Uint8Array(bytes.buffer)];
}

const u32 = (value: number): string => value.toString(16).padStart(8, '0').match(/../g)?.reverse().join(' ') ?? '';
/** mov dword [esi + register], value */
const set = (register: number, value: number): string =>
  register < 0x80 ? `c7 46 ${register.toString(16)} ${u32(value)}` : `c7 86 ${u32(register)} ${u32(value)}`;

// biome-ignore format: one instruction a line
const program = (): number[] => [
  'bc 00 00 09 00', //                mov esp, 90000h
  `be ${u32(REGISTERS)}`, //          mov esi, REGISTERS
  set(0x70, 0), set(0x70, 1), set(0x70, 3), // reset, ACKNOWLEDGE, DRIVER
  set(0x24, 0), set(0x20, 0x200), //  VIRTIO_BLK_F_FLUSH
  set(0x24, 1), set(0x20, 1), //      VIRTIO_F_VERSION_1
  set(0x70, 11), //                   FEATURES_OK
  set(0x30, 0), set(0x38, 16), //     queue 0 of 16
  set(0x80, DESCRIPTORS), set(0x90, AVAILABLE), set(0xa0, USED),
  set(0x44, 1), set(0x70, 15), //     ready, DRIVER_OK
  `8b 2d ${u32(STATE)}`, //           mov ebp, [STATE]
  '31 db', //                         xor ebx, ebx          the available index
  // round:
  `c7 05 ${u32(STATUSES)} ff ff ff ff`, // mov dword [STATUSES], -1
  `c6 05 ${u32(STATUSES + 4)} ff`, // mov byte [STATUSES + 4], -1
  '31 c9', //                         xor ecx, ecx          which of the four
  '69 ed 0d 66 19 00', //          1: imul ebp, ebp, 1664525
  '81 c5 5f f3 6e 3c', //             add ebp, 1013904223
  '89 e8 c1 e8 17 c1 e0 03', //       mov eax, ebp; shr eax, 23; shl eax, 3
  '89 ca c1 e2 04', //                mov edx, ecx; shl edx, 4
  `89 82 ${u32(HEADERS + 8)}`, //     mov [edx + HEADERS + 8], eax
  `ff 05 ${u32(NUMBER)}`, //          inc dword [NUMBER]
  '51 c1 e1 0c', //                   push ecx; shl ecx, 12
  `8d b9 ${u32(DATA)}`, //            lea edi, [ecx + DATA]
  'b9 00 04 00 00', //                mov ecx, 1024
  `a1 ${u32(NUMBER)}`, //             mov eax, [NUMBER]
  'f3 ab 59', //                      rep stosd; pop ecx
  '8d 04 49', //                      lea eax, [ecx + ecx * 2]
  'e8 4d 00 00 00', //                call submit
  '41 83 f9 04 75 b6', //             inc ecx; cmp ecx, 4; jne 1b
  'e8 58 00 00 00', //                call finish
  'b8 0c 00 00 00', //                mov eax, 12
  'e8 38 00 00 00', //                call submit
  'e8 49 00 00 00', //                call finish
  `a1 ${u32(STATUSES)}`, //           mov eax, [STATUSES]
  `0a 05 ${u32(STATUSES + 4)}`, //    or al, [STATUSES + 4]
  '85 c0 75 4d', //                   test eax, eax; jnz fail
  `8b 3d ${u32(NUMBER)}`, //          mov edi, [NUMBER]
  'b9 08 00 00 00', //                mov ecx, 8
  'c1 c7 04 89 f8 83 e0 0f', //    2: rol edi, 4; mov eax, edi; and eax, 15
  '04 41 66 ba f8 03 ee', //          add al, 'A'; mov dx, 3f8h; out dx, al
  'e2 ef b0 0a ee', //                loop 2b; mov al, '\n'; out dx, al
  'e9 5c ff ff ff', //                jmp round
  // submit: the head in eax
  '89 da 83 e2 0f', //                mov edx, ebx; and edx, 15
  `66 89 04 55 ${u32(AVAILABLE + 4)}`, // mov [edx * 2 + AVAILABLE + 4], ax
  `43 66 89 1d ${u32(AVAILABLE + 2)} c3`, // inc ebx; mov [AVAILABLE + 2], bx; ret
  // finish: all that was submitted
  set(0x50, 0), //                    notify queue 0
  `f3 90 66 39 1d ${u32(USED + 2)} 75 f5 c3`, // 3: pause; cmp [USED + 2], bx; jne 3b; ret
  // fail:
  '66 ba f8 03 b0 21 ee f4 eb fd', // mov dx, 3f8h; mov al, '!'; out dx, al; 4: hlt; jmp 4b
].flatMap(code);

/** Writes the kernel and returns its path. */
export function diskWriterKernel(folder: string, seed: number): string {
  const text = program();
  const padding = Array.from({ length: TABLES - LOAD_ADDRESS - HEADER_BYTES - text.length }, () => 0);
  return kernel(folder, `disk-writer-${seed}`, [...text, ...padding, ...tables(seed)]);
}

/** The number that a line of the kernel's has: eight letters, A for 0 to P for 15. */
export const numberOf = (line: string): number =>
  [...line].reduce((number, letter) => number * 16 + letter.charCodeAt(0) - 0x41, 0);
