/* Mappings made, made read-only, and unmade, with one page of each in use. */
#include "bench.h"

#include <sys/mman.h>

#define BYTES 65536
#define ROUNDS 500

static uint64_t unit(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		unsigned char *memory = mmap(0, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			die("mmap");
		memory[BYTES / 2] = i;
		if (mprotect(memory, BYTES, PROT_READ))
			die("mprotect");
		sum = add_to_sum(sum, memory[BYTES / 2] + memory[0]);
		munmap(memory, BYTES);
	}
	return sum;
}

BENCHMARK("mmap", "system", "500 times mmap, mprotect and munmap", 20, 0, unit, 0x08e151c546d5f7d2);
