/* Runs busybox as a benchmark: for programs that were not written to be measured. */
#ifndef BUSYBOX_H
#define BUSYBOX_H

#include "bench.h"

/* Input for busybox: `bytes` of text. */
void busybox_prepare(size_t bytes);

/* Runs busybox with the input and returns the checksum of its output. The first argument is the applet; the last is 0. */
uint64_t busybox_run(char *const *arguments);

/* The checksum of the input, for what gives it back. */
uint64_t busybox_input_sum(void);

#endif
