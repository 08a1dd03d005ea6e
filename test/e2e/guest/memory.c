/* Memory: patterns over most of RAM, and what the page tables promise. */
#define _GNU_SOURCE
#include "checks.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

/*
 * Fills PERCENT of free memory with its own addresses, with bits that walk and with copies, and reads all of it back; of STEP
 * words one. Prints how many MiB that were.
 */
int check_memory(const char *argument)
{
	enum { COPIED = 4 << 20 };
	struct sysinfo info;
	int percent, step;

	REQUIRE(sscanf(argument, "%d,%d", &percent, &step) == 2 && percent > 0 && percent <= 95 && step > 0);
	REQUIRE(sysinfo(&info) == 0);
	size_t count = info.freeram / 100 * percent * info.mem_unit / 4096 * 512;
	REQUIRE(count > 2 * COPIED);
	uint64_t *memory = mmap(0, count * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	REQUIRE(memory != MAP_FAILED);
	for (size_t i = 0; i < count; i += step)
		memory[i] = (uint64_t)&memory[i] * 0x9e3779b97f4a7c15;
	for (size_t i = 0; i < count; i += step) {
		REQUIRE_EQUAL(memory[i], (uint64_t)&memory[i] * 0x9e3779b97f4a7c15);
		memory[i] = 1ul << i / step % 64;
	}
	/* Downwards, each bit in its place and no other; their complements up. */
	for (size_t i = count; i-- > 0;)
		if (i % step == 0) {
			REQUIRE_EQUAL(memory[i], 1ul << i / step % 64);
			memory[i] = ~memory[i];
		}
	for (size_t i = 0; i < count; i += step)
		REQUIRE_EQUAL(memory[i], ~(1ul << i / step % 64));
	/* Large blocks, as the library copies and fills them. */
	uint64_t *from = memory + count - COPIED;
	for (size_t i = 0; i < COPIED; i++)
		from[i] = i * 0x9e3779b97f4a7c15;
	memcpy(memory, from, COPIED * 8);
	REQUIRE(memcmp(memory, from, COPIED * 8) == 0);
	memmove(memory + 3, memory, COPIED * 8);
	for (size_t i = 0; i < COPIED; i += 61)
		REQUIRE_EQUAL(memory[3 + i], i * 0x9e3779b97f4a7c15);
	memset(memory, 0x5a, COPIED * 8);
	for (size_t i = 0; i < COPIED; i += 64)
		REQUIRE_EQUAL(memory[i], 0x5a5a5a5a5a5a5a5a);
	REQUIRE(munmap(memory, count * 8) == 0);
	/* Fresh memory is empty, also where the pages were in use a moment ago. */
	memory = mmap(0, count * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	REQUIRE(memory != MAP_FAILED);
	for (size_t i = 0; i < count; i += 509)
		REQUIRE_EQUAL(memory[i], 0);
	printf("%zu MiB\n", count * 8 >> 20);
	return 0;
}

static sigjmp_buf back;
static volatile void *fault_address;
static volatile int fault_code;
static volatile long fault_error;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	fault_address = info->si_addr;
	fault_code = info->si_code;
	fault_error = ((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR];
	siglongjmp(back, 1);
}

/* The si_code of the fault that reading or writing gives; 0 when there is none. */
static int touch(volatile char *at, int write)
{
	if (sigsetjmp(back, 1))
		return fault_code;
	if (write)
		*at = 1;
	else
		(void)*at;
	return 0;
}

/* Protection, copy on write, remapping and many page faults. */
int check_paging(const char *argument)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	enum { PAGES = 64 };

	(void)argument;
	REQUIRE(sigaction(SIGSEGV, &action, 0) == 0);
	char *area = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(area != MAP_FAILED);
	for (int round = 0; round < 50; round++) {
		char *page = area + round % PAGES * 4096;

		page[7] = round;
		REQUIRE(mprotect(page, 4096, PROT_READ) == 0);
		REQUIRE_EQUAL(touch(page + 7, 0), 0);
		REQUIRE_EQUAL(touch(page + 7, 1), SEGV_ACCERR);
		REQUIRE(fault_address == page + 7);
		/* Page fault error code: present, write, user. */
		REQUIRE_EQUAL(fault_error, 7);
		REQUIRE(mprotect(page, 4096, PROT_NONE) == 0);
		REQUIRE_EQUAL(touch(page + 9, 0), SEGV_ACCERR);
		REQUIRE(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
		REQUIRE_EQUAL(touch(page + 9, 1), 0);
		REQUIRE_EQUAL(page[7], round);
		REQUIRE(munmap(page, 4096) == 0);
		REQUIRE_EQUAL(touch(page, 0), SEGV_MAPERR);
		REQUIRE_EQUAL(fault_error, 4);
		REQUIRE(mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
		REQUIRE_EQUAL(page[7], 0);
	}
	/* An access over the end of a mapping faults at the first byte that is not there, and changes nothing. */
	REQUIRE(munmap(area + 4096, 4096) == 0);
	memset(area + 4088, 0x11, 8);
	if (sigsetjmp(back, 1) == 0) {
		*(volatile uint64_t *)(area + 4092) = ~0ul;
		FAIL("no fault");
	}
	REQUIRE(fault_address == area + 4096);
	REQUIRE_EQUAL(*(uint32_t *)(area + 4092), 0x11111111);
	/* Not executable. */
	area[0] = (char)0xc3;
	if (sigsetjmp(back, 1) == 0) {
		((void (*)(void))area)();
		FAIL("executed");
	}
	REQUIRE(fault_address == area);
	REQUIRE_EQUAL(fault_error, 0x15);

	/* Copy on write: child and parent change the same pages, neither sees the other's. */
	char *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *own = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < PAGES; i++)
		own[i * 4096] = i;
	for (int round = 0; round < 10; round++) {
		pid_t child = fork();

		REQUIRE(child >= 0);
		if (child == 0) {
			for (int i = 0; i < PAGES; i++) {
				if (own[i * 4096] != (char)(i + round))
					_exit(2);
				own[i * 4096] += 100;
			}
			shared[round] = 1;
			_exit(0);
		}
		int status;
		REQUIRE(waitpid(child, &status, 0) == child);
		REQUIRE_EQUAL(status, 0);
		REQUIRE_EQUAL(shared[round], 1);
		for (int i = 0; i < PAGES; i++) {
			REQUIRE_EQUAL((unsigned char)own[i * 4096], i + round);
			own[i * 4096]++;
		}
	}
	/* Moved pages keep their content, at their new place only. */
	char *moved = mremap(own, PAGES * 4096, 2 * PAGES * 4096, MREMAP_MAYMOVE);
	REQUIRE(moved != MAP_FAILED);
	REQUIRE_EQUAL(moved[5 * 4096], 15);
	REQUIRE_EQUAL(moved[(PAGES + 3) * 4096], 0);
	if (moved != own)
		REQUIRE_EQUAL(touch(own, 0), SEGV_MAPERR);
	puts("ok");
	return 0;
}
