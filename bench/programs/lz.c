/* LZ77 compression of text with a table of last positions, and back again: what gzip and LZ4 do, in small. */
#include "bench.h"

#include <string.h>

#define BYTES (384 << 10)
#define HASH_BITS 13
#define MIN_MATCH 4
#define MAX_MATCH (MIN_MATCH + 127)
#define MAX_LITERALS 128
#define MAX_DISTANCE 65535

static unsigned char *text, *packed, *again;
static uint32_t last[1 << HASH_BITS];

static void prepare(void)
{
	text = allocate(BYTES);
	/* A control byte for 128 literals at worst. */
	packed = allocate(BYTES + BYTES / MAX_LITERALS + 1);
	again = allocate(BYTES);
	make_text((char *)text, BYTES, 29);
}

static uint32_t four_bytes(const unsigned char *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

static size_t put_literals(size_t out, size_t from, size_t to)
{
	while (from < to) {
		size_t count = to - from < MAX_LITERALS ? to - from : MAX_LITERALS;

		packed[out++] = count - 1;
		memcpy(packed + out, text + from, count);
		out += count;
		from += count;
	}
	return out;
}

/* Control byte below 80h: that many literals and one follow. Otherwise a match: its length, then the distance. */
static size_t compress(void)
{
	size_t at = 0;
	size_t literals = 0;
	size_t out = 0;

	memset(last, 0, sizeof(last));
	while (at + MIN_MATCH <= BYTES) {
		uint32_t word = four_bytes(text + at);
		uint32_t slot = word * 2654435761U >> (32 - HASH_BITS);
		/* Positions are kept plus one: 0 is none. */
		size_t before = last[slot];
		size_t length = 0;

		last[slot] = at + 1;
		if (before && at - (before - 1) <= MAX_DISTANCE && four_bytes(text + before - 1) == word) {
			const unsigned char *match = text + before - 1;

			length = MIN_MATCH;
			while (length < MAX_MATCH && at + length < BYTES && match[length] == text[at + length])
				length++;
		}
		if (length == 0) {
			at++;
			continue;
		}
		out = put_literals(out, literals, at);
		packed[out++] = 0x80 | (length - MIN_MATCH);
		packed[out++] = (at - (before - 1)) & 255;
		packed[out++] = (at - (before - 1)) >> 8;
		at += length;
		literals = at;
	}
	return put_literals(out, literals, BYTES);
}

static size_t decompress(size_t count)
{
	size_t at = 0;
	size_t out = 0;

	while (at < count) {
		unsigned int control = packed[at++];
		size_t length = control < 0x80 ? control + 1 : control - 0x80 + MIN_MATCH;

		if (control < 0x80) {
			memcpy(again + out, packed + at, length);
			at += length;
			out += length;
		} else {
			size_t distance = packed[at] | packed[at + 1] << 8;

			at += 2;
			/* Byte by byte: the match may overlap what it makes. */
			for (; length > 0; length--, out++)
				again[out] = again[out - distance];
		}
	}
	return out;
}

static uint64_t unit(void)
{
	size_t count = compress();
	size_t back = decompress(count);

	if (back != BYTES || memcmp(text, again, BYTES))
		return 1;
	return sum_bytes(packed, count);
}

BENCHMARK("lz", "integer", "LZ77 of 384 KiB of text and back", 30, prepare, unit, 0x2333e4b3d6666d46);
