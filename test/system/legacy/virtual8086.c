/* Virtual-8086 mode: what IOPL permits, how interrupts leave it and come back. */
#include "probe.h"

static const struct { const char *name; u8 bytes[6]; int count; } instructions[] = {
  { "nop", { 0x90 }, 1 },
  { "cli", { 0xfa }, 1 },
  { "sti", { 0xfb }, 1 },
  { "pushf", { 0x9c }, 1 },
  { "popf", { 0x9d }, 1 },
  { "pushfd", { 0x66, 0x9c }, 2 },
  { "popfd", { 0x66, 0x9d }, 2 },
  { "int", { 0xcd, 0x60 }, 2 },
  { "int3", { 0xcc }, 1 },
  { "into", { 0xce }, 1 },
  { "iret", { 0xcf }, 1 },
  { "iretd", { 0x66, 0xcf }, 2 },
  { "hlt", { 0xf4 }, 1 },
  { "in", { 0xe4, 0x80 }, 2 },
  { "lldt", { 0x0f, 0x00, 0xd0 }, 3 },
  { "lar", { 0x0f, 0x02, 0xc0 }, 3 },
  { "arpl", { 0x63, 0xc0 }, 2 },
  { "smsw", { 0x0f, 0x01, 0xe3 }, 3 },
  { "mov cr0", { 0x0f, 0x22, 0xc0 }, 3 },
  { "clts", { 0x0f, 0x06 }, 2 },
  { "mov ds", { 0x8e, 0xd8 }, 2 },
  { "mov ss", { 0x8e, 0xd0 }, 2 },
  { "far jmp", { 0xea, 0x20, 0x00, 0x10, 0x09 }, 5 },
  { "far call", { 0x9a, 0x20, 0x00, 0x10, 0x09 }, 5 },
  { "ud2", { 0x0f, 0x0b }, 2 },
  { "limit", { 0xa1, 0xff, 0xff }, 3 },
};

void test_virtual_8086(void) {
  for (int iopl = 0; iopl <= 3; iopl += 3) {
    for (u32 i = 0; i < sizeof instructions / sizeof *instructions; i++) {
      reset_system();
      set_gate(&idt[0x60], KERNEL_CODE, (u32)stubs + 0x60 * 16, 0xee00);
      set_gate(&idt[3], KERNEL_CODE, (u32)stubs + 3 * 16, 0xee00);
      set_gate(&idt[4], KERNEL_CODE, (u32)stubs + 4 * 16, 0xee00);
      /* Code at 0900:0000; INT DONE at 0910:0020 for the far transfers. */
      u8 *at = (u8 *)LOW_CODE;
      for (int b = 0; b < instructions[i].count; b++) at[b] = instructions[i].bytes[b];
      /* IOPL 3 lets INT through; HLT, which is always #GP(0), ends the code otherwise. */
      at[instructions[i].count] = iopl == 3 ? 0xcd : 0xf4;
      at[instructions[i].count + 1] = DONE;
      PUT_DONE(0x9120);
      struct probe p = start_at(3);
      p.eip = 0;
      p.cs = 0x900;
      p.eflags = 0x20002 | iopl << 12 | 0x800;
      p.ss = 0x600;
      p.gpr[ESP] = 0x800;
      p.ds = 0x1234;
      p.es = 0x2345;
      p.fs = 0x3456;
      p.gs = 0x4567;
      p.gpr[EAX] = 0x1111;
      u16 *stack16 = (u16 *)0x6800;
      static const u16 frame[8] = { 0x20, 0x910, 0x3202, 0, 0, 0, 0, 0 };
      static const u32 wide_frame[3] = { 0x20, 0x910, 0x243202 };
      for (int w = 0; w < 8; w++) stack16[w] = frame[w];
      if (instructions[i].bytes[0] == 0x66 && instructions[i].bytes[1] == 0xcf) for (int w = 0; w < 3; w++) ((u32 *)stack16)[w] = wide_frame[w];
      if (instructions[i].bytes[instructions[i].count - 1] == 0x9d) *(u32 *)stack16 = 0x257fd7 & ~0x100;
      run_probe(&p);
      print("v86 ");
      print(instructions[i].name);
      print(" ");
      print_hex(iopl);
      /* EBX of SMSW holds bits that depend on the model of the floating-point unit. */
      digest(stack16[-1]);
      digest(stack16[-2]);
      p.eip += (u32)code;
      p.gpr[EBX] = 0;
      outcome(&p);
      end_line();
    }
  }
  reset_system();
}
