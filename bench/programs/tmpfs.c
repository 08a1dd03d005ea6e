/* A file in memory, written and read again in blocks: what tmpfs does, by a file without a name in it. */
#include "bench.h"

#include <sys/mman.h>
#include <unistd.h>

#define BLOCK 65536
#define BLOCKS 128

static char *block, *back;
static int file;

static void prepare(void)
{
	block = allocate(BLOCK);
	back = allocate(BLOCK);
	make_text(block, BLOCK, 43);
	file = memfd_create("bench", 0);
	if (file < 0)
		die("memfd_create");
}

static uint64_t unit(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < BLOCKS; i++) {
		block[i] ^= 1;
		if (pwrite(file, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
			die("write");
	}
	for (i = 0; i < BLOCKS; i++) {
		if (pread(file, back, BLOCK, (off_t)i * BLOCK) != BLOCK)
			die("read");
		sum = add_to_sum(sum, back[i] ^ back[BLOCK - 1 - i]);
	}
	for (i = 0; i < BLOCKS; i++)
		block[i] ^= 1;
	if (ftruncate(file, 0))
		die("ftruncate");
	return sum;
}

BENCHMARK("tmpfs", "memory", "8 MiB written to tmpfs and read back", 12, prepare, unit, 0xfe4cdbb15776f037);
