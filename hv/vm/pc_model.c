/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One way to reach every model of the virtual PC: through its windows in the buses, and by its
 * timer. Knows no wires. Who calls holds the model's lock; a timer takes it.
 */
#include "arch/x86/cpu/tsc.h"
#include "hv/vm/pc_priv.h"

/* No model's event comes more often than this, whatever the guest programs. */
#define MODEL_TIMER_FLOOR_NS (20 * NS_PER_US)

#define MODEL_ACCESS(name)                                                                         \
	static uint64_t name##_access_read(void *m, uint64_t offset, unsigned size, ns_t now)      \
	{                                                                                          \
		return name##_read(m, (unsigned)offset, size, now);                                \
	}                                                                                          \
	static void name##_access_write(                                                           \
		void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)                 \
	{                                                                                          \
		name##_write(m, (unsigned)offset, size, (uint32_t)value, now);                     \
	}
#define MODEL_TIMED(name)                                                                          \
	static ns_t name##_access_deadline(const void *m)                                          \
	{                                                                                          \
		return name##_deadline(m);                                                         \
	}                                                                                          \
	static void name##_access_tick(void *m, ns_t now)                                          \
	{                                                                                          \
		name##_tick(m, now);                                                               \
	}
#define OPS(name)                                                                                  \
	{                                                                                          \
		name##_access_read, name##_access_write, NULL, NULL                                \
	}
#define OPS_TIMED(name)                                                                            \
	{                                                                                          \
		name##_access_read, name##_access_write, name##_access_deadline,                   \
			name##_access_tick                                                         \
	}

MODEL_ACCESS(uart16550)
MODEL_ACCESS(pic8259)
MODEL_ACCESS(pit8254)
MODEL_ACCESS(cmos)
MODEL_ACCESS(i8042)
MODEL_ACCESS(reset)
MODEL_ACCESS(pci)
MODEL_ACCESS(vga)
MODEL_TIMED(uart16550)
MODEL_TIMED(pit8254)
MODEL_TIMED(cmos)
MODEL_TIMED(pm)
MODEL_TIMED(hpet)

/* The PM model has two register blocks: APM_CNT and APM_STS follow the 128 bytes at PMBASE here. */
static uint64_t pm_access_read(void *m, uint64_t offset, unsigned size, ns_t now)
{
	if (offset >= PM_BLOCK_SIZE)
		return pm_apm_read(m, (unsigned)(offset - PM_BLOCK_SIZE), size, now);
	return pm_read(m, (unsigned)offset, size, now);
}

static void pm_access_write(void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)
{
	if (offset >= PM_BLOCK_SIZE)
		pm_apm_write(m, (unsigned)(offset - PM_BLOCK_SIZE), size, (uint32_t)value, now);
	else
		pm_write(m, (unsigned)offset, size, (uint32_t)value, now);
}

static uint64_t hpet_access_read(void *m, uint64_t offset, unsigned size, ns_t now)
{
	return hpet_read(m, (unsigned)offset, size, now);
}

static void hpet_access_write(void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)
{
	hpet_write(m, (unsigned)offset, size, value, now);
}

static uint64_t ioapic_access_read(void *m, uint64_t offset, unsigned size, ns_t now)
{
	(void)now;
	return ioapic_mmio_read(m, (uint32_t)offset, size);
}

static void ioapic_access_write(void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)
{
	(void)now;
	ioapic_mmio_write(m, (uint32_t)offset, size, value);
}

static uint64_t debug_mmio_access_read(void *m, uint64_t offset, unsigned size, ns_t now)
{
	return debug_mmio_read(m, (unsigned)offset, size, now);
}

static void debug_mmio_access_write(
	void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)
{
	debug_mmio_write(m, (unsigned)offset, size, value, now);
}

const struct model_ops pc_model_ops[MODEL_COUNT] = {
	[MODEL_UART] = OPS_TIMED(uart16550),
	[MODEL_PIC] = OPS(pic8259),
	[MODEL_PIT] = OPS_TIMED(pit8254),
	[MODEL_CMOS] = OPS_TIMED(cmos),
	[MODEL_PM] = OPS_TIMED(pm),
	[MODEL_HPET] = OPS_TIMED(hpet),
	[MODEL_I8042] = OPS(i8042),
	[MODEL_RESET] = OPS(reset),
	[MODEL_PCI] = OPS(pci),
	[MODEL_IOAPIC] = OPS(ioapic),
	[MODEL_VGA] = OPS(vga),
	[MODEL_DEBUG_MMIO] = OPS(debug_mmio),
};

/*
 * A CPU's timers are its own, so that another one can only ask. It need not if the timer comes too
 * early: nothing is due then, and it is armed anew.
 */
NOINLINE void pc_model_arm(struct model *m, ns_t deadline)
{
	if (!pc_at_home(m->vm)) {
		if (deadline < m->armed)
			vm_cpu_post(m->vm->cpu[0], POST_TIMERS);
		return;
	}
	m->armed = deadline;
	if (deadline != NS_NEVER) {
		ns_t floor = vm_now(m->vm) + MODEL_TIMER_FLOOR_NS;

		deadline = MAX(deadline, floor) + m->vm->start_ns;
	}
	vm_host.timer_arm(&m->timer, tsc_at_ns(deadline));
}

void pc_model_fire(struct timer *t, uint64_t now)
{
	struct model *m = CONTAINER_OF(t, struct model, timer);

	(void)now;
	spin_lock(&m->lock);
	m->armed = NS_NEVER;
	m->ops->tick(m->state, vm_now(m->vm));
	pc_model_rearm(m);
	spin_unlock(&m->lock);
}

void pc_timers_rearm(struct vm *vm)
{
	for (unsigned i = 0; i < MODEL_COUNT; i++) {
		struct model *m = &vm->pc->model[i];

		spin_lock(&m->lock);
		pc_model_rearm(m);
		spin_unlock(&m->lock);
	}
}

uint64_t pc_window_read(void *ctx, uint64_t offset, unsigned size)
{
	const struct window *w = ctx;
	uint64_t value = w->ops->read(w->state, offset + w->shift, size, vm_now(w->vm));

	if (w->ops->deadline && w->ops->deadline(w->state) != w->model->armed)
		pc_model_rearm(w->model);
	return value;
}

void pc_window_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	const struct window *w = ctx;

	w->ops->write(w->state, offset + w->shift, size, value, vm_now(w->vm));
	if (w->ops->deadline && w->ops->deadline(w->state) != w->model->armed)
		pc_model_rearm(w->model);
}
