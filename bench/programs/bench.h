/*
 * What the benchmark programs share. All of them are linked into one static program, which is also PID 1 of the
 * benchmark guest: main.c runs one by name, guest-init.c runs them on command from the serial port.
 *
 * A benchmark does its work in equal units, each some 2 to 10 ms on a processor of today. Every unit returns the same
 * checksum, which is compared with the one given here: a system that computes wrongly fails, however fast it is. How many
 * units run is up to the caller, so that slow systems can do fewer and be compared per unit.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

struct benchmark {
	const char *name;
	/* integer, calls, float, memory, system, process or busybox: what is averaged together. */
	const char *group;
	/* For the table of results: what one unit does. */
	const char *title;
	/* Units of the whole work. */
	long units;
	/* What is not measured: data to work on. May be 0. */
	void (*prepare)(void);
	uint64_t (*unit)(void);
	uint64_t expected;
};

/* Registers the benchmark of a file: the linker collects the pointers of the section into one array. */
#define BENCHMARK(...)                                                                                              \
	static const struct benchmark the_benchmark = {__VA_ARGS__};                                                \
	__attribute__((used, section("benchmarks"))) static const struct benchmark *const the_pointer =              \
		&the_benchmark

/* The compiler must believe that the value may be anything: nothing computed from it is constant or the same as before. */
#define HIDE(value) __asm__ volatile("" : "+r"(value))
/* The compiler must believe that all memory is read and written here. */
#define TOUCH_MEMORY() __asm__ volatile("" : : : "memory")

/* xorshift64*; the state must not be 0. */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* Order matters: the sum of a, b differs from that of b, a. */
static inline uint64_t add_to_sum(uint64_t sum, uint64_t value)
{
	sum = (sum ^ value) * 0x9e3779b97f4a7c15ULL;
	return sum ^ sum >> 29;
}

/* Checksum of bytes, eight at a time. */
uint64_t sum_bytes(const void *bytes, size_t count);

/* Fills memory with text: words of a small dictionary, drawn unevenly, in lines. The same seed gives the same text. */
void make_text(char *to, size_t count, uint64_t seed);

/* Memory that is there for good; ends the program when there is none. */
void *allocate(size_t bytes);

/* Ends the program with the name of what failed and errno. */
_Noreturn void die(const char *what);

/* PID 1 of the guest. */
_Noreturn void guest_init(void);

#endif
