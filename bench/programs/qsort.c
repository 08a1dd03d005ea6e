/* The C library's qsort on random integers: calls through a pointer to a small function, and unpredictable branches. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define COUNT 60000

static int *pristine, *work;

static void prepare(void)
{
	uint64_t random = 11;
	int i;

	pristine = allocate(COUNT * sizeof(*pristine));
	work = allocate(COUNT * sizeof(*work));
	for (i = 0; i < COUNT; i++)
		pristine[i] = next_random(&random) >> 32;
}

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a;
	int y = *(const int *)b;

	return (x > y) - (x < y);
}

static uint64_t unit(void)
{
	memcpy(work, pristine, COUNT * sizeof(*work));
	qsort(work, COUNT, sizeof(*work), compare);
	return sum_bytes(work, COUNT * sizeof(*work));
}

BENCHMARK("qsort", "calls", "qsort of 60,000 integers", 20, prepare, unit, 0x9d8dfb819c9ae758);
