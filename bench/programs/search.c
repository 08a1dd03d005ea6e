/* Searches text for words by Horspool's algorithm: byte loads, compares, short skips. */
#include "bench.h"

#include <string.h>

#define BYTES (512 << 10)

static char *text;

static void prepare(void)
{
	text = allocate(BYTES);
	make_text(text, BYTES, 13);
}

static unsigned int occurrences(const char *pattern)
{
	const unsigned char *in = (const unsigned char *)text;
	const unsigned char *word = (const unsigned char *)pattern;
	size_t length = strlen(pattern);
	size_t skip[256];
	size_t i, at;
	unsigned int found = 0;

	for (i = 0; i < 256; i++)
		skip[i] = length;
	for (i = 0; i + 1 < length; i++)
		skip[word[i]] = length - 1 - i;
	for (at = 0; at + length <= BYTES; at += skip[in[at + length - 1]]) {
		for (i = length; i > 0 && in[at + i - 1] == word[i - 1]; i--)
			;
		found += i == 0;
	}
	return found;
}

static uint64_t unit(void)
{
	static const char *const patterns[] = {
		"register", "the page", "instruction", "flag", "guest memory", "absent word", "of the processor reads", "st",
	};
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		sum = add_to_sum(sum, occurrences(patterns[i]));
	return sum;
}

BENCHMARK("search", "integer", "string search, 8 patterns in 512 KiB", 25, prepare, unit, 0x5dec5b53583d6f66);
