/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the Multiboot payload in 32-bit protected mode, and its excursions into 64-bit mode,
 * real mode and user mode. Selectors are those of the GDT in main.c.
 */
	.set CODE32, 0x08
	.set DATA, 0x10
	.set CODE64, 0x18
	.set CODE16, 0x20
	.set DATA16, 0x28
	.set USER_CODE, 0x33
	.set USER_DATA, 0x3b
	.set REAL_BASE, 0x8000

	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002, 7, -(0x1badb002 + 7)
	.skip 5 * 4
	.long 0, 640, 480, 32 /* graphics: a preference only */

	.text
	.code32
	.globl mb_entry
mb_entry:
	movl $stack_top, %esp
	pushl %ebx
	pushl %eax
	call mb_main
1:	cli
	hlt
	jmp 1b

/* Load CS and the data segments from the new GDT. */
	.globl mb_load_segments
mb_load_segments:
	ljmp $CODE32, $1f
1:	movl $DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	ret

/* uint32_t mb_long_mode(uint32_t pml4): through 64-bit mode and back; what 64-bit code saw. */
	.globl mb_long_mode
mb_long_mode:
	pushl %ebx
	pushl %edi
	movl 12(%esp), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	ljmp $CODE64, $1f
	.code64
1:	movabsq $0x1122334455667788, %r15
	xorl %eax, %eax
	cpuid
	movl $0xfee00030, %edi
	movl (%rdi), %edi
	movq %r15, %rax
	shrq $32, %rax
	cmpl $0x11223344, %eax
	je 2f
	xorl %edi, %edi
2:	movl $compat, %eax
	pushq $CODE32
	pushq %rax
	lretq
	.code32
compat:	movl %cr0, %eax
	andl $0x7fffffff, %eax
	movl %eax, %cr0
	movl $0xc0000080, %ecx
	rdmsr
	andl $~0x100, %eax
	wrmsr
	movl %edi, %eax
	popl %edi
	popl %ebx
	ret

/*
 * uint32_t mb_real_mode(void): what real-mode code put together; REAL_BASE holds the code between
 * the labels.
 */
	.globl mb_real_mode
mb_real_mode:
	pushal
	movl %esp, saved_esp
	sidt saved_idt
	movl $real_begin, %esi
	movl $REAL_BASE, %edi
	movl $real_end - real_begin, %ecx
	rep movsb
	lidt real_idt
	ljmp $CODE16, $REAL_BASE
	.code16
real_begin:
	movw $DATA16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl %cr0, %eax
	andl $~1, %eax
	movl %eax, %cr0
	ljmpw $0, $REAL_BASE + 1f - real_begin
1:	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $REAL_BASE, %sp
	/* An interrupt through the real-mode vector table, CPUID, ports, a string instruction. */
	movw $REAL_BASE + 3f - real_begin, 4 * 0x40
	movw $0, 4 * 0x40 + 2
	xorl %ebx, %ebx
	int $0x40
	xorl %eax, %eax
	pushl %ebx
	cpuid
	popl %ebx
	movb $0x5a, %al
	movw $0x3ff, %dx
	outb %al, %dx
	movw $REAL_BASE - 64, %di
	movw $2, %cx
	rep insb
	movw REAL_BASE - 64, %ax
	addw %ax, %bx
	/* The tick that the BIOS has set up, and its handler. */
	sti
	hlt
	cli
	cmpl $0, 0x46c
	je 2f
	addl $0x20000, %ebx
2:
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $CODE32, $back
3:	movl $0x10000, %ebx
	iretw
real_end:
	.code32
back:	movl $DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	movl saved_esp, %esp
	lidt saved_idt
	movl %ebx, 28(%esp)
	popal
	ret

/*
 * void mb_ac_loop(void): user code whose misaligned access raises #AC, with a handler at the same
 * privilege and a misaligned stack to deliver to.
 */
	.globl mb_ac_loop
mb_ac_loop:
	movl %cr0, %eax
	orl $0x40000, %eax
	movl %eax, %cr0
	movl $USER_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	pushl $USER_DATA
	pushl $user_stack_top - 1
	pushl $0x40002
	pushl $USER_CODE
	pushl $1f
	iretl
1:	movl user_stack_top - 65, %eax
	jmp 1b
	.globl mb_ac_handler
mb_ac_handler:
	jmp mb_ac_handler

	.globl mb_task_switch
mb_task_switch:
	ljmp $0x48, $0

/* A task of a 16-bit TSS: 32-bit code all the same, in a segment that begins here. */
	.globl mb_task_16
mb_task_16:
	movl $0x1234, %eax
	incl mb_task_16_runs
	iret
	jmp mb_task_16
	.globl mb_task_16_end
mb_task_16_end:

/* Tasks that begin with an error code on the stack: kept in mb_task_error. */
	.globl mb_task_b_error
mb_task_b_error:
	popl mb_task_error
	call mb_task_b_mends
	iret
	jmp mb_task_b_error
	.globl mb_task_c
mb_task_c:
	popl mb_task_error
	call mb_task_c_runs
	clts
	ljmp $0x40, $0

/* void mb_db_handler(void): DR6 and the task register at a #DB. */
	.globl mb_db_handler
mb_db_handler:
	pushl %eax
	movl %dr6, %eax
	movl %eax, mb_db_dr6
	str %eax
	movl %eax, mb_db_task
	xorl %eax, %eax
	movl %eax, %dr6
	popl %eax
	iret

	.data
	.balign 4
	.globl mb_task_error, mb_task_16_runs, mb_db_dr6, mb_db_task
mb_task_error:
	.long 0
mb_task_16_runs:
	.long 0
mb_db_dr6:
	.long 0
mb_db_task:
	.long 0
	.balign 8
real_idt:
	.word 0x3ff
	.long 0
	.balign 8
saved_idt:
	.skip 8
saved_esp:
	.long 0

	.bss
	.balign 16
	.skip 16384
stack_top:
	.skip 4096
user_stack_top:

	.section .note.GNU-stack, "", @progbits
