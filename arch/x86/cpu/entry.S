/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the loader jumps to: RDI = physical address of struct bootinfo, state as in
 * boot/bootinfo.h.
 */
#include "asm_offsets.h"

	.section .text.entry, "ax"
	.globl hv_entry
	.type hv_entry, @function
hv_entry:
	cli
	cld
	movq	%rdi, %rbx
	/*
	 * The direct map works from here on: PML4 slots 256 to 383 repeat the loader's identity
	 * map. The loader's tables are identity-mapped themselves.
	 */
	movq	%cr3, %rsi
	andq	$-4096, %rsi
	leaq	256 * 8(%rsi), %rdi
	movl	$128, %ecx
	rep movsq
	leaq	hv_boot_stacks + BOOT_STACK_TOP(%rip), %rsp
	xorl	%ebp, %ebp
	movq	%rbx, %rdi
	call	hv_main
	ud2
	.size hv_entry, . - hv_entry

	/* The boot CPU's stacks, laid out as in cpu.h; host_map.c takes the guard pages away. */
	.section .bss.pages, "aw", @nobits
	.balign 4096
	.globl hv_boot_stacks
hv_boot_stacks:
	.skip BOOT_STACKS_SIZE

	.section .note.GNU-stack, "", @progbits
