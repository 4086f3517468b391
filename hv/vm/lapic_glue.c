/* SPDX-License-Identifier: Apache-2.0 */
/* Connects each vCPU's LAPIC model to its timer, its page in the MMIO bus, and the other vCPUs. */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "hv/vm/pc.h"
#include "hv/vm/vm.h"

uint64_t vm_cpu_tsc(const struct vm_cpu *c)
{
	return rdtsc() + c->tsc_offset;
}

void vm_cpu_interrupt(struct vm_cpu *c, uint8_t vector, bool level)
{
	if (c->vcpu.cpu == vm_host.this_cpu()) {
		lapic_accept(&c->lapic, vector, level);
		__atomic_or_fetch(&c->vcpu.attention, VCPU_EVENT, __ATOMIC_RELAXED);
		return;
	}
	__atomic_or_fetch(&c->post_vector[level][vector / 64], BIT(vector % 64), __ATOMIC_RELEASE);
	vm_cpu_post(c, POST_VECTOR);
}

static void deliver(struct vm_cpu *c, const struct lapic_ipi *ipi)
{
	switch (ipi->delivery) {
	case LAPIC_DM_FIXED:
	case LAPIC_DM_LOWEST: vm_cpu_interrupt(c, ipi->vector, ipi->level); break;
	case LAPIC_DM_NMI: vm_cpu_nmi(c); break;
	case LAPIC_DM_INIT:
		/* An INIT of the only CPU is how old software resets the machine. */
		if (c->vm->cpu_count == 1)
			vm_stop(c->vm, STOP_RESET, "reset by INIT");
		break;
	default: break; /* SMI: there is no SMM. STARTUP: nobody waits for one. */
	}
}

void vm_route(struct vm *vm, const struct lapic_ipi *ipi)
{
	for (unsigned i = 0; i < vm->cpu_count; i++) {
		if (!lapic_matches(&vm->cpu[i]->lapic, ipi))
			continue;
		deliver(vm->cpu[i], ipi);
		if (ipi->delivery == LAPIC_DM_LOWEST)
			return;
	}
}

static void lapic_send_ipi(void *ctx, const struct lapic_ipi *ipi)
{
	vm_route(((struct vm_cpu *)ctx)->vm, ipi);
}

static void lapic_eoi_broadcast(void *ctx, uint8_t vector)
{
	pc_eoi(((struct vm_cpu *)ctx)->vm, vector);
}

static void lapic_lint_event(void *ctx, enum lapic_delivery delivery)
{
	struct vm_cpu *c = ctx;
	const struct lapic_ipi ipi = {.delivery = (uint8_t)delivery};

	deliver(c, &ipi);
}

static void lapic_timer_fire(struct timer *t, uint64_t now)
{
	struct vm_cpu *c = CONTAINER_OF(t, struct vm_cpu, lapic_timer);

	lapic_timer_tick(&c->lapic, now + c->tsc_offset);
	__atomic_or_fetch(&c->vcpu.attention, VCPU_EVENT, __ATOMIC_RELAXED);
	vm_lapic_rearm(c);
}

/* Shorter than this, the timer would fire again before the guest has run. */
#define TIMER_FLOOR_TICKS 2000ull

void vm_lapic_rearm(struct vm_cpu *c)
{
	uint64_t guest = lapic_timer_deadline(&c->lapic), deadline = TIMER_NEVER;

	if (guest != UINT64_MAX) {
		uint64_t now = rdtsc(), guest_now = now + c->tsc_offset;
		uint64_t delta = guest > guest_now ? guest - guest_now : 0;

		delta = MAX(delta, TIMER_FLOOR_TICKS);
		deadline = now + delta < now ? TIMER_NEVER - 1 : MIN(now + delta, TIMER_NEVER - 1);
	}
	if (deadline != c->lapic_timer.deadline)
		vm_host.timer_arm(&c->lapic_timer, deadline);
}

void vm_lapic_init(struct vm_cpu *c, void *page)
{
	const struct lapic_env env = {lapic_send_ipi, lapic_eoi_broadcast, lapic_lint_event, c};

	lapic_init(&c->lapic, page, c->vcpu.id, c->vcpu.id == 0, cpuid_timer_shift(tsc_hz()), &env);
	timer_init(&c->lapic_timer, lapic_timer_fire);
	if (c->vcpu.id != 0)
		return;
	/* As firmware leaves the boot CPU's: enabled, PIC on LINT0, NMI on LINT1. */
	lapic_mmio_write(&c->lapic, LAPIC_SVR, 4, 0x1ff, 0);
	lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT0, 4, LAPIC_DM_EXTINT << 8, 0);
	lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT1, 4, LAPIC_DM_NMI << 8, 0);
}

/* The register page answers for the vCPU that touches it: the one that this CPU runs. */
static struct vm_cpu *accessing(struct vm *vm)
{
	unsigned cpu, i = 0;

	if (vm->cpu_count == 1)
		return vm->cpu[0];
	cpu = vm_host.this_cpu();
	while (i + 1 < vm->cpu_count && vm->cpu[i]->vcpu.cpu != cpu)
		i++;
	return vm->cpu[i];
}

static uint64_t mmio_read(void *ctx, uint64_t offset, unsigned size)
{
	struct vm_cpu *c = accessing(ctx);

	return lapic_mmio_read(&c->lapic, (uint32_t)offset, size, vm_cpu_tsc(c));
}

static void mmio_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct vm_cpu *c = accessing(ctx);

	lapic_mmio_write(&c->lapic, (uint32_t)offset, size, value, vm_cpu_tsc(c));
	vm_lapic_written(c);
	vm_lapic_rearm(c);
}

int vm_lapic_map(struct vm *vm)
{
	const struct bus_range range = {
		.base = LAPIC_BASE_DEFAULT,
		.size = PAGE_SIZE,
		.read = mmio_read,
		.write = mmio_write,
		.ctx = vm,
	};

	return bus_add(&vm->mmio, &range);
}
