/* Modular exponentiation with 1024-bit numbers (Montgomery multiplication): 64 by 64 bit products and long carries. */
#include "bench.h"

#include <string.h>

#define LIMBS 16
#define BITS (LIMBS * 64)

typedef unsigned __int128 wide;

static uint64_t modulus[LIMBS], base[LIMBS], exponent[LIMBS];
/* -1 / modulus, modulo 2^64; 2^BITS and 2^(2 BITS) modulo the modulus. */
static uint64_t inverse;
static uint64_t one[LIMBS], square_of_one[LIMBS];

static int less(const uint64_t *a, const uint64_t *b)
{
	int i;

	for (i = LIMBS - 1; i >= 0; i--)
		if (a[i] != b[i])
			return a[i] < b[i];
	return 0;
}

/* a -= b; returns the borrow. */
static uint64_t subtract(uint64_t *a, const uint64_t *b)
{
	uint64_t borrow = 0;
	int i;

	for (i = 0; i < LIMBS; i++) {
		wide difference = (wide)a[i] - b[i] - borrow;

		a[i] = difference;
		borrow = difference >> 64 & 1;
	}
	return borrow;
}

/* result = a * b / 2^BITS modulo the modulus. */
static void multiply(uint64_t *result, const uint64_t *a, const uint64_t *b)
{
	uint64_t t[LIMBS + 2] = {0};
	int i, j;

	for (i = 0; i < LIMBS; i++) {
		uint64_t carry = 0;
		uint64_t factor;
		wide sum;

		for (j = 0; j < LIMBS; j++) {
			sum = (wide)a[j] * b[i] + t[j] + carry;
			t[j] = sum;
			carry = sum >> 64;
		}
		sum = (wide)t[LIMBS] + carry;
		t[LIMBS] = sum;
		t[LIMBS + 1] = sum >> 64;
		factor = t[0] * inverse;
		sum = (wide)factor * modulus[0] + t[0];
		carry = sum >> 64;
		for (j = 1; j < LIMBS; j++) {
			sum = (wide)factor * modulus[j] + t[j] + carry;
			t[j - 1] = sum;
			carry = sum >> 64;
		}
		sum = (wide)t[LIMBS] + carry;
		t[LIMBS - 1] = sum;
		t[LIMBS] = t[LIMBS + 1] + (uint64_t)(sum >> 64);
	}
	if (t[LIMBS] || !less(t, modulus))
		subtract(t, modulus);
	memcpy(result, t, sizeof(modulus));
}

/* a = 2 a modulo the modulus. */
static void twice(uint64_t *a)
{
	uint64_t top = a[LIMBS - 1] >> 63;
	int i;

	for (i = LIMBS - 1; i > 0; i--)
		a[i] = a[i] << 1 | a[i - 1] >> 63;
	a[0] <<= 1;
	if (top || !less(a, modulus))
		subtract(a, modulus);
}

static void prepare(void)
{
	uint64_t random = 19;
	int i;

	for (i = 0; i < LIMBS; i++) {
		modulus[i] = next_random(&random);
		base[i] = next_random(&random);
		exponent[i] = next_random(&random);
	}
	modulus[0] |= 1;
	modulus[LIMBS - 1] |= 1ULL << 63;
	base[LIMBS - 1] >>= 1;
	/* Newton's iteration doubles the number of right bits. */
	inverse = 1;
	for (i = 0; i < 6; i++)
		inverse *= 2 - modulus[0] * inverse;
	inverse = -inverse;
	memset(one, 0, sizeof(one));
	one[0] = 1;
	for (i = 0; i < BITS; i++)
		twice(one);
	memcpy(square_of_one, one, sizeof(one));
	for (i = 0; i < BITS; i++)
		twice(square_of_one);
}

static uint64_t unit(void)
{
	static const uint64_t plain_one[LIMBS] = {1};
	uint64_t power[LIMBS], factor[LIMBS];
	int bit;

	memcpy(power, one, sizeof(power));
	multiply(factor, base, square_of_one);
	for (bit = BITS - 1; bit >= 0; bit--) {
		multiply(power, power, power);
		if (exponent[bit / 64] >> bit % 64 & 1)
			multiply(power, power, factor);
	}
	multiply(power, power, plain_one);
	return sum_bytes(power, sizeof(power));
}

BENCHMARK("bigint", "integer", "1024-bit modular exponentiation", 50, prepare, unit, 0x3b7d965142498846);
