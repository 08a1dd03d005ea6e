/* Runs the busybox that BENCH_BUSYBOX names, or /bin/busybox, with a file in memory as input and another as output. */
#include "busybox.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path;
static char *text;
static size_t text_bytes;
static int input, output;

void busybox_prepare(size_t bytes)
{
	path = getenv("BENCH_BUSYBOX");
	if (!path)
		path = "/bin/busybox";
	text = allocate(bytes);
	text_bytes = bytes;
	make_text(text, bytes, 47);
	input = memfd_create("input", MFD_CLOEXEC);
	output = memfd_create("output", MFD_CLOEXEC);
	if (input < 0 || output < 0 || write(input, text, bytes) != (ssize_t)bytes)
		die("memfd");
}

uint64_t busybox_input_sum(void)
{
	return sum_bytes(text, text_bytes);
}

static uint64_t output_sum(void)
{
	off_t bytes = lseek(output, 0, SEEK_END);
	void *content;
	uint64_t sum;

	if (bytes <= 0)
		return 0;
	content = mmap(0, bytes, PROT_READ, MAP_SHARED, output, 0);
	if (content == MAP_FAILED)
		die("mmap");
	sum = sum_bytes(content, bytes);
	munmap(content, bytes);
	return sum;
}

uint64_t busybox_run(char *const *arguments)
{
	pid_t child;
	int status;

	lseek(input, 0, SEEK_SET);
	lseek(output, 0, SEEK_SET);
	if (ftruncate(output, 0))
		die("ftruncate");
	child = fork();
	if (child == 0) {
		dup2(input, 0);
		dup2(output, 1);
		execv(path, arguments);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		die("busybox");
	if (status != 0)
		return 0;
	return output_sum();
}
