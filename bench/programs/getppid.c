/* A system call that does next to nothing. */
#include "bench.h"

#include <sys/syscall.h>
#include <unistd.h>

#define CALLS 20000

static uint64_t unit(void)
{
	long first = syscall(SYS_getppid);
	uint64_t same = 0;
	int i;

	for (i = 0; i < CALLS; i++)
		same += syscall(SYS_getppid) == first;
	return same;
}

BENCHMARK("getppid", "system", "20,000 calls of getppid", 50, 0, unit, CALLS);
