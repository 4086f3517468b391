/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two cascaded 8259As after Intel's data sheet, with the ICH's two differences: edge or level comes
 * per pin from ELCR (ICW1.LTIM is ignored) and only 8086 mode exists. The cascade input follows the
 * slave's output as a level, so no edge can be lost between the chips. The owner serialises calls.
 */
#include "drivers/virt/pic8259.h"
#include "hv/lib/string.h"

#define ICW1_IC4    0x01
#define ICW1_SNGL   0x02
#define ICW1_SELECT 0x10
#define ICW4_AEOI   0x02
#define ICW4_SFNM   0x10

#define OCW2_LEVEL  0x07
#define OCW2_ROTATE 0x80
#define OCW3_SELECT 0x08
#define OCW3_RR     0x02
#define OCW3_RIS    0x01
#define OCW3_POLL   0x04
#define OCW3_ESMM   0x40
#define OCW3_SMM    0x20

#define POLL_PENDING 0x80

#define CASCADE_PIN  2
#define CASCADE_MASK (1u << CASCADE_PIN)
#define SPURIOUS_PIN 7
#define NONE         8 /* below every priority */

#define MASTER 0
#define SLAVE  1

/* IRQ0, 1, 2, 8 and 13 are edge-triggered for good. */
static const uint8_t elcr_writable[2] = {0xf8, 0xde};

static unsigned pin_priority(const struct pic8259_chip *c, unsigned pin)
{
	return (pin - c->lowest - 1) & 7;
}

/* The pin of highest priority in a set, or NONE. */
static unsigned highest(const struct pic8259_chip *c, uint8_t set)
{
	if (!set)
		return NONE;
	for (unsigned i = 0; i < 8; i++) {
		unsigned pin = (c->lowest + 1 + i) & 7;

		if (set & 1u << pin)
			return pin;
	}
	return NONE;
}

/*
 * The pin to be served next, or NONE. In special mask mode only unmasked in-service bits inhibit;
 * in special fully nested mode the slave may interrupt its own service.
 */
static unsigned chip_pending(const struct pic8259 *p, unsigned which)
{
	const struct pic8259_chip *c = &p->chip[which];
	unsigned pin = highest(c, c->irr & ~c->imr);
	uint8_t inhibit = c->isr;
	unsigned served;

	if (pin == NONE || c->icw_next)
		return NONE;
	if (c->special_mask)
		inhibit &= ~c->imr;
	if (c->special_nested && which == MASTER)
		inhibit &= ~CASCADE_MASK;
	served = highest(c, inhibit);
	if (served != NONE && pin_priority(c, served) <= pin_priority(c, pin))
		return NONE;
	return pin;
}

static void update(struct pic8259 *p)
{
	struct pic8259_chip *master = &p->chip[MASTER];

	if (chip_pending(p, SLAVE) != NONE)
		master->irr |= CASCADE_MASK;
	else
		master->irr &= ~CASCADE_MASK;
	irq_line_set(&p->intr, chip_pending(p, MASTER) != NONE);
}

/* INTA as one chip sees it: the pin served, the spurious one if nothing is pending. */
static unsigned chip_ack(struct pic8259 *p, unsigned which)
{
	struct pic8259_chip *c = &p->chip[which];
	unsigned pin = chip_pending(p, which);

	if (pin == NONE)
		return SPURIOUS_PIN;
	if (!(c->elcr & 1u << pin))
		c->irr &= ~(1u << pin);
	if (!c->auto_eoi)
		c->isr |= 1u << pin;
	else if (c->rotate_auto_eoi)
		c->lowest = pin;
	return pin;
}

static void eoi_nonspecific(struct pic8259_chip *c, bool rotate)
{
	unsigned pin = highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);

	if (pin == NONE)
		return;
	c->isr &= ~(1u << pin);
	if (rotate)
		c->lowest = pin;
}

static void write_ocw2(struct pic8259_chip *c, uint8_t value)
{
	unsigned pin = value & OCW2_LEVEL;

	switch (value >> 5) {
	case 0: c->rotate_auto_eoi = false; break;
	case 1: eoi_nonspecific(c, false); break;
	case 2: break; /* no operation */
	case 3: c->isr &= ~(1u << pin); break;
	case 4: c->rotate_auto_eoi = true; break;
	case 5: eoi_nonspecific(c, true); break;
	case 6: c->lowest = pin; break;
	case 7:
		c->isr &= ~(1u << pin);
		c->lowest = pin;
		break;
	}
}

static void write_ocw3(struct pic8259_chip *c, uint8_t value)
{
	if (value & OCW3_ESMM)
		c->special_mask = value & OCW3_SMM;
	if (value & OCW3_POLL)
		c->poll = true;
	else if (value & OCW3_RR)
		c->read_isr = value & OCW3_RIS;
}

/* ICW1 resets the edge sense, so that an edge-triggered input must rise anew. */
static void write_icw1(struct pic8259_chip *c, uint8_t value)
{
	c->icw1 = value;
	c->icw_next = 2;
	c->irr = c->lines & c->elcr;
	c->isr = 0;
	c->imr = 0;
	c->lowest = 7;
	c->special_mask = false;
	c->read_isr = false;
	c->poll = false;
	c->auto_eoi = false;
	c->special_nested = false;
	c->rotate_auto_eoi = false;
}

static void write_odd(struct pic8259_chip *c, uint8_t value)
{
	switch (c->icw_next) {
	case 0: c->imr = value; return;
	case 2:
		c->vector_base = value & 0xf8;
		c->icw_next = c->icw1 & ICW1_SNGL ? 4 : 3;
		break;
	case 3: c->icw_next = 4; break; /* the cascade is wired */
	case 4:
		c->auto_eoi = value & ICW4_AEOI;
		c->special_nested = value & ICW4_SFNM;
		c->icw_next = 0;
		return;
	}
	if (c->icw_next == 4 && !(c->icw1 & ICW1_IC4))
		c->icw_next = 0;
}

static void write_even(struct pic8259_chip *c, uint8_t value)
{
	if (value & ICW1_SELECT)
		write_icw1(c, value);
	else if (value & OCW3_SELECT)
		write_ocw3(c, value);
	else
		write_ocw2(c, value);
}

static uint8_t read_poll(struct pic8259 *p, unsigned which)
{
	unsigned pin;

	p->chip[which].poll = false;
	if (chip_pending(p, which) == NONE)
		return 0;
	pin = chip_ack(p, which);
	update(p);
	return POLL_PENDING | pin;
}

static uint8_t read_byte(struct pic8259 *p, unsigned offset)
{
	unsigned which = (offset & PIC8259_SLAVE) / PIC8259_SLAVE;
	const struct pic8259_chip *c = &p->chip[which];

	if (offset >= PIC8259_REGS)
		return 0xff;
	if (offset >= PIC8259_ELCR)
		return p->chip[offset - PIC8259_ELCR].elcr;
	if (c->poll)
		return read_poll(p, which);
	if (offset & 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

/* A pin that becomes level-triggered follows its line at once. */
static void write_elcr(struct pic8259 *p, unsigned which, uint8_t value)
{
	struct pic8259_chip *c = &p->chip[which];
	uint8_t elcr = value & elcr_writable[which];

	c->irr = (c->irr & ~(elcr | c->elcr)) | (c->lines & elcr);
	c->elcr = elcr;
}

static void write_byte(struct pic8259 *p, unsigned offset, uint8_t value)
{
	struct pic8259_chip *c = &p->chip[(offset & PIC8259_SLAVE) / PIC8259_SLAVE];

	if (offset >= PIC8259_REGS)
		return;
	if (offset >= PIC8259_ELCR)
		write_elcr(p, offset - PIC8259_ELCR, value);
	else if (offset & 1)
		write_odd(c, value);
	else
		write_even(c, value);
	update(p);
}

void pic8259_init(struct pic8259 *p, struct irq_line intr)
{
	memset(p, 0, sizeof(*p));
	p->intr = intr;
	pic8259_reset(p, 0);
}

/* The data sheet leaves power-on state open: everything masked. */
void pic8259_reset(struct pic8259 *p, ns_t now UNUSED)
{
	for (unsigned which = MASTER; which <= SLAVE; which++) {
		struct pic8259_chip *c = &p->chip[which];
		uint8_t lines = c->lines;

		memset(c, 0, sizeof(*c));
		c->lines = lines;
		c->lowest = 7;
		c->imr = 0xff;
	}
	update(p);
}

uint32_t pic8259_read(struct pic8259 *p, unsigned offset, unsigned size, ns_t now UNUSED)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && i < sizeof(value); i++)
		value |= (uint32_t)read_byte(p, offset + i) << (8 * i);
	return value;
}

void pic8259_write(
	struct pic8259 *p, unsigned offset, unsigned size, uint32_t value, ns_t now UNUSED)
{
	for (unsigned i = 0; i < size && i < sizeof(value); i++)
		write_byte(p, offset + i, value >> (8 * i));
}

void pic8259_set_irq(struct pic8259 *p, unsigned pin, bool level)
{
	struct pic8259_chip *c = &p->chip[pin >= 8];
	uint8_t bit = 1u << (pin & 7);
	uint8_t before = c->lines;

	if (pin >= PIC8259_PINS || pin == CASCADE_PIN)
		return;
	c->lines = level ? before | bit : before & ~bit;
	if (c->lines == before)
		return;
	if (level)
		c->irr |= bit;
	else if (c->elcr & bit)
		c->irr &= ~bit;
	else
		return;
	update(p);
}

bool pic8259_pending(const struct pic8259 *p)
{
	return chip_pending(p, MASTER) != NONE;
}

int pic8259_ack(struct pic8259 *p)
{
	const struct pic8259_chip *c = &p->chip[MASTER];
	unsigned pin = chip_ack(p, MASTER);

	/*
	 * A spurious IR7 sets no in-service bit; the cascade does, even when the slave's is
	 * spurious.
	 */
	if (pin == CASCADE_PIN) {
		pin = chip_ack(p, SLAVE);
		c = &p->chip[SLAVE];
	}
	update(p);
	return c->vector_base + pin;
}
