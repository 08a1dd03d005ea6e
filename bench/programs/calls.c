/* Calls of small functions through a table of pointers, in a repeating order that a processor can learn. */
#include "bench.h"

#define CALLS 2000000

typedef uint64_t function(uint64_t);

#define SMALL(name, expression)                                                                                     \
	__attribute__((noipa)) static uint64_t name(uint64_t x)                                                     \
	{                                                                                                           \
		return expression;                                                                                  \
	}

SMALL(add, x + 0x1234567)
SMALL(rotate, x << 13 | x >> 51)
SMALL(scramble, x ^ x >> 7)
SMALL(multiply, x * 0x100000001b3ULL)
SMALL(subtract, x - (x >> 3))
SMALL(complement, ~x)
SMALL(swap, __builtin_bswap64(x))
SMALL(shift, x + (x << 5))

static function *const functions[] = {add, rotate, scramble, multiply, subtract, complement, swap, shift};

static uint64_t unit(void)
{
	uint64_t x = 1;
	unsigned int i;

	for (i = 0; i < CALLS; i++)
		x = functions[(i * 5 + (i >> 3)) & 7](x);
	return x;
}

BENCHMARK("calls", "calls", "2 million indirect calls", 20, 0, unit, 0xe4b2525dd2b3bc0d);
