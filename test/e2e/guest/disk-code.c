/*
 * Code that arrives by DMA. The disk has functions in its blocks, function n at byte 4096 n returning n; each is read past the page
 * cache into one page, which no store of the program's touches, and called: often enough that it becomes hot.
 */
#define _GNU_SOURCE
#include "checks.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { PAGE = 4096, FUNCTIONS = 16, CALLS = 20000, ROUNDS = 4 };

int check_disk_code(const char *argument)
{
	int disk = open(argument, O_RDONLY | O_DIRECT);
	int (*code)(void);

	REQUIRE(disk >= 0);
	code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(code != MAP_FAILED);
	for (int round = 0; round < ROUNDS; round++)
		for (int n = 0; n < FUNCTIONS; n++) {
			REQUIRE_EQUAL(pread(disk, (void *)code, PAGE, n * PAGE), PAGE);
			for (int i = 0; i < CALLS; i++)
				REQUIRE_EQUAL(code(), n);
		}
	puts("ok");
	return 0;
}
