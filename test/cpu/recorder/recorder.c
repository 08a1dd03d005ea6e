/*
 * Runs x86 instructions, one at a time or a program of them, on the machine's own processor in user mode and reports what they did.
 *
 * Linux x86-64 only. Standard input: a header, then cases; standard output: one result per case. The layouts below
 * are mirrored in test/cpu/environment.ts, test/cpu/machine-state.ts and test/cpu/recorder/native.ts.
 *
 * How a case runs: the instruction's bytes go into code pages that are otherwise full of INT3. rt_sigreturn(2) with a
 * frame of our own loads every register at once, RSP and RFLAGS too. Whatever happens next is an exception (the
 * instruction's own, or the INT3 it ran into), the kernel delivers it as a signal on the alternate stack with all
 * registers, the error code and CR2 in the frame, and the handler jumps back to enter()'s caller.
 *
 * No C code runs, and no thread-local storage is touched, while the case's segment registers are loaded.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096UL
#define CODE_LOW 0x10000000UL
#define DATA_LOW 0x20000000UL
#define HIGH 0x123400000000UL /* the same pages again, above 4 GiB */
#define CODE_BYTES (2 * PAGE)
#define DATA_RW_BYTES (2 * PAGE)
#define DATA_BYTES (3 * PAGE) /* two writable pages, then a read-only one */

#define MAGIC 0x31525654u /* "TVR1" */
#define TRAP_NONE 0xffffffffu
#define TRAP_TIMEOUT 0xfffffffeu

/* Kernel flags of ucontext.uc_flags, arch/x86/include/uapi/asm/ucontext.h. */
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4

struct state {
  uint64_t gpr[16]; /* in encoding order: RAX RCX RDX RBX RSP RBP RSI RDI R8.. */
  uint64_t rip, rflags, fs_base, gs_base;
  uint8_t xmm[16][16];
  uint8_t st[8][16]; /* ST(0).., ten bytes each, as FXSAVE has them */
  uint32_t mxcsr;
  uint16_t fcw, fsw;
  uint8_t ftw, pad0[7]; /* abridged tags: bit n set, physical register n is not empty */
  uint16_t sel[6];      /* ES CS SS DS FS GS */
  uint8_t pad1[4];
  uint8_t ymm_high[16][16];
};
_Static_assert(sizeof(struct state) == 832, "machine-state.ts has these offsets");

#define HEAD_CODE_BYTES 16

struct case_head {
  uint32_t code_length;
  uint32_t code_offset; /* of the instruction in the code pages */
  uint16_t patch_count, pad2;
  uint32_t pad3;
  uint8_t code[HEAD_CODE_BYTES]; /* the rest of longer code follows the patches */
  struct state state;
};

struct result_head {
  uint32_t signal, trap;
  uint64_t error, cr2;
  struct state state;
  uint32_t diff_count;
};

struct patch_head {
  uint16_t offset, length;
};

/* FXSAVE image, SDM vol. 1, table 10-2 (64-bit layout). */
struct fxsave {
  uint16_t fcw, fsw;
  uint8_t ftw, reserved;
  uint16_t fop;
  uint64_t fip, fdp;
  uint32_t mxcsr, mxcsr_mask;
  uint8_t st[8][16];
  uint8_t xmm[16][16];
  uint8_t rest[48];
  struct _fpx_sw_bytes software; /* says to the kernel that XSAVE's header and components follow */
  uint64_t xstate_bv, header[7];
  uint8_t ymm_high[16][16];
  uint32_t magic2;
};
_Static_assert(offsetof(struct fxsave, ymm_high) == 576, "SDM vol. 1, 13.5.2");
#define XSTATE_LEGACY 3
#define XSTATE_AVX 4

/* Shared with the assembly below. */
struct exchange {
  uint64_t host_rsp;
  uint64_t host_fs_base, host_gs_base;
  uint64_t in_fs_base, in_gs_base;
  uint64_t out_fs_base, out_gs_base;
  uint64_t out_context, out_signal;
  uint16_t in_sel[6], out_sel[6];
};
struct exchange x __attribute__((used));

_Static_assert(offsetof(struct exchange, host_fs_base) == 8, "assembly");
_Static_assert(offsetof(struct exchange, in_fs_base) == 24, "assembly");
_Static_assert(offsetof(struct exchange, out_fs_base) == 40, "assembly");
_Static_assert(offsetof(struct exchange, out_context) == 56, "assembly");
_Static_assert(offsetof(struct exchange, in_sel) == 72, "assembly");
_Static_assert(offsetof(struct exchange, out_sel) == 84, "assembly");

void enter(ucontext_t *context);
void on_signal(int, siginfo_t *, void *);

/*
 * enter: loads the data segments and bases, then rt_sigreturn from the frame, whose ucontext starts at RSP.
 * A non-null FS or GS selector brings its base from the LDT; a null one takes it from the exchange record.
 * on_signal: saves what the kernel's frame does not hold, restores the host's segments, returns from enter().
 */
__asm__(
    ".text\n"
    ".globl enter\n"
    "enter:\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, x+0(%rip)\n"
    "  mov x+72(%rip), %es\n"
    "  mov x+78(%rip), %ds\n"
    "  movzwl x+80(%rip), %eax\n"
    "  mov %eax, %fs\n"
    "  cmp $4, %eax\n"
    "  jae 1f\n"
    "  mov x+24(%rip), %rax\n"
    "  wrfsbase %rax\n"
    "1:\n"
    "  movzwl x+82(%rip), %eax\n"
    "  mov %eax, %gs\n"
    "  cmp $4, %eax\n"
    "  jae 1f\n"
    "  mov x+32(%rip), %rax\n"
    "  wrgsbase %rax\n"
    "1:\n"
    "  mov %rdi, %rsp\n"
    "  mov $15, %eax\n" /* rt_sigreturn */
    "  syscall\n"
    "  ud2\n"
    ".globl on_signal\n"
    "on_signal:\n"
    "  push $2\n"
    "  popfq\n" /* a case may leave AC, NT or ID set */
    "  mov %es, x+84(%rip)\n"
    "  mov %ds, x+90(%rip)\n"
    "  mov %fs, x+92(%rip)\n"
    "  mov %gs, x+94(%rip)\n"
    "  rdfsbase %rax\n"
    "  mov %rax, x+40(%rip)\n"
    "  rdgsbase %rax\n"
    "  mov %rax, x+48(%rip)\n"
    "  mov %rdx, x+56(%rip)\n"
    "  mov %rdi, x+64(%rip)\n"
    "  mov $0x2b, %eax\n"
    "  mov %eax, %ds\n"
    "  mov %eax, %es\n"
    "  xor %eax, %eax\n"
    "  mov %eax, %fs\n"
    "  mov %eax, %gs\n"
    "  mov x+8(%rip), %rax\n"
    "  wrfsbase %rax\n"
    "  mov x+16(%rip), %rax\n"
    "  wrgsbase %rax\n"
    "  mov x+0(%rip), %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
    "  ret\n");

static void die(const char *what) {
  fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void read_all(void *into, size_t bytes) {
  if (fread(into, 1, bytes, stdin) != bytes) {
    fprintf(stderr, "recorder: input ends inside a record\n");
    exit(2);
  }
}

static int new_memfd(const char *name, size_t bytes) {
  int fd = (int)syscall(SYS_memfd_create, name, 0);
  if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) die("memfd");
  return fd;
}

static void *map(uint64_t at, size_t bytes, int protection, int fd, off_t offset) {
  int flags = MAP_SHARED | MAP_POPULATE | (at != 0 ? MAP_FIXED_NOREPLACE : 0);
  void *p = mmap((void *)at, bytes, protection, flags, fd, offset);
  if (p == MAP_FAILED || (at != 0 && (uint64_t)p != at)) die("mmap");
  return p;
}

static uint8_t *code, *data; /* writable views of the pages the cases see */
static uint8_t background[DATA_BYTES], before[DATA_RW_BYTES];
static ucontext_t context;
static struct fxsave fx __attribute__((aligned(64)));
static stack_t alternate;

static const int sources[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM};

static void set_up(void) {
  if ((getauxval(AT_HWCAP2) & 2) == 0) {
    fprintf(stderr, "recorder: this kernel or processor has no FSGSBASE\n");
    exit(2);
  }
  int code_fd = new_memfd("code", CODE_BYTES), data_fd = new_memfd("data", DATA_BYTES);
  code = map(0, CODE_BYTES, PROT_READ | PROT_WRITE, code_fd, 0);
  data = map(0, DATA_BYTES, PROT_READ | PROT_WRITE, data_fd, 0);
  static const uint64_t bases[] = {0, HIGH};
  for (int i = 0; i < 2; i++) {
    map(bases[i] + CODE_LOW, CODE_BYTES, PROT_READ | PROT_EXEC, code_fd, 0);
    /* The page before the data is a guard: never mapped. */
    map(bases[i] + DATA_LOW + PAGE, DATA_RW_BYTES, PROT_READ | PROT_WRITE, data_fd, 0);
    map(bases[i] + DATA_LOW + PAGE + DATA_RW_BYTES, DATA_BYTES - DATA_RW_BYTES, PROT_READ, data_fd, DATA_RW_BYTES);
  }
  memset(code, 0xcc, CODE_BYTES);

  alternate.ss_size = 1 << 18;
  alternate.ss_sp = mmap(0, alternate.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (alternate.ss_sp == MAP_FAILED || sigaltstack(&alternate, 0) != 0) die("sigaltstack");
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  sigaddset(&action.sa_mask, SIGALRM);
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
    if (sigaction(sources[i], &action, 0) != 0) die("sigaction");
  }
  sigset_t alarm_only;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  sigprocmask(SIG_BLOCK, &alarm_only, 0);

  __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0x2b));
  __asm__ volatile("rdfsbase %0" : "=r"(x.host_fs_base));
  __asm__ volatile("rdgsbase %0" : "=r"(x.host_gs_base));
}

static void load_frame(const struct state *s) {
  greg_t *g = context.uc_mcontext.gregs;
  static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  memset(&context, 0, sizeof context);
  context.uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
  context.uc_stack = alternate;
  for (int i = 0; i < 16; i++) g[order[i]] = (greg_t)s->gpr[i];
  g[REG_RIP] = (greg_t)s->rip;
  g[REG_EFL] = (greg_t)s->rflags;
  g[REG_CSGSFS] = (greg_t)((uint64_t)s->sel[1] | (uint64_t)s->sel[2] << 48);
  memset(&fx, 0, sizeof fx);
  fx.fcw = s->fcw;
  fx.fsw = s->fsw;
  fx.ftw = s->ftw;
  fx.mxcsr = s->mxcsr;
  memcpy(fx.st, s->st, sizeof fx.st);
  memcpy(fx.xmm, s->xmm, sizeof fx.xmm);
  memcpy(fx.ymm_high, s->ymm_high, sizeof fx.ymm_high);
  fx.xstate_bv = XSTATE_LEGACY;
  for (size_t i = 0; i < sizeof fx.ymm_high; i++) {
    if (((uint8_t *)fx.ymm_high)[i] != 0) fx.xstate_bv |= XSTATE_AVX;
  }
  fx.software.magic1 = FP_XSTATE_MAGIC1;
  fx.software.xstate_bv = XSTATE_LEGACY | XSTATE_AVX;
  fx.software.xstate_size = offsetof(struct fxsave, magic2);
  fx.software.extended_size = offsetof(struct fxsave, magic2) + sizeof fx.magic2;
  fx.magic2 = FP_XSTATE_MAGIC2;
  context.uc_mcontext.fpregs = (fpregset_t)&fx;
  memcpy(x.in_sel, s->sel, sizeof x.in_sel);
  x.in_fs_base = s->fs_base;
  x.in_gs_base = s->gs_base;
}

static void store_frame(struct state *s, const struct state *initial) {
  const ucontext_t *c = (const ucontext_t *)x.out_context;
  const greg_t *g = c->uc_mcontext.gregs;
  static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  *s = *initial;
  for (int i = 0; i < 16; i++) s->gpr[i] = (uint64_t)g[order[i]];
  s->rip = (uint64_t)g[REG_RIP];
  s->rflags = (uint64_t)g[REG_EFL];
  s->fs_base = x.out_fs_base;
  s->gs_base = x.out_gs_base;
  const struct fxsave *f = (const struct fxsave *)c->uc_mcontext.fpregs;
  s->fcw = f->fcw;
  s->fsw = f->fsw;
  s->ftw = f->ftw;
  s->mxcsr = f->mxcsr;
  for (int i = 0; i < 8; i++) memcpy(s->st[i], f->st[i], 10);
  memcpy(s->xmm, f->xmm, sizeof s->xmm);
  if ((f->xstate_bv & XSTATE_AVX) != 0) memcpy(s->ymm_high, f->ymm_high, sizeof s->ymm_high);
  else memset(s->ymm_high, 0, sizeof s->ymm_high);
  memcpy(s->sel, x.out_sel, sizeof s->sel);
  s->sel[1] = (uint16_t)g[REG_CSGSFS];
  s->sel[2] = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);
}

/* Writes the runs of bytes that differ from `before`, unequal bytes less than four apart in one run. */
static uint32_t write_diffs(void) {
  static uint8_t out[DATA_RW_BYTES * 5];
  uint32_t count = 0;
  size_t used = 0;
  for (size_t i = 0; i < DATA_RW_BYTES;) {
    if ((i & 63) == 0 && memcmp(data + i, before + i, 64) == 0) {
      i += 64;
      continue;
    }
    if (data[i] == before[i]) {
      i++;
      continue;
    }
    size_t last = i;
    for (size_t j = i + 1; j < DATA_RW_BYTES && j <= last + 4; j++) {
      if (data[j] != before[j]) last = j;
    }
    struct patch_head head = {(uint16_t)i, (uint16_t)(last + 1 - i)};
    memcpy(out + used, &head, sizeof head);
    memcpy(out + used + sizeof head, data + i, head.length);
    used += sizeof head + head.length;
    count++;
    i = last + 1;
  }
  fwrite(&count, sizeof count, 1, stdout);
  fwrite(out, 1, used, stdout);
  return count;
}

static void prepare_memory(const uint8_t *patches, uint16_t count) {
  memcpy(before, background, sizeof before);
  for (uint16_t i = 0; i < count; i++) {
    struct patch_head head;
    memcpy(&head, patches, sizeof head);
    if ((size_t)head.offset + head.length > sizeof before) {
      fprintf(stderr, "recorder: patch outside the writable pages\n");
      exit(2);
    }
    memcpy(before + head.offset, patches + sizeof head, head.length);
    patches += sizeof head + head.length;
  }
  memcpy(data, before, sizeof before);
}

int main(void) {
  static char in_buffer[1 << 20], out_buffer[1 << 20];
  setvbuf(stdin, in_buffer, _IOFBF, sizeof in_buffer);
  setvbuf(stdout, out_buffer, _IOFBF, sizeof out_buffer);
  set_up();

  struct {
    uint32_t magic, descriptors;
  } head;
  read_all(&head, sizeof head);
  if (head.magic != MAGIC) {
    fprintf(stderr, "recorder: bad magic\n");
    return 2;
  }
  for (uint32_t i = 0; i < head.descriptors; i++) {
    struct user_desc d;
    read_all(&d, sizeof d);
    if (syscall(SYS_modify_ldt, 0x11, &d, sizeof d) != 0) die("modify_ldt");
  }
  read_all(background, sizeof background);
  memcpy(data, background, sizeof background);

  struct itimerval tick = {{1, 0}, {1, 0}};
  setitimer(ITIMER_REAL, &tick, 0);

  static struct case_head in;
  static uint8_t patches[1 << 16];
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    size_t used = 0;
    for (uint16_t i = 0; i < in.patch_count; i++) {
      struct patch_head patch;
      read_all(&patch, sizeof patch);
      if (used + sizeof patch + patch.length > sizeof patches) {
        fprintf(stderr, "recorder: patches of a case are too long\n");
        return 2;
      }
      memcpy(patches + used, &patch, sizeof patch);
      read_all(patches + used + sizeof patch, patch.length);
      used += sizeof patch + patch.length;
    }
    static uint8_t text[CODE_BYTES];
    if (in.code_length > CODE_BYTES) {
      fprintf(stderr, "recorder: the code of a case is too long\n");
      return 2;
    }
    memcpy(text, in.code, HEAD_CODE_BYTES);
    if (in.code_length > HEAD_CODE_BYTES) read_all(text + HEAD_CODE_BYTES, in.code_length - HEAD_CODE_BYTES);
    /* An instruction may run off the end of the second page; only its bytes inside exist. */
    size_t present = in.code_length;
    if (in.code_offset + present > CODE_BYTES) present = CODE_BYTES - in.code_offset;
    memcpy(code + in.code_offset, text, present);
    uint64_t linear_skew = in.state.rip - in.code_offset; /* RIP of the first byte of the code pages */

    static struct result_head out;
    for (int attempt = 0;; attempt++) {
      prepare_memory(patches, in.patch_count);
      load_frame(&in.state);
      enter(&context);
      /* The timer ticks once a second whatever runs; only a case that meets two ticks hangs. */
      if ((int)x.out_signal != SIGALRM || attempt == 1) break;
    }
    memset(&out, 0, sizeof out);
    store_frame(&out.state, &in.state);
    const greg_t *g = ((const ucontext_t *)x.out_context)->uc_mcontext.gregs;
    out.signal = (uint32_t)x.out_signal;
    out.trap = (uint32_t)g[REG_TRAPNO];
    out.error = (uint64_t)g[REG_ERR];
    out.cr2 = (uint64_t)g[REG_CR2];
    if (out.signal == SIGALRM) out.trap = TRAP_TIMEOUT;
    if (out.signal == SIGTRAP && out.trap == 3) {
      uint64_t stop = out.state.rip - 1 - linear_skew;
      if (stop < in.code_offset || stop >= in.code_offset + present) {
        out.trap = TRAP_NONE;
        out.state.rip--;
      }
    }
    memset(code + in.code_offset, 0xcc, present);
    fwrite(&out, 1, offsetof(struct result_head, diff_count), stdout);
    write_diffs();
  }
  return fflush(stdout) == 0 ? 0 : 2;
}
