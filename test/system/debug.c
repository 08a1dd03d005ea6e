/* Single-stepping, breakpoints, and how they get along with what delivers or returns. */
#include "probe.h"

/* Runs up to eight steps, printing where each trap comes, what DR6 says and the vector. */
static void steps(const char *name, struct probe p, int count) {
  print(name);
  for (int i = 0; i < count; i++) {
    run_probe(&p);
    digest(READ_DR(6));
    digest(p.rflags & ~0x10000ul);
    brief(&p);
    if (p.vector != 1) break;
    WRITE_DR(6, 0xffff0ff0);
    p.rflags |= 0x10000;
  }
  end_line();
}

void test_debug(void) {
  for (int cpl = 0; cpl <= 3; cpl += 3) {
    struct probe p;
    reset_system();
    CODE(0x90, 0x89, 0xc0, 0x90, 0x90);
    p = start_at(cpl);
    p.rflags |= 0x100;
    steps("tf nop", p, 8);

    reset_system();
    CODE(0x8e, 0xd3, 0x90, 0x90); /* mov ss, ebx; nop: the trap comes after the nop */
    p = start_at(cpl);
    p.gpr[RBX] = p.ss;
    p.rflags |= 0x100;
    steps("tf mov ss", p, 8);

    reset_system();
    CODE(0x9d, 0x90, 0x90); /* popf that clears TF, and one that sets it */
    for (int set = 0; set < 2; set++) {
      p = start_at(cpl);
      *(u64 *)p.gpr[RSP] = set ? 0x102 : 2;
      p.rflags |= set ? 0 : 0x100;
      steps("tf popf", p, 8);
    }

    reset_system();
    CODE(0xf3, 0xaa, 0x90); /* rep stosb: a trap for each iteration */
    p = start_at(cpl);
    p.gpr[RCX] = 3;
    p.gpr[RDI] = 0x200000;
    p.rflags |= 0x100;
    steps("tf rep", p, 8);

    reset_system();
    set_gate(0x60, KERNEL_CODE, (u64)stubs + 0x60 * 16, 0xee02);
    CODE(0xcd, 0x60);
    p = start_at(cpl);
    p.rflags |= 0x100;
    steps("tf int", p, 8);

    reset_system();
    CODE(0x0f, 0x0b);
    p = start_at(cpl);
    p.rflags |= 0x100;
    steps("tf ud", p, 8);

    /* Execution breakpoints: at the first, second and fourth byte of code. */
    for (int at = 0; at < 4; at++) {
      reset_system();
      CODE(0x90, 0x89, 0xc0, 0x90);
      WRITE_DR(1, (u64)code + at);
      WRITE_DR(7, 0x404);
      p = start_at(cpl);
      steps("exec", p, 4);
    }
    /* Data breakpoints of each length and kind against loads and stores around them. */
    for (int length = 0; length < 4; length++) {
      for (int kind = 1; kind < 4; kind += 2) {
        for (int offset = -8; offset <= 8; offset += 4) {
          for (int store = 0; store < 2; store++) {
            reset_system();
            if (store) CODE(0x89, 0x06, 0x90);
            else CODE(0x8b, 0x06, 0x90);
            WRITE_DR(0, 0x200010);
            WRITE_DR(7, 0x401 | kind << 16 | length << 18);
            p = start_at(cpl);
            p.gpr[RSI] = 0x200010 + offset;
            print_hex(length << 8 | kind << 4 | store);
            print(offset < 0 ? "-" : "+");
            print_hex(offset < 0 ? -offset : offset);
            steps(" data", p, 3);
          }
        }
      }
    }
    /* A breakpoint that is not enabled, and one enabled globally. */
    reset_system();
    CODE(0x90);
    WRITE_DR(0, (u64)code);
    WRITE_DR(7, 0x400);
    steps("off", start_at(cpl), 3);
    WRITE_DR(7, 0x402);
    steps("global", start_at(cpl), 3);
    reset_system();
  }
  print("dr7 after ");
  print_hex(READ_DR(7));
  end_line();
}
