/**
 * Kernels of a few instructions, for what takes no operating system to show: flat Multiboot images that start in 32-bit
 * protected mode with EBX at the boot information, and that poll the first serial port.
 *
 * @module
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { multibootHeader, words } from '../boot/images.ts';

export const LOAD_ADDRESS: number = 0x10_0000;
/** The header's flag "the addresses are valid", and its length with them. */
const HEADER_ADDRESSES = 0x1_0000;
export const HEADER_BYTES: number = 32;
const COM1 = 0x3f8;
const LINE_STATUS = 5;

/** Machine code in hexadecimal. */
export const code = (hex: string): number[] => [...Buffer.from(hex.replaceAll(' ', ''), 'hex')];
const u16 = (value: number): number[] => [value & 0xff, value >> 8];
const u32 = (value: number): number[] => [...words(value)];
const movDx = (port: number): number[] => [0x66, 0xba, ...u16(port)];
const outByte = (port: number, value: number): number[] => [...movDx(port), 0xb0, value, 0xee];
/** cli; hlt; and again, should anything wake it. */
const halt = code('fa f4 eb fc');
const print = (text: string, port: number = COM1): number[] =>
  [...Buffer.from(text)].flatMap((byte) => outByte(port, byte));

/** Ends the machine through the debug-exit device at port F4h: mov eax, value; out F4h, eax. */
const debugExit = (value: number): number[] => [0xb8, ...u32(value), ...code('e7 f4')];

/** Writes a kernel and returns its path. */
export function kernel(folder: string, name: string, text: readonly number[]): string {
  const entry = LOAD_ADDRESS + HEADER_BYTES;
  const end = entry + text.length;
  const header = multibootHeader(HEADER_ADDRESSES, LOAD_ADDRESS, LOAD_ADDRESS, end, end, entry);
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([header, Uint8Array.from(text)]));
  return path;
}

/** Writes `value` to the debug-exit port; if that did nothing, says "still here". */
export const exitKernel = (folder: string, value: number): string =>
  kernel(folder, 'exit', [...debugExit(value), ...print('still here\n'), ...halt]);

/** Loads an empty interrupt table and raises an exception: lidt [table]; ud2; table: limit and base zero. */
export const tripleFaultKernel = (folder: string): string => {
  const table = LOAD_ADDRESS + HEADER_BYTES + 9;
  return kernel(folder, 'triple-fault', [...code('0f 01 1d'), ...u32(table), ...code('0f 0b 00 00 00 00 00 00')]);
};

/** Says "boot", then resets the machine through the keyboard controller (`i8042`) or the reset register (`cf9`). */
export const resetKernel = (folder: string, how: 'i8042' | 'cf9'): string => {
  const reset = how === 'i8042' ? outByte(0x64, 0xfe) : [...outByte(0xcf9, 0x02), ...outByte(0xcf9, 0x06)];
  return kernel(folder, `reset-${how}`, [...print('boot\n'), ...reset, ...halt]);
};

/** Says "ready" and halts with interrupts off: it takes no input and never ends. */
export const haltKernel = (folder: string): string => kernel(folder, 'halt', [...print('ready\n'), ...halt]);

/** Prints its command line and exits with debug-exit value 0. */
export const commandLineKernel = (folder: string): string =>
  kernel(folder, 'command-line', [
    ...code('8b 73 10'), //    mov esi, [ebx + 16]
    ...movDx(COM1),
    ...code('ac 84 c0'), // 1: lodsb; test al, al
    ...code('74 03'), //       jz 2f
    ...code('ee eb f8'), //    out dx, al; jmp 1b
    ...outByte(COM1, 0x0a), // 2:
    ...debugExit(0),
  ]);

/** Sends each serial port its own text, then exits with debug-exit value 0. */
export const serialKernel = (folder: string): string =>
  kernel(folder, 'serial', [
    ...[0x3f8, 0x2f8, 0x3e8, 0x2e8].flatMap((port, index) => print(`port ${index + 1}\n`, port)),
    ...debugExit(0),
  ]);

/** Says "ready", then sends back what is typed; "q" ends it with debug-exit value 5. */
export const echoKernel = (folder: string): string =>
  kernel(folder, 'echo', [
    ...print('ready\n'),
    ...movDx(COM1 + LINE_STATUS), // 1:
    ...code('ec a8 01 74 f7'), //    in al, dx; test al, DATA_READY; jz 1b
    ...movDx(COM1),
    ...code('ec ee'), //             in al, dx; out dx, al
    ...code('3c 71 75 ed'), //       cmp al, 'q'; jne 1b
    ...debugExit(5),
  ]);

/** Prints for ever. */
export const chattyKernel = (folder: string): string =>
  kernel(folder, 'chatty', [
    ...movDx(COM1 + LINE_STATUS), // 1:
    ...code('ec a8 20 74 f7'), //    in al, dx; test al, TRANSMITTER_EMPTY; jz 1b
    ...outByte(COM1, 0x78),
    ...code('eb ee'), //             jmp 1b
  ]);

/**
 * Divides by zero on the x87 with CR0.NE clear, twice. Prints "i" from the handler of IRQ 13, which acknowledges the error at port
 * F0h and leaves it in the status word, and "w" behind FWAIT; exits with debug-exit value 0.
 */
export const coprocessorKernel = (folder: string): string =>
  kernel(folder, 'coprocessor', [
    ...code('bc 00 00 09 00'), //             mov esp, 90000h
    ...code('b0 11 e6 20 e6 a0'), //          the 8259 pair: ICW1,
    ...code('b0 20 e6 21 b0 28 e6 a1'), //      vectors 20h and 28h,
    ...code('b0 04 e6 21 b0 02 e6 a1'), //      the cascade,
    ...code('b0 01 e6 21 e6 a1'), //            ICW4;
    ...code('b0 fb e6 21 b0 df e6 a1'), //      all but the cascade and 13 masked
    ...code('e8 00 00 00 00 58'), //          call 1f; 1: pop eax
    ...code('05 62 00 00 00'), //             add eax, handler - 1b
    ...code('bf 68 01 08 00 66 89 07'), //    gate 2Dh of the table at 80000h
    ...code('8c 4f 02 66 c7 47 04 00 8e'),
    ...code('c1 e8 10 66 89 47 06'),
    ...code('b8 00 00 08 00 50 66 68 ff 07'), // lidt
    ...code('0f 01 1c 24'),
    ...code('0f 20 c0 83 e0 d1 0f 22 c0'), // clear CR0.MP, EM, TS and NE
    ...code('fb b9 02 00 00 00'), //          sti; mov ecx, 2
    ...code('db e3 68 7b 03 00 00'), //    2: fninit; push 37Bh: ZE unmasked
    ...code('d9 2c 24 d9 e8 d9 ee de f9'), // fldcw [esp]; fld1; fldz; fdivp
    ...code('9b'), //                         fwait
    ...outByte(COM1, 0x77),
    ...code('db e2 e2 e4'), //                fnclex; loop 2b
    ...debugExit(0),
    ...halt,
    ...code('50 52'), //             handler: push eax; push edx
    ...outByte(COM1, 0x69),
    ...code('e6 f0'), //                      out F0h, al
    ...code('b0 20 e6 a0 e6 20'), //          end of interrupt
    ...code('5a 58 cf'), //                   pop edx; pop eax; iret
  ]);
