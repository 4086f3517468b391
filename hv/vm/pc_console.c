/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual PC's UART between the guest and the console rings. A full ring holds the guest back
 * for a while; then its bytes are dropped and counted. On the CPU of vCPU 0, except for sending.
 */
#include "arch/x86/cpu/tsc.h"
#include "hv/vm/pc_priv.h"

/* How long a full console ring may hold the guest's UART back before bytes are dropped. */
#define CONSOLE_STALL_NS NS_PER_SEC
#define CONSOLE_POLL_NS  NS_PER_MS

/* The ring is full. */
static NOINLINE bool console_full(struct vm *vm)
{
	struct pc *pc = vm->pc;
	uint32_t tail = __atomic_load_n(&vm->console_out->tail, __ATOMIC_RELAXED);
	ns_t now = vm_now(vm);

	/* The stall begins anew whenever the reader has moved. */
	if (pc->stalled_since == NS_NEVER || pc->stalled_tail != tail) {
		pc->stalled_since = now;
		pc->stalled_tail = tail;
	}
	if (now - pc->stalled_since >= CONSOLE_STALL_NS) {
		__atomic_add_fetch(vm->console_dropped, 1, __ATOMIC_RELAXED);
		return true; /* taken, and lost */
	}
	if (!pc_at_home(vm))
		vm_cpu_post(vm->cpu[0], POST_CONSOLE);
	else if (pc->console_timer.deadline == TIMER_NEVER)
		vm_host.timer_arm(
			&pc->console_timer, tsc_at_ns(vm->start_ns + now + CONSOLE_POLL_NS));
	return false;
}

bool pc_console_tx(void *ctx, uint8_t byte)
{
	struct vm *vm = ctx;

	if (UNLIKELY(!ring_put(vm->console_out, byte)))
		return console_full(vm);
	return true;
}

void pc_console_debug(struct vm *vm, uint8_t byte)
{
	struct spinlock *lock = &vm->pc->model[MODEL_UART].lock;

	spin_lock(lock);
	if (!ring_put(vm->console_out, byte))
		__atomic_add_fetch(vm->console_dropped, 1, __ATOMIC_RELAXED);
	spin_unlock(lock);
}

void pc_console_poll(struct vm *vm)
{
	struct model *m = &vm->pc->model[MODEL_UART];
	uint8_t byte;

	spin_lock(&m->lock);
	uart16550_tx_poll(&vm->pc->uart, vm_now(vm));
	while (uart16550_rx_room(&vm->pc->uart) > 0 && ring_get(vm->console_in, &byte))
		uart16550_rx(&vm->pc->uart, byte, vm_now(vm));
	pc_model_rearm(m);
	spin_unlock(&m->lock);
	/* What did not fit comes when the guest has read some. */
	if (ring_used(vm->console_in) > 0 && vm->pc->console_timer.deadline == TIMER_NEVER)
		vm_host.timer_arm(&vm->pc->console_timer,
			tsc_at_ns(vm->start_ns + vm_now(vm) + CONSOLE_POLL_NS));
}

void pc_console_fire(struct timer *t, uint64_t now)
{
	struct pc *pc = CONTAINER_OF(t, struct pc, console_timer);

	(void)now;
	pc_console_poll(pc->model[MODEL_UART].vm);
}
