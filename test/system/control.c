/* Control registers and the instructions around them: what is refused, what sticks. Bits that depend on the model are left out. */
#include "probe.h"

/* Runs the code in place at a level and reports; RAX is the operand, RCX an index. */
static struct probe run_with(int cpl, u64 rax, u64 rcx) {
  struct probe p = start_at(cpl);
  p.gpr[RAX] = rax;
  p.gpr[RCX] = rcx;
  p.gpr[RSI] = 0x200000;
  run_probe(&p);
  return p;
}

static void line(const char *name, u64 value, int cpl) {
  print(name);
  print_hex(value);
  print(cpl ? " u" : " k");
}

static void cr0(void) {
  static const u64 values[] = { 0x80000031, 0xe0000031, 0xc0000031, 0x80010031, 0x8005003b, 0x80000021, 0x8000003f, 0x80050033 };
  for (u32 i = 0; i < sizeof values / sizeof *values; i++) {
    for (int cpl = 0; cpl <= 3; cpl += 3) {
      reset_system();
      CODE(0x0f, 0x22, 0xc0);
      struct probe p = run_with(cpl, values[i], 0);
      line("cr0 ", values[i], cpl);
      digest(READ_CR(0));
      outcome(&p);
      end_line();
    }
  }
}

static void others(void) {
  static const u64 cr3s[] = { 0, 0x18, 0xfff };
  static const u64 cr4s[] = { 0x620, 0x6fc, 0x40620, 0x10620, 0x720 };
  static const u64 cr8s[] = { 0, 5, 15, 16, 0x8000000000000000 };
  for (u32 i = 0; i < sizeof cr3s / sizeof *cr3s; i++) {
    reset_system();
    CODE(0x0f, 0x22, 0xd8);
    struct probe p = run_with(0, cr3s[i] | (u64)pml4, 0);
    line("cr3 ", cr3s[i], 0);
    digest(READ_CR(3) - (u64)pml4);
    outcome(&p);
    end_line();
  }
  for (u32 i = 0; i < sizeof cr4s / sizeof *cr4s; i++) {
    reset_system();
    CODE(0x0f, 0x22, 0xe0);
    struct probe p = run_with(0, cr4s[i], 0);
    line("cr4 ", cr4s[i], 0);
    digest(READ_CR(4));
    outcome(&p);
    end_line();
  }
  for (u32 i = 0; i < sizeof cr8s / sizeof *cr8s; i++) {
    reset_system();
    CODE(0x44, 0x0f, 0x22, 0xc0);
    struct probe p = run_with(0, cr8s[i], 0);
    line("cr8 ", cr8s[i], 0);
    digest(READ_CR(8));
    outcome(&p);
    end_line();
    WRITE_CR(8, 0);
  }
  /* PCIDs: on with a PCID in CR3; off with one. */
  reset_system();
  WRITE_CR(3, (u64)pml4 | 1);
  CODE(0x0f, 0x22, 0xe0);
  struct probe p = run_with(0, 0x20620, 0);
  line("pcide ", 1, 0);
  outcome(&p);
  end_line();
  /* Registers that do not exist: mov cr1, cr5, cr6, cr7, cr9, cr15. */
  static const u8 modrm[][4] = {
    { 0x0f, 0x22, 0xc8 }, { 0x0f, 0x22, 0xe8 }, { 0x0f, 0x22, 0xf0 }, { 0x0f, 0x20, 0xf8 }, { 0x44, 0x0f, 0x22, 0xc8 }, { 0x44, 0x0f, 0x20, 0xf8 },
  };
  for (u32 i = 0; i < sizeof modrm / sizeof *modrm; i++) {
    for (int cpl = 0; cpl <= 3; cpl += 3) {
      reset_system();
      put_code(modrm[i], modrm[i][0] == 0x44 ? 4 : 3);
      p = run_with(cpl, 0, 0);
      line("no cr ", i, cpl);
      outcome(&p);
      end_line();
    }
  }
}

/* Instructions by level, with UMIP, TSD and the like off and on. */
static const struct { const char *name; u8 bytes[6]; int count; u64 cr4; } plain[] = {
  { "clts", { 0x0f, 0x06 }, 2, 0 },
  { "lmsw", { 0x0f, 0x01, 0xf0 }, 3, 0 },
  { "smsw", { 0x0f, 0x01, 0xe3 }, 3, 0x800 },
  { "sgdt", { 0x0f, 0x01, 0x06 }, 3, 0x800 },
  { "sidt", { 0x0f, 0x01, 0x0e }, 3, 0x800 },
  { "sldt", { 0x0f, 0x00, 0xc3 }, 3, 0x800 },
  { "str", { 0x0f, 0x00, 0xcb }, 3, 0x800 },
  { "invlpg", { 0x0f, 0x01, 0x3e }, 3, 0 },
  { "wbinvd", { 0x0f, 0x09 }, 2, 0 },
  { "rdtsc", { 0x0f, 0x31 }, 2, 4 },
  { "swapgs", { 0x0f, 0x01, 0xf8 }, 3, 0 },
  { "rdfsbase", { 0xf3, 0x48, 0x0f, 0xae, 0xc3 }, 5, 0x10000 },
  { "wrgsbase", { 0xf3, 0x48, 0x0f, 0xae, 0xd8 }, 5, 0x10000 },
  { "xgetbv", { 0x0f, 0x01, 0xd0 }, 3, 0x40000 },
  { "rdmsr", { 0x0f, 0x32 }, 2, 0 },
  { "wrmsr", { 0x0f, 0x30 }, 2, 0 },
  { "int3", { 0xcc }, 1, 0 },
  { "cli", { 0xfa }, 1, 0 },
  { "in", { 0xe4, 0x80 }, 2, 0 },
  { "rsm", { 0x0f, 0xaa }, 2, 0 },
  { "mov dr0", { 0x0f, 0x23, 0xc0 }, 3, 0 },
  { "mov dr4", { 0x0f, 0x23, 0xe0 }, 3, 8 },
  { "mov dr7", { 0x0f, 0x23, 0xf8 }, 3, 0 },
  { "mov cs", { 0x8e, 0xc8 }, 2, 0 },
  { "mov sreg6", { 0x8e, 0xf0 }, 2, 0 },
  { "lgdt reg", { 0x0f, 0x01, 0xd6 }, 3, 0 },
  { "into", { 0xce }, 1, 0 },
  { "arpl", { 0x63, 0xc3 }, 2, 0 },
  { "push es", { 0x06 }, 1, 0 },
  { "jmp far imm", { 0xea }, 1, 0 },
  { "fxsave", { 0x0f, 0xae, 0x06 }, 3, 0 },
  { "fxsave odd", { 0x0f, 0xae, 0x46, 0x08 }, 4, 0 },
  { "xsave", { 0x0f, 0xae, 0x26 }, 3, 0x40000 },
  { "ldmxcsr", { 0x0f, 0xae, 0x16 }, 3, 0 },
  { "fnop", { 0xd9, 0xd0 }, 2, 0 },
  { "emms", { 0x0f, 0x77 }, 2, 0 },
  { "xorps", { 0x0f, 0x57, 0xc0 }, 3, 0 },
};

static void by_level(void) {
  for (u32 i = 0; i < sizeof plain / sizeof *plain; i++) {
    print(plain[i].name);
    for (int cpl = 0; cpl <= 3; cpl += 3) {
      for (int on = 0; on < (plain[i].cr4 ? 2 : 1); on++) {
        /* CR0.TS and EM matter to the floating-point ones. */
        for (u64 fpu = 0; fpu <= 12; fpu += 4) {
          if (fpu && i + 7 < sizeof plain / sizeof *plain) continue;
          reset_system();
          for (u32 at = 0; at < 1024; at += 4) *(u32 *)(0x200000ul + at) = 0;
          WRITE_CR(4, 0x620 | (on ? plain[i].cr4 : 0));
          WRITE_CR(0, 0x80000031 | fpu);
          put_code(plain[i].bytes, plain[i].count);
          struct probe p = run_with(cpl, 0x401, 0xc0000103);
          WRITE_CR(0, 0x80000031);
          /* The digest is of no use where the value is not the same everywhere. */
          digest(0);
          brief(&p);
        }
      }
    }
    end_line();
  }
}

/* IN and OUT under the permission bitmap. */
static void ports(void) {
  static const struct { u8 bytes[2]; u16 port; } forms[] = { { { 0xec }, 0x80 }, { { 0x66, 0xed }, 0x80 }, { { 0xed }, 0x80 } };
  for (int iopl = 0; iopl <= 3; iopl += 3) {
    for (u32 form = 0; form < 3; form++) {
      print("in ");
      print_hex(iopl);
      print_hex(form);
      for (u32 port = 0x7c; port < 0x90; port++) {
        reset_system();
        set_descriptor(TSS_SELECTOR, (u32)(u64)tss, 0x80, 0x89);
        *(u16 *)(tss + 0x66) = 0x70;
        /* Ports 0x80 and 0x83 forbidden; the bitmap ends with the byte of ports 0x80..0x87. */
        for (int at = 0x70; at < 0x100; at++) tss[at] = 0;
        tss[0x80] = 0x09;
        __asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR));
        put_code(forms[form].bytes, form == 1 ? 2 : 1);
        struct probe p = start_at(3);
        p.rflags = 2 | iopl << 12;
        p.gpr[RDX] = port;
        run_probe(&p);
        brief(&p);
      }
      end_line();
    }
  }
}

/* Segment bases and MSRs that take addresses. */
static void addresses(void) {
  static const u64 values[] = { 0, 0x7fffffffffff, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000, 0x8000000000000000 };
  static const u32 msrs[] = { 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000082, 0xc0000083, 0x175, 0x176 };
  for (u32 m = 0; m < sizeof msrs / sizeof *msrs; m++) {
    print("msr ");
    print_hex(msrs[m]);
    for (u32 i = 0; i < sizeof values / sizeof *values; i++) {
      reset_system();
      CODE(0x0f, 0x30);
      struct probe p = start_at(0);
      p.gpr[RCX] = msrs[m];
      p.gpr[RAX] = (u32)values[i];
      p.gpr[RDX] = values[i] >> 32;
      run_probe(&p);
      brief(&p);
    }
    end_line();
  }
  static const u64 efers[] = { 0xd01, 0x901, 0xc01, 0xd00, 0x501, 0x1d01, 0x100000d01 };
  print("efer");
  for (u32 i = 0; i < sizeof efers / sizeof *efers; i++) {
    reset_system();
    CODE(0x0f, 0x30);
    struct probe p = start_at(0);
    p.gpr[RCX] = 0xc0000080;
    p.gpr[RAX] = (u32)efers[i];
    p.gpr[RDX] = efers[i] >> 32;
    run_probe(&p);
    digest(read_msr(0xc0000080));
    brief(&p);
  }
  end_line();
}

void test_control(void) {
  cr0();
  others();
  by_level();
  ports();
  addresses();
  reset_system();
}
