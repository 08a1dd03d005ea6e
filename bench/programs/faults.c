/* Page faults: fresh memory, one write for each page of 4 KiB. */
#include "bench.h"

#include <sys/mman.h>

#define PAGE 4096
#define PAGES 2048

static uint64_t unit(void)
{
	unsigned char *memory = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t sum = 0;
	size_t i;

	if (memory == MAP_FAILED)
		die("mmap");
	madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < PAGES; i++)
		memory[i * PAGE + i % PAGE] += i;
	for (i = 0; i < PAGES; i++)
		sum += memory[i * PAGE + i % PAGE];
	munmap(memory, PAGES * PAGE);
	return sum;
}

BENCHMARK("faults", "system", "2,048 page faults", 25, 0, unit, PAGES / 256 * (255 * 256 / 2));
