/* Interrupt gates of every kind, stacks that are not there, and exceptions during the delivery of others. */
#include "probe.h"

#define VECTOR 0x60

static void run_int(const char *name, u64 value, int cpl) {
  CODE(0xcd, VECTOR);
  struct probe p = start_at(cpl);
  p.rflags |= 0x4d5;
  run_probe(&p);
  print(name);
  print_hex(value);
  print(cpl ? " u" : " k");
  digest(p.cr2);
  outcome(&p);
  end_line();
}

static void gate_types(void) {
  static const u16 selectors[] = { KERNEL_CODE, 0, 3, KERNEL_DATA, KERNEL_CODE32, USER_CODE64 & ~3, USER_CODE64, 0x4000, TSS_SELECTOR, 0x0c, 0x58, 0x60 };
  for (u32 attributes = 0; attributes < 0x100; attributes++) {
    for (int cpl = 0; cpl <= 3; cpl += 3) {
      reset_system();
      set_gate(VECTOR, KERNEL_CODE, (u64)stubs + VECTOR * 16, attributes << 8);
      run_int("gate ", attributes, cpl);
    }
  }
  for (u32 i = 0; i < sizeof selectors / sizeof *selectors; i++) {
    for (int cpl = 0; cpl <= 3; cpl += 3) {
      reset_system();
      set_descriptor(0x58, 0, 0xfffff, 0xa09e); /* conforming */
      set_descriptor(0x60, 0, 0xfffff, 0xa01a); /* not present */
      set_gate(VECTOR, selectors[i], (u64)stubs + VECTOR * 16, 0xef00);
      run_int("gate to ", selectors[i], cpl);
    }
  }
}

static void stacks(void) {
  /* IST entries and RSP0, in place, misaligned, not canonical; TSS limits that cut them off. */
  static const u64 pointers[] = { 0x8000000000000000, 0x0000800000000000, 0xffff7fffffffffff, 8, 0 };
  for (int ist = 0; ist < 8; ist++) {
    for (int cpl = 0; cpl <= 3; cpl += 3) {
      reset_system();
      for (int i = 0; i < 8; i++) *(u64 *)(tss + 28 + 8 * i) = i > 2 ? (u64)ring0_stack + 512 * i + i : *(u64 *)(tss + 28 + 8 * i);
      set_gate(VECTOR, KERNEL_CODE, (u64)stubs + VECTOR * 16, 0xee00 | ist);
      CODE(0xcd, VECTOR);
      struct probe p = start_at(cpl);
      run_probe(&p);
      print("ist ");
      print_hex(ist);
      print(cpl ? " u" : " k");
      digest(p.stub_sp - (u64)(ist == 1 || ist == 2 ? *(u64 *)(tss + 28 + 8 * ist) : ist || cpl ? (u64)ring0_stack : (u64)stack));
      outcome(&p);
      end_line();
    }
  }
  for (u32 i = 0; i < sizeof pointers / sizeof *pointers; i++) {
    reset_system();
    *(u64 *)(tss + 4) = pointers[i] + 0x40001000;
    set_gate(VECTOR, KERNEL_CODE, (u64)stubs + VECTOR * 16, 0xee00);
    run_int("rsp0 ", pointers[i], 3);
    reset_system();
    set_gate(VECTOR, KERNEL_CODE, (u64)stubs + VECTOR * 16, 0xee00);
    CODE(0xcd, VECTOR);
    struct probe p = start_at(0);
    p.gpr[RSP] = pointers[i] + 0x40001000;
    run_probe(&p);
    print("rsp ");
    print_hex(pointers[i]);
    digest(p.cr2);
    outcome(&p);
    end_line();
  }
  /* #TS: IST 7 lies at 84..91 of the TSS; the handler of #TS itself needs IST 1 at 36..43. */
  for (u32 limit = 88; limit <= 92; limit++) {
    reset_system();
    *(u64 *)(tss + 84) = (u64)ring0_stack + 4096;
    set_descriptor(TSS_SELECTOR, (u32)(u64)tss, limit, 0x89);
    __asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR));
    set_gate(VECTOR, KERNEL_CODE, (u64)stubs + VECTOR * 16, 0xee07);
    run_int("tss limit ", limit, 3);
  }
  /* The IDT limit. */
  static struct { u16 limit; u64 base; } __attribute__((packed)) pointer;
  for (u32 limit = VECTOR * 16; limit <= VECTOR * 16 + 16; limit += limit == VECTOR * 16 ? 14 : 1) {
    reset_system();
    set_gate(VECTOR, KERNEL_CODE, (u64)stubs + VECTOR * 16, 0xee00);
    pointer.limit = limit;
    pointer.base = (u64)idt;
    __asm__ volatile("lidt %0" : : "m"(pointer));
    run_int("idt limit ", limit, 0);
  }
}

/* Code that raises an exception by itself. */
static const struct { const char *name; u8 bytes[8]; int count; } faults[] = {
  { "de", { 0x31, 0xc9, 0xf7, 0xf1 }, 4 },
  { "ud", { 0x0f, 0x0b }, 2 },
  { "gp", { 0x8e, 0xd9 }, 2 },             /* mov ds, ecx = 0x4000 */
  { "np", { 0x8e, 0xda }, 2 },             /* mov ds, edx: not present */
  { "ss", { 0x8e, 0xd2 }, 2 },             /* mov ss, edx: not present */
  { "pf", { 0xa1, 0, 0, 0, 0x40, 0, 0, 0 }, 8 }, /* patched below: mov eax, [0x40000000] */
  { "bp", { 0xcc }, 1 },
  { "int", { 0xcd, VECTOR }, 2 },
};
static const u8 load_unmapped[] = { 0x48, 0x8b, 0x06 }; /* mov rax, [rsi] */

static void nested(void) {
  static const u8 vectors[] = { 0, 6, 13, 11, 12, 14, 3, VECTOR };
  for (u32 fault = 0; fault < sizeof faults / sizeof *faults; fault++) {
    for (int failure = 0; failure < 6; failure++) {
      for (int cpl = 0; cpl <= 3; cpl += 3) {
        reset_system();
        set_descriptor(0x60, 0, 0xfffff, cpl ? 0xc073 : 0xc013);
        u64 stub = (u64)stubs + vectors[fault] * 16;
        u16 dpl = 0x6000;
        switch (failure) {
          case 0: set_gate(vectors[fault], KERNEL_CODE, stub, 0x0e01 | dpl); break;       /* not present: #NP */
          case 1: set_gate(vectors[fault], KERNEL_DATA, stub, 0x8e01 | dpl); break;       /* #GP */
          case 2: set_gate(vectors[fault], KERNEL_CODE, stub, 0x8e03 | dpl); *(u64 *)(tss + 52) = 0x40001000; break; /* #PF on the stack */
          case 3: set_gate(vectors[fault], KERNEL_CODE, stub, 0x8e03 | dpl); *(u64 *)(tss + 52) = 0x40001008; break; /* #PF, misaligned */
          case 4: set_gate(vectors[fault], KERNEL_CODE, stub, 0x8e03 | dpl); *(u64 *)(tss + 52) = 0x800000001000; break; /* #SS */
          case 5: set_gate(vectors[fault], 0x4000, stub, 0x8e01 | dpl); break;
        }
        if (fault == 5) put_code(load_unmapped, sizeof load_unmapped);
        else put_code(faults[fault].bytes, faults[fault].count);
        struct probe p = start_at(cpl);
        p.gpr[RCX] = 0x4000;
        p.gpr[RDX] = 0x60 | cpl;
        p.gpr[RSI] = 0x40000000;
        run_probe(&p);
        print("nested ");
        print(faults[fault].name);
        print_hex(failure);
        print(cpl ? "u" : "k");
        digest(p.cr2);
        outcome(&p);
        end_line();
      }
    }
  }
}

void test_gates(void) {
  gate_types();
  stacks();
  nested();
}
