/* SPDX-License-Identifier: Apache-2.0 */
/*
 * int svm_enter(struct vcpu *v, struct svm_vcpu *x)
 * Returns SVM_ENTERED after an exit, or SVM_ABORTED without one.
 *
 * With GIF = 0, from the look at what was posted to VMRUN itself, neither interrupt nor NMI is
 * lost: what comes then is pending, and VMRUN, which sets GIF, exits at once (APM vol. 2, "Global
 * Interrupt Flag"). RFLAGS.IF is set for VMRUN because with V_INTR_MASKING it decides whether
 * interrupts of the machine exit (APM vol. 2, "Masking Physical Interrupts").
 *
 * VMRUN leaves FS, GS, TR, LDTR and a few MSRs alone: VMLOAD and VMSAVE exchange them.
 */
#include "asm_offsets.h"

	.text
	.globl svm_enter
	.type svm_enter, @function
svm_enter:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi
	push SVM_VCPU_HOST_AREA(%rsi)
	push SVM_VCPU_VMCB(%rsi)
	clgi
	cmpl $0, VCPU_ATTENTION(%rdi)
	jne 1f
	mov (%rsp), %rdx
	mov VCPU_GPR+8*0(%rdi), %rcx
	mov %rcx, VMCB_RAX(%rdx)
	mov SVM_VCPU_VMCB_PA(%rsi), %rax
	mov VCPU_GPR+8*1(%rdi), %rcx
	mov VCPU_GPR+8*2(%rdi), %rdx
	mov VCPU_GPR+8*3(%rdi), %rbx
	mov VCPU_GPR+8*5(%rdi), %rbp
	mov VCPU_GPR+8*6(%rdi), %rsi
	mov VCPU_GPR+8*8(%rdi), %r8
	mov VCPU_GPR+8*9(%rdi), %r9
	mov VCPU_GPR+8*10(%rdi), %r10
	mov VCPU_GPR+8*11(%rdi), %r11
	mov VCPU_GPR+8*12(%rdi), %r12
	mov VCPU_GPR+8*13(%rdi), %r13
	mov VCPU_GPR+8*14(%rdi), %r14
	mov VCPU_GPR+8*15(%rdi), %r15
	mov VCPU_GPR+8*7(%rdi), %rdi
	sti
	vmload %rax
	vmrun %rax
	/*
	 * RAX and RSP are ours again, GIF is 0. Bochs lets the single step of an instruction that
	 * was intercepted, and so not executed, come here as #DB: it is of no use to anybody.
	 */
3:	vmsave %rax
4:	cli
5:	push %rdi
6:	mov 16(%rsp), %rax
7:	vmload %rax
	.pushsection .extable, "a"
	.balign 8
	.quad 3b, 3b, 4b, 4b, 5b, 5b, 6b, 6b, 7b, 7b
	.popsection
	mov 8(%rsp), %rax
	mov 24(%rsp), %rdi
	mov %rcx, VCPU_GPR+8*1(%rdi)
	mov %rdx, VCPU_GPR+8*2(%rdi)
	mov VMCB_RAX(%rax), %rax
	mov %rbx, VCPU_GPR+8*3(%rdi)
	mov %rbp, VCPU_GPR+8*5(%rdi)
	mov %rsi, VCPU_GPR+8*6(%rdi)
	mov %r8, VCPU_GPR+8*8(%rdi)
	mov %r9, VCPU_GPR+8*9(%rdi)
	mov %r10, VCPU_GPR+8*10(%rdi)
	mov %r11, VCPU_GPR+8*11(%rdi)
	mov %r12, VCPU_GPR+8*12(%rdi)
	mov %r13, VCPU_GPR+8*13(%rdi)
	mov %r14, VCPU_GPR+8*14(%rdi)
	mov %r15, VCPU_GPR+8*15(%rdi)
	mov %rax, VCPU_GPR+8*0(%rdi)
	pop VCPU_GPR+8*7(%rdi)
	/* No guest value stays in a register that the code below might use speculatively. */
	pop %rsi
	pop %rdx
	pop %rcx
	xor %eax, %eax
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
2:	stgi	/* an NMI that ended the guest is taken here */
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
1:	mov $SVM_ENTER_ABORTED, %eax
	add $24, %rsp
	jmp 2b
	.size svm_enter, . - svm_enter
	.section .note.GNU-stack, "", @progbits
