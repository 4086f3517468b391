/* SPDX-License-Identifier: Apache-2.0 */
/* Fills every register with a pattern, leaves the CPU once, and stores what came back (regs.c). */

	.text
/* void regs_hold(uint32_t sleep): 0: one OUT to port 80h; otherwise STI, HLT, CLI. */
	.globl regs_hold
regs_hold:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movl %edi, regs_mode
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu regs_pattern + 128 + 16 * \n, %xmm\n
	.endr
	.set at, 0
	.irp r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	movq regs_pattern + at, %\r
	.set at, at + 8
	.endr
	cmpl $0, regs_mode
	jne 1f
	outb %al, $0x80
	jmp 2f
1:	sti
	hlt
	cli
2:
	.set at, 0
	.irp r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	movq %\r, regs_seen + at
	.set at, at + 8
	.endr
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu %xmm\n, regs_seen + 128 + 16 * \n
	.endr
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret

	.bss
	.balign 16
regs_mode:
	.skip 16
	.globl regs_pattern, regs_seen
regs_pattern:
	.skip 384
regs_seen:
	.skip 384

	.section .note.GNU-stack, "", @progbits
