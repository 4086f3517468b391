/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HPET after Intel's "IA-PC HPET (High Precision Event Timers) Specification" 1.0a. Every timer
 * knows the tick of the 100 MHz clock at which its comparator matches next; whatever happened until
 * `now` is made up for before a register is looked at. Must not know interrupt controllers. The
 * owner serialises calls.
 */
#include "drivers/virt/hpet.h"
#include "hv/lib/string.h"

#define REG_CAP     0x000
#define REG_CONF    0x010
#define REG_STATUS  0x020
#define REG_COUNTER 0x0f0
#define REG_TIMERS  0x100
#define TIMER_SIZE  0x20
#define TIMER_CONF  0x00
#define TIMER_CMP   0x08

#define PERIOD_FS    10000000ull
#define TICK_NS      10
#define CAP_LEGACY   BIT(15)
#define CAP_64BIT    BIT(13)
#define CAP_VENDOR   (0x8086ull << 16)
#define CAP_LAST     ((uint64_t)(HPET_TIMERS - 1) << 8)
#define CAP_REV      1
#define CAPABILITIES (PERIOD_FS << 32 | CAP_VENDOR | CAP_LEGACY | CAP_64BIT | CAP_LAST | CAP_REV)

#define CONF_ENABLE   BIT(0)
#define CONF_LEGACY   BIT(1)
#define CONF_WRITABLE (CONF_ENABLE | CONF_LEGACY)

#define TN_LEVEL        BIT(1)
#define TN_ENABLE       BIT(2)
#define TN_PERIODIC     BIT(3)
#define TN_PERIODIC_CAP BIT(4)
#define TN_64BIT_CAP    BIT(5)
#define TN_VAL_SET      BIT(6)
#define TN_32BIT        BIT(8)
#define TN_ROUTE_SHIFT  9
#define TN_ROUTE        (31ull << TN_ROUTE_SHIFT)
#define TN_WRITABLE     (TN_LEVEL | TN_ENABLE | TN_32BIT)
#define TN_WRITABLE_0   (TN_WRITABLE | TN_PERIODIC | TN_VAL_SET)

#define ICH9_ROUTES 0x00f00000u
#define NEVER       UINT64_MAX

static bool running(const struct hpet *h)
{
	return h->conf & CONF_ENABLE;
}

bool hpet_legacy(const struct hpet *h)
{
	return h->conf & CONF_LEGACY;
}

static uint64_t counter_at(const struct hpet *h, uint64_t tick)
{
	return running(h) ? h->counter + tick : h->counter;
}

static uint64_t timer_mask(const struct hpet_timer *t)
{
	return t->conf & TN_32BIT ? UINT32_MAX : UINT64_MAX;
}

/* The GSI a timer is routed to, or -1 if to none. */
static int timer_route(const struct hpet *h, unsigned i)
{
	unsigned route = (h->timer[i].conf & TN_ROUTE) >> TN_ROUTE_SHIFT;

	if (hpet_legacy(h) && i == 0)
		return HPET_LEGACY_GSI_TIMER0;
	if (hpet_legacy(h) && i == 1)
		return HPET_LEGACY_GSI_TIMER1;
	return h->route_cap & BIT(route) ? (int)route : -1;
}

static bool may_interrupt(const struct hpet *h, unsigned i)
{
	return running(h) && (h->timer[i].conf & TN_ENABLE) && timer_route(h, i) >= 0;
}

/*
 * Brings a level-triggered output in line with its status bit; a moved route lets go of the old
 * GSI.
 */
static void drive(struct hpet *h, unsigned i)
{
	struct hpet_timer *t = &h->timer[i];
	bool level = may_interrupt(h, i) && (t->conf & TN_LEVEL) && (h->status & BIT(i));
	int gsi = timer_route(h, i);

	if (t->asserted && (!level || gsi != t->gsi)) {
		t->asserted = false;
		h->env.set(h->env.ctx, t->gsi, false);
	}
	if (level && !t->asserted) {
		t->asserted = true;
		t->gsi = gsi;
		h->env.set(h->env.ctx, t->gsi, true);
	}
}

static void drive_all(struct hpet *h)
{
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		drive(h, i);
}

/* The tick at which the counter next equals the comparator. */
static void schedule(struct hpet *h, unsigned i, uint64_t tick)
{
	struct hpet_timer *t = &h->timer[i];
	uint64_t distance = (t->comparator - counter_at(h, tick)) & timer_mask(t);

	t->match = running(h) && distance < NEVER - tick ? tick + distance : NEVER;
}

static void schedule_all(struct hpet *h, uint64_t tick)
{
	for (unsigned i = 0; i < HPET_TIMERS; i++)
		schedule(h, i, tick);
}

/* After a match at or before `tick`: the next one. Matches missed meanwhile are not made up for. */
static void advance(struct hpet_timer *t, uint64_t tick)
{
	bool periodic = t->conf & TN_PERIODIC;
	uint64_t step = t->conf & TN_32BIT ? BIT(32) : 0; /* the counter comes round again */
	uint64_t distance;

	if (periodic)
		step = t->period & timer_mask(t);
	if (!step) {
		t->match = NEVER;
		return;
	}
	distance = ((tick - t->match) / step + 1) * step;
	if (periodic)
		t->comparator = (t->comparator + distance) & timer_mask(t);
	t->match = distance < NEVER - t->match ? t->match + distance : NEVER;
}

static void fire(struct hpet *h, unsigned i)
{
	if (h->timer[i].conf & TN_LEVEL) {
		h->status |= BIT(i);
		drive(h, i);
	} else if (may_interrupt(h, i)) {
		h->env.set(h->env.ctx, timer_route(h, i), true);
		h->env.set(h->env.ctx, timer_route(h, i), false);
	}
}

static void sync(struct hpet *h, uint64_t tick)
{
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		if (h->timer[i].match > tick || h->timer[i].match == NEVER)
			continue;
		advance(&h->timer[i], tick);
		fire(h, i);
	}
}

static uint64_t read_timer(const struct hpet *h, unsigned i, unsigned reg)
{
	const struct hpet_timer *t = &h->timer[i];
	uint64_t caps = (uint64_t)h->route_cap << 32 | TN_64BIT_CAP;

	if (i == 0)
		caps |= TN_PERIODIC_CAP;
	switch (reg) {
	case TIMER_CONF: return t->conf | caps;
	case TIMER_CMP: return t->comparator;
	default: return 0; /* no FSB delivery */
	}
}

/* A whole 64-bit register; what does not exist reads 0, as reserved bits do. */
static uint64_t read_register(const struct hpet *h, unsigned reg, uint64_t tick)
{
	unsigned i = (reg - REG_TIMERS) / TIMER_SIZE;

	switch (reg) {
	case REG_CAP: return CAPABILITIES;
	case REG_CONF: return h->conf;
	case REG_STATUS: return h->status;
	case REG_COUNTER: return counter_at(h, tick);
	default: break;
	}
	if (reg >= REG_TIMERS && i < HPET_TIMERS)
		return read_timer(h, i, reg % TIMER_SIZE);
	return 0;
}

static void set_counter(struct hpet *h, uint64_t value, uint64_t tick)
{
	h->counter = running(h) ? value - tick : value;
	schedule_all(h, tick);
}

static void write_conf(struct hpet *h, uint64_t value, uint64_t tick)
{
	uint64_t counter = counter_at(h, tick);
	bool toggled = (value ^ h->conf) & CONF_ENABLE;

	h->conf = value & CONF_WRITABLE;
	if (toggled)
		set_counter(h, counter, tick);
	drive_all(h);
}

/* A route the timer cannot take is not accepted, which is how software finds out. */
static void write_timer_conf(struct hpet *h, unsigned i, uint64_t value, uint64_t tick)
{
	struct hpet_timer *t = &h->timer[i];
	uint64_t before = t->conf;
	uint64_t route = before & TN_ROUTE;

	if (h->route_cap & BIT((value & TN_ROUTE) >> TN_ROUTE_SHIFT))
		route = value & TN_ROUTE;
	t->conf = (value & (i == 0 ? TN_WRITABLE_0 : TN_WRITABLE)) | route;
	t->comparator &= timer_mask(t);
	t->period &= timer_mask(t);
	if (!(t->conf & TN_LEVEL))
		h->status &= ~BIT(i);
	if ((t->conf ^ before) & (TN_32BIT | TN_PERIODIC))
		schedule(h, i, tick);
	drive(h, i);
}

/*
 * In periodic mode the comparator register is two: what the counter is compared with, and the value
 * last written, which is added at every match. Only after VAL_SET does a write reach the former.
 */
static void write_comparator(
	struct hpet *h, unsigned i, uint64_t bits, uint64_t mask, uint64_t tick)
{
	struct hpet_timer *t = &h->timer[i];

	t->period = ((t->period & ~mask) | bits) & timer_mask(t);
	if ((t->conf & (TN_PERIODIC | TN_VAL_SET)) != TN_PERIODIC) {
		t->comparator = ((t->comparator & ~mask) | bits) & timer_mask(t);
		schedule(h, i, tick);
	}
	t->conf &= ~TN_VAL_SET;
}

/* `bits` are the bits written, `mask` says which ones those are. */
static void write_register(
	struct hpet *h, unsigned reg, uint64_t bits, uint64_t mask, uint64_t tick)
{
	unsigned i = (reg - REG_TIMERS) / TIMER_SIZE;
	uint64_t merged = (read_register(h, reg, tick) & ~mask) | bits;

	if (reg == REG_CONF) {
		write_conf(h, merged, tick);
	} else if (reg == REG_STATUS) {
		h->status &= ~bits;
		drive_all(h);
	} else if (reg == REG_COUNTER) {
		set_counter(h, merged, tick);
	} else if (reg >= REG_TIMERS && i < HPET_TIMERS) {
		if (reg % TIMER_SIZE == TIMER_CONF)
			write_timer_conf(h, i, merged, tick);
		else if (reg % TIMER_SIZE == TIMER_CMP)
			write_comparator(h, i, bits, mask, tick);
	}
	sync(h, tick);
}

void hpet_init(struct hpet *h, const struct hpet_env *env, uint32_t route_cap)
{
	memset(h, 0, sizeof(*h));
	h->env = *env;
	h->route_cap = route_cap ? route_cap : ICH9_ROUTES;
	hpet_reset(h, 0);
}

void hpet_reset(struct hpet *h, ns_t now UNUSED)
{
	h->conf = 0;
	h->status = 0;
	h->counter = 0;
	drive_all(h);
	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		struct hpet_timer *t = &h->timer[i];

		memset(t, 0, sizeof(*t));
		t->comparator = UINT64_MAX;
		t->match = NEVER;
	}
}

static bool valid_access(unsigned offset, unsigned size)
{
	return (size == 4 || size == 8) && offset % size == 0 && offset < HPET_REGION_SIZE;
}

uint64_t hpet_read(struct hpet *h, unsigned offset, unsigned size, ns_t now)
{
	uint64_t tick = now / TICK_NS;
	uint64_t value;

	if (!valid_access(offset, size))
		return UINT64_MAX;
	if ((offset & ~7u) != REG_COUNTER)
		sync(h, tick);
	value = read_register(h, offset & ~7u, tick);
	return size == 8 ? value : value >> (8 * (offset & 4)) & UINT32_MAX;
}

void hpet_write(struct hpet *h, unsigned offset, unsigned size, uint64_t value, ns_t now)
{
	uint64_t mask = mask_bytes(size) << (8 * (offset & 4));
	uint64_t bits = value << (8 * (offset & 4)) & mask;
	uint64_t tick = now / TICK_NS;

	if (!valid_access(offset, size))
		return;
	sync(h, tick);
	write_register(h, offset & ~7u, bits, mask, tick);
}

/* Matches that would only set a status bit, or one already set, wait until somebody looks. */
ns_t hpet_deadline(const struct hpet *h)
{
	uint64_t next = NEVER;

	for (unsigned i = 0; i < HPET_TIMERS; i++) {
		if (may_interrupt(h, i) && !(h->status & BIT(i)))
			next = MIN(next, h->timer[i].match);
	}
	return next > UINT64_MAX / TICK_NS ? NS_NEVER : next * TICK_NS;
}

void hpet_tick(struct hpet *h, ns_t now)
{
	sync(h, now / TICK_NS);
}
