/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware after the ACPI specification ("ACPI Hardware Specification") and the ICH9
 * data sheet ("Power Management I/O Registers"). A byte array with a table of what software may
 * change; the timer is computed from `now`. Must not know what sleeping means. The owner serialises
 * calls.
 */
#include "drivers/virt/pm.h"
#include "hv/lib/string.h"

/* PM1_STS and PM1_EN, by byte. */
#define TMROF_BIT     0x01 /* byte 0 */
#define PWRBTN_BIT    0x01 /* byte 1 */
#define PM1_EVENTS_LO 0x21 /* TMROF, GBL */
#define PM1_EVENTS_HI 0x05 /* PWRBTN, RTC */

#define PM1_CNT_SCI_EN        0x01 /* byte 0 */
#define PM1_CNT_SLP_EN        0x20 /* byte 1 */
#define PM1_CNT_SLP_TYP_SHIFT 2    /* byte 1 */
#define PM1_CNT_SLP_TYP_MASK  7

#define APM_CNT 0

#define GPE0_BYTES 8

/* What a write does to the bytes of a register: bits it sets, bits a written 1 clears. */
struct reg_rule {
	uint8_t offset;
	uint8_t size;
	uint32_t writable;
	uint32_t clear;
};

/*
 * Everything not named here is read-only; the timer is not storage. SLP_EN and GBL_RLS read as 0.
 */
static const struct reg_rule rules[] = {
	{PM_PM1_STS, 2, 0, 0xcd21}, {PM_PM1_EN, 2, 0x4521, 0}, {PM_PM1_CNT, 4, 0x00001c03, 0},
	{0x10, 4, 0x000002fe, 0}, /* PROC_CNT: throttling has no effect */
	{PM_GPE0_STS, 4, 0, 0xffffffff}, {PM_GPE0_STS + 4, 4, 0, 0xffffffff},
	{PM_GPE0_EN, 4, 0xffffffff, 0}, {PM_GPE0_EN + 4, 4, 0xffffffff, 0},
	{PM_SMI_EN, 4, 0xffffffff, 0}, /* stored: there is no system management mode */
	{PM_SMI_EN + 4, 4, 0, 0xffffffff}, {0x38, 2, 0xffff, 0}, /* ALT_GP_SMI_EN */
	{0x3a, 2, 0, 0xffff},                                    /* ALT_GP_SMI_STS */
	{0x42, 1, 0x02, 0},                                      /* GPE_CNTL */
	{0x44, 2, 0, 0xffff},                                    /* DEVACT_STS */
	{0x50, 1, 0x01, 0},                                      /* PM2_CNT: ARB_DIS */
};

static uint64_t timer_at(ns_t now)
{
	return mul_div(now, PM_TIMER_HZ, NS_PER_SEC);
}

static uint32_t timer_read(const struct pm *p, ns_t now)
{
	uint64_t mask = BIT(p->timer_msb + 1) - 1;

	return timer_at(now) & mask;
}

static void update_sci(struct pm *p)
{
	const uint8_t *r = p->reg;
	bool level = false;

	level |= r[PM_PM1_STS] & r[PM_PM1_EN] & PM1_EVENTS_LO;
	level |= r[PM_PM1_STS + 1] & r[PM_PM1_EN + 1] & PM1_EVENTS_HI;
	for (unsigned i = 0; i < GPE0_BYTES; i++)
		level |= r[PM_GPE0_STS + i] & r[PM_GPE0_EN + i];
	irq_line_set(&p->sci, level && r[PM_PM1_CNT] & PM1_CNT_SCI_EN);
}

/* TMROF_STS is set whenever the timer's most significant bit toggles. */
static void timer_check(struct pm *p, ns_t now)
{
	uint64_t toggles = timer_at(now) >> p->timer_msb;

	if (toggles <= p->timer_toggles)
		return;
	p->timer_toggles = toggles;
	p->reg[PM_PM1_STS] |= TMROF_BIT;
}

static const struct reg_rule *find_rule(unsigned offset)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
		if (offset - rules[i].offset < rules[i].size)
			return &rules[i];
	}
	return NULL;
}

static void write_byte(struct pm *p, unsigned offset, uint8_t value)
{
	const struct reg_rule *rule = find_rule(offset);
	unsigned shift;
	uint8_t writable;

	if (!rule)
		return;
	shift = 8 * (offset - rule->offset);
	writable = rule->writable >> shift;
	p->reg[offset] = (p->reg[offset] & ~writable) | (value & writable);
	p->reg[offset] &= ~(value & rule->clear >> shift);
}

void pm_init(struct pm *p, const struct pm_env *env, struct irq_line sci, bool timer_32bit)
{
	memset(p, 0, sizeof(*p));
	p->env = *env;
	p->sci = sci;
	p->timer_msb = timer_32bit ? 31 : 23;
	pm_reset(p, 0);
}

void pm_reset(struct pm *p, ns_t now)
{
	memset(p->reg, 0, sizeof(p->reg));
	memset(p->apm, 0, sizeof(p->apm));
	p->timer_toggles = timer_at(now) >> p->timer_msb;
	update_sci(p);
}

uint32_t pm_read(struct pm *p, unsigned offset, unsigned size, ns_t now)
{
	uint32_t value = 0;

	if (offset == PM_PM1_TMR && size == 4)
		return timer_read(p, now);
	timer_check(p, now);
	for (unsigned i = 0; i < size && i < sizeof(value); i++) {
		uint8_t byte = 0xff;

		if (offset + i - PM_PM1_TMR < 4)
			byte = timer_read(p, now) >> (8 * (offset + i - PM_PM1_TMR));
		else if (offset + i < PM_BLOCK_SIZE)
			byte = p->reg[offset + i];
		value |= (uint32_t)byte << (8 * i);
	}
	update_sci(p);
	return value;
}

void pm_write(struct pm *p, unsigned offset, unsigned size, uint32_t value, ns_t now)
{
	uint8_t sleep = 0;

	timer_check(p, now);
	for (unsigned i = 0; i < size && i < sizeof(value); i++) {
		uint8_t byte = value >> (8 * i);

		if (offset + i >= PM_BLOCK_SIZE)
			break;
		write_byte(p, offset + i, byte);
		if (offset + i == PM_PM1_CNT + 1)
			sleep = byte;
	}
	update_sci(p);
	if (sleep & PM1_CNT_SLP_EN)
		p->env.sleep(p->env.ctx, sleep >> PM1_CNT_SLP_TYP_SHIFT & PM1_CNT_SLP_TYP_MASK);
}

/* The next toggle of the most significant bit, while it would interrupt and has not yet. */
ns_t pm_deadline(const struct pm *p)
{
	uint64_t ticks = (p->timer_toggles + 1) << p->timer_msb;

	if (!(p->reg[PM_PM1_EN] & TMROF_BIT) || (p->reg[PM_PM1_STS] & TMROF_BIT))
		return NS_NEVER;
	if (ticks >= UINT64_MAX / NS_PER_SEC * PM_TIMER_HZ)
		return NS_NEVER;
	return mul_div(ticks, NS_PER_SEC, PM_TIMER_HZ) + 1;
}

void pm_tick(struct pm *p, ns_t now)
{
	timer_check(p, now);
	update_sci(p);
}

uint32_t pm_apm_read(struct pm *p, unsigned offset, unsigned size, ns_t now UNUSED)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && i < sizeof(value); i++) {
		uint8_t byte = offset + i < sizeof(p->apm) ? p->apm[offset + i] : 0xff;

		value |= (uint32_t)byte << (8 * i);
	}
	return value;
}

/* Firmware's SMI handler would switch ACPI mode; here the port does. */
void pm_apm_write(struct pm *p, unsigned offset, unsigned size, uint32_t value, ns_t now)
{
	timer_check(p, now);
	for (unsigned i = 0; i < size && i < sizeof(value); i++) {
		if (offset + i < sizeof(p->apm))
			p->apm[offset + i] = value >> (8 * i);
	}
	if (offset != APM_CNT)
		return;
	if (p->apm[APM_CNT] == PM_ACPI_ENABLE)
		p->reg[PM_PM1_CNT] |= PM1_CNT_SCI_EN;
	else if (p->apm[APM_CNT] == PM_ACPI_DISABLE)
		p->reg[PM_PM1_CNT] &= ~PM1_CNT_SCI_EN;
	update_sci(p);
}

void pm_power_button(struct pm *p, ns_t now)
{
	timer_check(p, now);
	p->reg[PM_PM1_STS + 1] |= PWRBTN_BIT;
	update_sci(p);
}
