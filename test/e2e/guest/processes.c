/* Threads, processes, jumps between contexts, and time. */
#define _GNU_SOURCE
#include "checks.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

enum { THREADS = 8, TURNS = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long guarded, whose;
static atomic_long counted;
static __thread double own;

static void *work(void *number)
{
	long id = (long)number;

	own = id;
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < TURNS; i++) {
		pthread_mutex_lock(&mutex);
		long before = guarded;
		if (i % 100 == 0)
			sched_yield();
		guarded = before + 1;
		pthread_mutex_unlock(&mutex);
		atomic_fetch_add(&counted, id);
		own += 1.0 / (i + 1);
	}
	/* In turn, by a condition variable. */
	for (int i = 0; i < 20; i++) {
		pthread_mutex_lock(&mutex);
		while (whose % THREADS != id)
			pthread_cond_wait(&changed, &mutex);
		whose++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&mutex);
	}
	double *result = malloc(sizeof(*result));
	*result = own;
	return result;
}

int check_threads(const char *argument)
{
	pthread_t threads[THREADS];
	double expected = 0;

	(void)argument;
	pthread_barrier_init(&barrier, 0, THREADS);
	for (long i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], 0, work, (void *)i) == 0);
	for (int i = 0; i < TURNS; i++)
		expected += 1.0 / (i + 1);
	for (long i = 0; i < THREADS; i++) {
		void *result;

		REQUIRE(pthread_join(threads[i], &result) == 0);
		/* Floating point state and thread-local storage are each thread's own. */
		double sum = i;
		for (int k = 0; k < TURNS; k++)
			sum += 1.0 / (k + 1);
		REQUIRE(*(double *)result == sum);
		free(result);
	}
	REQUIRE_EQUAL(guarded, THREADS * TURNS);
	REQUIRE_EQUAL(counted, THREADS * (THREADS - 1) / 2 * TURNS);
	REQUIRE_EQUAL(whose, THREADS * 20);
	printf("%ld %ld %ld\n", guarded, (long)counted, whose);
	return 0;
}

/* Forks, executes itself, passes data through pipes. With an argument it is the program executed. */
int check_processes(const char *argument)
{
	extern char **environ;

	if (*argument)
		return atoi(argument);
	for (int round = 0; round < 100; round++) {
		int ends[2], status;
		REQUIRE(pipe(ends) == 0);
		pid_t child = fork();

		REQUIRE(child >= 0);
		if (child == 0) {
			char text[32];
			int length = snprintf(text, sizeof(text), "%d %d", round, getppid() > 0);

			_exit(write(ends[1], text, length) == length ? round : 255);
		}
		REQUIRE(waitpid(child, &status, 0) == child);
		REQUIRE(WIFEXITED(status));
		REQUIRE_EQUAL(WEXITSTATUS(status), round);
		char text[32] = "";
		REQUIRE(read(ends[0], text, sizeof(text) - 1) > 0);
		REQUIRE_EQUAL(atoi(text), round);
		close(ends[0]);
		close(ends[1]);
	}
	for (int round = 1; round <= 40; round++) {
		char number[8];
		char *arguments[] = { "checks", "processes", number, 0 };
		pid_t child;
		int status;

		snprintf(number, sizeof(number), "%d", round);
		REQUIRE(posix_spawn(&child, "/proc/self/exe", 0, 0, arguments, environ) == 0);
		REQUIRE(waitpid(child, &status, 0) == child);
		REQUIRE(WIFEXITED(status));
		REQUIRE_EQUAL(WEXITSTATUS(status), round);
	}
	/* Two processes that wake each other: context switches without end. */
	int there[2], back[2];
	REQUIRE(pipe(there) == 0 && pipe(back) == 0);
	pid_t child = fork();
	if (child == 0) {
		uint64_t value;

		while (read(there[0], &value, 8) == 8 && value < 2000) {
			value = value * 3 + 1;
			if (write(back[1], &value, 8) != 8)
				_exit(1);
		}
		_exit(0);
	}
	for (uint64_t i = 0; i < 2000; i++) {
		uint64_t value;

		REQUIRE(write(there[1], &i, 8) == 8 && read(back[0], &value, 8) == 8);
		REQUIRE_EQUAL(value, i * 3 + 1);
	}
	REQUIRE(write(there[1], &(uint64_t){ 2000 }, 8) == 8);
	int status;
	REQUIRE(waitpid(child, &status, 0) == child && status == 0);
	puts("ok");
	return 0;
}

static jmp_buf where;
static ucontext_t contexts[2];
static volatile int switches;

static void other(int low, int high)
{
	for (;;) {
		switches += low + high;
		swapcontext(&contexts[1], &contexts[0]);
	}
}

__attribute__((noinline)) static void jump_from(int deep, int value)
{
	volatile char room[100];

	room[deep % 100] = 1;
	if (deep == 0)
		longjmp(where, value);
	jump_from(deep - 1, value);
	room[0]++;
}

int check_jumps(const char *argument)
{
	static char stack[65536];
	volatile int count = 0;

	(void)argument;
	for (volatile int i = 1; i < 1000; i++) {
		int got = setjmp(where);

		if (got == 0)
			jump_from(i % 50, i);
		REQUIRE_EQUAL(got, i);
		count++;
	}
	REQUIRE_EQUAL(count, 999);
	REQUIRE(getcontext(&contexts[1]) == 0);
	contexts[1].uc_stack.ss_sp = stack;
	contexts[1].uc_stack.ss_size = sizeof(stack);
	contexts[1].uc_link = 0;
	makecontext(&contexts[1], (void (*)(void))other, 2, 1, 2);
	for (int i = 0; i < 1000; i++)
		REQUIRE(swapcontext(&contexts[0], &contexts[1]) == 0);
	REQUIRE_EQUAL(switches, 3000);
	puts("ok");
	return 0;
}

static uint64_t now(clockid_t clock)
{
	struct timespec time;

	REQUIRE(clock_gettime(clock, &time) == 0);
	return time.tv_sec * 1000000000ul + time.tv_nsec;
}

/* Clocks go forward, whoever tells the time: the vDSO, the kernel, the processor. */
int check_time(const char *argument)
{
	struct timespec read;
	uint64_t last[2] = { 0, 0 };

	(void)argument;
	for (int i = 0; i < 20000; i++) {
		uint64_t vdso = now(CLOCK_MONOTONIC);
		REQUIRE(vdso >= last[0]);
		last[0] = vdso;
		uint64_t tsc = __builtin_ia32_rdtsc();
		REQUIRE(tsc > last[1]);
		last[1] = tsc;
		if (i % 10 == 0) {
			REQUIRE(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &read) == 0);
			REQUIRE(read.tv_sec * 1000000000ul + read.tv_nsec >= last[0]);
			last[0] = read.tv_sec * 1000000000ul + read.tv_nsec;
		}
	}
	for (int i = 0; i < 20; i++) {
		uint64_t before = now(CLOCK_MONOTONIC);

		REQUIRE(nanosleep(&(struct timespec){ 0, 3000000 }, 0) == 0);
		REQUIRE(now(CLOCK_MONOTONIC) - before >= 3000000);
	}
	/* The TSC runs at the 1 GHz that CPUID announces. */
	uint64_t tsc = __builtin_ia32_rdtsc(), start = now(CLOCK_MONOTONIC_RAW);
	nanosleep(&(struct timespec){ 0, 200000000 }, 0);
	uint64_t ticks = __builtin_ia32_rdtsc() - tsc, nanoseconds = now(CLOCK_MONOTONIC_RAW) - start;
	if (*argument == 0 && (ticks < nanoseconds / 100 * 95 || ticks > nanoseconds / 100 * 105))
		FAIL("%lu ticks in %lu ns", ticks, nanoseconds);
	REQUIRE(labs((long)(now(CLOCK_REALTIME) / 1000000000) - (long)time(0)) <= 1);
	puts("ok");
	return 0;
}
