/* Interrupt gates, call gates and returns of 16 and 32 bits, with and without a change of privilege. */
#include "probe.h"

static struct { u32 offset; u16 selector; } __attribute__((packed)) pointer;
#define VECTOR 0x60
#define HIGH_STACK 0x207000

static const u16 targets[] = { KERNEL_CODE, RING1_CODE & ~3, CONFORMING, USER_CODE & ~3, KERNEL_DATA, 0, 0x1ff8 };
#define TARGETS (sizeof targets / sizeof *targets)

/* What is on the stack of a routine that ended with INT DONE. */
static void digest_stack(const struct probe *p) {
  if (p->vector == DONE) for (int i = 0; i < 6; i++) digest(((u32 *)p->gpr[ESP])[i]);
}

/* INT through a gate to a routine in low memory, from CPL 0, CPL 3 and virtual-8086 mode. */
static void run_gate(u16 selector, u16 attributes) {
  for (int from = 0; from < 3; from++) {
    reset_system();
    set_gate(&idt[VECTOR], selector, LOW_CODE, attributes);
    PUT_DONE(LOW_CODE);
    CODE(0xcd, VECTOR);
    struct probe p = start_at(from ? 3 : 0);
    p.eflags |= 0x4d5;
    if (from == 2) {
      *(u16 *)(LOW_CODE + 0x100) = VECTOR << 8 | 0xcd;
      p.cs = LOW_CODE >> 4;
      p.eip = 0x100;
      p.ss = 0x600;
      p.gpr[ESP] = 0x800;
      p.eflags |= 0x23000;
    }
    run_probe(&p);
    digest_stack(&p);
    outcome(&p);
  }
  end_line();
}

static void gates(void) {
  for (u32 attributes = 0; attributes < 0x100; attributes++) {
    /* Task gates have their own tests. */
    if ((attributes & 0x1f) == 5) continue;
    print("gate32 ");
    print_hex(attributes);
    run_gate(KERNEL_CODE, attributes << 8);
  }
  for (u32 t = 0; t < TARGETS; t++) {
    for (int wide = 0; wide < 2; wide++) {
      print("gate32 to ");
      print_hex(targets[t]);
      print(wide ? " 32" : " 16");
      run_gate(targets[t], wide ? 0xee00 : 0xe600);
    }
  }
  /* Inner stacks that are refused. */
  static const u16 stacks[] = { 0, 1, KERNEL_CODE, USER_DATA, KERNEL_DATA | 1, 0x1ff8, 0x108, 0x110 };
  for (u32 s = 0; s < sizeof stacks / sizeof *stacks; s++) {
    reset_system();
    set_descriptor(0x108, 0, 0xfffff, 0xc013);
    set_descriptor(0x110, 0, 0xfffff, 0xc091);
    /* Ring 1's stack is the bad one, so that the handler in ring 0 has its own. */
    tss[4] = stacks[s];
    set_gate(&idt[VECTOR], RING1_CODE & ~3, (u32)stubs + VECTOR * 16, 0xee00);
    CODE(0xcd, VECTOR);
    struct probe p = start_at(3);
    run_probe(&p);
    print("inner ");
    print_hex(stacks[s]);
    outcome(&p);
    end_line();
  }
}

/* Parameters are on the caller's stack. */
static void call_gates(void) {
  for (u32 t = 0; t < TARGETS; t++) {
    for (int wide = 0; wide < 2; wide++) {
      print("callgate ");
      print_hex(targets[t]);
      print(wide ? " 32" : " 16");
      for (int cpl = 0; cpl <= 3; cpl += 3) {
        for (int jump = 0; jump < 2; jump++) {
          for (int parameters = 0; parameters < 4; parameters += 3) {
            for (int dpl = 0; dpl <= 3; dpl += 3) {
              reset_system();
              PUT_DONE(LOW_CODE);
              set_gate(&gdt[GATE >> 3], targets[t], LOW_CODE, 0x8400 | wide << 11 | dpl << 13 | parameters);
              pointer.selector = GATE | (dpl ? 3 : 0);
              CODE(0xff, 0x1e);
              if (jump) code[1] = 0x2e;
              struct probe p = start_at(cpl);
              p.gpr[ESI] = (u32)&pointer;
              u32 *top = (u32 *)p.gpr[ESP];
              for (u32 i = 0; i < 4; i++) top[i] = 0x11111111 * (i + 1);
              run_probe(&p);
              digest_stack(&p);
              outcome(&p);
            }
          }
        }
      }
      end_line();
    }
  }
}

static void returns(void) {
  static const u16 codes[] = { KERNEL_CODE, USER_CODE, RING1_CODE, USER_CODE16, 0, KERNEL_DATA, 0x1ff8, CONFORMING | 3 };
  static const u16 stacks[] = { KERNEL_DATA, USER_DATA, RING1_DATA, USER_STACK16, 0, KERNEL_CODE, 0x1ff8, USER_DATA & ~3 };
  for (int far = 0; far < 2; far++) {
    for (int wide = 0; wide < 2; wide++) {
      for (int cpl = 0; cpl <= 3; cpl += 3) {
        for (u32 c = 0; c < 8; c++) {
          print(far ? "retf32 " : "iret32 ");
          print_hex(wide);
          print_hex(cpl);
          print(" ");
          print_hex(codes[c]);
          for (u32 s = 0; s < 8; s++) {
            reset_system();
            if (far && wide) CODE(0xca, 4, 0);
            else if (far) CODE(0x66, 0xca, 4, 0);
            else if (wide) CODE(0xcf);
            else CODE(0x66, 0xcf);
            PUT_DONE(LOW_CODE);
            PUT_DONE(code + 0x200);
            struct probe p = start_at(cpl);
            u32 landing = codes[c] == USER_CODE16 ? 0x200 : wide ? (u32)code + 0x200 : LOW_CODE;
            u32 iret_frame[5] = { landing, codes[c], 0x4d7, codes[c] == USER_CODE16 ? 0x1000 : HIGH_STACK, stacks[s] };
            /* RETF has its parameters between CS and SP, and no flags. */
            u32 far_frame[5] = { landing, codes[c], 0xabcd, codes[c] == USER_CODE16 ? 0x1000 : HIGH_STACK, stacks[s] };
            u32 far_narrow[6] = { landing, codes[c], 0xabcd, 0xabcd, LOW_STACK, stacks[s] };
            for (int i = 0; i < 6; i++) {
              if (wide && i < 5) ((u32 *)p.gpr[ESP])[i] = far ? far_frame[i] : iret_frame[i];
              else if (!wide) ((u16 *)p.gpr[ESP])[i] = far ? far_narrow[i] : i < 5 ? iret_frame[i] : 0;
            }
            if (!cpl) {
              p.ds = KERNEL_DATA;
              p.fs = CONFORMING;
            }
            run_probe(&p);
            outcome(&p);
          }
          end_line();
        }
      }
    }
  }
}

void test_transfers(void) {
  gates();
  call_gates();
  returns();
}
