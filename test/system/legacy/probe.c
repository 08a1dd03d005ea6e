/* The frame of the legacy probe: tables, outcomes, the order of the parts. */
#include "probe.h"

u64 gdt[GDT_ENTRIES] __attribute__((aligned(4096)));
u64 idt[256] __attribute__((aligned(4096)));
u32 tss[64] __attribute__((aligned(256))), tss2[64] __attribute__((aligned(256)));
u8 stack[8192] __attribute__((aligned(4096))), user_stack[8192] __attribute__((aligned(4096)));
u8 ring0_stack[8192] __attribute__((aligned(4096))), ring1_stack[8192] __attribute__((aligned(4096)));

void brief(const struct probe *p) { end_outcome(p->vector, p->error, p->eip); }

void outcome(const struct probe *p) {
  digest(p->cs);
  digest(p->ss);
  digest(p->gpr[ESP]);
  /* RF is not kept by every processor that emulates another. */
  digest(p->eflags & ~0x10000u);
  digest(p->ds);
  digest(p->es);
  digest(p->fs);
  digest(p->gs);
  digest(p->gpr[EBX]);
  digest(p->handler_ss);
  digest(p->handler_esp);
  brief(p);
}

void set_gate(u64 *gate, u16 selector, u32 offset, u16 attributes) {
  *gate = (offset & 0xffff) | (u64)selector << 16 | (u64)attributes << 32 | (u64)(offset >> 16) << 48;
}

void reset_system(void) {
  static struct { u16 limit; u32 base; } __attribute__((packed)) pointer;
  WRITE_CR(0, 0x31);
  WRITE_CR(4, 0);
  set_descriptor(KERNEL_CODE, 0, 0xfffff, 0xc09b);
  set_descriptor(KERNEL_DATA, 0, 0xfffff, 0xc093);
  set_descriptor(USER_CODE, 0, 0xfffff, 0xc0fb);
  set_descriptor(USER_DATA, 0, 0xfffff, 0xc0f3);
  set_descriptor(TSS_SELECTOR, (u32)tss, sizeof tss - 1, 0x89);
  set_descriptor(TSS2_SELECTOR, (u32)tss2, sizeof tss2 - 1, 0x89);
  set_descriptor(LDT_SELECTOR, (u32)gdt, 0xff, 0x82);
  set_descriptor(RING1_CODE, 0, 0xfffff, 0xc0bb);
  set_descriptor(RING1_DATA, 0, 0xfffff, 0xc0b3);
  set_descriptor(CODE16, 0, 0xffff, 0x009b);
  set_descriptor(DATA16, 0, 0xffff, 0x0093);
  set_descriptor(USER_CODE16, (u32)code, 0xffff, 0x00fb);
  set_descriptor(USER_STACK16, (u32)user_stack, 0xffff, 0x00f3);
  set_descriptor(CONFORMING, 0, 0xfffff, 0xc09f);
  gdt[GATE >> 3] = 0;
  for (u32 i = 0; i < 64; i++) tss[i] = tss2[i] = 0;
  tss[1] = (u32)ring0_stack + 4096;
  tss[2] = KERNEL_DATA;
  tss[3] = (u32)ring1_stack + 4096;
  tss[4] = RING1_DATA;
  tss[25] = tss2[25] = (sizeof tss - 1) << 16;
  for (int vector = 0; vector < 256; vector++) set_gate(&idt[vector], KERNEL_CODE, (u32)stubs + vector * 16, 0x8e00);
  set_gate(&idt[DONE], KERNEL_CODE, (u32)stubs + DONE * 16, 0xee00);
  pointer.limit = sizeof gdt - 1;
  pointer.base = (u32)gdt;
  __asm__ volatile("lgdt %0" : : "m"(pointer));
  pointer.limit = sizeof idt - 1;
  pointer.base = (u32)idt;
  __asm__ volatile("lidt %0" : : "m"(pointer));
  __asm__ volatile("lldt %w0" : : "r"(0));
  __asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR));
  forget_digest();
}

struct probe start_at(int cpl) {
  struct probe p = { .eip = (u32)code, .cs = KERNEL_CODE, .eflags = 2, .ss = KERNEL_DATA };
  p.gpr[ESP] = STACK;
  if (cpl == 3) {
    p.cs = USER_CODE;
    p.ss = USER_DATA;
    p.gpr[ESP] = USER_STACK;
  }
  p.ds = p.es = p.fs = p.gs = USER_DATA;
  return p;
}

void probe_main(void) {
  static struct { u16 limit; u32 base; } __attribute__((packed)) pointer = { sizeof gdt - 1, (u32)gdt };
  /* No interrupts: the 8259s masked. */
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  set_descriptor(KERNEL_CODE, 0, 0xfffff, 0xc09b);
  set_descriptor(KERNEL_DATA, 0, 0xfffff, 0xc093);
  __asm__ volatile(
      "lgdt %0; ljmp $8, $1f; 1: mov %1, %%ds; mov %1, %%es; mov %1, %%ss; mov %1, %%fs; mov %1, %%gs" : : "m"(pointer), "r"(KERNEL_DATA));
  test_descriptors();
  test_transfers();
  test_tasks();
  test_virtual_8086();
  test_real();
  test_paging();
  print("end\n");
  outl(0xf4, 0);
}
