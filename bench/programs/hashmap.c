/* A hash map with open addressing and linear probing: insertions, look-ups, deletions. */
#include "bench.h"

#include <string.h>

#define SLOTS 65536
#define KEYS 40000

struct slot {
	/* 0: empty. */
	uint64_t key;
	uint64_t value;
};

static struct slot *slots;

static void prepare(void)
{
	slots = allocate(SLOTS * sizeof(*slots));
}

static size_t home(uint64_t key)
{
	return key * 0x9e3779b97f4a7c15ULL >> 48;
}

/* The slot with the key, or the empty one where it belongs. */
static size_t find(uint64_t key)
{
	size_t at = home(key);

	while (slots[at].key && slots[at].key != key)
		at = (at + 1) % SLOTS;
	return at;
}

/* Closes the gap: moves up whoever could no longer be found past it. */
static void erase(size_t gap)
{
	size_t at = gap;

	for (;;) {
		at = (at + 1) % SLOTS;
		if (!slots[at].key)
			break;
		if ((at - home(slots[at].key)) % SLOTS >= (at - gap) % SLOTS) {
			slots[gap] = slots[at];
			gap = at;
		}
	}
	slots[gap].key = 0;
}

static uint64_t unit(void)
{
	uint64_t random = 17;
	uint64_t sum = 0;
	int i;

	memset(slots, 0, SLOTS * sizeof(*slots));
	for (i = 0; i < KEYS; i++) {
		/* Some keys come again. */
		uint64_t key = (next_random(&random) >> 44) + 1;
		size_t at = find(key);

		slots[at].key = key;
		slots[at].value += i;
	}
	for (i = 0; i < 2 * KEYS; i++) {
		size_t at = find((next_random(&random) >> 44) + 1);

		if (!slots[at].key)
			continue;
		sum = add_to_sum(sum, slots[at].value);
		if (sum & 1)
			erase(at);
	}
	return sum;
}

BENCHMARK("hashmap", "integer", "hash map, 40,000 insertions, 80,000 look-ups", 30, prepare, unit, 0xf34c5195969907ee);
