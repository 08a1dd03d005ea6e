/* Chooses the check. */
#include "checks.h"

static const struct {
	const char *name;
	check *run;
} checks[] = {
	{ "float", check_float },
	{ "integer", check_integer },
	{ "rounding", check_rounding },
	{ "signals", check_signals },
	{ "signal-state", check_signal_state },
	{ "threads", check_threads },
	{ "processes", check_processes },
	{ "jit", check_jit },
	{ "single-step", check_single_step },
	{ "breakpoints", check_breakpoints },
	{ "jumps", check_jumps },
	{ "time", check_time },
	{ "memory", check_memory },
	{ "paging", check_paging },
	{ "wide", check_wide },
	{ "disk-code", check_disk_code },
};

int main(int count, char **arguments)
{
	const char *name = count > 1 ? arguments[1] : "";

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (strcmp(checks[i].name, name) == 0) {
			int status = checks[i].run(count > 2 ? arguments[2] : "");

			fflush(stdout);
			return status;
		}
	FAIL("no check \"%s\"", name);
}
