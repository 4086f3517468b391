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
		vm_lapic_look(c);
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
		/* To the boot CPU it is how old software resets the machine. */
		if (c->vcpu.id == 0)
			vm_stop(c->vm, STOP_RESET, "reset by INIT");
		else
			vm_cpu_post_init(c);
		break;
	case LAPIC_DM_STARTUP: vm_cpu_post_sipi(c, ipi->vector); break;
	case LAPIC_DM_EXTINT: vm_cpu_post(c, POST_EXTINT); break;
	default: break; /* SMI: there is no SMM */
	}
}

/* The lowest processor priority wins, among equals the one whose turn it is. */
static struct vm_cpu *arbitrate(struct vm *vm, const struct lapic_ipi *ipi)
{
	uint32_t turn = __atomic_fetch_add(&vm->arbitration, 1, __ATOMIC_RELAXED);
	uint32_t best = UINT32_MAX;
	struct vm_cpu *winner = NULL;

	for (unsigned i = 0; i < vm->cpu_count; i++) {
		struct vm_cpu *c = vm->cpu[(turn + i) % vm->cpu_count];
		uint32_t priority = lapic_priority(&c->lapic);

		if (lapic_matches(&c->lapic, ipi) && priority < best) {
			best = priority;
			winner = c;
		}
	}
	return winner;
}

void vm_route(struct vm *vm, const struct lapic_ipi *ipi)
{
	struct vm_cpu *one;

	if (ipi->delivery == LAPIC_DM_LOWEST) {
		one = arbitrate(vm, ipi);
		if (one)
			deliver(one, ipi);
		return;
	}
	for (unsigned i = 0; i < vm->cpu_count; i++) {
		if (lapic_matches(&vm->cpu[i]->lapic, ipi))
			deliver(vm->cpu[i], ipi);
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
	vm_lapic_look(c);
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

/* The CPU would deliver what a LAPIC disabled by software does not even accept (self IPIs). */
static unsigned usable(const struct lapic *l)
{
	bool enabled = l->page[LAPIC_SVR / 4] & LAPIC_SVR_ENABLE;

	return vm_host.caps.apic & (enabled ? ~0u : ~VCPU_APIC_DELIVERY);
}

void vm_lapic_init(struct vm_cpu *c, void *page)
{
	const struct lapic_env env = {lapic_send_ipi, lapic_eoi_broadcast, lapic_lint_event, c};

	lapic_init(&c->lapic, page, c->vcpu.id, c->vcpu.id == 0, cpuid_timer_shift(tsc_hz()), &env);
	timer_init(&c->lapic_timer, lapic_timer_fire);
	if (c->vcpu.id == 0) {
		/* As firmware leaves the boot CPU's: enabled, PIC on LINT0, NMI on LINT1. */
		lapic_mmio_write(&c->lapic, LAPIC_SVR, 4, 0x1ff, 0);
		lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT0, 4, LAPIC_DM_EXTINT << 8, 0);
		lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT1, 4, LAPIC_DM_NMI << 8, 0);
	}
	c->vcpu.apic_page = page;
	c->vcpu.apic_access = c->vm->apic_access;
	c->vcpu.apic = usable(&c->lapic);
	c->vcpu.apic_place = VCPU_APIC_IN_PAGE;
	c->lapic_used = true;
}

/* ---- The register page ---- */

static bool in_page(const struct vm_cpu *c, gpa_t gpa)
{
	return gpa >> PAGE_SHIFT == c->lapic.apic_base >> PAGE_SHIFT &&
	       c->lapic.mode == LAPIC_XAPIC;
}

/* Each may cost the guest's owner a table. */
#define RAM_MOVES_MAX 64u

/*
 * A page of RAM under some vCPU's LAPIC traps for all of them; those that have no LAPIC there reach
 * the RAM by emulation. It stays so: software moves its LAPIC once, if at all. Nobody waits for the
 * others' flush, because the page belongs to the guest before and after.
 */
bool vm_lapic_may_be_at(struct vm_cpu *c, gpa_t page)
{
	struct vm *vm = c->vm;
	int status = E_NOMEM;

	if (!guest_mem_is_ram(&vm->mem, page, PAGE_SIZE))
		return true;
	spin_lock(&vm->stage2_lock);
	if (vm->lapic_moves < RAM_MOVES_MAX) {
		vm->lapic_moves++;
		status = pt_unmap(&vm->stage2, page, PAGE_SIZE);
	}
	spin_unlock(&vm->stage2_lock);
	if (status != OK)
		return false;
	for (unsigned i = 0; i < vm->cpu_count; i++)
		vm_cpu_post(vm->cpu[i], POST_FLUSH);
	return true;
}

/*
 * While all LAPICs of the guest are at the usual address, the CPU may answer accesses there: then
 * stage 2 leads to a frame that it takes for a sign and never touches. For a vCPU whose LAPIC is
 * elsewhere it would be memory; so with the first one that leaves it is taken away, and the others'
 * accesses exit. They may do so late: their translations lead where they did. Who comes back last
 * brings it back.
 */
int vm_lapic_map(struct vm *vm)
{
	return pt_map(&vm->stage2, LAPIC_BASE_DEFAULT, vm->apic_access, PAGE_SIZE,
		PT_READ | PT_WRITE | PT_WB | PT_IGNORE_PAT, PT_4K);
}

/* Neither can fail: tables once made stay. If one did, accesses exit, or the guest stops. */
static void count_away(struct vm_cpu *c, bool away)
{
	struct vm *vm = c->vm;
	int status = OK;

	spin_lock(&vm->stage2_lock);
	if (away != c->lapic_away) {
		vm->lapics_away += away ? 1 : -1u;
		c->lapic_away = away;
		if (!away && vm->lapics_away == 0)
			(void)!vm_lapic_map(vm);
		else if (away && vm->lapics_away == 1)
			status = pt_unmap(&vm->stage2, LAPIC_BASE_DEFAULT, PAGE_SIZE);
	}
	spin_unlock(&vm->stage2_lock);
	if (status != OK)
		vm_stop(vm, STOP_FAILED, "no memory to move a local APIC");
}

void vm_lapic_changed(struct vm_cpu *c)
{
	const struct lapic *l = &c->lapic;
	struct vcpu *v = &c->vcpu;
	uint8_t place = VCPU_APIC_NOWHERE;
	unsigned apic;

	if (!v->apic)
		return;
	if (l->mode == LAPIC_X2APIC)
		place = VCPU_APIC_IN_MSRS;
	else if (in_page(c, LAPIC_BASE_DEFAULT))
		place = VCPU_APIC_IN_PAGE;
	apic = usable(l);
	if (place == v->apic_place && apic == v->apic)
		return;
	v->apic_place = place;
	v->apic = apic;
	vm_lapic_look(c);
	if (c->vm->apic_access)
		count_away(c, place != VCPU_APIC_IN_PAGE);
	v->ops->apic_changed(v);
}

void vm_lapic_page_written(struct vm_cpu *c, uint16_t offset)
{
	vm_lapic_sync(c);
	lapic_page_written(&c->lapic, offset, vm_cpu_tsc(c));
	vm_lapic_written(c);
	vm_lapic_rearm(c);
}

bool vm_mmio_read(struct vm_cpu *c, gpa_t gpa, unsigned size, uint64_t *value)
{
	if (!in_page(c, gpa))
		return bus_read(&c->vm->mmio, gpa, size, value);
	vm_lapic_sync(c);
	*value = lapic_mmio_read(&c->lapic, gpa & (PAGE_SIZE - 1), size, vm_cpu_tsc(c));
	return true;
}

bool vm_mmio_write(struct vm_cpu *c, gpa_t gpa, unsigned size, uint64_t value)
{
	if (!in_page(c, gpa))
		return bus_write(&c->vm->mmio, gpa, size, value);
	vm_lapic_sync(c);
	lapic_mmio_write(&c->lapic, gpa & (PAGE_SIZE - 1), size, value, vm_cpu_tsc(c));
	vm_lapic_written(c);
	vm_lapic_rearm(c);
	return true;
}
