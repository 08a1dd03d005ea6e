/* Arithmetic whose results are printed to the last bit: they must be those of the native processor. */
#include "checks.h"

#include <complex.h>
#include <fenv.h>
#include <float.h>
#include <math.h>

static const double arguments[] = {
	0.0, -0.0, 1.0, -1.0, 0.5, 1.0 / 3, 2.0, 3.141592653589793, 10.0, 123.456, -7.25, 1e-5, 1e5, 1e-300, 1e300, 5e-324,
	1.7976931348623157e308, 0.1, 100.0, 1e16,
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What printf makes of numbers goes through 80-bit and multi-word arithmetic in the C library. */
int check_float(const char *argument)
{
	(void)argument;
	printf("%.17g %.17g %.17g %.3f %e %g\n", 1.0 / 3, exp(1.0), sin(1.0), 2.0 / 3, 12345.678, 1e100);
	for (size_t i = 0; i < COUNT(arguments); i++) {
		volatile double x = arguments[i];
		volatile long double y = x;
		volatile float z = (float)x;

		printf("%a: %.20g %a %a %a %a", x, x, sqrt(x), x * x, x / 3, x + 1e-3);
		printf(" %a %a %a %a", floor(x), rint(x), fmod(x, 0.7), remainder(x, 0.7));
		printf(" %d %ld %lld\n", (int)fmin(fmax(x, -1e9), 1e9), lrint(fmin(fmax(x, -1e9), 1e9)),
		       llrintl(fminl(fmaxl(y, -1e9L), 1e9L)));
		printf("  %a %a %a %a\n", exp(x), log(fabs(x) + 1), pow(fabs(x), 0.3), atan2(x, 2));
		printf("  %La %La %La %La %.25Lg\n", y / 3, sqrtl(y), y * y - 1, fmodl(y, 0.7L), y / 7);
		/*
		 * Here the C library uses FPATAN, FYL2X, F2XM1 and their kin, which processors compute to within a unit of the
		 * last place, each in its own way.
		 */
		printf("  %.15Lg %.15Lg %.15Lg %.15Lg\n", atan2l(y, 2), log2l(fabsl(y) + 1), expl(fminl(y, 700)), logl(fabsl(y) + 1));
		printf("  %a %a %a %a\n", z * 1.1f, sqrtf(z), z / 3.0f, (double)(z - 0.3f));
	}
	static const char *const numerals[] = { "0.1", "1e-310", "123456789012345678", "2.2250738585072014e-308", "1e400", "-0", "nan", "inf", "0x1.8p3" };
	for (size_t i = 0; i < COUNT(numerals); i++)
		printf("%s: %a %La %a\n", numerals[i], strtod(numerals[i], 0), strtold(numerals[i], 0), strtof(numerals[i], 0));

	uint64_t state = 1, hash = FOLD_START;
	for (int i = 0; i < 20000; i++) {
		union { uint64_t bits; double value; } a = { next_random(&state) }, b = { next_random(&state) }, r[6];

		r[0].value = a.value + b.value;
		r[1].value = a.value - b.value;
		r[2].value = a.value * b.value;
		r[3].value = a.value / b.value;
		r[4].value = sqrt(a.value);
		r[5].value = (float)a.value;
		for (int k = 0; k < 6; k++)
			/* Which of two NaNs survives may depend on the order in which the compiler put the operands. */
			hash = fold(hash, isnan(r[k].value) ? "nan nan" : (char *)&r[k], 8);
	}
	printf("hash %016lx\n", hash);
	double complex c = cexp(1.0 + 2.0 * I);
	printf("%a %a\n", creal(c), cimag(c));
	return 0;
}

/* Rounding modes and exception flags of both units. */
int check_rounding(const char *argument)
{
	static const int modes[] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO };

	(void)argument;
	for (size_t m = 0; m < COUNT(modes); m++) {
		REQUIRE(fesetround(modes[m]) == 0);
		for (size_t i = 0; i < COUNT(arguments); i++) {
			volatile double x = arguments[i], three = 3;
			volatile long double y = x, seven = 7;
			volatile float f;

			feclearexcept(FE_ALL_EXCEPT);
			double quotient = x / three;
			f = (float)x;
			int sse = fetestexcept(FE_ALL_EXCEPT);
			feclearexcept(FE_ALL_EXCEPT);
			long double quotientl = y / seven;
			int x87 = fetestexcept(FE_ALL_EXCEPT);
			feclearexcept(FE_ALL_EXCEPT);
			double near = rint(x * three);
			double root = sqrt(x);
			int rest = fetestexcept(FE_ALL_EXCEPT);
			printf("%zu %a: %a %a %#x %La %#x %a %a %#x\n", m, x, quotient, (double)f, sse, quotientl, x87, near, root,
			       rest);
		}
	}
	fesetround(FE_TONEAREST);
	return 0;
}

__attribute__((noinline, optimize("O3"))) static uint64_t vectors(uint64_t seed)
{
	static uint8_t a[4096], b[4096], c[4096];
	static uint16_t words[4096];
	static int32_t longs[4096];
	static float floats[4096];

	for (int i = 0; i < 4096; i++) {
		uint64_t r = next_random(&seed);
		a[i] = r;
		b[i] = r >> 8;
		words[i] = r >> 16;
		longs[i] = r >> 32;
		floats[i] = (float)(int32_t)r;
	}
	for (int i = 0; i < 4096; i++)
		c[i] = (a[i] + b[i] + 1) >> 1;
	for (int i = 0; i < 4096; i++)
		a[i] = a[i] > b[i] ? a[i] - b[i] : 0;
	for (int i = 0; i < 4096; i++)
		words[i] = words[i] * 31 + c[i];
	for (int i = 0; i < 4096; i++)
		longs[i] = (longs[i] >> 3) * (int32_t)words[i] ^ longs[4095 - i];
	for (int i = 0; i < 4096; i++)
		floats[i] = floats[i] * 0.5f + (float)longs[i];
	uint64_t sum = 0;
	for (int i = 0; i < 4096; i++)
		sum += (uint64_t)a[i] * words[i];
	return fold(fold(fold(fold(sum, a, 4096), c, 4096), longs, sizeof(longs)), floats, sizeof(floats));
}

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Integer code of the compiler's and the C library's making: 128-bit division, string functions, sorting, vectors. */
int check_integer(const char *argument)
{
	static uint64_t numbers[20000];
	static char text[2][5000];
	uint64_t state = 7, hash = FOLD_START;

	(void)argument;
	for (int i = 0; i < 20000; i++)
		numbers[i] = next_random(&state);
	for (int i = 0; i + 4 < 20000; i += 4) {
		unsigned __int128 wide = (unsigned __int128)numbers[i] << 64 | numbers[i + 1];
		uint64_t by = numbers[i + 2] >> (numbers[i + 3] & 63) | 1;
		unsigned __int128 quotient = wide / by, rest = wide % by;
		__int128 negative = -(__int128)(wide >> 1) / (int64_t)(by >> 1 | 1);

		hash = fold(fold(fold(hash, &quotient, 16), &rest, 16), &negative, 16);
		uint64_t mixed = (numbers[i] << (by & 63) | numbers[i] >> (-by & 63)) + __builtin_popcountll(by) +
				 __builtin_clzll(by) + __builtin_ctzll(by) + __builtin_bswap64(numbers[i + 1]);
		int64_t sign = (int64_t)numbers[i + 1] >> (by & 63);
		int32_t small = (int32_t)numbers[i] / ((int32_t)by | 1);
		hash = fold(fold(fold(hash, &mixed, 8), &sign, 8), &small, 4);
		int64_t product;
		uint8_t over = __builtin_mul_overflow((int64_t)numbers[i], (int64_t)by, &product);
		hash = fold(fold(hash, &over, 1), &product, 8);
	}
	printf("division %016lx\n", hash);
	qsort(numbers, 20000, sizeof(numbers[0]), order);
	for (int i = 1; i < 20000; i++)
		REQUIRE(numbers[i - 1] <= numbers[i]);
	printf("sorted %016lx\n", fold(FOLD_START, numbers, sizeof(numbers)));
	/* The library chooses string functions for the processor: SSE2, SSSE3, SSE4.2, ERMS. */
	for (int round = 0; round < 500; round++) {
		size_t length = next_random(&state) % 4000, from = next_random(&state) % 64, to = next_random(&state) % 64;

		for (size_t i = 0; i < length; i++)
			text[0][from + i] = 'a' + next_random(&state) % 26;
		text[0][from + length] = 0;
		memset(text[1], 'z', sizeof(text[1]));
		strcpy(text[1] + to, text[0] + from);
		hash = fold(hash, text[1], sizeof(text[1]));
		REQUIRE_EQUAL(strlen(text[1] + to), length);
		REQUIRE(strcmp(text[0] + from, text[1] + to) == 0);
		memmove(text[1] + to / 2, text[1] + to, length + 1);
		REQUIRE(memcmp(text[1] + to / 2, text[0] + from, length + 1) == 0);
		char *found = strchr(text[1] + to / 2, 'q');
		char *pair = strstr(text[1] + to / 2, "xy");
		char *last = strrchr(text[1] + to / 2, 'k');
		size_t span = strspn(text[0] + from, "abcdefghijklmnopqrs"), other = strcspn(text[0] + from, "xyz");
		int64_t places[5] = { found ? found - text[1] : -1, pair ? pair - text[1] : -1, last ? last - text[1] : -1, span, other };
		hash = fold(hash, places, sizeof(places));
	}
	printf("strings %016lx\n", hash);
	for (int i = 0; i < 20; i++)
		hash = fold(hash, &(uint64_t){ vectors(state + i) }, 8);
	printf("vectors %016lx\n", hash);
	return 0;
}
