/*
 * Reads and writes of 4 KiB on a block device, past the page cache, with a number of requests under way: Linux's native
 * asynchronous I/O by its system calls. Prints one line a test: NAME SECONDS.
 *
 *     disk DEVICE MIB COUNT
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define MAX_DEPTH 32

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	printf("FAILED %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Transfers `count` blocks of a device of `blocks`, `depth` at once; the last write is durable at the end. */
static void run(const char *name, int fd, uint64_t blocks, int count, int depth, int random, int write)
{
	static char *buffers;
	struct iocb requests[MAX_DEPTH], *list[MAX_DEPTH];
	struct io_event events[MAX_DEPTH];
	aio_context_t context = 0;
	int started = 0, done = 0, i;
	double begin;

	if (!buffers && posix_memalign((void **)&buffers, BLOCK, MAX_DEPTH * BLOCK))
		fail("posix_memalign");
	memset(buffers, 0x5a, MAX_DEPTH * BLOCK);
	if (syscall(SYS_io_setup, depth, &context) < 0)
		fail("io_setup");
	begin = now();
	for (i = 0; i < depth; i++)
		requests[i].aio_data = i;
	int idle[MAX_DEPTH], idle_count = depth;
	for (i = 0; i < depth; i++)
		idle[i] = i;
	while (done < count) {
		int submitted = 0;

		while (idle_count > 0 && started < count) {
			struct iocb *request = &requests[idle[--idle_count]];
			uint64_t block = random ? next_random() % blocks : (uint64_t)started % blocks;
			uint64_t index = request->aio_data;

			memset(request, 0, sizeof(*request));
			request->aio_data = index;
			request->aio_fildes = fd;
			request->aio_lio_opcode = write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
			request->aio_buf = (uint64_t)(uintptr_t)(buffers + index * BLOCK);
			request->aio_nbytes = BLOCK;
			request->aio_offset = block * BLOCK;
			list[submitted++] = request;
			started++;
		}
		for (i = 0; i < submitted;) {
			int taken = syscall(SYS_io_submit, context, submitted - i, list + i);

			if (taken < 0)
				fail("io_submit");
			i += taken;
		}
		int ended = syscall(SYS_io_getevents, context, 1, MAX_DEPTH, events, NULL);

		if (ended < 0)
			fail("io_getevents");
		for (i = 0; i < ended; i++) {
			if (events[i].res != BLOCK) {
				errno = -(int)events[i].res;
				fail(name);
			}
			idle[idle_count++] = events[i].data;
		}
		done += ended;
	}
	if (write && fsync(fd) < 0)
		fail("fsync");
	printf("RESULT %s %.6f\n", name, now() - begin);
	fflush(stdout);
	syscall(SYS_io_destroy, context);
}

int main(int argc, char **argv)
{
	uint64_t blocks = (argc > 2 ? atoll(argv[2]) : 0) * 1024 * 1024 / BLOCK;
	int count = argc > 3 ? atoi(argv[3]) : 0;
	int fd = argc > 1 ? open(argv[1], O_RDWR | O_DIRECT) : -1;

	if (fd < 0 || blocks == 0 || count < 1)
		fail("usage: disk DEVICE MIB COUNT");
	/* What is measured first would pay for the translation of the guest's code. */
	run("warm-up", fd, blocks, count / 2, 32, 1, 0);
	run("sequential-read", fd, blocks, count, 32, 0, 0);
	run("random-read", fd, blocks, count, 32, 1, 0);
	run("sequential-write", fd, blocks, count, 32, 0, 1);
	run("random-write", fd, blocks, count, 32, 1, 1);
	run("one-at-a-time-read", fd, blocks, count / 8, 1, 1, 0);
	return 0;
}
