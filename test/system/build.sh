#!/bin/sh
# Builds the system probe: build.sh OUTPUT. Needs gcc and binutils for x86-64. PROBE_FLAGS=-DWORDS
# prints every outcome of a line, '-DWORDS -DVERBOSE' every value in place of digests.
set -e
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for part in "$here"/*.c; do
  gcc -c $PROBE_FLAGS -O1 -g0 -std=gnu11 -Wall -Wextra -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables \
    -fcf-protection=none -mno-red-zone -mgeneral-regs-only -o "$work/$(basename "$part" .c).o" "$part"
done
gcc -c -o "$work/entry.o" "$here/entry.S"
ld -nostdlib -z noexecstack --no-warn-rwx-segments -T "$here/probe.ld" -o "$work/probe.elf" "$work"/entry.o "$work"/[!e]*.o
objcopy -S -O elf32-i386 "$work/probe.elf" "$1"
