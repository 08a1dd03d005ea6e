/*
 * Entry of the legacy probe: 32-bit protected mode without IA-32e mode, virtual-8086 mode, real mode.
 *
 * run_probe(struct probe *) enters code under test by IRETD (into virtual-8086 mode when the flags say so) and comes back
 * through any vector. run_real copies a 16-bit routine to 0x8000, drops to real mode and back.
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
    call probe_main
1:  hlt
    jmp 1b

/* struct probe: eax ecx edx ebx esp ebp esi edi | eip cs eflags ss | es ds fs gs | vector error cr2 handler_esp handler_ss */
    .globl run_probe
run_probe:
    pushl %ebx
    pushl %ebp
    pushl %esi
    pushl %edi
    movl 20(%esp), %edi
    movl %edi, current
    movl %esp, host_esp
    testl $0x20000, 0x28(%edi)
    jnz 1f
    movw 0x38(%edi), %fs
    movw 0x3c(%edi), %gs
    movw 0x30(%edi), %es
    /* an inner stack is popped only when the level changes */
    testl $3, 0x24(%edi)
    jnz 2f
    movw 0x2c(%edi), %ss
    movl 0x10(%edi), %esp
    jmp 3f
1:  pushl 0x3c(%edi)
    pushl 0x38(%edi)
    pushl 0x34(%edi)
    pushl 0x30(%edi)
2:  pushl 0x2c(%edi)
    pushl 0x10(%edi)
3:  pushl 0x28(%edi)
    pushl 0x24(%edi)
    pushl 0x20(%edi)
    movl 0x00(%edi), %eax
    movl 0x04(%edi), %ecx
    movl 0x08(%edi), %edx
    movl 0x0c(%edi), %ebx
    movl 0x14(%edi), %ebp
    movl 0x18(%edi), %esi
    pushl 0x1c(%edi)
    testl $0x20000, 0x28(%edi)
    jnz 4f
    movw 0x34(%edi), %ds
4:  popl %edi
    iretl

    .align 16
    .globl stubs
stubs:
    .set vector, 0
    .rept 256
    .align 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
    .else
    pushl $-1
    .endif
    pushl $vector
    jmp common
    .set vector, vector + 1
    .endr

common:
    /* DS may be anything: the record is reached through SS, which is flat in every handler here. */
    pushl %edi
    movl %ss:current, %edi
    movl %eax, %ss:0x00(%edi)
    movl %ecx, %ss:0x04(%edi)
    movl %edx, %ss:0x08(%edi)
    movl %ebx, %ss:0x0c(%edi)
    movl %ebp, %ss:0x14(%edi)
    movl %esi, %ss:0x18(%edi)
    popl %eax
    movl %eax, %ss:0x1c(%edi)
    movl %esp, %ss:0x4c(%edi)
    movl %ss, %eax
    movl %eax, %ss:0x50(%edi)
    movl %ds, %eax
    movl %eax, %ss:0x34(%edi)
    movl %es, %eax
    movl %eax, %ss:0x30(%edi)
    movl %fs, %eax
    movl %eax, %ss:0x38(%edi)
    movl %gs, %eax
    movl %eax, %ss:0x3c(%edi)
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl (%esp), %eax
    movl %eax, 0x40(%edi)
    movl 4(%esp), %eax
    movl %eax, 0x44(%edi)
    movl 8(%esp), %eax
    movl %eax, 0x20(%edi)
    movl 12(%esp), %eax
    movl %eax, 0x24(%edi)
    movl 16(%esp), %ecx
    movl %ecx, 0x28(%edi)
    /* an inner frame has ESP and SS; one from virtual-8086 mode the data segments too */
    testl $0x20000, %ecx
    jnz 1f
    testl $3, %eax
    jz 2f
    movl 20(%esp), %eax
    movl %eax, 0x10(%edi)
    movl 24(%esp), %eax
    movl %eax, 0x2c(%edi)
    jmp 3f
1:  movl 20(%esp), %eax
    movl %eax, 0x10(%edi)
    movl 24(%esp), %eax
    movl %eax, 0x2c(%edi)
    movl 28(%esp), %eax
    movl %eax, 0x30(%edi)
    movl 32(%esp), %eax
    movl %eax, 0x34(%edi)
    movl 36(%esp), %eax
    movl %eax, 0x38(%edi)
    movl 40(%esp), %eax
    movl %eax, 0x3c(%edi)
    jmp 3f
2:  leal 20(%esp), %eax
    movl %eax, 0x10(%edi)
    movl %ss, %eax
    movl %eax, 0x2c(%edi)
3:  movl %cr2, %eax
    movl %eax, 0x48(%edi)
    movl $0x10, %eax
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl host_esp, %esp
    pushl $2
    popfl
    popl %edi
    popl %esi
    popl %ebp
    popl %ebx
    ret

/* Leaves protected mode for the routine at 0x8000 (real_start..real_end), comes back at its end. */
    .globl run_real
run_real:
    pushl %ebx
    pushl %ebp
    pushl %esi
    pushl %edi
    movl $real_start, %esi
    movl $0x8000, %edi
    movl $(real_end - real_start), %ecx
    rep movsb
    movl %esp, host_esp
    sidt saved_idt
    lidt real_idt
    ljmp $0x60, $0x8000         /* 16-bit protected-mode code */

    .globl real_back
real_back:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl host_esp, %esp
    lidt saved_idt
    popl %edi
    popl %esi
    popl %ebp
    popl %ebx
    ret

    .code16
real_start:
    movw $0x68, %ax             /* 16-bit data segment: limits of 64 KiB for real mode */
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmp $0x800, $(1f - real_start)
1:  xorw %ax, %ax
    movw %ax, %ss
    movw $0x7000, %sp
    movw $0x900, %ax
    movw %ax, %es
    movw $0x800, %ax
    movw %ax, %ds
    xorw %di, %di
    cld
    /* vectors 0 (#DE), 6 (#UD), 13 (#GP), 0x21: each stores the frame at ES:DI and resumes at BX */
    pushw %ds
    xorw %ax, %ax
    movw %ax, %ds
    movw $(trap - real_start), 0x00
    movw $0x800, 0x02
    movw $(trap - real_start), 0x18
    movw $0x800, 0x1a
    movw $(trap - real_start), 0x34
    movw $0x800, 0x36
    movw $(trap - real_start), 0x84
    movw $0x800, 0x86
    popw %ds
    movw $(2f - real_start), %bx
    xorw %cx, %cx
    divw %cx
2:  movw $(3f - real_start), %bx
    ud2
3:  movw $(4f - real_start), %bx
    stc
    sti
    int $0x21
4:  cli
    movw $(5f - real_start), %bx
    movw 0xffff, %ax            /* a word over the end of the segment: #GP */
5:  /* far calls and returns, segment arithmetic */
    lcall $0x801, $(far_routine - real_start - 16)
    stosw
    pushw %cs
    popw %ax
    stosw
    smsww %ax
    stosw
    pushfw
    popw %ax
    stosw
    /* back to protected mode */
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $8, $real_back
trap:
    popw %ax
    stosw                       /* IP */
    popw %ax
    stosw                       /* CS */
    popw %ax
    stosw                       /* FLAGS */
    pushfw
    popw %ax
    stosw
    movw %sp, %ax
    stosw
    pushw %cs
    pushw %bx
    lretw
far_routine:
    movw %sp, %bp
    movw 2(%bp), %ax            /* the CS that called */
    lretw
    .globl real_end
real_end:

    .data
    .align 8
saved_idt: .skip 8
real_idt: .word 0x3ff
    .long 0
    .globl current, host_esp
current: .long 0
host_esp: .long 0
    .bss
    .align 4096
    .skip 16384
boot_stack_top:
