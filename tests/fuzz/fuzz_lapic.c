/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two local APICs and an IOAPIC wired together and driven by bytes, as a hostile guest and noisy
 * devices would. After every step the cached state must agree with the register pages.
 */
#include <stdio.h>
#include <stdlib.h>

#include "drivers/virt/ioapic.h"
#include "drivers/virt/lapic.h"
#include "hv/lib/string.h"

#define CPUS 2

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct machine {
	struct lapic cpu[CPUS];
	uint32_t page[CPUS][1024];
	struct ioapic io;
	uint64_t tsc;
	unsigned depth;
};

struct input {
	const uint8_t *bytes;
	size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t take(struct input *in, size_t count)
{
	uint64_t value = 0;

	for (; count && in->left; count--, in->left--)
		value = value << 8 | *in->bytes++;
	return value;
}

static void deliver(struct machine *m, const struct lapic_ipi *ipi)
{
	REQUIRE(ipi->shorthand < 4 && ipi->delivery < 8);
	for (unsigned i = 0; i < CPUS; i++) {
		if (!lapic_matches(&m->cpu[i], ipi))
			continue;
		if (ipi->delivery == LAPIC_DM_INIT)
			lapic_reset_init(&m->cpu[i]);
		else if (ipi->delivery <= LAPIC_DM_LOWEST)
			lapic_accept(&m->cpu[i], ipi->vector, ipi->level);
	}
}

static void send_ipi(void *ctx, const struct lapic_ipi *ipi)
{
	REQUIRE(!ipi->level && ipi->delivery != LAPIC_DM_RESERVED &&
		ipi->delivery != LAPIC_DM_EXTINT);
	/* An INIT to itself is the owner's to defer; here it is left out. */
	if (ipi->delivery != LAPIC_DM_INIT)
		deliver(ctx, ipi);
}

static void eoi_broadcast(void *ctx, uint8_t vector)
{
	struct machine *m = ctx;

	REQUIRE(vector >= 16);
	ioapic_eoi(&m->io, vector);
}

static void lint_event(void *ctx, enum lapic_delivery delivery)
{
	(void)ctx;
	REQUIRE(delivery == LAPIC_DM_SMI || delivery == LAPIC_DM_NMI || delivery == LAPIC_DM_INIT);
}

static void from_ioapic(void *ctx, const struct ioapic_msg *msg)
{
	struct machine *m = ctx;
	struct lapic_ipi ipi = {
		.dest = msg->dest,
		.vector = msg->vector,
		.delivery = msg->delivery,
		.logical = msg->logical,
		.level = msg->level,
	};

	REQUIRE(++m->depth < 64);
	deliver(m, &ipi);
	m->depth--;
}

static int highest(const uint32_t *page, uint32_t array)
{
	for (int v = 255; v >= 0; v--)
		if (page[(array + (unsigned)v / 32 * 16) / 4] >> (v % 32) & 1)
			return v;
	return -1;
}

static void check_lapic(const struct machine *m, unsigned i)
{
	const struct lapic *l = &m->cpu[i];
	const uint32_t *page = m->page[i];
	int isr = highest(page, LAPIC_ISR), pending = lapic_pending(l);
	uint32_t tpr = page[LAPIC_TPR / 4];
	bool extd = l->apic_base & LAPIC_BASE_EXTD, en = l->apic_base & LAPIC_BASE_EN;

	REQUIRE(l->irr_max == highest(page, LAPIC_IRR) && l->isr_max == isr);
	REQUIRE(l->irr_max < 0 || l->irr_max >= 16);
	REQUIRE(tpr <= 0xff &&
		page[LAPIC_PPR / 4] >> 4 == MAX(tpr >> 4, isr < 0 ? 0u : (uint32_t)isr >> 4));
	REQUIRE(pending < 0 || (uint32_t)pending >> 4 > page[LAPIC_PPR / 4] >> 4);
	REQUIRE(lapic_tpr_threshold(l) <= tpr >> 4);
	REQUIRE(l->mode == (!en           ? LAPIC_DISABLED
				   : extd ? LAPIC_X2APIC
					  : LAPIC_XAPIC) &&
		(en || !extd));
	REQUIRE(!!(l->apic_base & LAPIC_BASE_BSP) == (i == 0));
	if (l->mode == LAPIC_DISABLED)
		REQUIRE(pending < 0 && isr < 0 && !l->timer.armed);
	if (!(page[LAPIC_SVR / 4] & LAPIC_SVR_ENABLE))
		for (uint32_t lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt += 0x10)
			REQUIRE(page[lvt / 4] & LAPIC_LVT_MASKED);
}

/* A pin in service is level-triggered; one that asks and may be served is in service. */
static void check_ioapic(const struct ioapic *io)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t rte = io->rte[pin];
		bool level = (rte & IOAPIC_RTE_LEVEL) && (rte >> 8 & 7) <= 1;

		REQUIRE(level || !(rte & IOAPIC_RTE_REMOTE_IRR));
		if (level && (io->wires >> pin & 1) && !(rte & IOAPIC_RTE_MASKED))
			REQUIRE(rte & IOAPIC_RTE_REMOTE_IRR);
		REQUIRE(!(rte & 0x00fffffffffe5000ull & ~IOAPIC_RTE_REMOTE_IRR));
	}
}

static void access_register(struct machine *m, struct lapic *l, struct input *in)
{
	static const uint8_t sizes[] = {4, 4, 4, 4, 1, 2, 8, 4};
	unsigned shape = (unsigned)take(in, 1);
	uint32_t offset = shape & 0x80 ? (uint32_t)take(in, 2) : (uint32_t)take(in, 1) << 4 & 0x3f0;
	unsigned size = sizes[shape & 7];
	uint64_t value;

	if (shape & 0x40) {
		value = lapic_mmio_read(l, offset, size, m->tsc);
		REQUIRE(!(value & ~mask_bytes(size)));
	} else {
		lapic_mmio_write(l, offset, size, take(in, 4), m->tsc);
	}
}

static void access_msr(struct machine *m, struct lapic *l, struct input *in)
{
	uint32_t msr = LAPIC_MSR_FIRST + (uint32_t)take(in, 1);
	uint64_t value;

	if (take(in, 1) & 1)
		REQUIRE(lapic_msr_read(l, msr, m->tsc, &value) == 0 || l->mode != LAPIC_X2APIC ||
			msr != 0x802);
	else if (lapic_msr_write(l, msr, take(in, 8), m->tsc) == 0)
		REQUIRE(l->mode == LAPIC_X2APIC && msr < 0x840);
}

static void take_interrupt(struct lapic *l)
{
	int vector = lapic_pending(l);

	if (vector < 0)
		return;
	lapic_ack(l, (uint8_t)vector);
	REQUIRE(l->isr_max == vector && lapic_pending(l) < vector);
}

static void run_timer(struct machine *m, struct lapic *l, struct input *in)
{
	uint64_t due = lapic_timer_deadline(l);

	m->tsc += take(in, 1) & 1 ? take(in, 6) : take(in, 2);
	if (due != UINT64_MAX && (take(in, 1) & 1))
		m->tsc = MAX(m->tsc, due);
	lapic_timer_tick(l, m->tsc);
	REQUIRE(lapic_timer_deadline(l) > m->tsc || m->tsc == UINT64_MAX);
}

static void do_step(struct machine *m, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1);
	struct lapic *l = &m->cpu[op >> 7];

	switch (op & 15) {
	case 0 ... 2: access_register(m, l, in); break;
	case 3: access_msr(m, l, in); break;
	case 4: {
		uint64_t base = LAPIC_BASE_DEFAULT | take(in, 2);

		REQUIRE(lapic_apic_base_write(l, base, 40) == 0 || l->apic_base != base ||
			(base & 0x2ff));
		break;
	}
	case 5:
	case 6: take_interrupt(l); break;
	case 7: lapic_eoi(l); break;
	case 8: run_timer(m, l, in); break;
	case 9:
		lapic_tsc_deadline_write(l, take(in, 8), m->tsc);
		REQUIRE(lapic_tsc_deadline_read(l, m->tsc) == 0 ||
			lapic_tsc_deadline_read(l, m->tsc) > m->tsc || m->tsc == UINT64_MAX);
		break;
	case 10: lapic_lint(l, op >> 4 & 3, op & 0x40); break;
	case 11: ioapic_set_irq(&m->io, (unsigned)take(in, 1) & 31, op & 0x10); break;
	case 12:
		ioapic_mmio_write(&m->io, IOAPIC_IOREGSEL, 1, take(in, 1) & 0x3f);
		ioapic_mmio_write(&m->io, IOAPIC_IOWIN, 4, take(in, 4));
		ioapic_mmio_read(&m->io, IOAPIC_IOWIN, 4);
		break;
	case 13: lapic_accept(l, (uint8_t)take(in, 1), op & 0x10); break;
	case 14: (void)!lapic_cr8_write(l, take(in, 1)); break;
	default:
		if (op & 0x10)
			lapic_reset_init(l);
		else
			lapic_timer_tsc_moved(l, take(in, 8));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct machine m;
	const struct lapic_env env = {send_ipi, eoi_broadcast, lint_event, &m};
	struct input in = {data, size};

	memset(&m, 0, sizeof(m));
	for (unsigned i = 0; i < CPUS; i++)
		lapic_init(&m.cpu[i], m.page[i], i, i == 0, (unsigned)take(&in, 1), &env);
	ioapic_init(&m.io, from_ioapic, &m);
	while (in.left) {
		do_step(&m, &in);
		for (unsigned i = 0; i < CPUS; i++)
			check_lapic(&m, i);
		check_ioapic(&m.io);
	}
	return 0;
}
