/* YMM registers, in which processes and threads that take turns must not get into each other's way. */
#include "checks.h"

#include <immintrin.h>
#include <pthread.h>
#include <sys/wait.h>

enum { RUNNERS = 3, STEPS = 3000000, YIELD = 100000 };

static const uint32_t FACTOR = 0x2c9277b5, TERM = 0xac564b05;

/* Eight generators in a register, and each of them alone. */
__attribute__((target("avx2"))) static void together(uint32_t seed, uint32_t *results)
{
	__m256i value = _mm256_add_epi32(_mm256_set1_epi32(seed), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
	__m256i factor = _mm256_set1_epi32(FACTOR), term = _mm256_set1_epi32(TERM);

	for (int i = 1; i <= STEPS; i++) {
		value = _mm256_add_epi32(_mm256_mullo_epi32(value, factor), term);
		if (i % YIELD == 0) {
			/* The upper half is the kernel's to keep, and nobody else's: no call saves it here. */
			long result;

			__asm__ volatile("syscall" : "=a"(result), "+x"(value) : "0"(24L /* sched_yield */) : "rcx", "r11", "memory");
			REQUIRE(result == 0);
		}
	}
	_mm256_storeu_si256((__m256i *)results, value);
}

static uint32_t alone(uint32_t value)
{
	for (int i = 0; i < STEPS; i++)
		value = value * FACTOR + TERM;
	return value;
}

static void *run(void *number)
{
	uint32_t seed = (uint32_t)(uintptr_t)number * 1000, results[8];

	together(seed, results);
	for (int i = 0; i < 8; i++)
		REQUIRE_EQUAL(results[i], alone(seed + i));
	return 0;
}

/* Some processes, and as many threads of one of them. */
int check_wide(const char *argument)
{
	pthread_t threads[RUNNERS];
	pid_t children[RUNNERS];

	(void)argument;
	if (!__builtin_cpu_supports("avx2"))
		FAIL("the processor has no AVX2");
	for (long i = 0; i < RUNNERS; i++) {
		children[i] = fork();
		REQUIRE(children[i] >= 0);
		if (children[i] == 0) {
			run((void *)(i + 1));
			_exit(0);
		}
	}
	for (long i = 0; i < RUNNERS; i++)
		REQUIRE(pthread_create(&threads[i], 0, run, (void *)(i + 11)) == 0);
	for (int i = 0; i < RUNNERS; i++) {
		int status;

		REQUIRE(pthread_join(threads[i], 0) == 0);
		REQUIRE(waitpid(children[i], &status, 0) == children[i]);
		REQUIRE_EQUAL(status, 0);
	}
	puts("ok");
	return 0;
}
