/*
 * PID 1 of the embedded guest: mounts, one shell on the console, power off. No libc, no fork but the shell's.
 *
 * A shell script would do, at the price of a process for each mount; on an interpreted CPU this program reaches the
 * prompt several times sooner. It starts the shell as leader of a session whose controlling terminal is the console,
 * reaps orphans, and ends the machine when the shell ends, when the power button is pressed, or on the signals
 * that busybox sends to PID 1: SIGUSR2 poweroff, SIGUSR1 halt (also powers off: a halted machine helps nobody) and
 * SIGTERM reboot; SIGINT is the kernel's Ctrl-Alt-Del.
 *
 * Kernel parameter: typervisor.run="COMMAND" runs COMMAND with `sh -c` in place of the shell, without a greeting.
 *
 * It never flushes the terminal's input: what was piped in before the shell came up is the shell's to read.
 */
/* Headers only: types and numbers. Nothing of libc is linked. */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/reboot.h>
#include <linux/time_types.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define MS_PER_S 1000
#define NS_PER_MS 1000000

/* How long processes may take to end by themselves before they are killed. */
#define GRACE_MS 2000
#define MAX_BUTTONS 4

/* --- System calls (x86-64 ABI: number in rax, result in rax, rcx and r11 lost) --- */

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#define CALL(name, a, b, c, d) call6(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* gcc calls these of its own accord, also in freestanding code. */
void *memset(void *to, int byte, unsigned long count)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(byte) : "memory");
	return start;
}

void *memcpy(void *to, const void *from, unsigned long count)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	return start;
}

static unsigned long length(const char *text)
{
	unsigned long count = 0;

	while (text[count])
		count++;
	return count;
}

/* --- Output: one write per message, so that a slow console is entered once --- */

static char line[1024];
static unsigned long used;

static void add(const char *text)
{
	while (*text && used < sizeof(line))
		line[used++] = *text++;
}

static void add_number(unsigned long value)
{
	char digits[24];
	int at = sizeof(digits);

	digits[--at] = 0;
	do
		digits[--at] = '0' + value % 10;
	while (value /= 10);
	add(digits + at);
}

static void print(void)
{
	CALL(write, 1, line, used, 0);
	used = 0;
}

/* Reads a whole small file into `buffer`, ended by a zero; returns its length, 0 when there is nothing. */
static long read_file(const char *path, char *buffer, long size)
{
	long got = 0;
	long count = 0;
	long fd = CALL(open, path, O_RDONLY | O_CLOEXEC, 0, 0);

	if (fd >= 0) {
		while (count < size - 1 && (got = CALL(read, fd, buffer + count, size - 1 - count, 0)) > 0)
			count += got;
		CALL(close, fd, 0, 0, 0);
	}
	buffer[count] = 0;
	return count;
}

/* --- Starting --- */

static char *const environment[] = {
	"HOME=/root", "PATH=/bin:/sbin:/usr/bin:/usr/sbin", "TERM=xterm", "SHELL=/bin/sh", "USER=root", "LOGNAME=root",
	"PS1=\\h:\\w\\$ ", 0,
};

static void mount_all(void)
{
	static const struct {
		const char *type, *where, *options;
		unsigned long flags;
	} mounts[] = {
		{ "proc", "/proc", 0, MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "sysfs", "/sys", 0, MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "devtmpfs", "/dev", "mode=755", MS_NOSUID },
		{ "devpts", "/dev/pts", "mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC },
		{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV },
		{ "tmpfs", "/run", "mode=755", MS_NOSUID | MS_NODEV },
		{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV },
	};
	unsigned int i;

	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		CALL(mkdir, mounts[i].where, 0755, 0, 0);
		call6(__NR_mount, (long)mounts[i].type, (long)mounts[i].where, (long)mounts[i].type, mounts[i].flags,
		      (long)mounts[i].options, 0);
	}
	CALL(symlink, "/proc/self/fd", "/dev/fd", 0, 0);
	CALL(symlink, "/proc/self/fd/0", "/dev/stdin", 0, 0);
	CALL(symlink, "/proc/self/fd/1", "/dev/stdout", 0, 0);
	CALL(symlink, "/proc/self/fd/2", "/dev/stderr", 0, 0);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	long fd = CALL(socket, AF_INET, SOCK_DGRAM, 0, 0);

	if (fd < 0)
		return;
	CALL(ioctl, fd, SIOCSIFFLAGS, &request, 0);
	CALL(close, fd, 0, 0, 0);
}

/* The terminal behind /dev/console: /dev/console itself cannot become a controlling terminal. */
static const char *console_path(void)
{
	static char path[64] = "/dev/";
	static char active[256];
	long end = read_file("/sys/class/tty/console/active", active, sizeof(active));
	long start;

	while (end > 0 && active[end - 1] <= ' ')
		end--;
	active[end] = 0;
	for (start = end; start > 0 && active[start - 1] > ' '; start--)
		;
	if (start == end || end - start > (long)sizeof(path) - 6)
		return "/dev/console";
	memcpy(path + 5, active + start, end - start + 1);
	return path;
}

/* The value of typervisor.run= on the kernel's command line, or 0. The kernel allows "name=value" and name="value". */
static char *command_to_run(void)
{
	static char parameters[4096];
	static const char name[] = "typervisor.run=";
	char *at = parameters;
	char *value;

	read_file("/proc/cmdline", parameters, sizeof(parameters));
	for (; *at; at++) {
		unsigned long i = 0;
		char stop = ' ';

		if (at > parameters && at[-1] != ' ' && at[-1] != '"')
			continue;
		while (name[i] && at[i] == name[i])
			i++;
		if (name[i])
			continue;
		value = at + i;
		if (*value == '"') {
			stop = '"';
			value++;
		} else if (at > parameters && at[-1] == '"') {
			stop = '"';
		}
		for (at = value; *at && *at != stop && *at != '\n'; at++)
			;
		*at = 0;
		return *value ? value : 0;
	}
	return 0;
}

static void greet(void)
{
	static struct utsname name;
	static struct sysinfo memory;
	static unsigned long cpus[16];
	long bytes = CALL(sched_getaffinity, 0, sizeof(cpus), cpus, 0);
	unsigned long count = 0;
	long i;

	CALL(uname, &name, 0, 0, 0);
	CALL(sysinfo, &memory, 0, 0, 0);
	for (i = 0; i < bytes * 8; i++)
		count += cpus[i / 64] >> i % 64 & 1;
	add("\nThis is the embedded guest of typervisor: Linux ");
	add(name.release);
	add(" with a busybox userland\non ");
	add_number(count);
	add(count == 1 ? " CPU and " : " CPUs and ");
	add_number(memory.totalram * memory.mem_unit >> 20);
	add(" MiB of memory. Nothing you do here outlives it. Three things to try:\n\n"
	    "  cat /proc/cpuinfo            the processor that runs all this\n"
	    "  dmesg | head -n 40           how it started\n"
	    "  poweroff                     the way out (exit and Ctrl-D do the same)\n\n");
	print();
}

/* What processes wrote to the console last may still wait for the serial port: tcdrain(), which is TCSBRK with an argument. */
static void drain_console(void)
{
	CALL(ioctl, 1, TCSBRK, 1, 0);
}

/* Runs `sh -c command`, or a login shell, with the signals unblocked that `signals` holds. */
__attribute__((noreturn)) static void execute_shell(char *command, const unsigned long *signals)
{
	char *const login[] = { "-sh", 0 };
	char *const run[] = { "sh", "-c", command, 0 };

	CALL(rt_sigprocmask, SIG_SETMASK, signals, 0, sizeof(*signals));
	CALL(execve, "/bin/sh", command ? run : login, environment, 0);
	add("init: /bin/sh does not start\n");
	print();
	CALL(exit_group, 127, 0, 0, 0);
	__builtin_unreachable();
}

/*
 * Starts a shell on the console, below a leader of a session that ends as the shell did. Returns the leader's process id. When a leader
 * ends, the kernel hangs the terminal up and throws away what is not sent yet, so it waits for that first.
 */
static long start_shell(const char *console, char *command)
{
	/* A serial line does not know how large the window at its other end is; programs ask. */
	struct winsize size = { .ws_row = 24, .ws_col = 80 }, known;
	unsigned long none = 0, all = ~0UL;
	long fd;
	long shell;
	int status = 0;
	long pid = CALL(fork, 0, 0, 0, 0);

	if (pid)
		return pid;
	CALL(rt_sigprocmask, SIG_SETMASK, &all, 0, sizeof(all));
	CALL(setsid, 0, 0, 0, 0);
	fd = CALL(open, console, O_RDWR, 0, 0);
	if (fd >= 0) {
		CALL(ioctl, fd, TIOCSCTTY, 1, 0);
		if (CALL(ioctl, fd, TIOCGWINSZ, &known, 0) == 0 && known.ws_row == 0)
			CALL(ioctl, fd, TIOCSWINSZ, &size, 0);
		CALL(dup2, fd, 0, 0, 0);
		CALL(dup2, fd, 1, 0, 0);
		CALL(dup2, fd, 2, 0, 0);
		if (fd > 2)
			CALL(close, fd, 0, 0, 0);
	}
	shell = CALL(fork, 0, 0, 0, 0);
	if (shell == 0)
		execute_shell(command, &none);
	while (CALL(wait4, shell, &status, 0, 0) == -EINTR)
		;
	drain_console();
	if (status & 0x7f)
		CALL(kill, CALL(getpid, 0, 0, 0, 0), SIGKILL, 0, 0);
	CALL(exit_group, status >> 8 & 0xff, 0, 0, 0);
	__builtin_unreachable();
}

/* --- Ending --- */

static void sleep_ms(long ms)
{
	struct __kernel_timespec time = { ms / MS_PER_S, ms % MS_PER_S * NS_PER_MS };

	CALL(nanosleep, &time, 0, 0, 0);
}

/* Unmounts what was mounted, last first, so that file systems on disks are left clean. */
static void unmount_all(void)
{
	static char mounts[16384];
	long end = read_file("/proc/mounts", mounts, sizeof(mounts));

	while (end > 0) {
		char *at = mounts;
		char *to;
		long start = --end;

		while (start > 0 && mounts[start - 1] != '\n')
			start--;
		mounts[end] = 0;
		end = start;
		/* "device directory type ...": the directory, with \ooo for blanks in it. */
		for (at = mounts + start; *at && *at != ' '; at++)
			;
		if (!*at)
			continue;
		to = ++at;
		mounts[start] = 0;
		for (char *from = at; *from && *from != ' '; to++) {
			if (from[0] == '\\' && from[1] && from[2] && from[3]) {
				*to = (from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0');
				from += 4;
			} else {
				*to = *from++;
			}
		}
		*to = 0;
		if (at[0] == '/' && at[1])
			CALL(umount2, at, 0, 0, 0);
	}
}

static void end_machine(unsigned int how, long shell)
{
	long waited;

	CALL(kill, -1, SIGTERM, 0, 0);
	/* An interactive shell ignores SIGTERM. */
	if (shell > 0)
		CALL(kill, -1, SIGHUP, 0, 0);
	CALL(kill, -1, SIGCONT, 0, 0);
	for (waited = 0; waited < GRACE_MS; waited += 10) {
		long pid;

		while ((pid = CALL(wait4, -1, 0, WNOHANG, 0)) > 0)
			;
		if (pid == -ECHILD)
			break;
		sleep_ms(10);
	}
	drain_console();
	CALL(kill, -1, SIGKILL, 0, 0);
	CALL(sync, 0, 0, 0, 0);
	unmount_all();
	CALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, how, 0);
	/* Without ACPI there is no power to turn off: stop here rather than return, which would be a panic. */
	for (;;)
		CALL(pause, 0, 0, 0, 0);
}

/* --- Waiting --- */

/* Fills `watched` with input devices that have a power key. */
static int open_power_buttons(struct pollfd *watched)
{
	char path[] = "/dev/input/event0";
	int found = 0;

	for (; found < MAX_BUTTONS && path[16] <= '9'; path[16]++) {
		unsigned char keys[KEY_CNT / 8];
		long fd = CALL(open, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0);

		if (fd < 0)
			break;
		memset(keys, 0, sizeof(keys));
		CALL(ioctl, fd, EVIOCGBIT(EV_KEY, sizeof(keys)), keys, 0);
		if (keys[KEY_POWER / 8] >> KEY_POWER % 8 & 1) {
			watched[found].fd = fd;
			watched[found++].events = POLLIN;
		} else {
			CALL(close, fd, 0, 0, 0);
		}
	}
	return found;
}

static int power_pressed(int fd)
{
	struct input_event event;

	while (CALL(read, fd, &event, sizeof(event), 0) == sizeof(event))
		if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
			return 1;
	return 0;
}

#define BIT(signal) (1UL << ((signal) - 1))

__attribute__((used, noreturn)) static void init(void)
{
	/* Blocked signals reach PID 1 through the descriptor; unblocked ones without a handler would be dropped. */
	unsigned long signals = BIT(SIGCHLD) | BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGTERM) | BIT(SIGINT);
	struct pollfd watched[1 + MAX_BUTTONS];
	const char *console;
	char *command;
	long shell;
	int count, i;

	CALL(rt_sigprocmask, SIG_SETMASK, &signals, 0, sizeof(signals));
	mount_all();
	CALL(sethostname, "typervisor", length("typervisor"), 0, 0);
	CALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, 0);
	CALL(chdir, "/root", 0, 0, 0);
	command = command_to_run();
	console = console_path();
	if (!command)
		greet();
	shell = start_shell(console, command);
	/* The rest is not needed for the prompt. */
	loopback_up();
	watched[0].fd = CALL(signalfd4, -1, &signals, sizeof(signals), SFD_CLOEXEC);
	watched[0].events = POLLIN;
	count = 1 + open_power_buttons(watched + 1);

	for (;;) {
		struct signalfd_siginfo got;
		long pid;
		int status;

		if (CALL(poll, watched, count, -1, 0) < 0)
			continue;
		for (i = 1; i < count; i++)
			if (watched[i].revents && power_pressed(watched[i].fd))
				end_machine(LINUX_REBOOT_CMD_POWER_OFF, shell);
		if (!watched[0].revents || CALL(read, watched[0].fd, &got, sizeof(got), 0) != sizeof(got))
			continue;
		if (got.ssi_signo == SIGTERM || got.ssi_signo == SIGINT)
			end_machine(LINUX_REBOOT_CMD_RESTART, shell);
		if (got.ssi_signo != SIGCHLD)
			end_machine(LINUX_REBOOT_CMD_POWER_OFF, shell);
		while ((pid = CALL(wait4, -1, &status, WNOHANG, 0)) > 0) {
			if (pid != shell)
				continue;
			/* A shell that exits has been told to; one that was killed comes back. */
			if ((status & 0x7f) == 0 || command)
				end_machine(LINUX_REBOOT_CMD_POWER_OFF, 0);
			shell = start_shell(console, 0);
		}
	}
}

__asm__(".globl _start\n_start:\n\txorl %ebp, %ebp\n\tandq $-16, %rsp\n\tcall init\n");
