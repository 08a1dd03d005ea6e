/* busybox sha256sum: its own C code, compiled by Debian. */
#include "busybox.h"

static void prepare(void)
{
	busybox_prepare(2 << 20);
}

static uint64_t unit(void)
{
	char *arguments[] = {"sha256sum", 0};

	return busybox_run(arguments);
}

BENCHMARK("busybox-sha256sum", "busybox", "busybox sha256sum of 2 MiB", 6, prepare, unit, 0x68cfc465691d5051);
