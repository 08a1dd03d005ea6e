/* IRET and far RET in all widths; SYSCALL, SYSRET, SYSENTER, SYSEXIT. */
#include "probe.h"

static const u16 code_selectors[] = { KERNEL_CODE, USER_CODE64, USER_CODE32, KERNEL_CODE32, 0, KERNEL_DATA, USER_DATA, USER_CODE64 & ~3, KERNEL_CODE | 3, 0x5b, 0x58, 0x60, 0x63, 0x4000 };
static const u16 stack_selectors[] = { KERNEL_DATA, USER_DATA, 0, 3, 1, KERNEL_CODE, KERNEL_DATA | 3, USER_DATA & ~3, 0x68, 0x6b, 0x73, 0x4000 };

static void odd_descriptors(void) {
  set_descriptor(0x58, 0, 0xfffff, 0xa09f);  /* conforming, DPL 0 */
  set_descriptor(0x60, 0, 0xfffff, 0xa0ff);  /* conforming, DPL 3 */
  set_descriptor(0x68, 0, 0xfffff, 0xc011);  /* read-only, not present */
  set_descriptor(0x70, 0, 0xfffff, 0xc073);  /* DPL 3, not present */
}

/* A frame at the stack pointer with slots of `size` bytes. */
static void put_frame(u64 at, int size, u64 ip, u64 cs, u64 flags, u64 sp, u64 ss) {
  u64 slots[5] = { ip, cs, flags, sp, ss };
  for (int i = 0; i < 5; i++) {
    if (size == 8) ((u64 *)at)[i] = slots[i];
    else if (size == 4) ((u32 *)at)[i] = slots[i];
    else ((u16 *)at)[i] = slots[i];
  }
}

static void returns(int far) {
  for (int size = 2; size <= 8; size *= 2) {
    for (int cpl = 0; cpl <= 3; cpl += 3) {
      for (u32 c = 0; c < sizeof code_selectors / sizeof *code_selectors; c++) {
        print(far ? "retf " : "iret ");
        print_hex(size);
        print(cpl ? "u " : "k ");
        print_hex(code_selectors[c]);
        for (u32 s = 0; s < sizeof stack_selectors / sizeof *stack_selectors; s++) {
          reset_system();
          odd_descriptors();
          if (far) {
            if (size == 2) CODE(0x66, 0xcb);
            else if (size == 4) CODE(0xcb);
            else CODE(0x48, 0xcb);
          } else if (size == 2) CODE(0x66, 0xcf);
          else if (size == 4) CODE(0xcf);
          else CODE(0x48, 0xcf);
          struct probe p = start_at(cpl);
          /* 16 bits of offset reach the INT DONE in low memory, where the same code is put. */
          u64 landing = size == 2 ? 0x8000 : (u64)code + (size == 4 ? 1 : 2);
          *(u16 *)0x8000 = DONE << 8 | 0xcd;
          if (far) {
            u64 slots[4] = { landing, code_selectors[c], size == 2 ? 0x7000 : 0x107000, stack_selectors[s] };
            for (int i = 0; i < 4; i++) {
              if (size == 8) ((u64 *)p.gpr[RSP])[i] = slots[i];
              else if (size == 4) ((u32 *)p.gpr[RSP])[i] = slots[i];
              else ((u16 *)p.gpr[RSP])[i] = slots[i];
            }
          } else put_frame(p.gpr[RSP], size, landing, code_selectors[c], 0x4d7, size == 2 ? 0x7000 : 0x107000, stack_selectors[s]);
          /* Data segments of inner levels are dropped on the way out. */
          if (!cpl) {
            p.ds = KERNEL_DATA;
            p.es = USER_DATA;
            p.fs = KERNEL_CODE;
            p.gs = 0x58;
          }
          run_probe(&p);
          outcome(&p);
        }
        end_line();
      }
    }
  }
}

/* Flag images at each level and IOPL. */
static void flags(void) {
  static const u64 images[] = { 0, 0xfffdffff, 0x200, 0x3000, 0x3200, 0x4000, 0x8d5, 0x100000, 0x80000, 0x200000, 0x40000, 0x400, 0x10000 };
  for (int cpl = 0; cpl <= 3; cpl += 3) {
    for (int iopl = 0; iopl < 4; iopl++) {
      for (int size = 2; size <= 8; size *= 2) {
        print("iret flags ");
        print_hex(cpl);
        print_hex(iopl);
        print_hex(size);
        for (u32 i = 0; i < sizeof images / sizeof *images; i++) {
          /* Without TF: there are tests of that elsewhere. */
          u64 image = images[i] & ~0x100ul;
          for (int start = 0; start < 2; start++) {
            reset_system();
            if (size == 2) CODE(0x66, 0xcf);
            else if (size == 4) CODE(0xcf);
            else CODE(0x48, 0xcf);
            struct probe p = start_at(cpl);
            *(u16 *)0x8000 = DONE << 8 | 0xcd;
            put_frame(p.gpr[RSP], size, size == 2 ? 0x8000 : (u64)code + (size == 4 ? 1 : 2), p.cs, image, size == 2 ? 0x7000 : 0x107000, p.ss);
            p.rflags = 2 | iopl << 12 | (start ? 0x240ad5 : 0);
            run_probe(&p);
            digest(p.rflags & ~0x10000ul);
            brief(&p);
          }
        }
        end_line();
      }
    }
  }
}

static void addresses(void) {
  static const u64 odd[] = { 0x800000000000, 0xffff7fffffffffff, 0x1000000000, 0x100000000, 0x7fffffffffff, 0xffff800000000000 };
  static const u16 selectors[] = { KERNEL_CODE, USER_CODE64, USER_CODE32 };
  for (u32 s = 0; s < 3; s++) {
    print("iretq far ");
    print_hex(selectors[s]);
    for (u32 i = 0; i < sizeof odd / sizeof *odd; i++) {
      reset_system();
      CODE(0x48, 0xcf);
      struct probe p = start_at(0);
      put_frame(p.gpr[RSP], 8, odd[i], selectors[s], 2, USER_STACK, selectors[s] & 3 ? USER_DATA : KERNEL_DATA);
      run_probe(&p);
      digest(p.cr2);
      digest(p.rip);
      outcome(&p);
    }
    end_line();
  }
  /* The stack pointer's own address: beyond the canonical ones, and a page that is not there in the middle of the frame. */
  for (int i = 0; i < 3; i++) {
    reset_system();
    CODE(0x48, 0xcf);
    struct probe p = start_at(0);
    p.gpr[RSP] = i == 0 ? 0x800000000000 : i == 1 ? 0x7fffffffffe8 : 0x3ffffe8;
    *(u64 *)0x3ffffe8 = 0;
    *(u64 *)0x3fffff0 = KERNEL_CODE;
    *(u64 *)0x3fffff8 = 2;
    pd[32] = 0;
    WRITE_CR(3, READ_CR(3));
    run_probe(&p);
    print("iretq stack ");
    print_hex(i);
    digest(p.cr2);
    outcome(&p);
    end_line();
  }
}

static void fast_calls(void) {
  for (int star = 0; star < 4; star++) {
    for (int code32 = 0; code32 < 2; code32++) {
      reset_system();
      write_msr(0xc0000081, star == 0 ? 0x0013000800000000 : star == 1 ? 0x001b000800000000 : star == 2 ? 0x0018000b00000000 : 0xfffffff8deadbeef);
      write_msr(0xc0000082, (u64)code + 16);
      write_msr(0xc0000084, 0x44700 & ~0x100);
      code[16] = 0xcd;
      code[17] = DONE;
      if (code32) continue;
      CODE(0x0f, 0x05);
      code[16] = 0xcd;
      code[17] = DONE;
      struct probe p = start_at(3);
      p.rflags = 0x40ed7 & ~0x100;
      run_probe(&p);
      print("syscall ");
      print_hex(star);
      digest(p.gpr[RCX] - (u64)code);
      digest(p.gpr[11]);
      outcome(&p);
      for (int size = 4; size <= 8; size += 4) {
        if (size == 8) CODE(0x48, 0x0f, 0x07);
        else CODE(0x0f, 0x07);
        code[16] = 0xcd;
        code[17] = DONE;
        for (int cpl = 0; cpl <= 3; cpl += 3) {
          p = start_at(cpl);
          p.gpr[RCX] = (u64)code + 16;
          p.gpr[11] = 0xffffffff & ~0x100;
          run_probe(&p);
          outcome(&p);
        }
      }
      end_line();
    }
  }
  reset_system();
  write_msr(0xc0000080, 0xd00);
  CODE(0x0f, 0x05);
  struct probe p = start_at(3);
  run_probe(&p);
  print("syscall off");
  outcome(&p);
  CODE(0x48, 0x0f, 0x07);
  p = start_at(0);
  run_probe(&p);
  outcome(&p);
  end_line();
  for (int null = 0; null < 2; null++) {
    reset_system();
    write_msr(0x174, null ? 3 : KERNEL_CODE);
    write_msr(0x175, STACK);
    write_msr(0x176, (u64)code + 16);
    CODE(0x0f, 0x34);
    code[16] = 0xcd;
    code[17] = DONE;
    p = start_at(3);
    p.rflags = 0xad7;
    run_probe(&p);
    print("sysenter");
    outcome(&p);
    for (int size = 4; size <= 8; size += 4) {
      for (int cpl = 0; cpl <= 3; cpl += 3) {
        if (size == 8) CODE(0x48, 0x0f, 0x35);
        else CODE(0x0f, 0x35);
        code[16] = 0xcd;
        code[17] = DONE;
        p = start_at(cpl);
        p.gpr[RDX] = (u64)code + 16;
        p.gpr[RCX] = USER_STACK;
        run_probe(&p);
        outcome(&p);
      }
    }
    end_line();
  }
}

void test_returns(void) {
  returns(0);
  returns(1);
  flags();
  addresses();
  fast_calls();
}
