/**
 * Builds the benchmark programs and the guests' initrd, and says what programs there are.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeCpio } from '../guest/cpio.ts';
import { type Prepared, prepared, refuse, run } from '../tools/debian-packages.ts';

const PROGRAMS = fileURLToPath(new URL('programs/', import.meta.url));
const OUTPUT = fileURLToPath(new URL('../.cache/bench/', import.meta.url));

/** No contraction to fused operations: results must be the same bits whatever the compiler is told about the processor. */
const FLAGS = ['-O2', '-ffp-contract=off', '-std=gnu17', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-static'];

export const GROUPS = ['integer', 'calls', 'float', 'memory', 'system', 'process', 'busybox'] as const;
export type Group = (typeof GROUPS)[number];

export interface Program {
  readonly name: string;
  readonly group: Group;
  /** What one unit does. */
  readonly title: string;
  /** Units of the whole work. */
  readonly units: number;
}

/** Compiles the programs when a source is newer than the binary; returns the binary's path. */
export function buildPrograms(): Prepared<string> {
  const binary = join(OUTPUT, 'bench');
  const files = readdirSync(PROGRAMS).map((name) => join(PROGRAMS, name));
  const newest = Math.max(...files.map((file) => statSync(file).mtimeMs));
  if (existsSync(binary) && statSync(binary).mtimeMs > newest) return prepared(binary);
  mkdirSync(OUTPUT, { recursive: true });
  const fresh = `${binary}.${process.pid}`;
  const sources = files.filter((file) => file.endsWith('.c')).sort();
  const built = run('gcc', [...FLAGS, '-o', fresh, ...sources]);
  if (!built.ok) return refuse(`the benchmark programs do not compile: ${built.reason}`);
  renameSync(fresh, binary);
  return prepared(binary);
}

/** Reads what `bench list` printed: name, group, units and title of a program in each row. */
export function parseList(text: string): Program[] {
  return text
    .trim()
    .split('\n')
    .map((row) => {
      const [name = '', group = '', units = '', title = ''] = row.split('\t');
      const known = GROUPS.find((candidate) => candidate === group);
      if (known === undefined) throw new Error(`program ${name}: group "${group}" is none of ${GROUPS.join(', ')}`);
      return { name, group: known, units: Number(units), title };
    });
}

/** The programs, group by group. */
export function listPrograms(binary: string): Program[] {
  const programs = parseList(execFileSync(binary, ['list'], { encoding: 'utf8' }));
  return GROUPS.flatMap((group) => programs.filter((program) => program.group === group));
}

/** Writes the guests' initrd: the binary as /init, and a static busybox. Returns its path. */
export function buildInitrd(binary: string, busybox: string): string {
  const path = join(OUTPUT, 'initrd.cpio');
  const archive = writeCpio([
    ...['bin', 'dev', 'proc', 'sys', 'tmp'].map((folder) => ({ kind: 'directory', path: folder }) as const),
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'init', data: readFileSync(binary), mode: 0o755 },
    { kind: 'file', path: 'bin/busybox', data: readFileSync(busybox), mode: 0o755 },
  ]);
  writeFileSync(path, archive);
  return path;
}

// Multiboot 0.6.96: the header's magic; no flags, so the ELF headers say where the code goes.
const MULTIBOOT_MAGIC = 0x1bad_b002;
const LOAD_ADDRESS = 0x10_0000;
const ELF_HEADER_BYTES = 52;
const PROGRAM_HEADER_BYTES = 32;

/** The port of the debug-exit device, whose 32-bit write ends the machine. */
export const DEBUG_EXIT_PORT = 0xf4;
/** What the smallest kernel sends: nothing that firmware says before. */
export const SIGN_BYTE = 0xa5;

/** mov dx, 3f8h; mov al, a5h; out dx, al; mov dx, f4h; xor eax, eax; out dx, eax; hlt. 32-bit code. */
// biome-ignore format: one instruction a line
const FIRST_INSTRUCTIONS = [
  0x66, 0xba, 0xf8, 0x03,
  0xb0, SIGN_BYTE,
  0xee,
  0x66, 0xba, DEBUG_EXIT_PORT, 0x00,
  0x31, 0xc0,
  0xef,
  0xf4,
];

/** Writes the smallest kernel: a Multiboot ELF that sends SIGN_BYTE to the first serial port and ends. Returns its path. */
export function buildTinyKernel(): string {
  const headers = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;
  const code = headers + 12;
  const file = Buffer.alloc(code + FIRST_INSTRUCTIONS.length);
  file.set([0x7f, 0x45, 0x4c, 0x46, 1 /* 32 bits */, 1 /* little-endian */, 1]);
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(3, 18); // EM_386
  file.writeUInt32LE(1, 20);
  file.writeUInt32LE(LOAD_ADDRESS + code, 24); // e_entry
  file.writeUInt32LE(ELF_HEADER_BYTES, 28); // e_phoff
  file.writeUInt16LE(ELF_HEADER_BYTES, 40);
  file.writeUInt16LE(PROGRAM_HEADER_BYTES, 42);
  file.writeUInt16LE(1, 44); // e_phnum
  const segment = [1 /* PT_LOAD */, 0, LOAD_ADDRESS, LOAD_ADDRESS, file.length, file.length, 7 /* RWX */, 4096];
  for (const [index, field] of segment.entries()) file.writeUInt32LE(field, ELF_HEADER_BYTES + index * 4);
  file.writeUInt32LE(MULTIBOOT_MAGIC, headers);
  file.writeUInt32LE(-MULTIBOOT_MAGIC >>> 0, headers + 8);
  file.set(FIRST_INSTRUCTIONS, code);
  mkdirSync(OUTPUT, { recursive: true });
  const path = join(OUTPUT, 'tiny.elf');
  writeFileSync(path, file);
  return path;
}
