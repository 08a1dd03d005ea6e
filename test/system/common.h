/* What the probes share: types, ports, answers, descriptors. See README.md. */
#ifndef COMMON_H
#define COMMON_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
/* A register. */
typedef unsigned long word;

/* The interrupt that ends code under test. */
#define DONE 0x20
/* Error code of the vectors that have none. */
#define NO_ERROR (~(word)0)

extern u64 gdt[];
/* One page of code under test. */
extern u8 code[4096];

/* Writes the code under test, followed by INT DONE. */
void put_code(const u8 *bytes, int count);
#define CODE(...) do { static const u8 bytes_[] = { __VA_ARGS__ }; put_code(bytes_, sizeof bytes_); } while (0)
void set_descriptor(u16 selector, u32 base, u32 limit, u32 attributes);

void print(const char *text);
void print_hex(u64 value);
/* Adds a value to the digest of the outcome at hand. */
void digest(u64 value);
/* Ends an outcome with the values digested so far. */
void end_outcome(word vector, word error, word ip);
/* Ends a line of outcomes. */
void end_line(void);
/* Forgets what was digested for an outcome that did not come. */
void forget_digest(void);

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outl(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
#define READ_CR(n) ({ word v_; __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_)); v_; })
#define WRITE_CR(n, value) __asm__ volatile("mov %0, %%cr" #n : : "r"((word)(value)) : "memory")

#endif
