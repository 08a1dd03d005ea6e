/* Processes that end at once: page tables copied, a context switch there and back. */
#include "bench.h"

#include <sys/wait.h>
#include <unistd.h>

#define FORKS 20

static uint64_t unit(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < FORKS; i++) {
		int status;
		pid_t child = fork();

		if (child == 0)
			_exit(i);
		if (child < 0 || waitpid(child, &status, 0) != child)
			die("fork");
		sum += WEXITSTATUS(status);
	}
	return sum;
}

BENCHMARK("fork", "process", "20 times fork, exit and wait", 20, 0, unit, FORKS * (FORKS - 1) / 2);
