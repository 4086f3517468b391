/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of a payload guest (hv/abi/payload.h), the 256 interrupt stubs, and the frame that a tried
 * function's fault unwinds to, one per CPU.
 */

/* EXC_HAS_ERROR_MASK of arch/x86/defs/segment.h; the assembler takes no suffix. */
	.set has_error, 0x60227d00

	.section .text.start, "ax"
	.globl guest_entry
guest_entry:
	cld
	movl $guest_stack_top, %esp
	xorl %ebp, %ebp
	call guest_start
1:	cli
	hlt
	jmp 1b

	.section .bss
	.balign 4096
	.globl guest_stack
guest_stack:
	.skip 32768
guest_stack_top:

	.text
/* Vector n enters at trap_stubs + 16 n, with an error code of 0 where the CPU pushes none. */
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	.if (vector < 32) && ((has_error >> (vector & 31)) & 1)
	.else
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr

/* Builds struct trap_frame. */
trap_common:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	cld
	movq %rsp, %rdi
	movq %rsp, %rbx
	andq $-16, %rsp
	call trap_handle
	movq %rbx, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

/* bool trap_try(void (*fn)(uint64_t), uint64_t arg): false if it returned, true if it faulted. */
	.globl trap_try
trap_try:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushfq
	movq %rdi, %rbx
	movq %rsi, %r12
	call smp_id
	movq %rsp, trap_recover_rsp(, %rax, 8)
	movq %r12, %rdi
	call *%rbx
	xorl %ebx, %ebx
1:	call smp_id
	movq $0, trap_recover_rsp(, %rax, 8)
	movl %ebx, %eax
	popfq
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret

/* Where trap_handle() sends a fault inside trap_try(), with RSP as saved there. */
	.globl trap_recover
trap_recover:
	movl $1, %ebx
	jmp 1b

	.section .note.GNU-stack, "", @progbits
