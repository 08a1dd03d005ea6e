/* A byte to another process and back through two pipes: a context switch each way. */
#include "bench.h"

#include <unistd.h>

#define TRIPS 1000

static int to_child, from_child;

static _Noreturn void echo(int from, int to)
{
	unsigned char byte;

	while (read(from, &byte, 1) == 1) {
		byte++;
		if (write(to, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

/* The child ends when this program does: its pipe closes. */
static void prepare(void)
{
	int there[2], back[2];
	pid_t child;

	if (pipe(there) || pipe(back))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		close(there[1]);
		close(back[0]);
		echo(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	to_child = there[1];
	from_child = back[0];
}

static uint64_t unit(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < TRIPS; i++) {
		unsigned char byte = i;

		if (write(to_child, &byte, 1) != 1 || read(from_child, &byte, 1) != 1)
			die("pipe");
		sum = add_to_sum(sum, byte);
	}
	return sum;
}

BENCHMARK("pipe", "system", "1,000 round trips through two pipes", 60, prepare, unit, 0x229ae1a0cf53db1f);
