/* Signals to oneself: a frame on the stack, a handler, and the way back. */
#include "bench.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SIGNALS 4000

static volatile uint64_t caught;

static void handler(int number)
{
	caught += number == SIGUSR1;
}

static void prepare(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	if (sigaction(SIGUSR1, &action, 0))
		die("sigaction");
}

static uint64_t unit(void)
{
	pid_t self = getpid();
	int i;

	caught = 0;
	for (i = 0; i < SIGNALS; i++)
		kill(self, SIGUSR1);
	return caught;
}

BENCHMARK("signals", "system", "4,000 signals to oneself", 25, prepare, unit, SIGNALS);
