/* Processes that start this program anew: fork, execve, the C library's start, exit. */
#include "bench.h"

#include <sys/wait.h>
#include <unistd.h>

#define STARTS 8
/* What main() returns for "nothing". */
#define STATUS 7

static uint64_t unit(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < STARTS; i++) {
		char *arguments[] = {"bench", "nothing", 0};
		int status;
		pid_t child = fork();

		if (child == 0) {
			execv("/proc/self/exe", arguments);
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) != child)
			die("exec");
		sum += WEXITSTATUS(status);
	}
	return sum;
}

BENCHMARK("exec", "process", "8 times fork, exec and wait", 25, 0, unit, STARTS * STATUS);
