/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC model: the registers as the guest addresses them, through the page (xAPIC) or MSRs
 * (x2APIC). One table says what exists, who may do what and which bits take a write. Locking rule:
 * see lapic.h.
 */
#include "drivers/virt/lapic_priv.h"

#define ICR_WRITABLE  0x000ccfffu
#define LVT_READ_ONLY (LAPIC_LVT_REMOTE_IRR | 1u << 12)

/* Which accesses a register allows; a register without any does not exist in that mode. */
#define XR    (1u << 0) /* xAPIC read */
#define XW    (1u << 1)
#define MR    (1u << 2) /* x2APIC RDMSR */
#define MW    (1u << 3)
#define X_ANY (XR | XW)

struct reg_rule {
	uint32_t writable;  /* xAPIC drops other bits, x2APIC answers them with #GP */
	uint32_t read_only; /* not changed by a write and no reason for #GP */
	uint8_t access;
	void (*write)(struct lapic *l, uint32_t offset, uint32_t value, uint64_t tsc);
};

static void write_plain(struct lapic *l, uint32_t offset, uint32_t value, uint64_t tsc UNUSED)
{
	lapic_set_reg(l, offset, value);
}

static void write_tpr(struct lapic *l, uint32_t offset, uint32_t value, uint64_t tsc UNUSED)
{
	lapic_set_reg(l, offset, value);
	lapic_update_ppr(l);
}

static void write_eoi(
	struct lapic *l, uint32_t offset UNUSED, uint32_t value UNUSED, uint64_t tsc UNUSED)
{
	lapic_eoi(l);
}

static void write_dfr(struct lapic *l, uint32_t offset, uint32_t value, uint64_t tsc UNUSED)
{
	lapic_set_reg(l, offset, value | 0x0fffffffu);
}

/* SDM vol. 3, "Error Handling": a write latches what was detected since the last one. */
static void write_esr(struct lapic *l, uint32_t offset, uint32_t value UNUSED, uint64_t tsc UNUSED)
{
	lapic_set_reg(l, offset, l->errors);
	l->errors = 0;
}

/*
 * SDM vol. 3, "Local APIC State After It Has Been Software Disabled": all LVT mask bits are forced.
 */
static void write_svr(struct lapic *l, uint32_t offset, uint32_t value, uint64_t tsc UNUSED)
{
	lapic_set_reg(l, offset, value);
	if (value & LAPIC_SVR_ENABLE)
		return;
	for (uint32_t lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt += 0x10)
		lapic_set_reg(l, lvt, lapic_reg(l, lvt) | LAPIC_LVT_MASKED);
}

static uint32_t lvt_value(const struct lapic *l, uint32_t value)
{
	return lapic_reg(l, LAPIC_SVR) & LAPIC_SVR_ENABLE ? value : value | LAPIC_LVT_MASKED;
}

static void write_lvt(struct lapic *l, uint32_t offset, uint32_t value, uint64_t tsc UNUSED)
{
	lapic_set_reg(l, offset, lvt_value(l, value));
}

static void write_lint0(struct lapic *l, uint32_t offset, uint32_t value, uint64_t tsc UNUSED)
{
	/* Remote IRR has no meaning, and does not survive, in edge mode. */
	if (value & LAPIC_LVT_LEVEL)
		value |= lapic_reg(l, offset) & LAPIC_LVT_REMOTE_IRR;
	lapic_set_reg(l, offset, lvt_value(l, value));
	lapic_lint0_sample(l);
}

static void write_lvt_timer(
	struct lapic *l, uint32_t offset UNUSED, uint32_t value, uint64_t tsc UNUSED)
{
	lapic_timer_write_lvt(l, lvt_value(l, value));
}

static void write_count(struct lapic *l, uint32_t offset UNUSED, uint32_t value, uint64_t tsc)
{
	lapic_timer_write_count(l, value, tsc);
}

static void write_divide(struct lapic *l, uint32_t offset UNUSED, uint32_t value, uint64_t tsc)
{
	lapic_timer_write_divide(l, value, tsc);
}

static void write_icr_low(struct lapic *l, uint32_t offset, uint32_t value, uint64_t tsc UNUSED)
{
	lapic_set_reg(l, offset, value);
	lapic_icr_send(l, value, lapic_reg(l, LAPIC_ICR_HIGH) >> 24);
}

static void write_self_ipi(
	struct lapic *l, uint32_t offset UNUSED, uint32_t value, uint64_t tsc UNUSED)
{
	lapic_icr_send(l, value | LAPIC_SH_SELF << 18, 0);
}

#define REG(offset)        [(offset) >> 4]
#define VECTOR_ARRAY(base) [(base) >> 4 ...((base) >> 4) + 7] = {.access = X_ANY | MR}

/*
 * SDM vol. 3, "Local APIC Register Address Map" and "Local APIC Register Address Map Supported by
 * x2APIC".
 */
static const struct reg_rule rules[64] = {
	REG(LAPIC_ID) = {.access = X_ANY | MR},
	REG(LAPIC_VERSION) = {.access = X_ANY | MR},
	REG(LAPIC_TPR) = {0xff, 0, X_ANY | MR | MW, write_tpr},
	REG(LAPIC_APR) = {.access = X_ANY},
	REG(LAPIC_PPR) = {.access = X_ANY | MR},
	REG(LAPIC_EOI) = {0, 0, X_ANY | MW, write_eoi},
	REG(LAPIC_RRD) = {.access = X_ANY},
	REG(LAPIC_LDR) = {0xff000000u, 0, X_ANY | MR, write_plain},
	REG(LAPIC_DFR) = {0xf0000000u, 0, X_ANY, write_dfr},
	REG(LAPIC_SVR) = {0x3ff, 0, X_ANY | MR | MW, write_svr},
	VECTOR_ARRAY(LAPIC_ISR),
	VECTOR_ARRAY(LAPIC_TMR),
	VECTOR_ARRAY(LAPIC_IRR),
	REG(LAPIC_ESR) = {0, 0, X_ANY | MR | MW, write_esr},
	REG(LAPIC_ICR_LOW) = {ICR_WRITABLE, 0, X_ANY | MR | MW, write_icr_low},
	REG(LAPIC_ICR_HIGH) = {0xff000000u, 0, X_ANY, write_plain},
	REG(LAPIC_LVT_TIMER) = {0x700ff, LVT_READ_ONLY, X_ANY | MR | MW, write_lvt_timer},
	REG(LAPIC_LVT_THERM) = {0x107ff, LVT_READ_ONLY, X_ANY | MR | MW, write_lvt},
	REG(LAPIC_LVT_PERF) = {0x107ff, LVT_READ_ONLY, X_ANY | MR | MW, write_lvt},
	REG(LAPIC_LVT_LINT0) = {0x1a7ff, LVT_READ_ONLY, X_ANY | MR | MW, write_lint0},
	REG(LAPIC_LVT_LINT1) = {0x1a7ff, LVT_READ_ONLY, X_ANY | MR | MW, write_lvt},
	REG(LAPIC_LVT_ERROR) = {0x100ff, LVT_READ_ONLY, X_ANY | MR | MW, write_lvt},
	REG(LAPIC_TIMER_ICT) = {UINT32_MAX, 0, X_ANY | MR | MW, write_count},
	REG(LAPIC_TIMER_CCT) = {.access = X_ANY | MR},
	REG(LAPIC_TIMER_DCR) = {0xb, 0, X_ANY | MR | MW, write_divide},
	REG(LAPIC_SELF_IPI) = {0xff, 0, MW, write_self_ipi},
};

static const struct reg_rule *find_rule(uint32_t index, uint32_t access)
{
	if (index >= ARRAY_SIZE(rules) || !(rules[index].access & access))
		return NULL;
	return &rules[index];
}

/*
 * SDM vol. 3, "Arbitration Priority": what the P6 family would compete with for a lowest-priority
 * message.
 */
static uint32_t arbitration_priority(const struct lapic *l)
{
	uint32_t tpr = lapic_reg(l, LAPIC_TPR);
	uint32_t irr = l->irr_max < 0 ? 0 : (uint32_t)l->irr_max & 0xf0;
	uint32_t isr = l->isr_max < 0 ? 0 : (uint32_t)l->isr_max & 0xf0;

	if ((tpr & 0xf0) >= irr && (tpr & 0xf0) > isr)
		return tpr;
	return MAX(tpr & 0xf0 & isr, irr);
}

static uint32_t read_reg(const struct lapic *l, uint32_t offset, uint64_t tsc)
{
	switch (offset) {
	case LAPIC_APR: return arbitration_priority(l);
	case LAPIC_TIMER_CCT: return lapic_timer_count(l, tsc);
	default: return lapic_reg(l, offset);
	}
}

/* Only the first four bytes of each sixteen hold something; parts of them may be read. */
uint64_t lapic_mmio_read(struct lapic *l, uint32_t offset, unsigned size, uint64_t tsc)
{
	uint32_t byte = offset & 0xf;

	if (l->mode != LAPIC_XAPIC)
		return mask_bytes(size);
	if (!find_rule(offset >> 4, XR)) {
		lapic_error(l, LAPIC_ESR_ILLEGAL_REGISTER);
		return 0;
	}
	if (byte > 3)
		return 0;
	lapic_timer_tick(l, tsc);
	return (uint64_t)read_reg(l, offset & ~0xfu, tsc) >> (byte * 8) & mask_bytes(size);
}

/* The manual leaves writes other than aligned 32-bit ones undefined: nothing happens. */
void lapic_mmio_write(struct lapic *l, uint32_t offset, unsigned size, uint64_t value, uint64_t tsc)
{
	const struct reg_rule *rule = find_rule(offset >> 4, XW);

	if (l->mode != LAPIC_XAPIC)
		return;
	if (!rule) {
		lapic_error(l, LAPIC_ESR_ILLEGAL_REGISTER);
		return;
	}
	if (size != 4 || (offset & 0xf) || !rule->write)
		return;
	lapic_timer_tick(l, tsc);
	rule->write(l, offset, (uint32_t)value & rule->writable, tsc);
}

/* Vector arrays and TPR change without being kept; hardware reports no write of them. */
void lapic_page_written(struct lapic *l, uint32_t offset, uint64_t tsc)
{
	uint32_t at = offset & 0x3f0, value = lapic_reg(l, at);

	lapic_set_reg(l, at, l->kept[at / 16]);
	if (l->mode == LAPIC_X2APIC)
		(void)!lapic_msr_write(l, LAPIC_MSR_FIRST + at / 16, value, tsc);
	else
		lapic_mmio_write(l, at, 4, value, tsc);
}

int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t tsc, uint64_t *value)
{
	uint32_t index = msr - LAPIC_MSR_FIRST;

	if (l->mode != LAPIC_X2APIC || !find_rule(index, MR))
		return E_INVAL;
	lapic_timer_tick(l, tsc);
	*value = read_reg(l, index << 4, tsc);
	if (index == LAPIC_ICR_LOW >> 4)
		*value |= (uint64_t)lapic_reg(l, LAPIC_ICR_HIGH) << 32;
	return 0;
}

static int write_icr_msr(struct lapic *l, uint64_t value)
{
	uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

	if (low & ~ICR_WRITABLE)
		return E_INVAL;
	lapic_set_reg(l, LAPIC_ICR_LOW, low);
	lapic_set_reg(l, LAPIC_ICR_HIGH, high);
	lapic_icr_send(l, low, high);
	return 0;
}

int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value, uint64_t tsc)
{
	uint32_t index = msr - LAPIC_MSR_FIRST;
	const struct reg_rule *rule = find_rule(index, MW);

	if (l->mode != LAPIC_X2APIC || !rule)
		return E_INVAL;
	if (index == LAPIC_ICR_LOW >> 4)
		return write_icr_msr(l, value);
	if (value & ~(uint64_t)(rule->writable | rule->read_only))
		return E_INVAL;
	/* Both timer mode bits set is a reserved encoding. */
	if (index == LAPIC_LVT_TIMER >> 4 && (value & LAPIC_TIMER_MODE) == LAPIC_TIMER_MODE)
		return E_INVAL;
	lapic_timer_tick(l, tsc);
	rule->write(l, index << 4, (uint32_t)value & rule->writable, tsc);
	return 0;
}
