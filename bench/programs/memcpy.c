/* Copies of five sizes from 64 bytes to 1 MiB, 8 MiB of each, by the C library's memcpy. */
#include "bench.h"

#include <string.h>

#define BYTES (1 << 20)

static char *from, *to;

static void prepare(void)
{
	from = allocate(BYTES);
	to = allocate(BYTES);
	make_text(from, BYTES, 7);
	memset(to, 0, BYTES);
}

static uint64_t unit(void)
{
	static const size_t sizes[] = {64, 1024, 16384, 262144, 1048576};
	uint64_t sum = 0;
	size_t i;
	int again;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i];

		HIDE(size);
		for (again = 0; again < 8; again++) {
			size_t at;

			for (at = 0; at < BYTES; at += size) {
				/* Differently aligned each time. */
				memcpy(to + at, from + at + again % 4, size - again % 4);
				TOUCH_MEMORY();
			}
			sum = add_to_sum(sum, to[(again * 77777 + i) % BYTES]);
		}
	}
	return sum;
}

BENCHMARK("memcpy", "memory", "memcpy of 40 MiB in pieces of 64 B to 1 MiB", 25, prepare, unit, 0xd26bd3eba5020931);
