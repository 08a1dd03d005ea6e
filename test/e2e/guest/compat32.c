/*
 * A 32-bit program without a C library: compatibility mode with INT 80h, 32-bit addressing, segments, the x87, and the way
 * into 64-bit code and back. Prints what it finds.
 */
typedef unsigned int u32;
typedef unsigned long long u64;

static int call(int number, int a, int b, int c)
{
	int result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

static char line[256];
static int used;

static void text(const char *from)
{
	while (*from)
		line[used++] = *from++;
}

static void number(u64 value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		if (value >> shift || shift == 0)
			line[used++] = "0123456789abcdef"[value >> shift & 15];
}

static void put(const char *name, u64 value)
{
	text(name);
	text(" ");
	number(value);
	text("\n");
}

/* DIV by hand: for a 64-bit division the compiler would call a library. */
static u32 divide(u64 value, u32 by, u32 *rest)
{
	u32 quotient;

	__asm__("divl %4" : "=a"(quotient), "=d"(*rest) : "a"((u32)value), "d"((u32)(value >> 32)), "rm"(by) : "cc");
	return quotient;
}

static u32 fibonacci(u32 n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

/* BCD arithmetic and PUSHA: instructions that 64-bit mode does not have. */
static u32 old_instructions(void)
{
	u32 result, a, b, c;

	__asm__("mov $0x38, %%al; add $0x45, %%al; daa" : "=a"(a)::"cc");
	__asm__("mov $0x0205, %%eax; aad" : "=a"(b)::"cc");
	__asm__("mov $57, %%eax; aam" : "=a"(c)::"cc");
	__asm__("mov $0x1234, %%ecx; pusha; mov 24(%%esp), %%eax; mov %%eax, 28(%%esp); popa" : "=a"(result)::"ecx", "memory");
	return result + ((a & 0xff) << 16) + ((b & 0xff) << 24) + (c << 4);
}

/* Into 64-bit code through Linux's 64-bit code segment, and back. */
static u64 long_mode(u32 value)
{
	u32 low, high;

	__asm__ volatile("ljmp $0x33, $1f\n"
			 "1: .code64\n"
			 "movabs $0x100000001, %%rcx\n"
			 "imul %%rcx, %%rax\n"
			 "mov %%rax, %%rdx\n"
			 "shr $32, %%rdx\n"
			 "push $0x23\n"
			 "lea 2f(%%rip), %%rcx\n"
			 "push %%rcx\n"
			 "lretq\n"
			 "2: .code32\n"
			 : "=a"(low), "=d"(high) : "a"(value) : "ecx", "memory", "cc");
	return (u64)high << 32 | low;
}

__attribute__((used, noreturn)) static void start(u32 *stack)
{
	u32 rest, selector, quotient;
	u32 argument_count = stack[0];
	union {
		float value;
		u32 bits;
	} single;
	double half = 0.5;

	put("arguments", argument_count);
	__asm__("mov %%cs, %0" : "=r"(selector));
	put("cs", selector);
	quotient = divide(0x123456789abcdefull, 0x89abcdef, &rest);
	put("quotient", quotient);
	put("rest", rest);
	put("fibonacci", fibonacci(20));
	put("old", old_instructions());
	__asm__("fldl %1; fldl %1; faddp; fldpi; fmulp; fstps %0" : "=m"(single.value) : "m"(half));
	put("x87", single.bits);
	put("long mode", long_mode(0x12345678));
	put("same pid", call(20, 0, 0, 0) == call(20, 0, 0, 0));
	/* Segment overrides and 16-bit addressing. */
	__asm__("movw $0x1234, %%ax; push %%eax; mov %%ss:(%%esp), %%edx; pop %%eax; movzwl %%dx, %0" : "=r"(quotient)::"eax", "edx", "memory");
	put("stack segment", quotient);
	call(4, 1, (int)line, used);
	call(1, 0, 0, 0);
	for (;;)
		;
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call start\n");
