/*
 * Runs a benchmark: `bench NAME UNITS` prints "NAME seconds checksum", `bench list` what there is. Time is wall time
 * around the units alone, on one processor: guests have one too.
 */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The linker names the ends of the section. */
extern const struct benchmark *const __start_benchmarks[];
extern const struct benchmark *const __stop_benchmarks[];

_Noreturn void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

void *allocate(size_t bytes)
{
	void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);

	if (!memory)
		die("memory");
	return memory;
}

uint64_t sum_bytes(const void *bytes, size_t count)
{
	const unsigned char *at = bytes;
	uint64_t sum = count;
	uint64_t word;

	for (; count >= 8; count -= 8, at += 8) {
		memcpy(&word, at, 8);
		sum = add_to_sum(sum, word);
	}
	word = 0;
	memcpy(&word, at, count);
	return add_to_sum(sum, word);
}

void make_text(char *to, size_t count, uint64_t seed)
{
	static const char *const words[] = {
		"the", "of", "a", "to", "page", "table", "register", "interrupt", "while", "guest", "memory", "value",
		"is", "and", "processor", "reads", "writes", "before", "instruction", "after", "sixteen", "bits",
		"until", "stack", "returns", "address", "in", "flag", "segment", "kernel", "clock", "device",
	};
	size_t column = 0;

	while (count > 0) {
		uint64_t draw = next_random(&seed) >> 32;
		/* The smaller of two draws: the first words are the most frequent. */
		uint64_t one = draw & 31;
		uint64_t other = draw >> 8 & 31;
		const char *word = words[one < other ? one : other];

		for (; *word && count > 0; word++, count--, column++)
			*to++ = *word;
		if (count == 0)
			break;
		*to++ = column > 70 ? '\n' : ' ';
		count--;
		column = column > 70 ? 0 : column + 1;
	}
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Native programs are to have what a guest with one processor has. */
static void stay_on_one_processor(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int run(const struct benchmark *benchmark, long units)
{
	uint64_t sum = 0;
	double start, end;
	long i;

	stay_on_one_processor();
	if (benchmark->prepare)
		benchmark->prepare();
	start = seconds_now();
	for (i = 0; i < units; i++) {
		sum = benchmark->unit();
		if (sum != benchmark->expected)
			break;
	}
	end = seconds_now();
	if (i < units) {
		fprintf(stderr, "bench: %s: unit %ld has checksum %016llx, not %016llx\n", benchmark->name, i,
			(unsigned long long)sum, (unsigned long long)benchmark->expected);
		return 1;
	}
	printf("%s %.9f %016llx\n", benchmark->name, end - start, (unsigned long long)sum);
	return 0;
}

int main(int argc, char **argv)
{
	const struct benchmark *const *at;

	if (getpid() == 1)
		guest_init();
	/* What the exec benchmark starts. */
	if (argc == 2 && !strcmp(argv[1], "nothing"))
		return 7;
	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (at = __start_benchmarks; at < __stop_benchmarks; at++)
			printf("%s\t%s\t%ld\t%s\n", (*at)->name, (*at)->group, (*at)->units, (*at)->title);
		return 0;
	}
	if (argc == 3 && atol(argv[2]) > 0)
		for (at = __start_benchmarks; at < __stop_benchmarks; at++)
			if (!strcmp((*at)->name, argv[1]))
				return run(*at, atol(argv[2]));
	fprintf(stderr, "usage: bench NAME UNITS | bench list\n");
	return 2;
}
