/* Fibonacci numbers by recursion: calls and returns. noipa keeps the compiler from unrolling the recursion. */
#include "bench.h"

__attribute__((noipa)) static uint64_t fib(unsigned int n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t unit(void)
{
	return fib(29);
}

BENCHMARK("fib", "calls", "fib(29) by recursion, 1.7 million calls", 25, 0, unit, 514229);
