/*
 * PID 1 of the benchmark guest: says READY on the console, then obeys lines from there: "poweroff", "memory", or the
 * arguments of a benchmark. Each is answered with its output and "DONE status". With BENCH_POWEROFF=1 on the kernel's
 * command line, which the kernel puts into the environment, it powers off at once: a boot and nothing else.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MAX_WORDS 8

static _Noreturn void power_off(void)
{
	fflush(stdout);
	tcdrain(1);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void mount_file_systems(void)
{
	static const char *const mounts[][2] = {
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"},
	};
	size_t i;

	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i][1], 0755);
		mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, 0);
	}
}

/* The kernel's messages stay off the console from here on, and the console neither echoes nor edits. */
static void take_console(void)
{
	struct termios settings;
	FILE *level = fopen("/proc/sys/kernel/printk", "w");

	if (level) {
		fputs("1", level);
		fclose(level);
	}
	if (tcgetattr(0, &settings) == 0) {
		cfmakeraw(&settings);
		settings.c_oflag |= OPOST | ONLCR;
		tcsetattr(0, TCSANOW, &settings);
	}
}

/* Runs this program with the words as arguments; returns its wait status. */
static int run_words(char **words)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		execv("/proc/self/exe", words);
		_exit(127);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	return status;
}

static void print_memory(void)
{
	char row[128];
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && fgets(row, sizeof(row), file))
		if (!strncmp(row, "MemTotal:", 9) || !strncmp(row, "MemFree:", 8))
			fputs(row, stdout);
	if (file)
		fclose(file);
}

static void obey(char *line)
{
	char *words[MAX_WORDS + 2] = {"bench"};
	char *save = 0;
	char *word;
	int count = 1;
	int status = 0;

	for (word = strtok_r(line, " \r\n", &save); word && count <= MAX_WORDS; word = strtok_r(0, " \r\n", &save))
		words[count++] = word;
	if (count == 1)
		return;
	if (!strcmp(words[1], "poweroff"))
		power_off();
	if (!strcmp(words[1], "memory"))
		print_memory();
	else
		status = run_words(words);
	printf("DONE %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128);
	fflush(stdout);
}

_Noreturn void guest_init(void)
{
	char line[256];

	if (getenv("BENCH_POWEROFF")) {
		puts("READY");
		power_off();
	}
	mount_file_systems();
	take_console();
	puts("READY");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	power_off();
}
