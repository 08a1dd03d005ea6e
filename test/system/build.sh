#!/bin/sh
# Builds a probe: build.sh system|legacy OUTPUT. Needs gcc and binutils for x86-64. PROBE_FLAGS=-DWORDS
# prints every outcome of a line, '-DWORDS -DVERBOSE' every value in place of digests.
set -e
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $1 in
  system) set -- "$2" elf_x86_64 '-m64 -mno-red-zone' "$here"/entry.S "$here"/*.c ;;
  # Low memory at fixed addresses is no array that gcc knows.
  legacy) set -- "$2" elf_i386 '-m32 -Wno-array-bounds' "$here"/legacy/entry.S "$here"/legacy/*.c "$here"/common.c ;;
  *) echo "usage: $0 system|legacy OUTPUT" >&2; exit 2 ;;
esac
output=$1 format=$2 width=$3
shift 3
for part; do
  gcc -c $width $PROBE_FLAGS -O1 -g0 -std=gnu11 -Wall -Wextra -ffreestanding -fno-pic -fno-stack-protector \
    -fno-asynchronous-unwind-tables -fcf-protection=none -mgeneral-regs-only -o "$work/$(basename "$part").o" "$part"
done
ld -m "$format" -nostdlib -z noexecstack --no-warn-rwx-segments -T "$here/probe.ld" -o "$work/probe.elf" "$work"/*.o
objcopy -S -O elf32-i386 "$work/probe.elf" "$output"
