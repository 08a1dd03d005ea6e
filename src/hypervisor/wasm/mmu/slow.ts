/**
 * What happens when the inline TLB check fails: fills, page crossings, device memory, writes to pages with translated code.
 *
 * A slow access returns the offset in linear memory where the bytes are: guest RAM in place, or the bounce buffer of the
 * vCPU when they are in two pages or in device memory. After a write to the bounce buffer `commit` carries it out.
 *
 * @module
 */
import { type I32, i32, i64, type I64, select } from '../emit/expr.ts';
import { STACK_ACCESS, UNALIGNED_ACCESS } from '../insn/lift-builder.ts';
import { call, type Callee, type FunctionBuilder } from '../emit/function-builder.ts';
import type { ModuleBuilder } from '../emit/module-builder.ts';
import { BOUNCE, BOUNCE_PENDING, CODE_SIZE, CPL, CR2, FAULT_ERROR, FAULT_VECTOR, TLB_BASE, TLB_TAG } from '../state.ts';
import {
  ACCESS_IMPLICIT,
  PF_I,
  PF_U,
  PF_W,
  PHYSICAL,
  RAM_OFFSET,
  TLB_ADDEND,
  TLB_EXECUTE,
  TLB_INDEX,
  TLB_NEVER,
  TLB_READ,
  TLB_SUPERVISOR,
  TLB_WRITE,
} from './layout.ts';
import { arrayAt, buildFill, entryIn, tagIn } from './fill.ts';
import { buildLegacyLinear } from './legacy-linear.ts';
import { buildWalk, hostOf, inRam, NON_CANONICAL, STEP } from './walk.ts';

/** Functions the host side provides. Addresses come as two halves. */
export interface MmuImports {
  /** (low, high, bytes) -> value. */
  readonly mmioRead: Callee;
  /** (low, high, bytes, value). */
  readonly mmioWrite: Callee;
  /** (physical page number): drops every block of the page. */
  readonly codeInvalidate: Callee;
  /** (low, high, bytes, write): a data access while data breakpoints are armed. */
  readonly watch: Callee;
  /** In an interpreter that notes writes. */
  readonly notes: NoteImports | undefined;
}

/** Whoever undoes what guest code did to RAM is told of it here. */
export interface NoteImports {
  /** (physical page number, entry of the TLB or 0): the page is about to be written, or by that entry from now on. */
  readonly wrote: Callee;
  /** (offset in linear memory, bits): the page walk has set flags of an entry. */
  readonly marked: Callee;
}

export interface MmuFunctions {
  readonly walk: Callee;
  readonly slowRead: Callee;
  readonly slowWrite: Callee;
  /** slowWrite for a region: 0 with STEP in FAULT_VECTOR where the bytes are not in one page of RAM, or are translated code. */
  readonly regionWrite: Callee;
  /** (cpu, va i64, bytes) -> 1 when the bytes in the bounce buffer have been stored, 0 on a fault, with STEP where they would hit code. */
  readonly regionStore: Callee;
  /** (cpu, va i64, bytes, + PROBE_WRITE) -> offset in linear memory when the TLB has all of them in one page, else 0. */
  readonly probe: Callee;
  readonly commit: Callee;
  readonly codeWrite: Callee;
  readonly legacyLinear: Callee;
  /** (cpu, va i64) -> offset in linear memory of the instruction byte, 0 on a fault, 1 when it is not in RAM. */
  readonly fetch: Callee;
  /** (cpu, va i64, write) -> offset in linear memory, or 0. */
  readonly systemHost: Callee;
  readonly plainHost: Callee;
  /** The same, with no trace of a fault: for code that only asks. */
  readonly peek: Callee;
  /** (cpu, low, high, access) -> WALK_*. */
  readonly walkHalves: Callee;
  /** (cpu, low, high): `fetch`, and `peek`. */
  readonly fetchHalves: Callee;
  readonly peekHalves: Callee;
}

/** Added to the number of bytes: they are to be written. */
export const PROBE_WRITE = 0x1000;

const P_BYTES = BOUNCE_PENDING,
  P_FIRST = BOUNCE_PENDING + 4,
  P_PHYSICAL0 = BOUNCE_PENDING + 8,
  P_PHYSICAL1 = BOUNCE_PENDING + 16;
const EFLAGS_AC_FAULT = 17;

/** `missed` writes what is to happen when a fetch is not in the TLB. */
export function buildMmu(
  module: ModuleBuilder,
  imports: MmuImports,
  codeMap: number,
  missed?: (f: FunctionBuilder, cpu: I32) => void,
): MmuFunctions {
  const walk = module.function(['i32', 'i64', 'i32'], 'i32');
  buildWalk(walk, imports.notes?.marked);

  // hitsCode(physical, bytes): whether bytes within one page of RAM are in chunks with decoded code.
  const hitsCode = module.function(['i64', 'i32'], 'i32');
  {
    const f = hitsCode;
    const physical = f.param('i64', 0);
    const page = i32.wrap(i64.shrU(physical, i64.const(12)));
    const chunks = f.let(i32.load(i32.shl(page, i32.const(2)), codeMap));
    f.if(i32.eqz(chunks), () => f.return(i32.const(0)));
    const offset = f.let(i32.and(i32.wrap(physical), i32.const(0xfff)));
    const first = f.let(i32.shrU(offset, i32.const(7)));
    const last = i32.shrU(i32.sub(i32.add(offset, f.param('i32', 1)), i32.const(1)), i32.const(7));
    const above = i32.shl(i32.const(-1), first);
    const below = i32.shrU(i32.const(-1), i32.sub(i32.const(31), last));
    f.return(i32.and(chunks, i32.and(above, below)));
    f.unreachable();
  }

  // codeWritePhysical(physical, bytes): bytes within one page of RAM.
  const codeWritePhysical = module.function(['i64', 'i32']);
  {
    const f = codeWritePhysical;
    const physical = f.param('i64', 0);
    const page = f.let(i32.wrap(i64.shrU(physical, i64.const(12))));
    if (imports.notes !== undefined) f.callVoid(imports.notes.wrote, page, i32.const(0));
    f.if(call('i32', hitsCode, physical, f.param('i32', 1)), () => f.callVoid(imports.codeInvalidate, page));
  }

  const codeWrite = module.function(['i32', 'i32', 'i32']);
  {
    const f = codeWrite;
    const physical = i64.extendI32U(i32.sub(f.param('i32', 1), i32.load(f.param('i32', 0), RAM_OFFSET)));
    f.callVoid(codeWritePhysical, physical, f.param('i32', 2));
  }

  const fill = module.function(['i32', 'i64', 'i32', 'i32']);
  buildFill(fill, codeMap, imports.notes?.wrote);

  // physicalRead(cpu, physical, bytes, to), physicalWrite(cpu, physical, bytes, from): one page, RAM or device.
  const physicalRead = module.function(['i32', 'i64', 'i32', 'i32']);
  const physicalWrite = module.function(['i32', 'i64', 'i32', 'i32']);
  for (const write of [false, true]) {
    const f = write ? physicalWrite : physicalRead;
    const cpu = f.param('i32', 0);
    const physical = f.param('i64', 1);
    const bytes = f.param('i32', 2);
    const buffer = f.param('i32', 3);
    f.if(inRam(cpu, physical, bytes), () => {
      if (write) {
        f.callVoid(codeWritePhysical, physical, bytes);
        f.memoryCopy(hostOf(cpu, physical), buffer, bytes);
      } else f.memoryCopy(buffer, hostOf(cpu, physical), bytes);
      f.return();
    });
    // Device memory: one access of the operand's width up to 4 bytes, then halves; odd pieces byte by byte.
    const high = i32.wrap(i64.shrU(physical, i64.const(32)));
    f.loop((again) => {
      f.if(i32.eqz(bytes), () => f.return());
      const width = f.let(i32.const(1));
      const fits = (n: number): I32 =>
        i32.and(i32.geU(bytes, i32.const(n)), i32.eqz(i32.and(i32.or(bytes, i32.wrap(physical)), i32.const(n - 1))));
      f.if(fits(2), () => f.set(width, i32.const(2)));
      f.if(fits(4), () => f.set(width, i32.const(4)));
      const low = i32.wrap(physical);
      const one = i32.eq(width, i32.const(1));
      const two = i32.eq(width, i32.const(2));
      if (write) {
        const value = f.local('i32');
        f.if(
          one,
          () => f.set(value, i32.load8U(buffer)),
          () => {
            f.if(
              two,
              () => f.set(value, i32.load16U(buffer)),
              () => f.set(value, i32.load(buffer)),
            );
          },
        );
        f.callVoid(imports.mmioWrite, low, high, width, value);
      } else {
        const value = f.let(call('i32', imports.mmioRead, low, high, width));
        f.if(
          one,
          () => f.store(1, buffer, value),
          () => {
            f.if(
              two,
              () => f.store(2, buffer, value),
              () => f.store(4, buffer, value),
            );
          },
        );
      }
      f.set(physical, i64.add(physical, i64.extendI32U(width)));
      f.set(buffer, i32.add(buffer, width));
      f.set(bytes, i32.sub(bytes, width));
      f.br(again);
    });
  }

  const commit = module.function(['i32']);
  {
    const f = commit;
    const cpu = f.param('i32', 0);
    const bounce = i32.add(cpu, i32.const(BOUNCE));
    const first = f.let(i32.load(cpu, P_FIRST));
    f.callVoid(physicalWrite, cpu, i64.load(cpu, P_PHYSICAL0), first, bounce);
    const rest = f.let(i32.sub(i32.load(cpu, P_BYTES), first));
    f.if(rest, () => f.callVoid(physicalWrite, cpu, i64.load(cpu, P_PHYSICAL1), rest, i32.add(bounce, first)));
  }

  const probe = module.function(['i32', 'i64', 'i32'], 'i32');
  {
    const f = probe;
    const cpu = f.param('i32', 0);
    const va = f.param('i64', 1);
    const entry = f.let(tlbEntry(cpu, va));
    const bytes = i32.and(f.param('i32', 2), i32.const(PROBE_WRITE - 1));
    // The write tag is behind the read tag.
    const tagAt = i32.add(entry, i32.mul(i32.shrU(f.param('i32', 2), i32.const(Math.log2(PROBE_WRITE))), i32.const(8)));
    f.if(isIn(cpu, va, bytes, i64.load(tagAt, TLB_READ)), () =>
      f.return(i32.add(i32.wrap(va), i32.load(entry, TLB_ADDEND))),
    );
    f.return(i32.const(0));
    f.unreachable();
  }

  const slowRead = module.function(['i32', 'i64', 'i32'], 'i32');
  buildSlowAccess(slowRead, 'read');
  const slowWrite = module.function(['i32', 'i64', 'i32', 'i32'], 'i32');
  buildSlowAccess(slowWrite, 'write');
  const regionWrite = module.function(['i32', 'i64', 'i32'], 'i32');
  buildSlowAccess(regionWrite, 'region write');
  const regionStore = module.function(['i32', 'i64', 'i32'], 'i32');
  buildSlowAccess(regionStore, 'region store');

  function buildSlowAccess(f: FunctionBuilder, kind: 'read' | 'write' | 'region write' | 'region store'): void {
    const write = kind !== 'read';
    const cpu = f.param('i32', 0);
    const va = f.param('i64', 1);
    const bytes = f.param('i32', 2);
    const stack = f.let(i32.and(bytes, i32.const(STACK_ACCESS)));
    const unaligned = f.let(i32.and(bytes, i32.const(UNALIGNED_ACCESS)));
    f.set(bytes, i32.and(bytes, i32.const(STACK_ACCESS - 1)));
    const bounce = i32.add(cpu, i32.const(BOUNCE));
    const give = (host: I32): void => {
      if (kind !== 'region store') {
        f.return(host);
        return;
      }
      const to = f.let(host);
      // At once: other processors must not see a part of an aligned store.
      const done = (): void => f.return(i32.const(1));
      const bytesAre = (count: number, store: () => void): void =>
        f.if(i32.eq(bytes, i32.const(count)), () => {
          store();
          done();
        });
      bytesAre(8, () => f.store(8, to, i64.load(bounce)));
      bytesAre(4, () => f.store(4, to, i32.load(bounce)));
      bytesAre(2, () => f.store(2, to, i32.load16U(bounce)));
      f.memoryCopy(to, bounce, bytes);
      done();
    };
    // Of accesses that a region takes for near each other some come here although their page is known.
    const known = f.let(tlbEntry(cpu, va));
    f.if(isIn(cpu, va, bytes, i64.load(known, write ? TLB_WRITE : TLB_READ)), () =>
      give(i32.add(i32.wrap(va), i32.load(known, TLB_ADDEND))),
    );
    const step = (): void => {
      f.store(4, cpu, i32.const(STEP), FAULT_VECTOR);
      f.return(i32.const(0));
    };
    const refusesCode = (physical: I64, count: I32): void => {
      if (kind === 'region write' || kind === 'region store') f.if(call('i32', hitsCode, physical, count), step);
    };
    const failed = (): void => {
      const nonCanonical = i32.eq(i32.load(cpu, FAULT_VECTOR), i32.const(NON_CANONICAL));
      f.if(i32.and(nonCanonical, i32.ne(stack, i32.const(0))), () => f.store(4, cpu, i32.const(12), FAULT_VECTOR));
      f.return(i32.const(0));
    };
    const access = f.let(
      i32.or(i32.const(write ? PF_W : 0), i32.mul(i32.eq(i32.load(cpu, CPL), i32.const(3)), i32.const(PF_U))),
    );
    f.if(i32.eq(i32.load(cpu, TLB_INDEX), i32.const(TLB_NEVER)), () => {
      f.if(i32.eqz(unaligned), () => checkAlignment(f, cpu, va, bytes));
      f.callVoid(imports.watch, i32.wrap(va), i32.wrap(i64.shrU(va, i64.const(32))), bytes, i32.const(write ? 1 : 0));
    });
    const offset = f.let(i32.and(i32.wrap(va), i32.const(0xfff)));
    const first = f.let(i32.sub(i32.const(4096), offset));
    const result = f.let(call('i32', walk, cpu, va, access));
    f.if(i32.eqz(result), failed);
    const physical = f.let(i64.load(cpu, PHYSICAL));
    const second = f.local('i64');
    f.if(
      i32.leU(bytes, first),
      () => {
        f.set(first, bytes);
        f.if(inRam(cpu, physical, bytes), () => {
          f.callVoid(fill, cpu, va, result, i32.load(cpu, TLB_INDEX));
          refusesCode(physical, bytes);
          if (write) f.callVoid(codeWritePhysical, physical, bytes);
          give(hostOf(cpu, physical));
        });
      },
      () => {
        const next = f.let(i64.add(va, i64.extendI32U(first)));
        f.if(i32.ne(i32.load(cpu, CODE_SIZE), i32.const(64)), () => f.set(next, i64.and(next, i64.const(0xffff_ffff))));
        f.if(i32.eqz(call('i32', walk, cpu, next, access)), failed);
        f.set(second, i64.load(cpu, PHYSICAL));
      },
    );
    const read = (): void => {
      f.callVoid(physicalRead, cpu, physical, first, bounce);
      const rest = i32.sub(bytes, first);
      f.if(rest, () => f.callVoid(physicalRead, cpu, second, rest, i32.add(bounce, first)));
    };
    if (kind === 'region write') step();
    if (kind === 'region store') {
      f.if(inRam(cpu, physical, first), () => refusesCode(physical, first));
      const rest = f.let(i32.sub(bytes, first));
      f.if(rest, () => f.if(inRam(cpu, second, rest), () => refusesCode(second, rest)));
    }
    if (kind === 'write') f.if(f.param('i32', 3), read);
    if (kind === 'read') read();
    else {
      f.store(4, cpu, bytes, P_BYTES);
      f.store(4, cpu, first, P_FIRST);
      f.store(8, cpu, physical, P_PHYSICAL0);
      f.store(8, cpu, second, P_PHYSICAL1);
    }
    if (kind === 'region store') {
      f.callVoid(commit, cpu);
      f.return(i32.const(1));
    } else f.return(bounce);
    f.unreachable();
  }

  const fetch = module.function(['i32', 'i64'], 'i32');
  {
    const f = fetch;
    const cpu = f.param('i32', 0);
    const va = f.param('i64', 1);
    const entry = f.let(tlbEntry(cpu, va));
    const tag = i64.or(i64.and(va, i64.const(-4096)), i64.load32U(cpu, TLB_TAG));
    f.if(i64.eq(i64.load(entry, TLB_EXECUTE), tag), () => f.return(i32.add(i32.wrap(va), i32.load(entry, TLB_ADDEND))));
    missed?.(f, cpu);
    const user = i32.mul(i32.eq(i32.load(cpu, CPL), i32.const(3)), i32.const(PF_U));
    const result = f.let(call('i32', walk, cpu, va, i32.or(user, i32.const(PF_I))));
    f.if(i32.eqz(result), () => f.return(i32.const(0)));
    const physical = f.let(i64.load(cpu, PHYSICAL));
    f.if(i32.eqz(inRam(cpu, physical, i32.const(1))), () => f.return(i32.const(1)));
    f.callVoid(fill, cpu, va, result, i32.load(cpu, TLB_INDEX));
    f.return(hostOf(cpu, physical));
    f.unreachable();
  }

  const peek = module.function(['i32', 'i64'], 'i32');
  {
    const f = peek;
    const cpu = f.param('i32', 0);
    const cr2 = f.let(i64.load(cpu, CR2));
    const fault = f.let(i64.load(cpu, FAULT_VECTOR));
    const host = f.let(call('i32', fetch, cpu, f.param('i64', 1)));
    f.if(i32.leU(host, i32.const(1)), () => {
      f.store(8, cpu, cr2, CR2);
      // The vector with the error code behind it.
      f.store(8, cpu, fault, FAULT_VECTOR);
    });
    f.return(host);
    f.unreachable();
  }

  // The same for callers in JavaScript, which pass the address as halves.
  const walkHalves = module.function(['i32', 'i32', 'i32', 'i32'], 'i32');
  walkHalves.return(call('i32', walk, walkHalves.param('i32', 0), joined(walkHalves, 1), walkHalves.param('i32', 3)));
  walkHalves.unreachable();
  const fetchHalves = module.function(['i32', 'i32', 'i32'], 'i32');
  fetchHalves.return(call('i32', fetch, fetchHalves.param('i32', 0), joined(fetchHalves, 1)));
  fetchHalves.unreachable();
  const peekHalves = module.function(['i32', 'i32', 'i32'], 'i32');
  peekHalves.return(call('i32', peek, peekHalves.param('i32', 0), joined(peekHalves, 1)));
  peekHalves.unreachable();

  // systemHost(cpu, va, write): where a supervisor access, which RFLAGS.AC does not help, goes; plainHost the same for an access of the
  // current mode. 0 when that is anything but plain RAM.
  const systemHost = module.function(['i32', 'i64', 'i32'], 'i32');
  buildHost(systemHost, i32.const(TLB_SUPERVISOR), i32.const(ACCESS_IMPLICIT));
  const plainHost = module.function(['i32', 'i64', 'i32'], 'i32');
  {
    const cpu = plainHost.param('i32', 0);
    const user = i32.mul(i32.eq(i32.load(cpu, CPL), i32.const(3)), i32.const(PF_U));
    buildHost(plainHost, i32.load(cpu, TLB_INDEX), user);
  }

  function buildHost(f: FunctionBuilder, array: I32, rights: I32): void {
    const cpu = f.param('i32', 0);
    const va = f.param('i64', 1);
    const write = f.param('i32', 2);
    const index = f.let(array);
    // Every access must be seen.
    f.if(i32.eq(index, i32.const(TLB_NEVER)), () => f.return(i32.const(0)));
    const entry = f.let(entryIn(arrayAt(cpu, index), va));
    const known = i64.load(i32.add(entry, i32.shl(write, i32.const(3))), TLB_READ);
    // The write tag is behind the read tag.
    f.if(i64.eq(known, tagIn(cpu, index, va)), () => f.return(i32.add(i32.wrap(va), i32.load(entry, TLB_ADDEND))));
    // The pending fault is the caller's, and stays when this access faults too.
    const vector = f.let(i32.load(cpu, FAULT_VECTOR));
    const error = f.let(i32.load(cpu, FAULT_ERROR));
    const cr2 = f.let(i64.load(cpu, CR2));
    const result = f.let(call('i32', walk, cpu, va, i32.or(rights, i32.mul(write, i32.const(PF_W)))));
    f.if(i32.eqz(result), () => {
      f.store(4, cpu, vector, FAULT_VECTOR);
      f.store(4, cpu, error, FAULT_ERROR);
      f.store(8, cpu, cr2, CR2);
      f.return(i32.const(0));
    });
    const physical = f.let(i64.load(cpu, PHYSICAL));
    f.if(i32.eqz(inRam(cpu, i64.and(physical, i64.const(-4096)), i32.const(4096))), () => f.return(i32.const(0)));
    f.callVoid(fill, cpu, va, result, index);
    // Code is dropped by whoever writes the long way.
    const page = i32.wrap(i64.shrU(physical, i64.const(12)));
    f.if(i32.and(write, i32.ne(i32.load(i32.shl(page, i32.const(2)), codeMap), i32.const(0))), () =>
      f.return(i32.const(0)),
    );
    f.return(hostOf(cpu, physical));
    f.unreachable();
  }

  const legacyLinear = module.function(['i32', 'i32', 'i64', 'i32', 'i32'], 'i64');
  buildLegacyLinear(legacyLinear);

  return {
    walk,
    slowRead,
    slowWrite,
    regionWrite,
    regionStore,
    probe,
    commit,
    codeWrite,
    legacyLinear,
    fetch,
    systemHost,
    plainHost,
    walkHalves,
    fetchHalves,
    peek,
    peekHalves,
  };
}

/** Parameters `at` (low half) and `at + 1` as one value. */
const joined = (f: FunctionBuilder, at: number): I64 =>
  i64.or(i64.extendI32U(f.param('i32', at)), i64.shl(i64.extendI32U(f.param('i32', at + 1)), i64.const(32)));

/** Whether a tag is that of the page which all of the bytes lie in. */
const isIn = (cpu: I32, va: I64, bytes: I32, tag: I64): I32 => {
  const last = i64.add(va, i64.extendI32U(i32.sub(bytes, i32.const(1))));
  return i64.eq(tag, i64.or(i64.and(last, i64.const(-4096)), i64.load32U(cpu, TLB_TAG)));
};

const tlbEntry = (cpu: I32, va: I64): I32 => entryIn(i32.load(cpu, TLB_BASE), va);

/** #AC(0): EFLAGS.AC, CR0.AM and CPL 3 have been found set when the array that is never filled is active for that reason. */
function checkAlignment(f: FunctionBuilder, cpu: I32, va: I64, bytes: I32): void {
  // Ten bytes are aligned like eight; accesses of sixteen are exempt, or #GP has come first.
  const lowest = i32.and(bytes, i32.sub(i32.const(0), bytes));
  const width = select(
    i32.eq(bytes, i32.const(10)),
    i32.const(8),
    select(i32.gtU(bytes, i32.const(10)), i32.const(1), lowest),
  );
  const odd = i32.and(i32.wrap(va), i32.sub(width, i32.const(1)));
  const user = i32.eq(i32.load(cpu, CPL), i32.const(3));
  const wanted = i32.and(
    i32.shrU(i32.load(cpu, 0x094), i32.const(18)),
    i32.and(i32.shrU(i32.load(cpu, 0x220), i32.const(18)), i32.const(1)),
  );
  // A non-canonical address comes first; the walk will find it. Page faults come after.
  const canonical = i64.eq(i64.shrS(i64.shl(va, i64.const(16)), i64.const(16)), va);
  f.if(i32.and(i32.and(i32.and(user, wanted), canonical), i32.ne(odd, i32.const(0))), () => {
    f.store(4, cpu, i32.const(EFLAGS_AC_FAULT), FAULT_VECTOR);
    f.store(4, cpu, i32.const(0), FAULT_ERROR);
    f.return(i32.const(0));
  });
}
