/* What the probes share: printing, digests, the code under test, descriptors. */
#include "common.h"

u8 code[4096] __attribute__((aligned(4096)));
static u64 hash, line_hash;

void print(const char *text) {
  while (*text) outb(0x3f8, (u8)*text++);
}
void print_hex(u64 value) {
  char text[17];
  int at = 16;
  text[at] = 0;
  do text[--at] = "0123456789abcdef"[value & 15];
  while (value >>= 4);
  print(text + at);
}

static void fold(u64 *into, u64 value) {
  for (int i = 0; i < 64; i += 8) *into = (*into ^ ((value >> i) & 0xff)) * 0x100000001b3;
}

void digest(u64 value) {
#ifdef VERBOSE
  print(",");
  print_hex(value);
#endif
  fold(&hash, value);
}

void forget_digest(void) { hash = 0; }

/* One word: vector, error code, offset of the instruction pointer, digest of the rest. Folded into one digest a line unless WORDS asks for them. */
void end_outcome(word vector, word error, word ip) {
  u64 offset = (ip - (word)code) & 0xffffff;
#ifdef WORDS
  print(" ");
  if (vector == DONE) print("-");
  else {
    print_hex(vector);
    if (error != NO_ERROR) {
      print(":");
      print_hex(error);
    }
  }
  print("@");
  print_hex(offset);
#ifndef VERBOSE
  print("=");
  print_hex(hash & 0xffff);
#endif
#endif
  fold(&line_hash, vector);
  fold(&line_hash, vector == DONE ? 0 : error == NO_ERROR ? ~0ull : error);
  fold(&line_hash, offset);
  fold(&line_hash, hash);
  hash = 0;
}

void end_line(void) {
#ifndef WORDS
  print(" ");
  print_hex(line_hash);
#endif
  print("\n");
  line_hash = 0;
}

void put_code(const u8 *bytes, int count) {
  for (int i = 0; i < count; i++) code[i] = bytes[i];
  code[count] = 0xcd;
  code[count + 1] = DONE;
}

void set_descriptor(u16 selector, u32 base, u32 limit, u32 attributes) {
  gdt[selector >> 3] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attributes & 0xff) << 40 |
                       (u64)(limit >> 16 & 15) << 48 | (u64)(attributes >> 12 & 15) << 52 | (u64)(base >> 24) << 56;
}
