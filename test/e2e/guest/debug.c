/* Code that is written while it runs, and debuggers: single steps and hardware breakpoints. */
#define _GNU_SOURCE
#include "checks.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

typedef int function(void);

/* mov $value, %eax; ret */
static void write_constant(unsigned char *at, int value)
{
	at[0] = 0xb8;
	memcpy(at + 1, &value, 4);
	at[5] = 0xc3;
}

int check_jit(const char *argument)
{
	(void)argument;
	unsigned char *code = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(code != MAP_FAILED);
	/* Written, executed, written again; also over a page's end. */
	for (int i = 0; i < 3000; i++) {
		unsigned char *at = code + (i % 3 == 0 ? 4093 : i % 64);

		write_constant(at, i);
		REQUIRE_EQUAL(((function *)at)(), i);
		at[1] ^= 1;
		REQUIRE_EQUAL(((function *)at)(), i ^ 1);
	}
	/* Write and execute rights in turn, as a compiler with W^X does it. */
	for (int i = 0; i < 200; i++) {
		REQUIRE(mprotect(code, 4096, PROT_READ | PROT_WRITE) == 0);
		write_constant(code, i * 7);
		REQUIRE(mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0);
		REQUIRE_EQUAL(((function *)code)(), i * 7);
	}
	REQUIRE(mprotect(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
	/* The same page at two addresses: one to write, one to execute. */
	int file = memfd_create("code", 0);
	REQUIRE(ftruncate(file, 4096) == 0);
	unsigned char *writable = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	unsigned char *executable = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
	for (int i = 0; i < 1000; i++) {
		write_constant(writable + i % 100, i);
		REQUIRE_EQUAL(((function *)(executable + i % 100))(), i);
	}
	/* The kernel writes it: read() from a pipe, and process_vm_writev. */
	int ends[2];
	REQUIRE(pipe(ends) == 0);
	for (int i = 0; i < 500; i++) {
		unsigned char text[6];

		write_constant(text, i + 5);
		if (i % 2) {
			REQUIRE(write(ends[1], text, 6) == 6 && read(ends[0], code + 200, 6) == 6);
		} else {
			struct iovec from = { text, 6 }, to = { code + 200, 6 };

			REQUIRE(process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 6);
		}
		REQUIRE_EQUAL(((function *)(code + 200))(), i + 5);
	}
	/* The same address, another page. */
	for (int i = 0; i < 200; i++) {
		write_constant(code + 4096 * 3, i);
		REQUIRE_EQUAL(((function *)(code + 4096 * 3))(), i);
		REQUIRE(munmap(code + 4096 * 3, 4096) == 0);
		REQUIRE(mmap(code + 4096 * 3, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	}
	/*
	 * Code that changes the instruction right behind itself, in one straight run: movb $5, 1(%rdi); mov $1, %eax; ret with
	 * RDI at the mov. Processors since the Pentium see the new byte.
	 */
	static const unsigned char itself[] = { 0xc6, 0x47, 0x01, 0x05, 0xb8, 1, 0, 0, 0, 0xc3 };
	for (int i = 0; i < 300; i++) {
		memcpy(code, itself, sizeof(itself));
		code[3] = i;
		REQUIRE_EQUAL(((int (*)(void *))code)(code + 4), i & 0xff);
	}
	/* A string store over the code that follows it: mov $0x90, %al; rep stosb; (five bytes become nops) ...; mov %ecx, %eax; ret */
	static const unsigned char wiped[] = { 0xb0, 0x90, 0xf3, 0xaa, 0xb9, 0xff, 0, 0, 0, 0x89, 0xc8, 0xc3 };
	for (int i = 0; i < 50; i++) {
		memcpy(code, wiped, sizeof(wiped));
		REQUIRE_EQUAL(((int (*)(void *, long, long, long))code)(code + 4, 0, 0, 5), 0);
	}
	/* A child's copy is its own. */
	write_constant(code, 1);
	REQUIRE_EQUAL(((function *)code)(), 1);
	for (int i = 0; i < 10; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			write_constant(code, 40 + i);
			_exit(((function *)code)());
		}
		REQUIRE(waitpid(child, &status, 0) == child);
		REQUIRE_EQUAL(WEXITSTATUS(status), 40 + i);
		REQUIRE_EQUAL(((function *)code)(), 1);
	}
	puts("ok");
	return 0;
}

/* From the first label to the second: 2 + 100 * 3 + 1 instructions. */
extern char step_start[], step_end[], step_string[], step_string_end[], watched_write[], watched_after[];
static volatile long watched[4] __attribute__((aligned(32)));

__attribute__((noinline)) static void stepped(void)
{
	static char from[64], to[64];

	__asm__ volatile("int3\n"
			 ".globl step_start\nstep_start: mov $100, %%ecx\n"
			 "xor %%eax, %%eax\n"
			 "1: add %%ecx, %%eax\n"
			 "dec %%ecx\n"
			 "jnz 1b\n"
			 "nop\n"
			 ".globl step_end\nstep_end: nop\n" ::: "eax", "ecx", "cc");
	/* Of a repeated string instruction each turn is a step. */
	const void *source = from;
	void *target = to;
	long count = 5;
	__asm__ volatile(".globl step_string\nstep_string: rep movsb\n"
			 ".globl step_string_end\nstep_string_end: nop\n" : "+S"(source), "+D"(target), "+c"(count)::"memory");
	getppid();
}

static pid_t start_traced(void (*function)(void))
{
	int status;
	pid_t child = fork();

	REQUIRE(child >= 0);
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		function();
		_exit(7);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	return child;
}

static unsigned long rip_of(pid_t child)
{
	struct user_regs_struct registers;

	REQUIRE(ptrace(PTRACE_GETREGS, child, 0, &registers) == 0);
	return registers.rip;
}

/* Lets the child go on, and expects SIGTRAP. */
static void resume(int how, pid_t child)
{
	int status;

	REQUIRE(ptrace(how, child, 0, 0) == 0);
	REQUIRE(waitpid(child, &status, 0) == child);
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
		FAIL("status %#x", status);
}

static int steps_to(pid_t child, const char *place)
{
	for (int steps = 1; steps < 100000; steps++) {
		resume(PTRACE_SINGLESTEP, child);
		if (rip_of(child) == (unsigned long)place)
			return steps;
	}
	FAIL("never there");
}

int check_single_step(const char *argument)
{
	int status;
	pid_t child = start_traced(stepped);

	(void)argument;
	resume(PTRACE_CONT, child);
	REQUIRE_EQUAL(rip_of(child), step_start);
	printf("loop %d\n", steps_to(child, step_end));
	steps_to(child, step_string);
	printf("string %d\n", steps_to(child, step_string_end));
	/* On through a system call, libc's and the kernel's, to the end. */
	int steps = 0;
	for (;; steps++) {
		REQUIRE(ptrace(PTRACE_SINGLESTEP, child, 0, 0) == 0);
		REQUIRE(waitpid(child, &status, 0) == child);
		if (!WIFSTOPPED(status))
			break;
		REQUIRE_EQUAL(WSTOPSIG(status), SIGTRAP);
		REQUIRE(steps < 100000);
	}
	REQUIRE(WIFEXITED(status));
	printf("status %d\n", WEXITSTATUS(status));
	return 0;
}

__attribute__((noinline)) static void touched(void)
{
	for (long i = 0; i < 10; i++) {
		__asm__ volatile("mov %0, %1\n" : : "r"(i), "m"(watched[1]) : "memory");
		__asm__ volatile(".globl watched_write\nwatched_write: mov %0, %1\n.globl watched_after\nwatched_after: nop\n"
				 : : "r"(i), "m"(watched[2]) : "memory");
		(void)watched[2];
	}
}

extern char copying[], copied[];
static char copy_from[256] __attribute__((aligned(64))), copy_to[256] __attribute__((aligned(64)));

__attribute__((noinline)) static void copies(void)
{
	const void *source = copy_from;
	void *target = copy_to;
	long count = 128;

	__asm__ volatile(".globl copying\ncopying: rep movsb\n.globl copied\ncopied: nop" : "+S"(source), "+D"(target), "+c"(count)::"memory");
}

static void set_debug(pid_t child, int number, unsigned long value)
{
	if (ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[number]), value) != 0)
		FAIL("debug register %d: %s", number, strerror(errno));
}

static unsigned long get_debug(pid_t child, int number)
{
	return ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, u_debugreg[number]), 0);
}

int check_breakpoints(const char *argument)
{
	int status;
	pid_t child = start_traced(touched);

	(void)argument;
	/* 0: execution of an instruction; 1: writes to eight bytes; 2: reads and writes. */
	set_debug(child, 0, (unsigned long)watched_write);
	set_debug(child, 1, (unsigned long)&watched[2]);
	set_debug(child, 7, 1 << 0 | 1 << 2 | 0x1 << 20 | 0x2 << 22);
	int executed = 0, written = 0;
	for (;;) {
		REQUIRE(ptrace(PTRACE_CONT, child, 0, 0) == 0);
		REQUIRE(waitpid(child, &status, 0) == child);
		if (!WIFSTOPPED(status))
			break;
		REQUIRE_EQUAL(WSTOPSIG(status), SIGTRAP);
		unsigned long cause = get_debug(child, 6) & 15;
		set_debug(child, 6, 0);
		if (cause == 1) {
			executed++;
			REQUIRE_EQUAL(rip_of(child), watched_write);
		} else if (cause == 2) {
			/* A trap: the instruction has been executed. */
			written++;
			REQUIRE_EQUAL(rip_of(child), watched_after);
			REQUIRE_EQUAL(ptrace(PTRACE_PEEKDATA, child, &watched[2], 0), written - 1);
		} else {
			FAIL("DR6 has %#lx", cause);
		}
	}
	REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	printf("executed %d written %d\n", executed, written);

	child = start_traced(touched);
	set_debug(child, 2, (unsigned long)&watched[2]);
	set_debug(child, 7, 1 << 4 | 0x3 << 24 | 0x2 << 26);
	int accessed = 0;
	for (;; accessed++) {
		REQUIRE(ptrace(PTRACE_CONT, child, 0, 0) == 0);
		REQUIRE(waitpid(child, &status, 0) == child);
		if (!WIFSTOPPED(status))
			break;
		REQUIRE_EQUAL(get_debug(child, 6) & 15, 4);
	}
	printf("accessed %d\n", accessed);

	/* A repeated string instruction is one instruction for a breakpoint on it, and stops where the data is watched. */
	child = start_traced(copies);
	set_debug(child, 0, (unsigned long)copying);
	set_debug(child, 3, (unsigned long)copy_to + 100);
	set_debug(child, 7, 1 << 0 | 1 << 6 | 0x1 << 28);
	executed = 0;
	for (;;) {
		struct user_regs_struct registers;

		REQUIRE(ptrace(PTRACE_CONT, child, 0, 0) == 0);
		REQUIRE(waitpid(child, &status, 0) == child);
		if (!WIFSTOPPED(status))
			break;
		unsigned long cause = get_debug(child, 6) & 15;
		set_debug(child, 6, 0);
		REQUIRE(ptrace(PTRACE_GETREGS, child, 0, &registers) == 0);
		if (cause == 1)
			executed++;
		else
			printf("copied past %d\n", registers.rdi > (unsigned long)copy_to + 100);
	}
	printf("executed %d\n", executed);
	return 0;
}
