/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel 8254 after its data sheet, all six modes. A channel is a formula: the tick at which its
 * count was loaded, the count, and whether it is counting; reads evaluate it at `now`. Time is
 * counted in whole input clocks ("ticks"). Must not know who gets IRQ0. The owner serialises calls.
 */
#include "drivers/virt/pit8254.h"
#include "hv/lib/string.h"

#define CONTROL_SELECT    6 /* bits 7:6: channel, 3 is read-back */
#define CONTROL_READ_BACK 3
#define CONTROL_RW        0x30
#define CONTROL_MODE      0x0e
#define CONTROL_BCD       0x01

#define READ_BACK_NO_COUNT  0x20
#define READ_BACK_NO_STATUS 0x10

#define ACCESS_LSB  1
#define ACCESS_MSB  2
#define ACCESS_BOTH 3

#define STATUS_OUT  0x80
#define STATUS_NULL 0x40

#define PORT61_GATE2    0x01
#define PORT61_WRITABLE 0x0f
#define PORT61_REFRESH  0x10
#define PORT61_OUT2     0x20
#define REFRESH_NS      15085 /* between two refresh requests */

#define NEVER UINT64_MAX

/* Ticks start here, so that "one period before the first load" is still a positive number. */
#define TICK_BIAS 0x100000u

/* Beyond this the tick count would no longer convert back to nanoseconds. */
#define TICK_MAX (UINT64_MAX / NS_PER_SEC * PIT8254_HZ)

static uint64_t ticks_at(ns_t now)
{
	return mul_div(now, PIT8254_HZ, NS_PER_SEC) + TICK_BIAS;
}

/* The first nanosecond at which ticks_at() says `tick`. */
static ns_t time_of(uint64_t tick)
{
	ns_t ns;

	if (tick <= TICK_BIAS)
		return 0;
	if (tick - TICK_BIAS >= TICK_MAX)
		return NS_NEVER;
	ns = mul_div(tick - TICK_BIAS, NS_PER_SEC, PIT8254_HZ);
	return ticks_at(ns) < tick ? ns + 1 : ns;
}

static unsigned bcd_to_binary(unsigned v)
{
	return (v >> 12 & 15) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15);
}

static unsigned binary_to_bcd(unsigned v)
{
	return v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
}

/*
 * The count CR stands for; 0 is the largest. Digits above 9 count as they do in the decrementer's
 * weight.
 */
static uint32_t count_value(const struct pit8254_channel *c)
{
	uint32_t n = c->bcd ? bcd_to_binary(c->count_reg) : c->count_reg;

	if (n)
		return n;
	return c->bcd ? 10000 : 0x10000;
}

static bool is_periodic(const struct pit8254_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

static bool is_triggered(const struct pit8254_channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

/* Clocks since the load; a count is loaded one clock after it was written. */
static uint64_t elapsed_at(const struct pit8254_channel *c, uint64_t tick)
{
	if (c->stopped)
		return c->elapsed;
	return tick > c->start ? tick - c->start : 0;
}

/* Mode 3: clocks of one period for which OUT is high. */
static uint32_t high_half(const struct pit8254_channel *c)
{
	return (c->period + 1) / 2;
}

static bool out_at(const struct pit8254_channel *c, uint64_t tick)
{
	uint64_t elapsed;

	if (!c->armed)
		return c->out_initial;
	if (is_periodic(c) && c->stopped)
		return true; /* GATE low forces OUT high */
	elapsed = elapsed_at(c, tick);
	switch (c->mode) {
	case 0:
	case 1: return elapsed >= c->period;
	case 2: return elapsed % c->period != c->period - 1;
	case 3: return elapsed % c->period < high_half(c);
	default: return elapsed != c->period; /* 4, 5: low for one clock */
	}
}

/*
 * Mode 3 counts by two, an odd count from one less; the halves are then (N+1)/2 and (N-1)/2 clocks.
 */
static uint32_t square_count(const struct pit8254_channel *c, uint64_t elapsed)
{
	uint32_t phase = elapsed % c->period;

	if (phase >= high_half(c))
		phase -= high_half(c);
	return (c->period & ~1u) - 2 * phase;
}

/* What the counting element shows. */
static uint16_t count_at(const struct pit8254_channel *c, uint64_t tick)
{
	uint64_t elapsed = elapsed_at(c, tick);
	uint32_t modulus = c->bcd ? 10000 : 0x10000;
	uint32_t count;

	if (!c->armed)
		return c->count_reg;
	if (c->mode == 2)
		count = c->period - elapsed % c->period;
	else if (c->mode == 3)
		count = square_count(c, elapsed);
	else
		count = c->period + modulus - elapsed % modulus;
	count %= modulus;
	return c->bcd ? binary_to_bcd(count) : count;
}

/* The next rising edge of OUT after `after` with the count now loaded. */
static uint64_t next_rise(const struct pit8254_channel *c, uint64_t after)
{
	uint64_t edge;

	if (!c->armed || c->stopped)
		return NEVER;
	if (is_periodic(c)) {
		if (c->period < 2)
			return NEVER; /* illegal counts: OUT does not move */
		if (after < c->start)
			return c->start + c->period;
		return after + c->period - (after - c->start) % c->period;
	}
	edge = c->start + c->period + (c->mode >= 4);
	return edge > after ? edge : NEVER;
}

static void load(struct pit8254_channel *c, uint64_t tick)
{
	c->period = count_value(c);
	c->start = tick;
	c->armed = true;
	c->null_count = false;
	c->reload_at = NEVER;
	c->stopped = !c->gate && !is_triggered(c);
	c->elapsed = 0;
}

/*
 * A new count in modes 2 and 3 takes over at the end of the cycle or half-cycle it was written in.
 */
static uint64_t reload_tick(const struct pit8254_channel *c, uint64_t tick)
{
	uint64_t phase;

	if (tick < c->start)
		return c->start;
	phase = (tick - c->start) % c->period;
	if (c->mode == 3 && phase < high_half(c))
		return tick + high_half(c) - phase;
	return tick + c->period - phase;
}

static void take_over(struct pit8254_channel *c)
{
	uint64_t at = c->reload_at;
	bool high = c->mode == 2 || (at - c->start) % c->period == 0;

	load(c, at);
	if (!high)
		c->start -= high_half(c); /* the low half begins */
}

/* Brings one channel to `tick`; says whether OUT rose on the way. */
static bool channel_advance(struct pit8254_channel *c, uint64_t tick)
{
	bool rose = false;

	if (c->reload_at <= tick) {
		rose = next_rise(c, c->synced) <= c->reload_at;
		c->synced = c->reload_at;
		take_over(c);
	}
	rose |= next_rise(c, c->synced) <= tick;
	c->synced = MAX(c->synced, tick);
	return rose;
}

/* Brings the channel to `tick`, and channel 0's wire with it. */
static void sync(struct pit8254 *p, struct pit8254_channel *c, uint64_t tick)
{
	bool rose = channel_advance(c, tick);

	if (c != &p->channel[0])
		return;
	if (rose) {
		irq_line_set(&p->irq, false);
		irq_line_set(&p->irq, true);
	}
	irq_line_set(&p->irq, out_at(c, tick));
}

static void stop(struct pit8254_channel *c, uint64_t tick)
{
	if (c->stopped)
		return;
	c->elapsed = elapsed_at(c, tick);
	c->stopped = true;
}

/* Mode 0: the first byte of a new count stops the old one and sets OUT low. */
static void hold(struct pit8254_channel *c, uint64_t tick)
{
	stop(c, tick);
	if (c->armed && c->elapsed >= c->period)
		c->elapsed = c->period - 1;
}

/* A whole count has been written. */
static void count_written(struct pit8254_channel *c, uint64_t tick)
{
	c->null_count = true;
	c->count_valid = true;
	if (is_triggered(c))
		return;
	if (is_periodic(c) && c->armed) {
		if (!c->stopped)
			c->reload_at = reload_tick(c, tick);
		return;
	}
	load(c, tick + 1);
}

static void write_count(struct pit8254_channel *c, uint8_t value, uint64_t tick)
{
	if (c->access == ACCESS_BOTH && !c->write_msb) {
		c->count_lsb = value;
		c->write_msb = true;
		if (c->mode == 0)
			hold(c, tick);
		return;
	}
	c->write_msb = false;
	if (c->access == ACCESS_BOTH)
		c->count_reg = value << 8 | c->count_lsb;
	else
		c->count_reg = c->access == ACCESS_MSB ? value << 8 : value;
	count_written(c, tick);
}

static void set_gate(struct pit8254_channel *c, bool gate, uint64_t tick)
{
	if (gate == c->gate)
		return;
	c->gate = gate;
	if (!gate) {
		if (c->armed && !is_triggered(c))
			stop(c, tick);
		c->reload_at = NEVER;
		return;
	}
	if (c->count_valid && (is_triggered(c) || is_periodic(c))) {
		load(c, tick + 1); /* a rising edge loads CR anew */
	} else if (c->armed && c->stopped && !c->write_msb) {
		c->start = tick - c->elapsed;
		c->stopped = false;
	}
}

static void latch_count(struct pit8254_channel *c, uint64_t tick)
{
	if (c->latch_bytes)
		return; /* a second latch command before the read is ignored */
	c->latch = count_at(c, tick);
	c->latch_bytes = c->access == ACCESS_BOTH ? 2 : 1;
}

static void latch_status(struct pit8254_channel *c, uint64_t tick)
{
	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status = c->access << 4 | c->mode << 1 | c->bcd;
	if (out_at(c, tick))
		c->status |= STATUS_OUT;
	if (c->null_count)
		c->status |= STATUS_NULL;
}

static void read_back(struct pit8254 *p, uint8_t value, uint64_t tick)
{
	for (unsigned i = 0; i < 3; i++) {
		if (!(value & 2u << i))
			continue;
		sync(p, &p->channel[i], tick);
		if (!(value & READ_BACK_NO_COUNT))
			latch_count(&p->channel[i], tick);
		if (!(value & READ_BACK_NO_STATUS))
			latch_status(&p->channel[i], tick);
	}
}

static void set_mode(struct pit8254_channel *c, uint8_t value)
{
	unsigned mode = (value & CONTROL_MODE) >> 1;

	c->mode = mode > 5 ? mode - 4 : mode; /* the top bit is "don't care" for modes 2 and 3 */
	c->access = (value & CONTROL_RW) >> 4;
	c->bcd = value & CONTROL_BCD;
	c->armed = false;
	c->stopped = false;
	c->null_count = true;
	c->count_valid = false;
	c->out_initial = c->mode != 0;
	c->write_msb = false;
	c->read_msb = false;
	c->latch_bytes = 0;
	c->status_latched = false;
	c->reload_at = NEVER;
}

static void write_control(struct pit8254 *p, uint8_t value, uint64_t tick)
{
	unsigned select = value >> CONTROL_SELECT;
	struct pit8254_channel *c;

	if (select == CONTROL_READ_BACK) {
		read_back(p, value, tick);
		return;
	}
	c = &p->channel[select];
	sync(p, c, tick);
	if (value & CONTROL_RW)
		set_mode(c, value);
	else
		latch_count(c, tick);
	sync(p, c, tick);
}

static uint8_t read_count(struct pit8254_channel *c, uint64_t tick)
{
	bool latched = c->latch_bytes != 0;
	uint16_t count = latched ? c->latch : count_at(c, tick);
	bool msb = c->access == ACCESS_MSB;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->access == ACCESS_BOTH) {
		msb = c->read_msb;
		c->read_msb = !msb;
	}
	if (latched)
		c->latch_bytes--;
	return msb ? count >> 8 : count;
}

static uint8_t read_port61(struct pit8254 *p, ns_t now)
{
	uint64_t tick = ticks_at(now);
	uint8_t value = p->port61;

	sync(p, &p->channel[2], tick);
	if (now / REFRESH_NS & 1)
		value |= PORT61_REFRESH;
	if (out_at(&p->channel[2], tick))
		value |= PORT61_OUT2;
	return value;
}

static void write_port61(struct pit8254 *p, uint8_t value, uint64_t tick)
{
	struct pit8254_channel *c = &p->channel[2];

	p->port61 = value & PORT61_WRITABLE;
	sync(p, c, tick);
	set_gate(c, value & PORT61_GATE2, tick);
}

static uint8_t read_byte(struct pit8254 *p, unsigned offset, ns_t now)
{
	uint64_t tick;

	if (offset == PIT8254_PORT61)
		return read_port61(p, now);
	if (offset >= PIT8254_CONTROL)
		return 0xff; /* the control word is write-only */
	tick = ticks_at(now);
	sync(p, &p->channel[offset], tick);
	return read_count(&p->channel[offset], tick);
}

static void write_byte(struct pit8254 *p, unsigned offset, uint8_t value, ns_t now)
{
	uint64_t tick = ticks_at(now);

	if (offset == PIT8254_PORT61) {
		write_port61(p, value, tick);
	} else if (offset == PIT8254_CONTROL) {
		write_control(p, value, tick);
	} else if (offset < PIT8254_CONTROL) {
		sync(p, &p->channel[offset], tick);
		write_count(&p->channel[offset], value, tick);
		sync(p, &p->channel[offset], tick);
	}
}

void pit8254_init(struct pit8254 *p, struct irq_line irq)
{
	memset(p, 0, sizeof(*p));
	p->irq = irq;
	pit8254_reset(p, 0);
}

/*
 * The data sheet leaves power-on state open: nothing counts until a mode and a count are written.
 * Channel 0 starts low as its wire does, or the first access would be an edge.
 */
void pit8254_reset(struct pit8254 *p, ns_t now)
{
	p->port61 = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(p->channel); i++) {
		struct pit8254_channel *c = &p->channel[i];

		memset(c, 0, sizeof(*c));
		c->access = ACCESS_BOTH;
		c->mode = 3;
		c->gate = i != 2;
		c->out_initial = i != 0;
		c->null_count = true;
		c->reload_at = NEVER;
		c->synced = ticks_at(now);
	}
}

uint32_t pit8254_read(struct pit8254 *p, unsigned offset, unsigned size, ns_t now)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && i < sizeof(value); i++)
		value |= (uint32_t)read_byte(p, offset + i, now) << (8 * i);
	return value;
}

void pit8254_write(struct pit8254 *p, unsigned offset, unsigned size, uint32_t value, ns_t now)
{
	for (unsigned i = 0; i < size && i < sizeof(value); i++)
		write_byte(p, offset + i, value >> (8 * i), now);
}

ns_t pit8254_deadline(const struct pit8254 *p)
{
	const struct pit8254_channel *c = &p->channel[0];
	uint64_t tick = MIN(next_rise(c, c->synced), c->reload_at);

	return tick == NEVER ? NS_NEVER : time_of(tick);
}

void pit8254_tick(struct pit8254 *p, ns_t now)
{
	sync(p, &p->channel[0], ticks_at(now));
}
