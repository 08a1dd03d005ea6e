/* The legacy probe: shared by the parts of the kernel. See ../README.md. */
#ifndef PROBE_H
#define PROBE_H

#include "../common.h"

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };

/* What code under test starts with and ends with; entry.S knows the layout. */
struct probe {
  u32 gpr[8];
  u32 eip, cs, eflags, ss;
  u32 es, ds, fs, gs;
  u32 vector, error, cr2, handler_esp, handler_ss;
};

extern void run_probe(struct probe *);
/* Runs the real-mode routine of entry.S. */
extern void run_real(void);
extern u8 stubs[];

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE 0x1b
#define USER_DATA 0x23
#define TSS_SELECTOR 0x30
#define TSS2_SELECTOR 0x38
#define LDT_SELECTOR 0x40
#define RING1_CODE 0x49
#define RING1_DATA 0x51
#define CODE16 0x60
#define DATA16 0x68
#define USER_CODE16 0x73
#define USER_STACK16 0x7b
#define CONFORMING 0x80
#define GATE 0x88
#define FIRST_VARIANT 0x100

#define GDT_ENTRIES 1024
extern u64 idt[256];
extern u32 tss[64], tss2[64];
extern u8 stack[8192], user_stack[8192], ring0_stack[8192], ring1_stack[8192];
#define STACK ((u32)stack + 4096)
#define USER_STACK ((u32)user_stack + 4096)

/* Low memory that 16-bit code reaches: code under test and its stacks. */
#define LOW_CODE 0x9000
#define LOW_STACK 0x7000
/* INT DONE at an address. */
#define PUT_DONE(at) (*(u16 *)(at) = DONE << 8 | 0xcd)

/* Restores tables, control registers, LDTR and TR to what every test starts from. */
void reset_system(void);
/* A record for CPL 0 or 3 in 32-bit code at `code`. */
struct probe start_at(int cpl);
/* Fills in a gate of the IDT or the GDT; `attributes` are the bits 32..47. */
void set_gate(u64 *gate, u16 selector, u32 offset, u16 attributes);

/* Ends an outcome with the values digested so far; `outcome` adds registers and flags first. */
void brief(const struct probe *);
void outcome(const struct probe *);

void test_descriptors(void);
void test_transfers(void);
void test_tasks(void);
void test_virtual_8086(void);
void test_real(void);
void test_paging(void);

#endif
