/* 32-bit and PAE paging: rights at two levels, large pages, reserved bits, against every access and CR0.WP. */
#include "probe.h"

#define LINEAR 0xc0000000u
static u32 directory[1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096))), low_table[1024] __attribute__((aligned(4096)));
static u64 pae_pdpt[4] __attribute__((aligned(32)));
static u64 pae_directory[2][512] __attribute__((aligned(4096)));
static u64 pae_table[512] __attribute__((aligned(4096)));
static u8 target[4096] __attribute__((aligned(4096)));

static void try(int kind, int cpl) {
  static const u8 load[] = { 0x8b, 0x06 }, store[] = { 0x89, 0x06 }, jump[] = { 0xff, 0xe6 };
  put_code(kind == 0 ? load : kind == 1 ? store : jump, 2);
  struct probe p = start_at(cpl);
  p.gpr[ESI] = LINEAR;
  run_probe(&p);
  if (p.vector == 14) digest(p.cr2);
  /* An instruction fetch ends in the page itself. */
  if (p.vector == DONE) p.eip = (u32)code;
  brief(&p);
}

void test_paging(void) {
  for (u32 i = 0; i < sizeof target; i += 2) PUT_DONE(target + i);
  for (u32 i = 0; i < 256; i++) directory[i] = i << 22 | 0xe7;
  for (int control = 0; control < 2; control++) {
    for (u32 upper = 0; upper < 8; upper++) {
      for (u32 lower = 0; lower < 8; lower++) {
        print("page32 ");
        print_hex(control << 8 | upper << 4 | lower);
        for (int kind = 0; kind < 3; kind++) {
          for (int cpl = 0; cpl <= 3; cpl += 3) {
            reset_system();
            WRITE_CR(4, 0x10);
            directory[LINEAR >> 22] = (u32)table | upper;
            table[0] = (u32)target | lower;
            WRITE_CR(3, directory);
            WRITE_CR(0, 0x80000031u | control << 16);
            try(kind, cpl);
            WRITE_CR(0, 0x31);
          }
        }
        end_line();
      }
    }
  }
  /* 4 MiB pages: the size bit without and with CR4.PSE, and a reserved bit. */
  static const u32 large[] = { 0x87, 0x200087, 0x80 };
  for (int pse = 0; pse < 2; pse++) {
    for (u32 i = 0; i < 3; i++) {
      print("page4m ");
      print_hex(pse << 4 | i);
      for (int kind = 0; kind < 2; kind++) {
        reset_system();
        WRITE_CR(4, pse << 4);
        directory[LINEAR >> 22] = (pse ? 0 : (u32)table) | large[i];
        table[0] = (u32)target | 7;
        /* Identical mapping of the first 4 MiB without large pages. */
        if (!pse) for (u32 j = 0; j < 1024; j++) low_table[j] = j << 12 | 7;
        directory[0] = pse ? 0xe7 : (u32)low_table | 0x87;
        WRITE_CR(3, directory);
        WRITE_CR(0, 0x80000031u);
        try(kind, 3);
        WRITE_CR(0, 0x31);
      }
      end_line();
    }
  }
  /* PAE, with NX. */
  __asm__ volatile("wrmsr" : : "c"(0xc0000080), "a"(0x800), "d"(0));
  for (u32 i = 0; i < 512; i++) pae_directory[0][i] = (u64)i << 21 | 0xe7;
  pae_pdpt[0] = (u32)pae_directory[0] | 1;
  pae_pdpt[3] = (u32)pae_directory[1] | 1;
  for (int control = 0; control < 2; control++) {
    for (u32 upper = 0; upper < 16; upper++) {
      for (u32 lower = 0; lower < 16; lower++) {
        print("pae ");
        print_hex(control << 8 | upper << 4 | lower);
        for (int kind = 0; kind < 3; kind++) {
          for (int cpl = 0; cpl <= 3; cpl += 3) {
            reset_system();
            WRITE_CR(4, 0x20);
            pae_directory[1][0] = ((u32)pae_table | (upper & 7)) | (upper & 8 ? 1ull << 63 : 0);
            pae_table[0] = ((u32)target | (lower & 7)) | (lower & 8 ? 1ull << 63 : 0);
            WRITE_CR(3, pae_pdpt);
            WRITE_CR(0, 0x80000031u | control << 16);
            try(kind, cpl);
            WRITE_CR(0, 0x31);
          }
        }
        end_line();
      }
    }
  }
  /* The PDPTEs are loaded with CR3: a later change in memory counts only after the next load. */
  print("pdpte");
  reset_system();
  WRITE_CR(4, 0x20);
  pae_directory[1][0] = (u32)pae_table | 7;
  pae_table[0] = (u32)target | 7;
  WRITE_CR(3, pae_pdpt);
  WRITE_CR(0, 0x80000031u);
  try(0, 0);
  pae_pdpt[3] = 0;
  __asm__ volatile("invlpg (%0)" : : "r"(LINEAR) : "memory");
  try(0, 0);
  WRITE_CR(3, pae_pdpt);
  try(0, 0);
  WRITE_CR(0, 0x31);
  end_line();
  reset_system();
}
