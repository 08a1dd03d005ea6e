/*
 * Entry of the system probe, and the way into and out of the code under test.
 *
 * A Multiboot loader enters in 32-bit protected mode. This sets up identity-mapped long mode and calls probe_main.
 * run_probe(struct probe *) saves C's registers, loads those of the record, enters the code under test by IRETQ and comes back
 * through any of the 256 interrupt stubs, which store registers, frame, vector and error code in the record.
 */
    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, 0x00000000, -0x1badb002

    .code32
    .text
    .globl _start
_start:
    cli
    cld
    movl $boot_stack_top, %esp
    /* PML4[0] -> PDPT; PDPT[0..3] -> page directories of 2 MiB pages, all user-accessible */
    movl $pml4, %edi
    movl $(5 * 1024), %ecx
    xorl %eax, %eax
    rep stosl
    movl $(pdpt + 7), pml4
    movl $pdpt, %edi
    movl $(pd + 7), %eax
    movl $1, %ecx
1:  movl %eax, (%edi)
    addl $8, %edi
    addl $4096, %eax
    loop 1b
    movl $pd, %edi
    movl $0x87, %eax
    movl $512, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0x620, %eax           /* PAE OSFXSR OSXMMEXCPT */
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x901, %eax            /* SCE LME NXE */
    wrmsr
    movl $0x80000031, %eax      /* PG NE ET PE */
    movl %eax, %cr0
    lgdt boot_gdtr
    ljmp $8, $start64

    .code64
start64:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $boot_stack_top, %esp
    call probe_main
1:  hlt
    jmp 1b

/* struct probe, offsets in 8-byte slots: see probe.h */
    .globl run_probe
run_probe:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, host_rsp
    movq %rdi, current
    movl 0xa0(%rdi), %eax
    movl %eax, %ds
    movl 0xa8(%rdi), %eax
    movl %eax, %es
    movl 0xb0(%rdi), %eax
    movl %eax, %fs
    movl 0xb8(%rdi), %eax
    movl %eax, %gs
    pushq 0x98(%rdi)            /* SS */
    pushq 0x20(%rdi)            /* RSP */
    pushq 0x90(%rdi)            /* RFLAGS */
    pushq 0x88(%rdi)            /* CS */
    pushq 0x80(%rdi)            /* RIP */
    movq 0x00(%rdi), %rax
    movq 0x08(%rdi), %rcx
    movq 0x10(%rdi), %rdx
    movq 0x18(%rdi), %rbx
    movq 0x28(%rdi), %rbp
    movq 0x30(%rdi), %rsi
    movq 0x40(%rdi), %r8
    movq 0x48(%rdi), %r9
    movq 0x50(%rdi), %r10
    movq 0x58(%rdi), %r11
    movq 0x60(%rdi), %r12
    movq 0x68(%rdi), %r13
    movq 0x70(%rdi), %r14
    movq 0x78(%rdi), %r15
    movq 0x38(%rdi), %rdi
    iretq

/* Every stub pushes an error code where the processor has not, then its vector. */
    .align 16
    .globl stubs
stubs:
    .set vector, 0
    .rept 256
    .align 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
    .else
    pushq $-1
    .endif
    pushq $vector
    jmp common
    .set vector, vector + 1
    .endr

common:
    /* The stack here is IST 1 or 2, or what a gate under test chose; the frame is above the two slots just pushed. */
    pushq %rdi
    movq current(%rip), %rdi
    movq %rax, 0x00(%rdi)
    movq %rcx, 0x08(%rdi)
    movq %rdx, 0x10(%rdi)
    movq %rbx, 0x18(%rdi)
    movq %rbp, 0x28(%rdi)
    movq %rsi, 0x30(%rdi)
    popq %rax
    movq %rax, 0x38(%rdi)
    movq %r8, 0x40(%rdi)
    movq %r9, 0x48(%rdi)
    movq %r10, 0x50(%rdi)
    movq %r11, 0x58(%rdi)
    movq %r12, 0x60(%rdi)
    movq %r13, 0x68(%rdi)
    movq %r14, 0x70(%rdi)
    movq %r15, 0x78(%rdi)
    movq %rsp, %rax
    movq %rax, 0xd8(%rdi)       /* where the vector was pushed */
    movl %ss, %ecx
    movq %rcx, 0xe0(%rdi)       /* SS in the handler */
    popq 0xc0(%rdi)             /* vector */
    popq 0xc8(%rdi)             /* error code */
    popq 0x80(%rdi)
    popq 0x88(%rdi)
    popq 0x90(%rdi)
    popq 0x20(%rdi)
    popq 0x98(%rdi)
    movl %ds, %eax
    movq %rax, 0xa0(%rdi)
    movl %es, %eax
    movq %rax, 0xa8(%rdi)
    movl %fs, %eax
    movq %rax, 0xb0(%rdi)
    movl %gs, %eax
    movq %rax, 0xb8(%rdi)
    movq %cr2, %rax
    movq %rax, 0xd0(%rdi)
    movl $16, %eax
    movl %eax, %ss
    movl %eax, %ds
    movl %eax, %es
    movq host_rsp(%rip), %rsp
    pushq $2
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    retq

    .data
    .align 16
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff
    .quad 0x00cf92000000ffff
boot_gdtr:
    .word 23
    .long boot_gdt, 0
    .globl current, host_rsp
current: .quad 0
host_rsp: .quad 0

    .bss
    .align 4096
    .globl pml4, pdpt, pd
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4096
    .skip 8192
    .skip 32768
boot_stack_top:
