/* Task switches by JMP, CALL, INT, exceptions and IRET, with TSSs of 16 and 32 bits, and what is wrong with the new task. */
#include "probe.h"

static struct { u32 offset; u16 selector; } __attribute__((packed)) pointer;
#define VECTOR 0x60
#define ABSENT_DATA 0x10b
#define ABSENT_CODE 0x113

/* What the new TSS holds. */
struct task {
  u32 eip, eflags, esp;
  u16 cs, ss, ds, ldt, trap;
};

/* Registers, inner stack and all in the second TSS. */
static void fill(int wide, const struct task *task) {
  static const u32 values[8] = { 0x1a1, 0x1a2, 0x1a3, 0x1a4, 0, 0x1a6, 0x1a7, 0x1a8 };
  if (wide) {
    tss2[1] = (u32)ring0_stack + 4096;
    tss2[2] = KERNEL_DATA;
    tss2[8] = task->eip;
    tss2[9] = task->eflags;
    for (int i = 0; i < 8; i++) tss2[10 + i] = values[i];
    tss2[14] = task->esp;
    tss2[18] = tss2[21] = tss2[22] = tss2[23] = task->ds;
    tss2[19] = task->cs;
    tss2[20] = task->ss;
    tss2[24] = task->ldt;
    tss2[25] |= task->trap;
  } else {
    u16 *half = (u16 *)tss2;
    half[1] = LOW_STACK - 0x1000;
    half[2] = KERNEL_DATA;
    half[7] = task->eip;
    half[8] = task->eflags;
    for (int i = 0; i < 8; i++) half[9 + i] = values[i];
    half[13] = task->esp;
    half[17] = half[20] = task->ds;
    half[18] = task->cs;
    half[19] = task->ss;
    half[21] = task->ldt;
  }
}

/* A 16-bit TSS leaves the upper halves of registers undefined (SDM 3A 7.6). */
static void show(struct probe *p, u32 mask) {
  for (int i = 0; i < 8; i++) p->gpr[i] &= mask;
  for (int i = 0; i < 8; i++) digest(p->gpr[i]);
  u16 tr, ldtr;
  __asm__ volatile("str %0" : "=r"(tr));
  __asm__ volatile("sldt %0" : "=r"(ldtr));
  digest(tr);
  digest(ldtr);
  digest(READ_CR(0) & 8);
  digest(gdt[TSS_SELECTOR >> 3] >> 32);
  digest(gdt[TSS2_SELECTOR >> 3] >> 32);
  digest(tss[8] - (u32)code);
  digest(tss[9] & ~0x10000);
  digest(tss2[0]);
  outcome(p);
  end_line();
}

/* One thing is wrong with the new task, or unusual. False: not with this width. */
static int spoil(int problem, int wide, u32 *attributes, u32 *limit, struct task *task) {
  /* A fault in the new task needs a stack to be seen: CPL 3 gives it that of ring 0. */
  if (problem >= 4) {
    task->cs = USER_CODE;
    task->ss = wide ? USER_DATA : USER_STACK16;
    task->ds = USER_DATA;
  }
  switch (problem) {
    case 1: *attributes |= 2; break;
    case 2: *attributes &= ~0x80u; break;
    case 3: --*limit; break;
    case 5: task->cs = 3; break;
    case 6: task->cs = USER_DATA; break;
    case 7: task->cs = ABSENT_CODE; break;
    case 8: task->cs = KERNEL_CODE | 3; break;
    case 9: task->ss = 3; break;
    case 10: task->ss = KERNEL_DATA | 3; break;
    case 11: task->ss = ABSENT_DATA; break;
    case 12: task->ds = ABSENT_DATA; break;
    case 13: task->ds = 0x1ff8; break;
    case 14: task->ds = KERNEL_DATA; break;
    case 15: task->ds = 0; break;
    case 16: task->ldt = LDT_SELECTOR; break;
    case 17: task->ldt = KERNEL_DATA; break;
    case 18: task->ldt = 0x1ff8; break;
    case 19: task->eflags = 0x4002; break;
    case 20: /* EIP beyond the limit */
      task->cs = USER_CODE16;
      task->eip = 0x12345;
      return wide;
    case 21: task->trap = 1; return wide;
    case 22:
      task->eflags |= 0x23000;
      task->eip = 0;
      task->cs = LOW_CODE >> 4;
      task->ss = 0x600;
      task->esp = 0x800;
      task->ds = 0x1234;
      return wide;
  }
  return 1;
}
#define PROBLEMS 23

static void run_switch(const char *way, int number, int wide, int cpl, int dpl, int problem) {
  reset_system();
  set_descriptor(ABSENT_DATA, 0, 0xfffff, 0xc073);
  set_descriptor(ABSENT_CODE, 0, 0xfffff, 0xc07b);
  u32 attributes = (wide ? 0x89 : 0x81) | dpl << 5, limit = wide ? 0x67 : 0x2b;
  /* With a 16-bit TSS SP is all there is: a 16-bit stack, which the handlers want to leave for that of ring 0. */
  struct task task = { .eip = LOW_CODE, .eflags = 0x8d7, .cs = KERNEL_CODE, .ss = KERNEL_DATA, .ds = KERNEL_DATA };
  task.esp = wide ? (u32)ring1_stack + 4096 : 0x1000;
  if (!wide) {
    task.cs = USER_CODE;
    task.ss = USER_STACK16;
    task.ds = USER_DATA;
  }
  if (!spoil(problem, wide, &attributes, &limit, &task)) return;
  set_descriptor(TSS2_SELECTOR, (u32)tss2, limit, attributes);
  fill(wide, &task);
  PUT_DONE(LOW_CODE);
  set_gate(&gdt[GATE >> 3], TSS2_SELECTOR, 0, 0x8500 | dpl << 13);
  set_gate(&idt[VECTOR], TSS2_SELECTOR, 0, 0x8500 | dpl << 13);
  pointer.selector = (number < 2 ? TSS2_SELECTOR : GATE) | (dpl ? 3 : 0);
  pointer.offset = 0x12345678;
  CODE(0xff, 0x2e);
  if (number & 1) code[1] = 0x1e;
  if (number >= 4) CODE(0xcd, VECTOR);
  if (number == 5) {
    CODE(0x0f, 0x0b);
    set_gate(&idt[6], TSS2_SELECTOR, 0, 0x8500);
  }
  if (number == 6) {
    CODE(0x8e, 0xd8);
    set_gate(&idt[13], TSS2_SELECTOR, 0, 0x8500);
  }
  struct probe p = start_at(cpl);
  p.gpr[ESI] = (u32)&pointer;
  p.gpr[EAX] = 0x1ff8;
  run_probe(&p);
  print("task ");
  print(way);
  print(wide ? " 32 " : " 16 ");
  print_hex(cpl << 12 | dpl << 8 | problem);
  show(&p, wide ? ~0u : 0xffff);
}

/* CALL, then IRET in the second task comes back; and IRET with a bad back link. */
static void run_return(int problem) {
  reset_system();
  const struct task task = {
    .eip = (u32)code + 0x100, .esp = (u32)ring1_stack + 4096, .eflags = 2, .cs = KERNEL_CODE, .ss = KERNEL_DATA, .ds = KERNEL_DATA
  };
  fill(1, &task);
  code[0x100] = 0xcf;
  pointer.selector = TSS2_SELECTOR;
  CODE(0xff, 0x1e);
  PUT_DONE(code + 0x101);
  struct probe p = start_at(0);
  p.gpr[ESI] = (u32)&pointer;
  if (problem) {
    CODE(0xcf);
    p.eflags = 0x4002;
    tss[0] = problem == 1 ? TSS2_SELECTOR : problem == 2 ? 0x1ff8 : TSS_SELECTOR | 4;
  }
  run_probe(&p);
  print("task iret ");
  print_hex(problem);
  show(&p, ~0u);
}

void test_tasks(void) {
  static const char *const ways[] = { "jmp", "call", "jmp gate", "call gate", "int gate", "ud gate", "gp gate" };
  for (int wide = 0; wide < 2; wide++)
    for (int way = 0; way < 7; way++)
      for (int cpl = 0; cpl <= 3; cpl += 3)
        for (int dpl = 0; dpl <= 3; dpl += 3)
          for (int problem = 0; problem < PROBLEMS; problem++) {
            /* A refused switch would be a fault while #GP is delivered through a gate of #GP. */
            if (way == 6 && problem >= 1 && problem <= 3) continue;
            run_switch(ways[way], way, wide, cpl, dpl, problem);
          }
  for (int problem = 0; problem < 4; problem++) run_return(problem);
  reset_system();
}
