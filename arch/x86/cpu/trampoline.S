/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a started CPU begins: 16-bit code at the start of a page below 1 MiB (CS = page / 16, IP =
 * 0). It goes through 32-bit to 64-bit mode and to the C entry. This is a template: smp.c copies it
 * and fills in the data behind it. Nothing here may be absolute. EBX holds the page's address
 * throughout.
 */
#include "asm_offsets.h"

#define AT(field) (trampoline_data_at - trampoline_start + field)

	.section .rodata
	.balign 16
	.globl trampoline_start, trampoline_code32, trampoline_code64
	.globl trampoline_data_at, trampoline_end
	.code16
trampoline_start:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	movzwl	%ax, %ebx
	shll	$4, %ebx
	lgdtl	AT(TRAMPOLINE_GDTR)
	movl	%cr0, %eax
	/* INIT leaves caches disabled. */
	andl	$ASM_CR0_KEPT, %eax
	orl	$ASM_CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	*AT(TRAMPOLINE_FAR32)

	.code32
trampoline_code32:
	movw	$ASM_SEL_DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$ASM_CR4_PAE, %eax
	movl	%eax, %cr4
	movl	AT(TRAMPOLINE_CR3)(%ebx), %eax
	movl	%eax, %cr3
	movl	$ASM_MSR_EFER, %ecx
	rdmsr
	orl	$ASM_EFER_LME_NXE, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$ASM_CR0_PG_WP, %eax
	movl	%eax, %cr0
	ljmp	*AT(TRAMPOLINE_FAR64)(%ebx)

	.code64
trampoline_code64:
	movl	%ebx, %ebx
	movq	AT(TRAMPOLINE_STACK)(%rbx), %rsp
	movq	AT(TRAMPOLINE_CPU)(%rbx), %rdi
	xorl	%ebp, %ebp
	call	*AT(TRAMPOLINE_ENTRY)(%rbx)
	ud2

	.balign 8
trampoline_data_at:
	.skip TRAMPOLINE_DATA_SIZE
trampoline_end:

	.section .note.GNU-stack, "", @progbits
