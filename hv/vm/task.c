/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hardware task switch that the CPU has left to us: the pure part (arch/x86/emul/task.c) moves
 * the state between the two TSSs, this file gives it the vCPU's and puts the new task's in place.
 * On the vCPU's own CPU, no locks.
 */
#include "arch/x86/emul/task.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "hv/vm/linear.h"

/* The event that goes through a task gate, if one does. An INT n is behind its instruction. */
static void take_event(const struct vcpu *v, struct emul_task *task)
{
	const struct vcpu_event *event = &v->reinject;

	if (task->cause != EMUL_TASK_GATE || !event->valid)
		return;
	task->external = event->type < EVENT_SOFT_INTERRUPT || event->type == EVENT_PRIVILEGED_SOFT;
	task->has_error = event->has_error;
	task->error = event->error;
}

static bool is_behind_instruction(const struct vcpu *v, const struct emul_task *task)
{
	return task->cause != EMUL_TASK_GATE || v->reinject.type >= EVENT_SOFT_INTERRUPT;
}

/*
 * Where the old task was stepped, a switch by JMP, CALL or IRET ends a step; an event's delivery
 * does not. TF of the new task counts from its first instruction on.
 */
static void put_registers(struct vm_cpu *c, const struct emul_ctx *ctx, bool stepped)
{
	struct vcpu *v = &c->vcpu;

	if (!stepped)
		v->ops->reg_write(v, REG_RFLAGS, ctx->rflags & ~RFLAGS_TF);
	v->ops->reg_write(v, REG_RSP, v->gpr[RSP]);
	v->ops->instruction_done(v, ctx->rip);
	v->ops->reg_write(v, REG_RFLAGS, ctx->rflags);
	v->ops->reg_write(v, REG_CR0, v->ops->reg_read(v, REG_CR0) | CR0_TS);
	v->ops->reg_write(v, REG_DR7, v->ops->reg_read(v, REG_DR7) & ~DR7_LOCAL);
}

static void put_nmi_blocking(struct vcpu *v, const struct emul_task *task)
{
	if (task->cause == EMUL_TASK_IRET)
		v->ops->nmi_block(v, false);
	else if (task->cause == EMUL_TASK_GATE && v->reinject.valid &&
		 v->reinject.type == EVENT_NMI)
		v->ops->nmi_block(v, true);
}

enum exit_action vm_task_switch(struct vm_cpu *c, const struct vm_exit *e)
{
	struct emul_task task = {.selector = e->task.selector, .cause = e->task.source};
	struct vcpu *v = &c->vcpu;
	struct emulation em = {.c = c};
	struct emul_ctx ctx;
	enum emul_result r;

	_Static_assert(
		(int)TASK_CALL == (int)EMUL_TASK_CALL && (int)TASK_GATE == (int)EMUL_TASK_GATE,
		"numbering");
	linear_prepare(&em, &ctx, NULL);
	ctx.env = &vm_emul_env;
	ctx.long_mode = em.mode.efer & EFER_LMA;
	take_event(v, &task);
	if (is_behind_instruction(v, &task))
		ctx.rip = (ctx.rip + e->insn_len) & UINT32_MAX;
	r = emul_task_switch(&ctx, &task);
	if (task.committed) {
		put_registers(c, &ctx, task.cause != EMUL_TASK_GATE);
		put_nmi_blocking(v, &task);
	}
	/* What came through a gate is delivered; an exception may still become #DF. */
	if (r == EMUL_DONE || (task.committed && v->reinject.type != EVENT_EXCEPTION))
		v->reinject.valid = false;
	switch (r) {
	case EMUL_DONE:
		if (task.trap)
			v->ops->debug_trap(v, DR6_BT);
		break;
	case EMUL_FAULT: linear_raise(c, &ctx.fault); break;
	case EMUL_AGAIN:
		if (!task.committed)
			break;
		/* fall through */
	default: vm_stop(c->vm, STOP_FAILED, "a task switch that could not be completed"); break;
	}
	return ACT_RESUME;
}
