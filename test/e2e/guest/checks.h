/*
 * The programs that the end-to-end tests run in the guest: one static binary, one file a subject, `checks NAME [ARGUMENT]`.
 * Most print numbers that depend on nothing but the processor, and the test compares them with what the same binary prints
 * natively; the others judge for themselves and print what is wrong.
 */
#ifndef CHECKS_H
#define CHECKS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One check: returns the exit status. `argument` is "" when there is none. */
typedef int check(const char *argument);

check check_float, check_integer, check_rounding, check_signals, check_signal_state, check_threads, check_processes,
	check_jit, check_single_step, check_breakpoints, check_jumps, check_time, check_memory, check_paging, check_wide, check_disk_code;

/* Prints what went wrong and where, and ends the program with status 1. */
#define FAIL(...) (fprintf(stderr, "%s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))
#define REQUIRE(condition) ((condition) ? (void)0 : FAIL("not true: %s", #condition))
/* Both as unsigned 64-bit numbers. */
#define REQUIRE_EQUAL(found, wanted) \
	do { \
		unsigned long found_ = (unsigned long)(found), wanted_ = (unsigned long)(wanted); \
		if (found_ != wanted_) \
			FAIL("%s is %#lx, not %#lx", #found, found_, wanted_); \
	} while (0)

/* A generator that is the same everywhere (splitmix64). */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Folds bytes into a hash (FNV-1a). */
static inline uint64_t fold(uint64_t hash, const void *data, size_t count)
{
	const unsigned char *bytes = data;

	while (count--)
		hash = (hash ^ *bytes++) * 0x100000001b3;
	return hash;
}
#define FOLD_START 0xcbf29ce484222325

#endif
