/* Product of two matrices of floats, the inner loop along rows, as a compiler vectorises it. */
#include "bench.h"

#define SIZE 192

static float a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

static void prepare(void)
{
	uint64_t random = 37;
	int i, j;

	for (i = 0; i < SIZE; i++)
		for (j = 0; j < SIZE; j++) {
			a[i][j] = (float)((int64_t)next_random(&random) >> 48) / 4096;
			b[i][j] = (float)((int64_t)next_random(&random) >> 48) / 4096;
		}
}

static uint64_t unit(void)
{
	int i, j, k;

	for (i = 0; i < SIZE; i++) {
		for (j = 0; j < SIZE; j++)
			c[i][j] = 0;
		for (k = 0; k < SIZE; k++) {
			float factor = a[i][k];

			for (j = 0; j < SIZE; j++)
				c[i][j] += factor * b[k][j];
		}
	}
	return sum_bytes(c, sizeof(c));
}

BENCHMARK("matmul", "float", "product of two 192 by 192 matrices of floats", 50, prepare, unit, 0x42d4fe187852325f);
