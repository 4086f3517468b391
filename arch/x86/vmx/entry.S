/* SPDX-License-Identifier: Apache-2.0 */
/*
 * int vmx_enter(struct vcpu *v, struct vmx_vcpu *x, bool launched)
 * Returns VMX_ENTERED after an exit, or why it was not entered.
 *
 * Loads the guest's general registers, enters, and comes back here at the next exit with all of
 * them stored. Interrupts are off throughout. HOST_RSP is this frame's; it changes only when the
 * depth of the stack does, so it is compared before it is written.
 */
#include "asm_offsets.h"
#include "arch/x86/defs/vmx.h"

	.text
	.globl vmx_enter, vmx_exit_entry
	.type vmx_enter, @function
vmx_enter:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi
	cmp %rsp, VMX_VCPU_HOST_RSP(%rsi)
	je 1f
	mov %rsp, VMX_VCPU_HOST_RSP(%rsi)
	mov $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
	/*
	 * From this look at what was posted to the entry itself, an NMI must not be lost: its
	 * handler sees RIP in the window and makes it go on at vmx_enter_abort (nmi.c). The stack
	 * is the same everywhere in the window, and no guest register has changed.
	 */
	.globl vmx_enter_window, vmx_enter_window_end, vmx_enter_abort
vmx_enter_window:
1:	cmpl $0, VCPU_ATTENTION(%rdi)
	jne vmx_enter_abort
	test %dl, %dl
	mov VCPU_GPR+8*0(%rdi), %rax
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
	mov VCPU_GPR+8*7(%rdi), %rdi	/* moves leave the flags of TEST alone */
	jz 2f
	vmresume
	jmp 3f	/* an NMI here makes a failed entry one that is tried again */
2:	vmlaunch
vmx_enter_window_end:
	/* VMfail: nothing was loaded or entered, the instruction error says why. */
3:	pop %rdi
	mov $VMX_ENTER_FAILED, %eax
	jmp 4f
vmx_enter_abort:
	pop %rdi
	mov $VMX_ENTER_ABORTED, %eax
	jmp 4f
	.size vmx_enter, . - vmx_enter

	.type vmx_exit_entry, @function
vmx_exit_entry:
	push %rdi
	mov 8(%rsp), %rdi
	mov %rax, VCPU_GPR+8*0(%rdi)
	mov %rcx, VCPU_GPR+8*1(%rdi)
	mov %rdx, VCPU_GPR+8*2(%rdi)
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
	pop VCPU_GPR+8*7(%rdi)
	pop %rcx
	/* No guest value stays in a register that the code below might use speculatively. */
	xor %eax, %eax
	xor %edx, %edx
	xor %esi, %esi
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
4:	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size vmx_exit_entry, . - vmx_exit_entry
	.section .note.GNU-stack, "", @progbits
