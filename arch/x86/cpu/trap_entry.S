/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 256 entry stubs of 16 bytes and the common path that builds struct trap_frame. GS holds the
 * hypervisor's base at every instruction at which something may be taken, so there is no SWAPGS.
 */
#include "asm_offsets.h"

	.text
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	/* Exceptions: a zero stands in where the CPU pushes no error code. */
	.rept 32
	.balign 16
	.if !((ASM_EXC_HAS_ERROR >> vector) & 1)
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_entry
	.set vector, vector + 1
	.endr
	.rept 224
	.balign 16
	pushq	$0
	pushq	$vector
	jmp	trap_entry
	.set vector, vector + 1
	.endr

	.type trap_entry, @function
trap_entry:
	cld
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	/* The CPU aligned the stack; 22 quadwords keep it aligned. */
	movq	%rsp, %rdi
	call	trap_dispatch
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq
	.size trap_entry, . - trap_entry

	.section .note.GNU-stack, "", @progbits
