/**
 * The page walk as a WebAssembly function (SDM volume 3A, chapter 4): 4-level, PAE and 32-bit paging, with access rights,
 * reserved bits, accessed and dirty flags.
 *
 * @module
 */
import { atomic, type I32, i32, i64, type I64 } from '../emit/expr.ts';
import type { Callee, FunctionBuilder, Local } from '../emit/function-builder.ts';
import { CR0, CR2, CR3, CR4, EFER, EFLAGS_SYSTEM, FAULT_ERROR, FAULT_VECTOR } from '../state.ts';
import { PDPTE } from '../system/private-state.ts';
import {
  ACCESS_IMPLICIT,
  PF_I,
  PF_P,
  PF_RSVD,
  PF_U,
  PF_W,
  PHYSICAL,
  PHYSICAL_BITS,
  RAM_BYTES,
  RAM_OFFSET,
} from './layout.ts';

/** What `walk` returns: 0 on a fault, else WALK_OK and what else the mapping allows for this kind of access. */
// biome-ignore format: a table
export const WALK_OK = 1, WALK_WRITABLE = 2, WALK_EXECUTABLE = 4, WALK_GLOBAL = 8, WALK_LARGE = 16, WALK_HUGE = 32, WALK_READABLE = 64;

/** FAULT_VECTOR of a non-canonical address: #GP, or #SS when the operand's segment is SS; the run loop decides. */
export const NON_CANONICAL = 0x10d;
/** FAULT_VECTOR of a region that leaves an instruction to the interpreter: no fault at all. */
export const STEP = 0x1ff;

// biome-ignore format: a table
const CR0_WP = 1 << 16, CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_PGE = 1 << 7, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21;
// biome-ignore format: a table
const EFER_LMA = 1 << 10, EFER_NXE = 1 << 11;
// biome-ignore format: a table
const ENTRY_P = 1, ENTRY_W = 2, ENTRY_U = 4, ENTRY_A = 0x20, ENTRY_D = 0x40, ENTRY_PS = 0x80, ENTRY_G = 0x100;
const EFLAGS_AC = 1 << 18;
/** Address bits of an entry, and the bits above the physical width that must be zero. */
const ADDRESS = ((1n << 52n) - 1n) & ~0xfffn;
const RESERVED_HIGH = ((1n << 52n) - 1n) & ~((1n << BigInt(PHYSICAL_BITS)) - 1n);

export interface RamWindow {
  /** Offset of guest RAM in linear memory, and its size, in bytes. */
  readonly offset: number;
  readonly bytes: number;
}

/** 1 when `bytes` bytes from a physical address on lie in RAM. */
export const inRam = (cpu: I32, physical: I64, bytes: I32): I32 =>
  i64.leU(physical, i64.sub(i64.load32U(cpu, RAM_BYTES), i64.extendI32U(bytes)));
/** Offset in linear memory of a physical address in RAM. */
export const hostOf = (cpu: I32, physical: I64): I32 => i32.add(i32.wrap(physical), i32.load(cpu, RAM_OFFSET));

const hasBits = (value: I32, bits: number): I32 => i32.ne(i32.and(value, i32.const(bits)), i32.const(0));

/**
 * Builds `walk(cpu, va i64, access) -> WALK_*`. `access` is a combination of PF_W, PF_U, PF_I and ACCESS_IMPLICIT. On success
 * PHYSICAL holds the address; on a fault FAULT_VECTOR, FAULT_ERROR and CR2 are set. `marked` (host, bits) is told of every accessed or dirty
 * flag that is set in a table.
 */
export function buildWalk(f: FunctionBuilder, marked?: Callee): void {
  const cpu = f.param('i32', 0);
  const va = f.param('i64', 1);
  const access = f.param('i32', 2);
  const cr0 = f.let(i32.load(cpu, CR0));
  const cr4 = f.let(i32.load(cpu, CR4));
  const efer = f.let(i32.load(cpu, EFER));

  // Paging off: linear is physical, everything is allowed.
  f.if(i32.geS(cr0, i32.const(0)), () => {
    f.store(8, cpu, i64.and(va, i64.const(0xffff_ffff)), PHYSICAL);
    f.return(i32.const(WALK_OK | WALK_READABLE | WALK_WRITABLE | WALK_EXECUTABLE | WALK_GLOBAL));
  });

  const nxe = f.let(hasBits(efer, EFER_NXE));
  const reserved = f.local('i64');
  f.set(reserved, i64.const(RESERVED_HIGH));
  f.if(i32.eqz(nxe), () => f.set(reserved, i64.or(reserved, i64.const(-0x8000_0000_0000_0000n))));

  const fault = (code: I32): void => {
    f.store(4, cpu, i32.const(14), FAULT_VECTOR);
    const fetch = i32.and(access, i32.const(PF_I));
    const reportsFetch = i32.or(nxe, hasBits(cr4, CR4_SMEP));
    const seen = i32.and(access, i32.const(PF_W | PF_U));
    f.store(4, cpu, i32.or(i32.or(code, seen), i32.mul(fetch, reportsFetch)), FAULT_ERROR);
    f.store(8, cpu, va, CR2);
    f.return(i32.const(0));
  };

  /** Offset in linear memory of a table entry, or 0 outside RAM. */
  const locate = (address: I64): Local<'i32'> => {
    const physical = f.let(address);
    const host = f.let(i32.const(0));
    f.if(inRam(cpu, physical, i32.const(8)), () => f.set(host, hostOf(cpu, physical)));
    return host;
  };

  // Rights so far: W and U are the AND over the levels, NX the OR.
  const rights = f.let(i32.const(ENTRY_W | ENTRY_U));
  const noExecute = f.let(i32.const(0));
  const entry = f.local('i64');
  const leaf = f.local('i32');
  const leafBits = f.local('i32');
  const size = f.let(i32.const(0));
  const physical = f.local('i64');
  const table = f.local('i64');
  const hosts: Local<'i32'>[] = [];

  const readEntry = (host: Local<'i32'>, wide: boolean): void => {
    f.set(entry, i64.const(0));
    f.if(host, () => f.set(entry, wide ? i64.load(host) : i64.load32U(host)));
    f.if(i32.eqz(i32.and(i32.wrap(entry), i32.const(ENTRY_P))), () => fault(i32.const(0)));
  };

  const accumulate = (): void => {
    f.set(rights, i32.and(rights, i32.wrap(entry)));
    f.set(noExecute, i32.or(noExecute, i32.wrap(i64.shrU(entry, i64.const(63)))));
  };

  const checkReserved = (bits: I64): void => {
    f.if(i32.eqz(i64.eqz(i64.and(entry, bits))), () => fault(i32.const(PF_P | PF_RSVD)));
  };

  /** One level of 8-byte entries; `large` is the reserved mask of a leaf here, or undefined when PS must be clear or is ignored. */
  const level = (shift: number, indexBits: number, done: { depth: number }, large?: bigint): void => {
    const index = i64.and(i64.shrU(va, i64.const(shift)), i64.const((1 << indexBits) - 1));
    const host = locate(i64.add(table, i64.shl(index, i64.const(3))));
    hosts.push(host);
    readEntry(host, true);
    checkReserved(reserved);
    accumulate();
    if (large === undefined) {
      if (shift !== 12) {
        if (shift === 39) checkReserved(i64.const(ENTRY_PS));
      } else {
        f.set(leaf, host);
        f.set(leafBits, i32.wrap(entry));
        f.set(physical, i64.or(i64.and(entry, i64.const(ADDRESS)), i64.and(va, i64.const(0xfff))));
        return;
      }
    } else {
      f.if(i32.and(i32.wrap(entry), i32.const(ENTRY_PS)), () => {
        checkReserved(i64.const(large));
        f.set(leaf, host);
        f.set(leafBits, i32.wrap(entry));
        f.set(size, i32.const(shift === 30 ? WALK_HUGE : WALK_LARGE));
        const offsetMask = (1n << BigInt(shift)) - 1n;
        f.set(physical, i64.or(i64.and(entry, i64.const(ADDRESS & ~offsetMask)), i64.and(va, i64.const(offsetMask))));
        f.br(done);
      });
    }
    f.set(table, i64.and(entry, i64.const(ADDRESS)));
  };

  f.block((done) => {
    f.if(i32.and(efer, i32.const(EFER_LMA)), () => {
      f.if(i64.ne(i64.shrS(i64.shl(va, i64.const(16)), i64.const(16)), va), () => {
        f.store(4, cpu, i32.const(NON_CANONICAL), FAULT_VECTOR);
        f.store(4, cpu, i32.const(0), FAULT_ERROR);
        f.return(i32.const(0));
      });
      f.set(table, i64.and(i64.load(cpu, CR3), i64.const(ADDRESS)));
      level(39, 9, done);
      level(30, 9, done, 0x3fff_e000n);
      level(21, 9, done, 0x1f_e000n);
      level(12, 9, done);
      f.br(done);
    });
    f.if(i32.and(cr4, i32.const(CR4_PAE)), () => {
      // The four PDPTEs are those loaded with CR3 (4.4.1), checked then.
      const index = i32.and(i32.wrap(i64.shrU(va, i64.const(27))), i32.const(0x18));
      f.set(entry, i64.load(i32.add(cpu, index), PDPTE));
      f.if(i32.eqz(i32.and(i32.wrap(entry), i32.const(ENTRY_P))), () => fault(i32.const(0)));
      f.set(table, i64.and(entry, i64.const(ADDRESS)));
      level(21, 9, done, 0x1f_e000n);
      level(12, 9, done);
      f.br(done);
    });
    // 32-bit paging.
    const directory = i64.and(i64.load(cpu, CR3), i64.const(0xffff_f000));
    const index = i64.and(i64.shrU(va, i64.const(22)), i64.const(0x3ff));
    const host = locate(i64.add(directory, i64.shl(index, i64.const(2))));
    hosts.push(host);
    readEntry(host, false);
    accumulate();
    f.if(i32.and(i32.wrap(i64.shrU(entry, i64.const(7))), hasBits(cr4, CR4_PSE)), () => {
      // PSE-36: bits 20:13 of the entry are physical-address bits 39:32; bit 21 is reserved.
      checkReserved(i64.const(1 << 21));
      f.set(leaf, host);
      f.set(leafBits, i32.wrap(entry));
      f.set(size, i32.const(WALK_LARGE));
      const high = i64.shl(i64.and(i64.shrU(entry, i64.const(13)), i64.const(0xff)), i64.const(32));
      const low = i64.or(i64.and(entry, i64.const(0xffc0_0000)), i64.and(va, i64.const(0x3f_ffff)));
      f.set(physical, i64.or(high, low));
      f.br(done);
    });
    const tableIndex = i64.and(i64.shrU(va, i64.const(12)), i64.const(0x3ff));
    const pageHost = locate(i64.add(i64.and(entry, i64.const(0xffff_f000)), i64.shl(tableIndex, i64.const(2))));
    readEntry(pageHost, false);
    accumulate();
    f.set(leaf, pageHost);
    f.set(leafBits, i32.wrap(entry));
    f.set(physical, i64.or(i64.and(entry, i64.const(0xffff_f000)), i64.and(va, i64.const(0xfff))));
  });

  // Rights (4.6.1).
  const violation = (): void => fault(i32.const(PF_P));
  const userPage = f.let(hasBits(rights, ENTRY_U));
  const writable = f.let(hasBits(rights, ENTRY_W));
  const executable = f.let(i32.eqz(i32.and(noExecute, nxe)));
  const readable = f.let(i32.const(1));
  f.if(
    i32.and(access, i32.const(PF_U)),
    () => f.if(i32.eqz(userPage), violation),
    () => {
      f.set(writable, i32.or(writable, i32.eqz(i32.and(cr0, i32.const(CR0_WP)))));
      f.if(userPage, () => {
        f.if(i32.and(cr4, i32.const(CR4_SMEP)), () => f.set(executable, i32.const(0)));
        f.if(i32.and(cr4, i32.const(CR4_SMAP)), () => {
          const override = i32.and(
            hasBits(i32.load(cpu, EFLAGS_SYSTEM), EFLAGS_AC),
            i32.eqz(i32.and(access, i32.const(ACCESS_IMPLICIT))),
          );
          f.if(i32.eqz(override), () => f.set(readable, i32.const(0)));
        });
      });
    },
  );
  f.if(
    i32.and(access, i32.const(PF_I)),
    () => f.if(i32.eqz(executable), violation),
    () => {
      f.if(i32.eqz(readable), violation);
      f.if(i32.and(i32.and(access, i32.const(PF_W)), i32.shl(i32.eqz(writable), i32.const(1))), violation);
    },
  );

  // Accessed and dirty flags, atomically; the tables above the leaf first.
  const orInto = (host: I32, bits: number): void => {
    f.run(atomic('i32', 0xfe33, 2, 0, host, i32.const(bits)));
    if (marked !== undefined) f.callVoid(marked, host, i32.const(bits));
  };
  for (const host of hosts) {
    f.if(host, () => f.if(i32.eqz(i32.and(i32.load(host), i32.const(ENTRY_A))), () => orInto(host, ENTRY_A)));
  }
  f.if(i32.eqz(i32.and(leafBits, i32.const(ENTRY_A))), () => orInto(leaf, ENTRY_A));
  f.if(i32.and(access, i32.const(PF_W)), () => {
    f.if(i32.eqz(i32.and(leafBits, i32.const(ENTRY_D))), () => orInto(leaf, ENTRY_D));
    f.set(leafBits, i32.or(leafBits, i32.const(ENTRY_D)));
  });
  f.store(8, cpu, physical, PHYSICAL);
  const global = i32.and(hasBits(leafBits, ENTRY_G), hasBits(cr4, CR4_PGE));
  const dirtyWritable = i32.and(i32.and(writable, hasBits(leafBits, ENTRY_D)), readable);
  let result = i32.or(i32.const(WALK_OK), i32.shl(dirtyWritable, i32.const(1)));
  result = i32.or(result, i32.shl(executable, i32.const(2)));
  result = i32.or(result, i32.shl(global, i32.const(3)));
  result = i32.or(result, i32.shl(readable, i32.const(6)));
  f.return(i32.or(result, size));
  f.unreachable();
}
