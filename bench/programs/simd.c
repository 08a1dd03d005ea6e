/* Sums over arrays with SSE2: integers of four widths, floats, doubles. */
#include "bench.h"

#include <emmintrin.h>
#include <string.h>

#define BYTES 65536
#define PASSES 160

static __m128i *data;
static __m128d *doubles;

static void prepare(void)
{
	uint64_t random = 41;
	double *values;
	size_t i;

	data = allocate(BYTES);
	doubles = allocate(BYTES);
	for (i = 0; i < BYTES / 8; i++)
		((uint64_t *)data)[i] = next_random(&random);
	values = (double *)doubles;
	for (i = 0; i < BYTES / 8; i++)
		values[i] = (double)((int64_t)next_random(&random) >> 40) / 4096;
}

static uint64_t unit(void)
{
	__m128i bytes = _mm_setzero_si128(), words = bytes, dwords = bytes, qwords = bytes;
	__m128d sums = _mm_setzero_pd(), products = _mm_set1_pd(1);
	__m128 floats = _mm_setzero_ps();
	const __m128i zero = _mm_setzero_si128();
	const __m128d half = _mm_set1_pd(0.5);
	unsigned char result[7][16];
	int pass;
	size_t i;

	for (pass = 0; pass < PASSES; pass++) {
		for (i = 0; i < BYTES / 16; i++) {
			__m128i value = _mm_load_si128(data + i);

			bytes = _mm_add_epi64(bytes, _mm_sad_epu8(value, zero));
			words = _mm_add_epi16(words, _mm_max_epi16(value, words));
			dwords = _mm_add_epi32(dwords, _mm_madd_epi16(value, value));
			qwords = _mm_add_epi64(qwords, _mm_xor_si128(_mm_srli_epi64(value, 3), dwords));
		}
		for (i = 0; i < BYTES / 16; i++) {
			__m128d value = _mm_load_pd((const double *)(doubles + i));

			sums = _mm_add_pd(sums, value);
			products = _mm_add_pd(_mm_mul_pd(products, half), value);
			floats = _mm_add_ps(floats, _mm_cvtpd_ps(value));
		}
		TOUCH_MEMORY();
	}
	memcpy(result[0], &bytes, 16);
	memcpy(result[1], &words, 16);
	memcpy(result[2], &dwords, 16);
	memcpy(result[3], &qwords, 16);
	memcpy(result[4], &sums, 16);
	memcpy(result[5], &products, 16);
	memcpy(result[6], &floats, 16);
	return sum_bytes(result, sizeof(result));
}

BENCHMARK("simd", "float", "SSE2 sums of integers, floats, doubles over 20 MiB", 50, prepare, unit, 0xb3a7afa9cc6898b8);
