/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware task switches of 32-bit software (SDM vol. 3, "Task Management"), where the CPU leaves
 * them to the hypervisor: VT-x does not let a guest switch tasks by itself. Pure, like execute.h,
 * whose context and callbacks this uses.
 */
#ifndef ARCH_X86_EMUL_TASK_H
#define ARCH_X86_EMUL_TASK_H

#include "arch/x86/emul/execute.h"

/* In VT-x's numbering (SDM vol. 3, "Exit Qualification for Task Switches"). */
enum emul_task_cause { EMUL_TASK_CALL, EMUL_TASK_IRET, EMUL_TASK_JMP, EMUL_TASK_GATE };

struct emul_task {
	uint16_t selector; /* of the new task's TSS */
	uint8_t cause;     /* enum emul_task_cause; GATE: an event, through the IDT */
	bool external;     /* GATE: an interrupt or exception, not INT n, INT3 or INTO */
	bool has_error;    /* GATE: the new task finds this on its stack */
	uint32_t error;
	/* Results. */
	bool committed; /* the state is that of the new task, after a fault too */
	bool trap;      /* the TSS asks for #DB before its first instruction */
};

/*
 * Switch to the task. ctx->rip is where the old one goes on. The CPU has checked the privileges.
 * EMUL_FAULT before the commit: nothing has changed. After it: the fault belongs to the new task,
 * and segments that had not been loaded yet hold what has its selector and nothing else.
 * Outside ctx, what is left to the owner: CR0.TS is set and DR7's local enables are cleared.
 */
enum emul_result emul_task_switch(struct emul_ctx *ctx, struct emul_task *task) MUST_CHECK;

#endif
