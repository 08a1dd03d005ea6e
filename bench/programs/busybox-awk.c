/* busybox awk: counts words and sums their lengths. */
#include "busybox.h"

static void prepare(void)
{
	busybox_prepare(64 << 10);
}

static uint64_t unit(void)
{
	char *arguments[] = {
		"awk",
		"{ for (i = 1; i <= NF; i++) { n[$i]++; sum += length($i) } } END { print sum, n[\"the\"], n[\"kernel\"], NR }",
		0,
	};

	return busybox_run(arguments);
}

BENCHMARK("busybox-awk", "busybox", "busybox awk on 64 KiB, word count", 8, prepare, unit, 0x9d9479edf7d14d66);
