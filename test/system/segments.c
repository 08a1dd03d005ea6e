/* Every kind of descriptor against every instruction that takes a selector, at CPL 0 and 3 and with every RPL. */
#include "probe.h"

static struct { u64 offset; u16 selector; } __attribute__((packed)) pointer;

struct operation {
  const char *name;
  u8 bytes[8];
  int count;
  int cpl0_only;
};

/* The selector is in EAX, and in `pointer` with the address of INT DONE. */
static const struct operation operations[] = {
  { "ds", { 0x8e, 0xd8 }, 2, 0 },
  { "fs", { 0x8e, 0xe0 }, 2, 0 },
  { "ss", { 0x8e, 0xd0 }, 2, 0 },
  { "lar", { 0x0f, 0x02, 0xd8 }, 3, 0 },
  { "lsl", { 0x0f, 0x03, 0xd8 }, 3, 0 },
  { "verr", { 0x0f, 0x00, 0xe0 }, 3, 0 },
  { "verw", { 0x0f, 0x00, 0xe8 }, 3, 0 },
  { "lldt", { 0x0f, 0x00, 0xd0 }, 3, 1 },
  { "ltr", { 0x0f, 0x00, 0xd8 }, 3, 1 },
  /* jmp and call far through [rsi], REX.W */
  { "jmp", { 0x48, 0xff, 0x2e }, 3, 0 },
  { "call", { 0x48, 0xff, 0x1e }, 3, 0 },
  /* lss ebx, [rsi] takes 32 bits of offset: the selector lies behind them in rdi */
  { "lgs", { 0x0f, 0xb5, 0x1f }, 3, 0 },
};

static void run_operations(u16 selector, u64 *descriptor) {
  static struct { u32 offset; u16 selector; } __attribute__((packed)) short_pointer;
  u64 before = descriptor ? *descriptor : 0;
  for (int cpl = 0; cpl <= 3; cpl += 3) {
    print(cpl ? " |" : ":");
    for (u32 i = 0; i < sizeof operations / sizeof *operations; i++) {
      const struct operation *o = &operations[i];
      if (o->cpl0_only && cpl) continue;
      /* QEMU loads a null TR, and dies of it. */
      if (i == 8 && selector < 4) continue;
      put_code(o->bytes, o->count);
      pointer.offset = (u64)code + o->count;
      pointer.selector = selector;
      short_pointer.offset = 0x1234;
      short_pointer.selector = selector;
      struct probe p = start_at(cpl);
      p.gpr[RAX] = selector;
      p.gpr[RSI] = (u64)&pointer;
      p.gpr[RDI] = (u64)&short_pointer;
      p.rflags |= 0x40;
      run_probe(&p);
      if (descriptor) {
        digest(*descriptor);
        *descriptor = before;
      }
      outcome(&p);
      if (o->cpl0_only) reset_system();
    }
  }
  end_line();
}

void test_segments(void) {
  u16 at = FIRST_VARIANT;
  reset_system();
  /* Code and data: type, DPL, present; code with L, D, and both. */
  for (int type = 0; type < 16; type++) {
    for (int dpl = 0; dpl < 4; dpl += 1) {
      for (int present = 0; present < 2; present++) {
        for (int mode = 0; mode < (type & 8 ? 3 : 1); mode++) {
          u32 high = !(type & 8) ? 0xc000 : mode == 0 ? 0xa000 : mode == 1 ? 0xc000 : 0xe000;
          for (int rpl = 0; rpl < 4; rpl += dpl == 0 || dpl == 3 ? 1 : 3) {
            set_descriptor(at, 0, 0xfffff, high | 0x10 | type | dpl << 5 | present << 7);
            gdt[(at >> 3) + 1] = 0;
            print("seg ");
            print_hex(high | 0x10 | type | dpl << 5 | present << 7);
            print(".");
            print_hex(rpl);
            run_operations(at | rpl, &gdt[at >> 3]);
          }
        }
      }
    }
  }
  /* System descriptors of 16 bytes: as a TSS or LDT at address `tss`, as a gate to KERNEL_CODE. */
  for (int type = 0; type < 16; type++) {
    for (int dpl = 0; dpl < 4; dpl += 3) {
      for (int present = 0; present < 2; present++) {
        for (int upper = 0; upper < 2; upper++) {
          u32 attributes = type | dpl << 5 | present << 7;
          /* As a gate: offset `code` + 3 in two parts, selector 8. */
          u64 target = (u64)code + 3;
          if (type == 12) gdt[at >> 3] = (target & 0xffff) | (u64)KERNEL_CODE << 16 | (u64)attributes << 40 | (target >> 16 & 0xffff) << 48;
          else set_descriptor(at, (u32)(u64)tss, 0xff, attributes);
          gdt[(at >> 3) + 1] = upper ? 0x0000010000000000 : 0;
          print("sys ");
          print_hex(attributes);
          print(upper ? "u" : "");
          run_operations(at | dpl, &gdt[at >> 3]);
        }
      }
    }
  }
  /* Selectors that name nothing. */
  static const u16 odd[] = { 0, 1, 2, 3, 0x4000, 0x4003, 0xffff, 0xfff8, 4, 7, 0x104, 0x107 };
  for (u32 i = 0; i < sizeof odd / sizeof *odd; i++) {
    print("odd ");
    print_hex(odd[i]);
    run_operations(odd[i], 0);
  }
}
