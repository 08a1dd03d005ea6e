/* A walk along a linked list whose nodes lie in random order in 256 KiB: one dependent load after another. */
#include "bench.h"

#define NODES 16384
#define STEPS 600000

struct node {
	struct node *next;
	uint64_t value;
};

static struct node *nodes;

/* One cycle through all nodes (Sattolo's shuffle). */
static void prepare(void)
{
	uint32_t *order = allocate(NODES * sizeof(*order));
	uint64_t random = 5;
	uint32_t i;

	nodes = allocate(NODES * sizeof(*nodes));
	for (i = 0; i < NODES; i++)
		order[i] = i;
	for (i = NODES - 1; i > 0; i--) {
		uint32_t other = (next_random(&random) >> 32) % i;
		uint32_t swap = order[i];

		order[i] = order[other];
		order[other] = swap;
	}
	for (i = 0; i < NODES; i++) {
		nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
		nodes[order[i]].value = i;
	}
}

static uint64_t unit(void)
{
	struct node *at = nodes;
	uint64_t sum = 0;
	int i;

	for (i = 0; i < STEPS; i++) {
		sum += at->value ^ i;
		at = at->next;
	}
	return sum;
}

BENCHMARK("list", "integer", "linked list in random order, 600,000 steps", 25, prepare, unit, 0x0000002a4bb51bc0);
