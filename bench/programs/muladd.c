/* A chain of 64-bit multiplications and additions: the simplest hot loop there is. */
#include "bench.h"

static uint64_t unit(void)
{
	uint64_t x = 1;
	uint64_t sum = 0;
	int i;

	HIDE(x);
	for (i = 0; i < 4000000; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		sum += x >> 33;
	}
	return sum;
}

BENCHMARK("muladd", "integer", "64-bit multiply-add, 4 million times", 20, 0, unit, 0x000f42e66bf2ffa6);
