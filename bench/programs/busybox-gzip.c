/* busybox gzip and gunzip in a pipeline: what comes out is what went in, whichever version packs it. */
#include "busybox.h"

static void prepare(void)
{
	busybox_prepare(512 << 10);
}

static uint64_t unit(void)
{
	char *arguments[] = {"sh", "-c", "gzip -1 | gunzip", 0};

	return busybox_run(arguments);
}

BENCHMARK("busybox-gzip", "busybox", "busybox gzip -1 and gunzip of 512 KiB", 5, prepare, unit, 0xb77b8902d653d9f9);
