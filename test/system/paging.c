/* Four-level paging: every combination of rights at two levels against every kind of access and the control bits that change them. */
#include "probe.h"

#define P 1ul
#define W 2ul
#define U 4ul
#define A 0x20ul
#define D 0x40ul
#define PS 0x80ul
#define G 0x100ul
#define NX (1ul << 63)

/* The page under test: linear 512 GiB, through tables of its own; physical `target`. */
#define LINEAR 0x8000000000ul
static u64 test_pdpt[512] __attribute__((aligned(4096)));
static u64 test_pd[512] __attribute__((aligned(4096)));
static u64 test_pt[512] __attribute__((aligned(4096)));
static u8 target[4096] __attribute__((aligned(4096)));

enum { READ, WRITE, EXECUTE, ACCESSES };

/* One access; prints the vector and error code in short, with the accessed and dirty bits of the levels in the digest. */
static void try(int kind, int cpl, int ac, u64 offset, u64 entries[4]) {
  pml4[1] = entries[0];
  test_pdpt[0] = entries[1];
  test_pd[0] = entries[2];
  test_pt[0] = entries[3];
  WRITE_CR(3, READ_CR(3));
  static const u8 load[] = { 0x48, 0x8b, 0x06 }, store[] = { 0x48, 0x89, 0x06 }, jump[] = { 0xff, 0xe6 };
  put_code(kind == READ ? load : kind == WRITE ? store : jump, kind == EXECUTE ? 2 : 3);
  struct probe p = start_at(cpl);
  p.gpr[RSI] = LINEAR + offset;
  p.rflags |= ac ? 0x40000 : 0;
  run_probe(&p);
  /* Which accessed bits a walk that fails leaves behind differs between processors. */
  if (p.vector == 14) digest(p.cr2);
  else {
    digest(pml4[1] & 0xfff);
    digest(test_pdpt[0] & 0xfff);
    digest(test_pd[0] & 0xfff);
    digest(test_pt[0] & 0xfff);
  }
  /* An instruction fetch ends in the page itself. */
  if (p.vector == DONE) p.rip = (u64)code;
  brief(&p);
}

static void rights(void) {
  for (int control = 0; control < 8; control++) {
    /* WP, SMEP, SMAP */
    u64 cr0 = 0x80000031 | (control & 1 ? 0x10000 : 0);
    u64 cr4 = 0x620 | (control & 2 ? 0x100000 : 0) | (control & 4 ? 0x200000 : 0);
    for (int upper = 0; upper < 8; upper++) {
      u64 high = P | (upper & 1 ? W : 0) | (upper & 2 ? U : 0) | (upper & 4 ? NX : 0);
      for (int lower = 0; lower < 8; lower++) {
        u64 low = P | (lower & 1 ? W : 0) | (lower & 2 ? U : 0) | (lower & 4 ? NX : 0);
        print("page ");
        print_hex(control);
        print_hex(upper);
        print_hex(lower);
        for (int kind = 0; kind < ACCESSES; kind++) {
          for (int cpl = 0; cpl <= 3; cpl += 3) {
            for (int ac = 0; ac < (control & 4 ? 2 : 1); ac++) {
              reset_system();
              WRITE_CR(0, cr0);
              /* SMAP and SMEP would stop the probe itself, whose pages are all for users: its own table says supervisor. */
              if (control & 6) {
                if (cpl == 3) continue;
                for (int i = 0; i < 512; i++) pd[i] &= ~U;
                WRITE_CR(3, READ_CR(3));
                WRITE_CR(4, cr4);
              }
              u64 entries[4] = { (u64)test_pdpt | P | W | U, (u64)test_pd | high, (u64)test_pt | P | W | U, (u64)target | low };
              try(kind, cpl, ac, 0, entries);
              WRITE_CR(4, 0x620);
            }
          }
        }
        end_line();
      }
    }
  }
}

static void structure(void) {
  u64 full[4] = { (u64)test_pdpt | P | W | U, (u64)test_pd | P | W | U, (u64)test_pt | P | W | U, (u64)target | P | W | U };
  /* Not present, and reserved bits, at each level. */
  for (int level = 0; level < 4; level++) {
    static const u64 changes[] = { P, 1ul << 51, 1ul << 45, NX, PS, G, A, D, 1ul << 52, 1ul << 11 };
    print("level ");
    print_hex(level);
    for (u32 c = 0; c < sizeof changes / sizeof *changes; c++) {
      for (int kind = 0; kind < ACCESSES; kind++) {
        reset_system();
        u64 entries[4] = { full[0], full[1], full[2], full[3] };
        entries[level] ^= changes[c];
        /* A page size bit makes the next table a page; where it lies decides about reserved bits only. */
        if (changes[c] == PS && (level == 1 || level == 2)) entries[level] = 0x200000ul * 0 | P | W | U | PS;
        if (changes[c] == PS && level == 2) entries[level] = ((u64)target & ~0x1ffffful) | P | W | U | PS;
        u64 offset = changes[c] == PS && level == 2 ? (u64)target & 0x1fffff : changes[c] == PS && level == 1 ? (u64)target & 0x3fffffff : 0;
        try(kind, 0, 0, offset, entries);
      }
    }
    end_line();
  }
  /* Large pages with reserved address bits. */
  static const u64 reserved[] = { 0, 0x2000, 0x100000, 0x1000, 0x20000000 };
  for (int level = 1; level < 3; level++) {
    print("large ");
    print_hex(level);
    for (u32 i = 0; i < sizeof reserved / sizeof *reserved; i++) {
      reset_system();
      u64 entries[4] = { full[0], full[1], full[2], full[3] };
      entries[level] = P | W | U | PS | reserved[i];
      try(READ, 3, 0, 0x1000, entries);
    }
    end_line();
  }
  /* An access over the end of the page, onto one with other rights. */
  static const u64 second[] = { 0, P | W | U, P | U, P | W, P };
  print("split");
  for (u32 i = 0; i < sizeof second / sizeof *second; i++) {
    for (int kind = 0; kind < 2; kind++) {
      for (int cpl = 0; cpl <= 3; cpl += 3) {
        reset_system();
        test_pt[1] = second[i] ? (u64)target | second[i] : 0;
        try(kind, cpl, 0, 4093, full);
      }
    }
  }
  end_line();
  /* Without NXE bit 63 is reserved. */
  print("nxe");
  for (int level = 0; level < 4; level++) {
    reset_system();
    write_msr(0xc0000080, 0x501);
    u64 entries[4] = { full[0], full[1], full[2], full[3] };
    entries[level] |= NX;
    try(READ, 0, 0, 0, entries);
  }
  end_line();
  /* Stale translations: a right taken away counts only after INVLPG. */
  reset_system();
  for (int i = 0; i < 4; i++) full[i] |= A | D;
  try(READ, 0, 0, 0, full);
  test_pt[0] = 0;
  __asm__ volatile("invlpg (%0)" : : "r"(LINEAR) : "memory");
  CODE(0x48, 0x8b, 0x06);
  struct probe p = start_at(0);
  p.gpr[RSI] = LINEAR;
  run_probe(&p);
  print(" invlpg");
  outcome(&p);
  end_line();
}

/* Linear addresses at the edges of the canonical range. */
static void canonical(void) {
  static const u64 odd[] = { 0x800000000000, 0x7fffffffffff, 0xffff7fffffffffff, 0xffff7ffffffffffc, 0xfffffffffffffffc, 0x7ffffffffffc };
  print("canonical");
  for (u32 i = 0; i < sizeof odd / sizeof *odd; i++) {
    for (int stack_access = 0; stack_access < 2; stack_access++) {
      reset_system();
      if (stack_access) CODE(0x48, 0x8b, 0x45, 0x00); /* mov rax, [rbp] */
      else CODE(0x48, 0x8b, 0x06);
      struct probe p = start_at(0);
      p.gpr[RSI] = p.gpr[RBP] = odd[i];
      run_probe(&p);
      digest(p.vector == 14 ? p.cr2 : 0);
      outcome(&p);
    }
  }
  end_line();
}

void test_paging(void) {
  for (u32 i = 0; i < sizeof target; i += 2) *(u16 *)(target + i) = DONE << 8 | 0xcd;
  rights();
  structure();
  canonical();
  pml4[1] = 0;
  reset_system();
}
