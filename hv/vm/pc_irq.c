/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt wires of the virtual PC: from the models' outputs to the two controllers, and from
 * those to the vCPUs. A wire takes the lock of the controller that it ends in; the PIC's output
 * leads on to the IOAPIC, whose lock comes after the PIC's.
 */
#include "hv/vm/pc_priv.h"

static void ioapic_pin(struct pc *pc, unsigned pin, bool level)
{
	struct spinlock *lock = &pc->model[MODEL_IOAPIC].lock;

	spin_lock(lock);
	ioapic_set_irq(&pc->ioapic, pin, level);
	spin_unlock(lock);
}

/* An ISA interrupt goes to both controllers; IRQ 0 is pin 2 of the IOAPIC. */
void pc_irq_isa(void *ctx, unsigned irq, bool level)
{
	struct pc *pc = ((struct vm *)ctx)->pc;
	struct spinlock *lock = &pc->model[MODEL_PIC].lock;

	spin_lock(lock);
	pic8259_set_irq(&pc->pic, irq, level);
	spin_unlock(lock);
	ioapic_pin(pc, irq == 0 ? 2 : irq, level);
}

void pc_irq_gsi(void *ctx, unsigned gsi, bool level)
{
	struct vm *vm = ctx;

	if (gsi < PIC8259_PINS)
		pc_irq_isa(vm, gsi, level);
	else
		ioapic_pin(vm->pc, gsi, level);
}

/* The PIT's IRQ 0 and the RTC's IRQ 8 are cut off while the HPET replaces them. */
void pc_irq_legacy(void *ctx, unsigned pin, bool level)
{
	struct vm *vm = ctx;

	if (!hpet_legacy(&vm->pc->hpet))
		pc_irq_isa(vm, pin, level);
}

void pc_irq_hpet(void *ctx, unsigned gsi, bool level)
{
	struct vm *vm = ctx;

	if (hpet_legacy(&vm->pc->hpet) && gsi <= HPET_LEGACY_GSI_TIMER1) {
		/* The wire may stand as the PIT or RTC left it: it is an edge all the same. */
		gsi = gsi == HPET_LEGACY_GSI_TIMER0 ? 0 : gsi;
		if (level)
			pc_irq_isa(vm, gsi, false);
		pc_irq_isa(vm, gsi, level);
	} else if (gsi < PIC8259_PINS && gsi != 2) {
		pc_irq_isa(vm, gsi, level);
	} else {
		ioapic_pin(vm->pc, gsi, level);
	}
}

/* INTR is wired to LINT0 of every LAPIC, and to pin 0 of the IOAPIC. */
void pc_irq_pic_output(void *ctx, unsigned pin, bool level)
{
	struct vm *vm = ctx;

	(void)pin;
	__atomic_store_n(&vm->pc->pic_output, level, __ATOMIC_RELEASE);
	if (vm->cpu_count == 0)
		return;
	for (unsigned i = 0; i < vm->cpu_count && level; i++) {
		if (lapic_accepts_pic(&vm->cpu[i]->lapic))
			vm_cpu_look(vm->cpu[i]);
	}
	ioapic_pin(vm->pc, 0, level);
}

void pc_irq_ioapic_deliver(void *ctx, const struct ioapic_msg *msg)
{
	struct vm *vm = ctx;
	const struct lapic_ipi ipi = {
		.dest = msg->dest,
		.vector = msg->vector,
		.delivery = msg->delivery,
		.shorthand = LAPIC_SH_NONE,
		.logical = msg->logical,
		.level = msg->level,
	};

	vm_route(vm, &ipi);
}

bool pc_pic_pending(const struct vm *vm)
{
	return __atomic_load_n(&vm->pc->pic_output, __ATOMIC_ACQUIRE);
}

int pc_pic_ack(struct vm *vm)
{
	struct spinlock *lock = &vm->pc->model[MODEL_PIC].lock;
	int vector;

	spin_lock(lock);
	vector = pc_pic_pending(vm) ? pic8259_ack(&vm->pc->pic) : -1;
	spin_unlock(lock);
	return vector;
}

void pc_eoi(struct vm *vm, uint8_t vector)
{
	struct spinlock *lock = &vm->pc->model[MODEL_IOAPIC].lock;

	spin_lock(lock);
	ioapic_eoi(&vm->pc->ioapic, vector);
	spin_unlock(lock);
}
