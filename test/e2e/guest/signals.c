/* Exceptions as Linux reports them, and what a signal handler may not disturb. */
#define _GNU_SOURCE
#include "checks.h"

#include <errno.h>
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

static sigjmp_buf back;
static siginfo_t last;
static unsigned long last_rip, last_trap, last_error;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)signal;
	last = *info;
	last_rip = registers[REG_RIP];
	last_trap = registers[REG_TRAPNO];
	last_error = registers[REG_ERR];
	siglongjmp(back, 1);
}

/* Runs `code`, which must raise a signal; its address is that of the label `at` in it. */
#define EXPECT(code, signal, sicode, vector) \
	do { \
		if (sigsetjmp(back, 1) == 0) { \
			code; \
			FAIL("no signal: %s", #code); \
		} \
		REQUIRE_EQUAL(last.si_signo, signal); \
		REQUIRE_EQUAL((unsigned)last.si_code, (unsigned)(sicode)); \
		REQUIRE_EQUAL(last_trap, vector); \
	} while (0)

extern char divides[], undefined[], breakpoint[], loads[];

static volatile long sink;
static char *volatile wild;

__attribute__((noinline)) static void divide(long by)
{
	long quotient;

	__asm__ volatile("xor %%edx, %%edx\n.globl divides\ndivides: div %1" : "=a"(quotient) : "r"(by), "a"(5l) : "rdx");
	sink = quotient;
}

__attribute__((noinline)) static void overflow(void)
{
	int low = INT32_MIN, high = -1;

	__asm__ volatile("idivl %2" : "+a"(low), "+d"(high) : "r"(-1));
	sink = low;
}

__attribute__((noinline)) static void sse_divide(double by)
{
	volatile double result = 1 / by;

	(void)result;
}

__attribute__((noinline)) static void x87_divide(long double by)
{
	volatile long double result = 1 / by;

	(void)result;
	__asm__ volatile("fwait");
}

static volatile int depth;
__attribute__((noinline)) static int recurse(int n)
{
	volatile char room[512];

	room[n % 512] = n;
	depth = n;
	return (n < INT32_MAX ? recurse(n + 1) : 0) + room[n % 512];
}

int check_signals(const char *argument)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static const int caught[] = { SIGFPE, SIGSEGV, SIGILL, SIGTRAP, SIGBUS };
	static char alternate[65536];
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };

	(void)argument;
	REQUIRE(sigaltstack(&stack, 0) == 0);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		REQUIRE(sigaction(caught[i], &action, 0) == 0);

	EXPECT(divide(0), SIGFPE, FPE_INTDIV, 0);
	REQUIRE(last.si_addr == divides && last_rip == (unsigned long)divides);
	EXPECT(overflow(), SIGFPE, FPE_INTDIV, 0);

	wild = (char *)0x123;
	EXPECT(*wild = 1, SIGSEGV, SEGV_MAPERR, 14);
	REQUIRE_EQUAL(last.si_addr, 0x123);
	REQUIRE_EQUAL(last_error, 6);
	EXPECT(__asm__ volatile(".globl loads\nloads: mov 0x1000, %%eax" ::: "eax"), SIGSEGV, SEGV_MAPERR, 14);
	REQUIRE_EQUAL(last_rip, loads);
	char *constant = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(*(volatile char *)(constant + 5) = 1, SIGSEGV, SEGV_ACCERR, 14);
	REQUIRE(last.si_addr == constant + 5);
	/* A page fault on the kernel's side of the address space, present or not, is the same to the program. */
	EXPECT(sink = *(volatile char *)0xffffffff81000000, SIGSEGV, SEGV_MAPERR, 14);
	/* Not canonical: #GP, which has no address. */
	EXPECT(sink = *(volatile char *)0x8000000000000000, SIGSEGV, SI_KERNEL, 13);
	REQUIRE(last.si_addr == 0);
	/* With RSP or RBP as base it is #SS. */
	EXPECT(__asm__ volatile("push %%rbp; mov %0, %%rbp; mov (%%rbp), %%eax" ::"r"(1ul << 60) : "eax"), SIGBUS, SI_KERNEL, 12);
	EXPECT(__asm__ volatile("hlt"), SIGSEGV, SI_KERNEL, 13);
	EXPECT(__asm__ volatile("cli"), SIGSEGV, SI_KERNEL, 13);
	EXPECT(__asm__ volatile("mov %%cr3, %%rax" ::: "rax"), SIGSEGV, SI_KERNEL, 13);
	EXPECT(__asm__ volatile("in $0x80, %%al" ::: "rax"), SIGSEGV, SI_KERNEL, 13);
	EXPECT(__asm__ volatile("int $0x21"), SIGSEGV, SI_KERNEL, 13);
	REQUIRE_EQUAL(last_error, 0x21 * 8 + 2);
	/* movaps wants 16 bytes of alignment. */
	EXPECT(__asm__ volatile("movaps 1(%0), %%xmm0" ::"r"(alternate) : "xmm0"), SIGSEGV, SI_KERNEL, 13);

	EXPECT(__asm__ volatile(".globl undefined\nundefined: ud2"), SIGILL, ILL_ILLOPN, 6);
	REQUIRE(last.si_addr == undefined);
	EXPECT(__asm__ volatile(".byte 0xf0, 0x90"), SIGILL, ILL_ILLOPN, 6);
	EXPECT(__asm__ volatile("int3\n.globl breakpoint\nbreakpoint: nop"), SIGTRAP, SI_KERNEL, 3);
	REQUIRE_EQUAL(last_rip, breakpoint);
	EXPECT(__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; nop; nop" ::: "memory", "cc"), SIGTRAP, TRAP_TRACE, 1);

	/* Unmasked floating point exceptions. */
	feenableexcept(FE_DIVBYZERO);
	EXPECT(sse_divide(0), SIGFPE, FPE_FLTDIV, 19);
	feenableexcept(FE_DIVBYZERO);
	EXPECT(x87_divide(0), SIGFPE, FPE_FLTDIV, 16);
	feenableexcept(FE_INVALID);
	EXPECT(sse_divide(__builtin_nans("")), SIGFPE, FPE_FLTINV, 19);
	fedisableexcept(FE_ALL_EXCEPT);
	feclearexcept(FE_ALL_EXCEPT);

	/* Behind the end of a file. */
	int file = memfd_create("short", 0);
	char *mapped = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
	EXPECT(sink = *(volatile char *)mapped, SIGBUS, BUS_ADRERR, 14);
	/* With EFLAGS.AC every misaligned access traps. */
	EXPECT(__asm__ volatile("pushfq; orl $0x40000, (%%rsp); popfq; movl 1(%0), %%eax" ::"r"(alternate) : "eax", "memory"),
	       SIGBUS, BUS_ADRALN, 17);
	__asm__ volatile("pushfq; andl $~0x40000, (%%rsp); popfq" ::: "memory");

	/* The stack runs out; its handler has another one. */
	EXPECT(recurse(0), SIGSEGV, last.si_code, 14);
	REQUIRE(depth > 1000);
	puts("ok");
	return 0;
}

static volatile int ticks;

/* Uses every register that a handler may: all of them. */
static void on_tick(int signal)
{
	volatile double x = ticks;
	volatile long double y = x;

	(void)signal;
	ticks++;
	x = sin(x) * 3.5;
	y = y / 3;
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15; fldpi; fldpi; fstp %%st; fstp %%st"
			 ::: "xmm0", "xmm7", "xmm15", "memory");
}

/* Interrupted by timer signals, a computation in both floating point units goes on as if nothing had been. */
int check_signal_state(const char *argument)
{
	struct sigaction action = { .sa_handler = on_tick };
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };
	double sums[2];
	long double sumsl[2];
	uint64_t hashes[2];

	(void)argument;
	sigaction(SIGALRM, &action, 0);
	for (int disturbed = 0; disturbed < 2; disturbed++) {
		double sum = 0;
		long double suml = 0;
		uint64_t hash = FOLD_START, state = 3;
		int rounds = 0;

		if (disturbed)
			REQUIRE(setitimer(ITIMER_REAL, &every, 0) == 0);
		/* Until enough signals have come, but each time over the same numbers. */
		do {
			sum = 0;
			suml = 0;
			hash = FOLD_START;
			state = 3;
			for (int i = 1; i < 20000; i++) {
				sum += 1.0 / i;
				suml += 1.0L / i;
				uint64_t r = next_random(&state);
				hash = fold(hash, &r, 3);
			}
			if (rounds++ > 0)
				REQUIRE(sum == sums[0] && suml == sumsl[0] && hash == hashes[0]);
			sums[disturbed] = sum;
			sumsl[disturbed] = suml;
			hashes[disturbed] = hash;
			if (!disturbed)
				rounds = 0;
		} while (disturbed && ticks < 20);
	}
	setitimer(ITIMER_REAL, &never, 0);
	REQUIRE(sums[0] == sums[1] && sumsl[0] == sumsl[1] && hashes[0] == hashes[1]);
	printf("%a %La %016lx\n", sums[0], sumsl[0], hashes[0]);
	return 0;
}
