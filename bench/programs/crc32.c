/* CRC-32 (ISO 3309, reflected polynomial EDB88320h) by a table of 256 entries, a byte at a time. */
#include "bench.h"

#define BYTES (1 << 20)

static uint32_t table[256];
static unsigned char *data;

static void prepare(void)
{
	uint64_t random = 3;
	uint32_t i;
	int bit;

	for (i = 0; i < 256; i++) {
		uint32_t value = i;

		for (bit = 0; bit < 8; bit++)
			value = value & 1 ? value >> 1 ^ 0xedb88320 : value >> 1;
		table[i] = value;
	}
	data = allocate(BYTES);
	for (i = 0; i < BYTES; i++)
		data[i] = next_random(&random) >> 56;
}

static uint64_t unit(void)
{
	uint32_t crc = 0xffffffff;
	size_t i;

	HIDE(crc);
	for (i = 0; i < BYTES; i++)
		crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
	return ~crc;
}

BENCHMARK("crc32", "integer", "CRC-32 of 1 MiB, table", 30, prepare, unit, 0x0000000004ce460e);
