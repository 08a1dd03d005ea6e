/*
 * Runs single floating-point instructions on the processor of this machine.
 *
 *   harness < requests > responses
 *
 * A request is one `struct exchange`: machine code (operands in ST(i), XMM0, XMM1, RAX, or memory at [RDI]) and the
 * state before it. The response is the same structure with the state after it; `fault` is the vector that the
 * instruction raised (16 #MF, 19 #XM, 6 #UD), or 0. Used only to record test vectors (README.md).
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define OLD_POINTER 0x123456

struct fxsave {
  uint16_t fcw, fsw;
  uint8_t ftw, reserved0;
  uint16_t fop;
  uint64_t fip, fdp;
  uint32_t mxcsr, mxcsr_mask;
  uint8_t st[8][16];
  uint8_t xmm[16][16];
  uint8_t reserved1[96];
} __attribute__((aligned(16)));

struct exchange {
  uint8_t code_bytes, fault, ftw, reserved0;
  uint8_t code[12];
  uint32_t mxcsr;
  uint16_t fcw, fsw;
  uint64_t rax;
  uint8_t st[8][16]; /* ST(0) first */
  uint8_t xmm[2][16];
  uint8_t memory[128]; /* 128 bytes at RDI */
  uint64_t fip, fdp;   /* response: 1 for the address of the code, of the operand; 2 when it has not changed */
  uint32_t fop, rflags; /* request: the arithmetic flags */
};

static struct fxsave before, after;
static uint8_t operand[128] __attribute__((aligned(64)));
static uint8_t *page;
static volatile int fault;
extern char resume_here[];

static void on_signal(int number, siginfo_t *info, void *raw) {
  ucontext_t *context = raw;
  (void)info;
  if (number == SIGILL) fault = 6;
  else if (number == SIGSEGV) fault = 13;
  else fault = context->uc_mcontext.gregs[REG_TRAPNO];
  context->uc_mcontext.gregs[REG_RIP] = (greg_t)resume_here;
}

static uint64_t rsp_kept;

static void run(uint64_t *rax, uint64_t *rflags) {
  uint64_t a = *rax, f = *rflags;
  asm volatile(
      "mov %%rsp, %[kept]\n"
      "sub $256, %%rsp\n" /* below the red zone */
      "fxrstor64 %[in]\n"
      "pushq %[f]\n"
      "popfq\n"
      "call *%[page]\n"
      ".globl resume_here\n"
      "resume_here:\n"
      "pushfq\n"
      "popq %[f]\n"
      "mov %[kept], %%rsp\n"
      "fxsave64 %[out]\n"
      "fninit\n"
      : [out] "=m"(after), [kept] "+m"(rsp_kept), "+a"(a), [f] "+&r"(f)
      : [in] "m"(before), [page] "r"(page), "D"(operand)
      : "memory", "cc", "rcx", "rdx", "xmm0", "xmm1");
  *rax = a;
  *rflags = f;
}

int main(void) {
  static uint8_t alternate[65536];
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  struct exchange x;
  sigaltstack(&stack, 0);
  sigaction(SIGFPE, &action, 0);
  sigaction(SIGILL, &action, 0);
  sigaction(SIGSEGV, &action, 0);
  page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return 1;
  while (fread(&x, sizeof x, 1, stdin) == 1) {
    uint64_t rflags = (x.rflags & 0x8d5) | 2;
    memset(&before, 0, sizeof before);
    before.fcw = x.fcw;
    before.fsw = x.fsw;
    before.ftw = x.ftw;
    before.mxcsr = x.mxcsr;
    before.fop = x.fop;
    before.fip = before.fdp = OLD_POINTER;
    memcpy(before.st, x.st, sizeof before.st);
    memcpy(before.xmm, x.xmm, sizeof x.xmm);
    memcpy(operand, x.memory, sizeof operand);
    memcpy(page, x.code, x.code_bytes);
    page[x.code_bytes] = 0xc3;
    fault = 0;
    run(&x.rax, &rflags);
    x.fault = fault;
    x.ftw = after.ftw;
    x.fcw = after.fcw;
    x.fsw = after.fsw;
    x.mxcsr = after.mxcsr;
    memcpy(x.st, after.st, sizeof after.st);
    memcpy(x.xmm, after.xmm, sizeof x.xmm);
    memcpy(x.memory, operand, sizeof operand);
    x.fip = after.fip == (uint64_t)page ? 1 : after.fip == OLD_POINTER ? 2 : after.fip;
    x.fdp = after.fdp == (uint64_t)operand ? 1 : after.fdp == OLD_POINTER ? 2 : after.fdp;
    x.fop = after.fop;
    x.rflags = rflags;
    if (fwrite(&x, sizeof x, 1, stdout) != 1) return 1;
  }
  return 0;
}
