/* Every kind of descriptor against the instructions that take a selector, at CPL 0 and 3. */
#include "probe.h"

static struct { u32 offset; u16 selector; } __attribute__((packed)) pointer;

static const struct { const char *name; u8 bytes[4]; int count; int cpl0; } operations[] = {
  { "ds", { 0x8e, 0xd8 }, 2, 0 },
  { "ss", { 0x8e, 0xd0 }, 2, 0 },
  { "lar", { 0x0f, 0x02, 0xd8 }, 3, 0 },
  { "lsl", { 0x0f, 0x03, 0xd8 }, 3, 0 },
  { "verr", { 0x0f, 0x00, 0xe0 }, 3, 0 },
  { "verw", { 0x0f, 0x00, 0xe8 }, 3, 0 },
  { "lldt", { 0x0f, 0x00, 0xd0 }, 3, 1 },
  { "les", { 0xc4, 0x1f }, 2, 0 },
  { "jmp", { 0xff, 0x2e }, 2, 0 },
  { "call", { 0xff, 0x1e }, 2, 0 },
};

static void run_operations(u16 selector, int transfers) {
  u64 before = gdt[selector >> 3];
  for (int cpl = 0; cpl <= 3; cpl += 3) {
    for (u32 i = 0; i < sizeof operations / sizeof *operations; i++) {
      if (operations[i].cpl0 && cpl) continue;
      if (!transfers && i >= 8) continue;
      put_code(operations[i].bytes, operations[i].count);
      pointer.offset = (u32)code + operations[i].count;
      pointer.selector = selector;
      struct probe p = start_at(cpl);
      p.gpr[EAX] = selector;
      p.gpr[ESI] = p.gpr[EDI] = (u32)&pointer;
      p.eflags |= 0x40;
      run_probe(&p);
      /* Whether a far transfer marks the code segment accessed is known to differ. */
      if (i < 8) digest((u32)(gdt[selector >> 3] >> 32));
      gdt[selector >> 3] = before;
      outcome(&p);
      if (operations[i].cpl0) reset_system();
    }
  }
  end_line();
}

void test_descriptors(void) {
  const u16 at = FIRST_VARIANT;
  reset_system();
  for (int type = 0; type < 16; type++) {
    for (int dpl = 0; dpl < 4; dpl++) {
      for (int present = 0; present < 2; present++) {
        for (int rpl = 0; rpl < 4; rpl += 3) {
          /* Expand-down segments would hold nothing with a limit of 4 GiB. */
          u32 limit = (type & 0xc) == 4 ? 0 : 0xfffff;
          set_descriptor(at, 0, limit, 0xc010 | type | dpl << 5 | present << 7);
          print("seg32 ");
          print_hex(0xc010 | type | dpl << 5 | present << 7);
          print(".");
          print_hex(rpl);
          run_operations(at | rpl, 1);
        }
      }
    }
  }
  for (int type = 0; type < 16; type++) {
    for (int dpl = 0; dpl < 4; dpl += 3) {
      for (int present = 0; present < 2; present++) {
        set_descriptor(at, (u32)tss2, 0xff, type | dpl << 5 | present << 7);
        print("sys32 ");
        print_hex(type | dpl << 5 | present << 7);
        /* Far transfers to gates and TSSs have their own tests. */
        run_operations(at | dpl, 0);
      }
    }
  }
  /* Limits: byte and page granular, expand-up and expand-down, 16 and 32 bits, read at their edges. */
  static const u32 attributes[] = { 0x0092, 0x4092, 0xc092, 0x0096, 0x4096, 0xc096 };
  static const u32 offsets[] = { 0, 1, 0x7ff, 0x800, 0xffc, 0xffd, 0xfff, 0x1000, 0x1001, 0xfffc, 0xfffd, 0xffff, 0x10000, 0x12345, 0xffffffff, 0xfffffffc };
  for (u32 a = 0; a < 6; a++) {
    for (u32 limit = 0; limit < 3; limit++) {
      print("limit ");
      print_hex(attributes[a]);
      print(".");
      print_hex(limit);
      for (u32 o = 0; o < sizeof offsets / sizeof *offsets; o++) {
        set_descriptor(at, 0x200000, limit == 0 ? 0 : limit == 1 ? 0xfff : 0xffff, attributes[a]);
        CODE(0x8b, 0x06); /* mov eax, [esi] */
        struct probe p = start_at(0);
        p.ds = at;
        p.gpr[ESI] = offsets[o];
        run_probe(&p);
        brief(&p);
      }
      end_line();
    }
  }
}
