/* A loop in busybox's shell: arithmetic, tests, string operations; no processes. */
#include "busybox.h"

static void prepare(void)
{
	busybox_prepare(1);
}

static uint64_t unit(void)
{
	char *arguments[] = {
		"sh", "-c",
		"i=0; s=0; w=; while [ $i -lt 4000 ]; do i=$((i + 1)); case $i in *7) s=$((s + i)) w=${w#???}$i;; esac; done; echo $s $w",
		0,
	};

	return busybox_run(arguments);
}

BENCHMARK("busybox-shell", "busybox", "busybox sh, a loop of 4,000 turns", 15, prepare, unit, 0xe40aea9b7089a5ed);
