/* The frame of the system probe: tables, outcomes, the order of the parts. */
#include "probe.h"

u64 gdt[GDT_ENTRIES] __attribute__((aligned(4096)));
u64 idt[512] __attribute__((aligned(4096)));
u8 tss[256] __attribute__((aligned(256)));
u8 stack[8192] __attribute__((aligned(4096))), user_stack[8192] __attribute__((aligned(4096)));
u8 ring0_stack[8192] __attribute__((aligned(4096)));
static u8 ist_stacks[2][4096] __attribute__((aligned(4096)));

void brief(const struct probe *p) { end_outcome(p->vector, p->error, p->rip); }

void outcome(const struct probe *p) {
  digest(p->cs);
  digest(p->ss);
  digest(p->gpr[RSP]);
  /* RF is not kept by every processor that emulates another. */
  digest(p->rflags & ~0x10000ul);
  digest(p->ds);
  digest(p->es);
  digest(p->fs);
  digest(p->gs);
  digest(p->gpr[RBX]);
  /* Intel keeps SS when an IST stack is taken at the same level; others make it null. */
  if (p->cs & 3) digest(p->handler_ss);
  brief(p);
}

void set_gate(int vector, u16 selector, u64 offset, u16 attributes) {
  idt[vector * 2] = (offset & 0xffff) | (u64)selector << 16 | (u64)attributes << 32 | (offset >> 16 & 0xffff) << 48;
  idt[vector * 2 + 1] = offset >> 32;
}

static void put64(u8 *at, u64 value) { *(u64 *)at = value; }

void reset_system(void) {
  static struct { u16 limit; u64 base; } __attribute__((packed)) pointer;
  WRITE_DR(7, 0x400);
  WRITE_DR(0, 0);
  WRITE_DR(1, 0);
  WRITE_DR(6, 0xffff0ff0);
  WRITE_CR(0, 0x80000031);
  WRITE_CR(4, 0x620);
  for (int i = 0; i < 512; i++) pd[i] = 0xe7 | (u64)i << 21;
  WRITE_CR(3, pml4);
  write_msr(0xc0000080, 0xd01);
  gdt[0] = 0;
  set_descriptor(KERNEL_CODE, 0, 0xfffff, 0xa09b);
  set_descriptor(KERNEL_DATA, 0, 0xfffff, 0xc093);
  set_descriptor(USER_CODE32, 0, 0xfffff, 0xc0fb);
  set_descriptor(USER_DATA, 0, 0xfffff, 0xc0f3);
  set_descriptor(USER_CODE64, 0, 0xfffff, 0xa0fb);
  set_descriptor(KERNEL_CODE32, 0, 0xfffff, 0xc09b);
  set_descriptor(TSS_SELECTOR, (u32)(u64)tss, sizeof tss - 1, 0x89);
  gdt[(TSS_SELECTOR >> 3) + 1] = 0;
  set_descriptor(LDT_SELECTOR, (u32)(u64)gdt, 0xff, 0x82);
  gdt[(LDT_SELECTOR >> 3) + 1] = 0;
  for (u32 i = 0; i < sizeof tss; i++) tss[i] = 0;
  put64(tss + 4, (u64)ring0_stack + 4096);
  put64(tss + 36, (u64)ist_stacks[0] + 4096);
  put64(tss + 44, (u64)ist_stacks[1] + 4096);
  *(u16 *)(tss + 0x66) = sizeof tss;
  for (int vector = 0; vector < 256; vector++) set_gate(vector, KERNEL_CODE, (u64)stubs + vector * 16, 0x8e01);
  set_gate(DONE, KERNEL_CODE, (u64)stubs + DONE * 16, 0xee02);
  pointer.limit = sizeof gdt - 1;
  pointer.base = (u64)gdt;
  __asm__ volatile("lgdt %0" : : "m"(pointer));
  pointer.limit = sizeof idt - 1;
  pointer.base = (u64)idt;
  __asm__ volatile("lidt %0" : : "m"(pointer));
  __asm__ volatile("lldt %w0" : : "r"(0));
  __asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR));
  forget_digest();
}

struct probe start_at(int cpl) {
  struct probe p = { .rip = (u64)code, .cs = KERNEL_CODE, .rflags = 0x2, .ss = KERNEL_DATA };
  p.gpr[RSP] = STACK;
  if (cpl == 3) {
    p.cs = USER_CODE64;
    p.ss = USER_DATA;
    p.gpr[RSP] = USER_STACK;
  }
  p.ds = p.es = p.fs = p.gs = USER_DATA;
  return p;
}

void probe_main(void) {
  /* No interrupts: the 8259s masked. */
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  test_segments();
  test_gates();
  test_returns();
  test_control();
  test_paging();
  test_debug();
  print("end\n");
  outl(0xf4, 0);
}
