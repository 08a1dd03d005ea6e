/*
 * The system probe: shared by the parts of the kernel. See README.md.
 */
#ifndef PROBE_H
#define PROBE_H

#include "common.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/* What code under test starts with and ends with; entry.S knows the layout. */
struct probe {
  u64 gpr[16];
  u64 rip, cs, rflags, ss;
  u64 ds, es, fs, gs;
  u64 vector, error;
  u64 cr2, stub_sp, handler_ss;
};

extern void run_probe(struct probe *);
extern u8 stubs[];
extern u64 pml4[512], pdpt[512], pd[512];

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE32 0x1b
#define USER_DATA 0x23
#define USER_CODE64 0x2b
#define TSS_SELECTOR 0x30
#define LDT_SELECTOR 0x40
#define KERNEL_CODE32 0x50
#define FIRST_VARIANT 0x100

#define GDT_ENTRIES 2048
extern u64 idt[512];
extern u8 tss[256];
/* Stacks; like the code under test user-accessible. */
extern u8 stack[8192], user_stack[8192], ring0_stack[8192];
#define STACK ((u64)stack + 4096)
#define USER_STACK ((u64)user_stack + 4096)

/* Restores tables, control registers and TR to what every test starts from. */
void reset_system(void);
/* A record for CPL 0 or 3 in 64-bit code at `code`. */
struct probe start_at(int cpl);
/* Changes the gate of a vector: `attributes` are the bits 32..47 (IST, type, DPL, P). */
void set_gate(int vector, u16 selector, u64 offset, u16 attributes);

/* Ends an outcome with the values digested so far; `outcome` adds registers and flags first. */
void brief(const struct probe *);
void outcome(const struct probe *);

static inline u64 read_msr(u32 index) {
  u32 lo, hi;
  __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
  return lo | (u64)hi << 32;
}
static inline void write_msr(u32 index, u64 value) {
  __asm__ volatile("wrmsr" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)));
}
#define READ_DR(n) ({ u64 v_; __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v_)); v_; })
#define WRITE_DR(n, value) __asm__ volatile("mov %0, %%dr" #n : : "r"((u64)(value)))

void test_segments(void);
void test_gates(void);
void test_returns(void);
void test_control(void);
void test_paging(void);
void test_debug(void);

#endif
