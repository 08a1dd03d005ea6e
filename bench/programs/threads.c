/* Four threads that hand a turn on, by a mutex and condition variables: futexes and switches within one address space. */
#include "bench.h"

#include <pthread.h>

#define THREADS 4
#define TURNS 250

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t signals[THREADS];
static int turn;
static uint64_t sum;

static void *take_turns(void *argument)
{
	int self = (int)(intptr_t)argument;
	int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < TURNS; i++) {
		while (turn != self)
			pthread_cond_wait(&signals[self], &lock);
		sum = add_to_sum(sum, self + i);
		turn = (self + 1) % THREADS;
		pthread_cond_signal(&signals[turn]);
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

static void prepare(void)
{
	int i;

	for (i = 0; i < THREADS; i++)
		pthread_cond_init(&signals[i], 0);
}

static uint64_t unit(void)
{
	pthread_t threads[THREADS];
	intptr_t i;

	sum = 0;
	turn = 0;
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], 0, take_turns, (void *)i))
			die("pthread_create");
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], 0);
	return sum;
}

BENCHMARK("threads", "system", "4 threads, 1,000 turns handed on", 25, prepare, unit, 0x6dfdc1db97cbc4ae);
