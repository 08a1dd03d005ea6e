/**
 * Runs a memory image of src/boot on QEMU: an independent processor that starts in the state that prepareBoot gave.
 *
 * QEMU's `pc` starts at the reset vector in real mode, so a firmware of some 300 bytes, assembled here, brings the processor
 * into that state. It also puts the ACPI registers of the PIIX4 where our tables say they are.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CpuBootState } from '../../src/boot/cpu-boot-state.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';

const MIB = 2 ** 20;
const FIRMWARE_BYTES = 0x10000;
const FIRMWARE_BASE = 0x1_0000_0000 - FIRMWARE_BYTES;
const CODE_OFFSET = 0xf000;
const GDT_OFFSET = 0xe000;
const GDTR_OFFSET = 0xe100;
const STATE_GDTR_OFFSET = 0xe110;
const STATE_IDTR_OFFSET = 0xe120;
const BIOS_AREA = 0xe0000;
const BIOS_AREA_BYTES = 0x20000;

const le = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, index) => Math.floor((value >>> 0) / 2 ** (8 * index)) & 0xff);
const imm32 = (value: number): number[] => le(value, 4);
const at = (offset: number): number[] => imm32(FIRMWARE_BASE + offset);

/** Instructions, one an argument. */
const assemble = (...instructions: readonly (readonly number[])[]): number[] => instructions.flat();

/** 32-bit code that sets a dword of PCI configuration space by mechanism 1. */
const pciWrite = (device: number, fn: number, register: number, value: number): number[] =>
  assemble(
    [0xb8, ...imm32(0x8000_0000 + (device << 11) + (fn << 8) + register)], // mov eax, address
    [0x66, 0xba, 0xf8, 0x0c, 0xef], // mov dx, 0xcf8; out dx, eax
    [0xb8, ...imm32(value)],
    [0x66, 0xba, 0xfc, 0x0c, 0xef], // mov dx, 0xcfc; out dx, eax
  );

/** The firmware image. `biosCopy` is where a copy of 0xe0000..0xfffff waits in RAM. */
function assembleFirmware(state: CpuBootState, biosCopy: number): Uint8Array {
  const image = new Uint8Array(FIRMWARE_BYTES);
  // Its own GDT has the selectors of the boot GDT: flat 32-bit code 0x10 and data 0x18.
  image.set([...le(0, 4), ...le(0, 4), ...le(0, 4), ...le(0, 4)], GDT_OFFSET);
  image.set([0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0], GDT_OFFSET + 0x10);
  image.set([...le(0x1f, 2), ...at(GDT_OFFSET)], GDTR_OFFSET);
  image.set([...le(state.gdtr.limit, 2), ...imm32(state.gdtr.base)], STATE_GDTR_OFFSET);
  image.set([...le(state.idtr.limit, 2), ...imm32(state.idtr.base)], STATE_IDTR_OFFSET);

  const real = assemble(
    [0xfa], // cli
    [0x2e, 0x66, 0x0f, 0x01, 0x16, ...le(GDTR_OFFSET, 2)], // o32 lgdt cs:[gdtr]
    [0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // cr0 |= PE
  );
  const protectedAt = CODE_OFFSET + real.length + 8;
  real.push(0x66, 0xea, ...at(protectedAt), 0x10, 0x00); // jmp 0x10:protected

  const code = assemble(
    [0x66, 0xb8, 0x18, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8], // ds es ss fs gs = 0x18
    pciWrite(0, 0, 0x58, 0x3333_3000), // PAM: 0xc0000..0xfffff is RAM
    pciWrite(0, 0, 0x5c, 0x3333_3333),
    pciWrite(1, 3, 0x40, 0x601), // PIIX4: PMBASE 0x600, enabled
    pciWrite(1, 3, 0x80, 0x01),
    // LINT0 ExtINT, LINT1 NMI: "virtual wire" mode, without which no interrupt of the 8259 pair arrives
    [0xc7, 0x05, ...imm32(0xfee0_0350), ...imm32(0x700), 0xc7, 0x05, ...imm32(0xfee0_0360), ...imm32(0x400)],
    [0xbe, ...imm32(biosCopy), 0xbf, ...imm32(BIOS_AREA), 0xb9, ...imm32(BIOS_AREA_BYTES / 4), 0xfc, 0xf3, 0xa5],
    [0x0f, 0x01, 0x15, ...at(STATE_GDTR_OFFSET), 0x0f, 0x01, 0x1d, ...at(STATE_IDTR_OFFSET)], // lgdt, lidt
    [0xb8, ...imm32(state.cr4), 0x0f, 0x22, 0xe0],
    [0xb8, ...imm32(state.cr3), 0x0f, 0x22, 0xd8],
    // IA32_EFER without LMA, which the processor sets itself
    [0xb9, ...imm32(0xc000_0080), 0xb8, ...imm32(state.efer & 0x100), 0x31, 0xd2, 0x0f, 0x30],
    [0xb8, ...imm32(state.cr0), 0x0f, 0x22, 0xc0],
  );
  const finalAt = protectedAt + code.length + 7;
  code.push(0xea, ...at(finalAt), ...le(state.cs.selector, 2)); // jmp cs:final, into 64-bit code if the GDT says so
  // The rest means the same in 32- and 64-bit code. TR stays as it is: the boot TSS is busy, LTR would fault.
  code.push(0x66, 0xb8, ...le(state.ds.selector, 2), 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8);
  code.push(0xbb, ...imm32(state.rbx), 0xbe, ...imm32(state.rsi), 0xbf, ...imm32(state.rdi), 0xbd, ...imm32(state.rbp));
  code.push(0xbc, ...imm32(state.rsp));
  // ECX, which no protocol gives a meaning, holds the entry.
  code.push(0xb9, ...imm32(state.rip), 0xba, ...imm32(state.rdx), 0xb8, ...imm32(state.rax), 0xff, 0xe1); // jmp ecx / rcx
  image.set([...real, ...code], CODE_OFFSET);
  // Reset vector, 16 bytes below 4 GiB: jmp near to the code in the same 64 KiB.
  image.set([0xe9, ...le(CODE_OFFSET - 0xfff3 + 0x10000, 2)], 0xfff0);
  return image;
}

/** Ranges of RAM, from `start` on, that are not zero, in whole pages and with small gaps filled. */
function usedRanges(memory: GuestMemory, start: number): { start: number; end: number }[] {
  const PIECE = 0x10000;
  const ranges: { start: number; end: number }[] = [];
  for (let address = start; address < memory.bytes; address += PIECE) {
    const end = Math.min(address + PIECE, memory.bytes);
    if (memory.ram.subarray(address, end).every((byte) => byte === 0)) continue;
    const last = ranges.at(-1);
    if (last?.end === address) last.end = end;
    else ranges.push({ start: address, end });
  }
  return ranges;
}

export interface QemuRun {
  /** What came out of the first serial port. */
  readonly serial: string;
  /** Exit status of QEMU; null when it had to be stopped. */
  readonly status: number | null;
}

/** Boots the image and waits until the machine resets itself, or for `limitMs`. */
export async function runOnQemu(
  memory: GuestMemory,
  state: CpuBootState,
  vcpuCount: number,
  limitMs: number,
): Promise<QemuRun> {
  const folder = mkdtempSync(join(tmpdir(), 'qemu-'));
  try {
    const loaders: string[] = [];
    const load = (address: number, bytes: Uint8Array): void => {
      const file = join(folder, `${loaders.length}.bin`);
      writeFileSync(file, bytes);
      loaders.push('-device', `loader,addr=0x${address.toString(16)},force-raw=on,file=${file}`);
    };
    const biosCopy = Math.ceil(memory.bytes / MIB) * MIB;
    load(0, memory.ram.subarray(0, 0xa0000));
    load(biosCopy, memory.ram.subarray(BIOS_AREA, BIOS_AREA + BIOS_AREA_BYTES));
    for (const { start, end } of usedRanges(memory, MIB)) load(start, memory.ram.subarray(start, end));
    const bios = join(folder, 'bios.bin');
    writeFileSync(bios, assembleFirmware(state, biosCopy));

    const machine = [
      '-machine',
      'pc,accel=tcg',
      '-cpu',
      'max',
      '-smp',
      `${vcpuCount}`,
      '-m',
      `${biosCopy / MIB + 2}M`,
      '-bios',
      bios,
    ];
    const devices = [
      '-nodefaults',
      '-display',
      'none',
      '-serial',
      'stdio',
      '-no-reboot',
      '-device',
      'isa-debug-exit,iobase=0xf4',
    ];
    const qemu = spawn('qemu-system-x86_64', [...machine, ...devices, ...loaders], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let serial = '';
    qemu.stdout.on('data', (chunk: Buffer) => (serial += chunk.toString('latin1')));
    qemu.stderr.on('data', (chunk: Buffer) => (serial += chunk.toString('latin1')));
    const timer = setTimeout(() => qemu.kill('SIGKILL'), limitMs);
    const status = await new Promise<number | null>((resolve, reject) => {
      qemu.on('error', reject);
      qemu.on('close', resolve);
    });
    clearTimeout(timer);
    return { serial, status };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
