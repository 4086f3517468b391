/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a SIPI sends a CPU: a template that smp.c copies to a page below 64 KiB. It writes down the
 * registers as it found them (struct smp_found, smp.h), then goes through 32-bit to 64-bit mode,
 * onto the stack of this CPU and to smp_main(). Only one CPU at a time goes through a page.
 */

	.set FOUND, 0x800 /* SMP_FOUND of smp.h; below 100h: what is copied */

	.section .rodata
	.balign 16
	.code16
	.globl smp_trampoline, smp_trampoline_end
smp_trampoline:
	/* SP is 0 after INIT: this goes to the end of the stack segment, FFFCh. */
	pushfl
	cli
	cld
	movl %eax, %cs:FOUND
	movl %ecx, %cs:FOUND + 4
	movl %edx, %cs:FOUND + 8
	movl %ebx, %cs:FOUND + 12
	movl %esp, %cs:FOUND + 16
	movl %ebp, %cs:FOUND + 20
	movl %esi, %cs:FOUND + 24
	movl %edi, %cs:FOUND + 28
	popl %eax
	movl %eax, %cs:FOUND + 32
	movl %cr0, %eax
	movl %eax, %cs:FOUND + 36
	movl %cr2, %eax
	movl %eax, %cs:FOUND + 40
	movl %cr3, %eax
	movl %eax, %cs:FOUND + 44
	movl %cr4, %eax
	movl %eax, %cs:FOUND + 48
	movl %dr0, %eax
	movl %eax, %cs:FOUND + 52
	movl %dr6, %eax
	movl %eax, %cs:FOUND + 56
	movl %dr7, %eax
	movl %eax, %cs:FOUND + 60
	movl $0xc0000080, %ecx
	rdmsr
	movl %eax, %cs:FOUND + 64
	movw %cs, %cs:FOUND + 68
	movw %ds, %cs:FOUND + 70
	movw %ss, %cs:FOUND + 72
	movw %fs, %cs:FOUND + 74
	sgdtl %cs:FOUND + 76
	sidtl %cs:FOUND + 84

	lgdtl %cs:smp_gdtr - smp_trampoline
	movl %cr0, %eax
	andl $0x9fffffff, %eax /* INIT leaves the caches as they were, power-up off: CD, NW */
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $8, $smp_start32
	.balign 4
smp_gdtr:
	.word smp_gdt_end - smp_gdt - 1
	.long smp_gdt
smp_trampoline_end:

	.balign 8
smp_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00af9b000000ffff
smp_gdt_end:

	.text
	.code32
smp_start32:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl smp_cr4, %eax
	movl %eax, %cr4
	movl smp_cr3, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl smp_efer, %eax
	wrmsr
	movl smp_cr0, %eax
	movl %eax, %cr0
	ljmpl $24, $smp_start64

	.code64
smp_start64:
	movl $1, %eax
	cpuid
	shrl $24, %ebx /* the initial APIC id */
	andl $7, %ebx
	movl %ebx, %edi
	incl %ebx
	shll $14, %ebx /* SMP_STACK */
	leaq smp_stacks(%rbx), %rsp
	xorl %ebp, %ebp
	call smp_main
	ud2

	.section .note.GNU-stack, "", @progbits
