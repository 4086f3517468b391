/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818 after Motorola's data sheet, with a 32.768 kHz time base, and the CMOS RAM a PC's
 * firmware would have filled in. While the clock runs, time is a formula: a divider started at some
 * moment and a clock value then; the time bytes in ram[] are used only while it stands still. Must
 * not know the host's clock. The owner serialises calls.
 *
 * The clock value counts seconds from 1 March 400 years before year 0, so that every year the
 * registers can hold is positive and a leap day is the last of its year.
 */
#include "drivers/virt/cmos.h"
#include "hv/lib/string.h"

enum {
	REG_SECONDS = 0x00,
	REG_SECONDS_ALARM = 0x01,
	REG_MINUTES = 0x02,
	REG_MINUTES_ALARM = 0x03,
	REG_HOURS = 0x04,
	REG_HOURS_ALARM = 0x05,
	REG_WEEKDAY = 0x06,
	REG_DAY = 0x07,
	REG_MONTH = 0x08,
	REG_YEAR = 0x09,
	REG_A = 0x0a,
	REG_B = 0x0b,
	REG_C = 0x0c,
	REG_D = 0x0d,
};

/* Bytes a PC's firmware leaves behind. */
enum {
	RAM_EQUIPMENT = 0x14,
	RAM_BASE_KB = 0x15,
	RAM_EXT_KB = 0x17,
	RAM_CHECKED_FIRST = 0x10,
	RAM_CHECKED_LAST = 0x2d,
	RAM_CHECKSUM = 0x2e,
	RAM_EXT_KB_2 = 0x30,
	RAM_EXT_64KB = 0x34,
	RAM_HIGH_64KB = 0x5b,
};

#define EQUIPMENT_FPU 0x02
#define BASE_KB       640

#define A_UIP      0x80
#define A_DV       0x70
#define A_DV_RUN   0x20
#define A_RS       0x0f
#define A_POWER_ON 0x26

#define B_SET        0x80
#define B_UIE        0x10
#define B_INTERRUPTS 0x70
#define B_SQWE       0x08
#define B_DM         0x04
#define B_24H        0x02

#define C_IRQF 0x80
#define C_PF   0x40
#define C_AF   0x20
#define C_UF   0x10

#define D_VRT 0x80

#define HOURS_PM        0x80
#define ALARM_DONT_CARE 0xc0
#define INDEX_MASK      0x7f

#define DIVIDER_HZ 32768u
/* After the divider is released the first update comes half a second later. */
#define RELEASE_NS (NS_PER_SEC / 2)
/* UIP rises t_BUC = 244 us before the update, which takes t_UC = 1984 us. */
#define UIP_NS     (2228 * NS_PER_US)

#define NEVER       UINT64_MAX
#define DAY_SECONDS 86400u

#define YEAR_BIAS      400u
#define DAYS_4_YEARS   1461u
#define DAYS_CENTURY   36524u
#define DAYS_400_YEARS 146097u

struct civil {
	unsigned year, month, day;
};

/* Days of a year, counted from 1 March, before each month, March first. */
static const uint16_t days_before[12] = {0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337};

static uint64_t day_number(const struct civil *c)
{
	unsigned month = MIN(MAX(c->month, 1u), 12u);
	uint64_t y = c->year + YEAR_BIAS - (month < 3);

	return y * 365 + y / 4 - y / 100 + y / 400 + days_before[(month + 9) % 12] + c->day - 1;
}

static struct civil civil_of(uint64_t days)
{
	unsigned rest = days % DAYS_400_YEARS;
	unsigned centuries = MIN(rest / DAYS_CENTURY, 3u);
	unsigned fours, years, month = 11;
	struct civil c;

	rest -= centuries * DAYS_CENTURY;
	fours = rest / DAYS_4_YEARS;
	rest -= fours * DAYS_4_YEARS;
	years = MIN(rest / 365, 3u);
	rest -= years * 365;
	while (days_before[month] > rest)
		month--;
	c.year = days / DAYS_400_YEARS * 400 + centuries * 100 + fours * 4 + years - YEAR_BIAS;
	c.year += month >= 10;
	c.month = (month + 2) % 12 + 1;
	c.day = rest - days_before[month] + 1;
	return c;
}

/* Day of week as the register counts (Sunday is 1), from a day known to be a Thursday. */
static unsigned weekday_of(uint64_t days)
{
	const struct civil thursday = {1970, 1, 1};

	return (days + 7 * DAYS_400_YEARS - day_number(&thursday) + 4) % 7 + 1;
}

static unsigned decode(const struct cmos *c, uint8_t v)
{
	return c->ram[REG_B] & B_DM ? v : (v >> 4) * 10u + (v & 15u);
}

static uint8_t encode(const struct cmos *c, unsigned v)
{
	return c->ram[REG_B] & B_DM ? v : (v / 10 % 10) << 4 | v % 10;
}

static unsigned decode_hours(const struct cmos *c, uint8_t v)
{
	if (c->ram[REG_B] & B_24H)
		return decode(c, v);
	return decode(c, v & ~HOURS_PM) % 12 + (v & HOURS_PM ? 12 : 0);
}

static uint8_t encode_hours(const struct cmos *c, unsigned hours)
{
	if (c->ram[REG_B] & B_24H)
		return encode(c, hours);
	return encode(c, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? HOURS_PM : 0);
}

/* Seconds the divider has counted. */
static uint64_t divider_seconds(const struct cmos *c, ns_t now)
{
	return (now - c->divider_start) / NS_PER_SEC;
}

static uint64_t clock_at(const struct cmos *c, ns_t now)
{
	return c->clock_base + divider_seconds(c, now);
}

static bool is_time(unsigned index)
{
	const unsigned time = BIT(REG_SECONDS) | BIT(REG_MINUTES) | BIT(REG_HOURS) |
			      BIT(REG_WEEKDAY) | BIT(REG_DAY) | BIT(REG_MONTH) | BIT(REG_YEAR);

	return index == CMOS_CENTURY || (index <= REG_YEAR && (time & BIT(index)));
}

static uint8_t time_byte(const struct cmos *c, unsigned index, uint64_t clock)
{
	unsigned second = clock % DAY_SECONDS;
	uint64_t days = clock / DAY_SECONDS;
	struct civil civil = civil_of(days);

	switch (index) {
	case REG_SECONDS: return encode(c, second % 60);
	case REG_MINUTES: return encode(c, second / 60 % 60);
	case REG_HOURS: return encode_hours(c, second / 3600);
	case REG_WEEKDAY: return encode(c, (weekday_of(days) - 1 + c->weekday_shift) % 7 + 1);
	case REG_DAY: return encode(c, civil.day);
	case REG_MONTH: return encode(c, civil.month);
	case REG_YEAR: return encode(c, civil.year % 100);
	default: return encode(c, civil.year / 100 % 100);
	}
}

/* Stands still: the time goes into the bytes. */
static void clock_stop(struct cmos *c, ns_t now)
{
	uint64_t clock = clock_at(c, now);

	if (!c->running)
		return;
	for (unsigned i = 0; i <= CMOS_CENTURY; i++) {
		if (is_time(i))
			c->ram[i] = time_byte(c, i, clock);
	}
	c->running = false;
}

/* The clock value the time bytes stand for; values out of range carry over. */
static uint64_t clock_of_bytes(const struct cmos *c)
{
	const uint8_t *ram = c->ram;
	struct civil civil = {
		.year = decode(c, ram[CMOS_CENTURY]) * 100 + decode(c, ram[REG_YEAR]),
		.month = decode(c, ram[REG_MONTH]),
		.day = decode(c, ram[REG_DAY]),
	};

	return day_number(&civil) * DAY_SECONDS + decode_hours(c, ram[REG_HOURS]) * 3600 +
	       decode(c, ram[REG_MINUTES]) * 60 + decode(c, ram[REG_SECONDS]);
}

static bool alarm_field_matches(uint8_t alarm, unsigned wanted, unsigned value)
{
	return (alarm & ALARM_DONT_CARE) == ALARM_DONT_CARE || wanted == value;
}

static bool alarm_possible(const struct cmos *c)
{
	const uint8_t *ram = c->ram;
	const uint8_t any = ALARM_DONT_CARE;

	return (ram[REG_HOURS_ALARM] >= any || decode_hours(c, ram[REG_HOURS_ALARM]) < 24) &&
	       (ram[REG_MINUTES_ALARM] >= any || decode(c, ram[REG_MINUTES_ALARM]) < 60) &&
	       (ram[REG_SECONDS_ALARM] >= any || decode(c, ram[REG_SECONDS_ALARM]) < 60);
}

/* The first clock value after `clock` that matches the alarm bytes; at most a day away. */
static uint64_t next_alarm(const struct cmos *c, uint64_t clock)
{
	const uint8_t *ram = c->ram;
	unsigned hours = decode_hours(c, ram[REG_HOURS_ALARM]);
	unsigned minutes = decode(c, ram[REG_MINUTES_ALARM]);
	unsigned seconds = decode(c, ram[REG_SECONDS_ALARM]);
	uint64_t t = clock + 1;

	if (!alarm_possible(c))
		return NEVER;
	for (unsigned i = 0; i < 2 * (24 + 60 + 60); i++) {
		if (!alarm_field_matches(ram[REG_HOURS_ALARM], hours, t / 3600 % 24))
			t = (t / 3600 + 1) * 3600;
		else if (!alarm_field_matches(ram[REG_MINUTES_ALARM], minutes, t / 60 % 60))
			t = (t / 60 + 1) * 60;
		else if (!alarm_field_matches(ram[REG_SECONDS_ALARM], seconds, t % 60))
			t++;
		else
			return t;
	}
	return NEVER;
}

static void clock_start(struct cmos *c, ns_t now)
{
	uint64_t clock;
	unsigned weekday;

	if (c->running || !c->dividing || (c->ram[REG_B] & B_SET))
		return;
	clock = clock_of_bytes(c);
	weekday = decode(c, c->ram[REG_WEEKDAY]);
	c->weekday_shift = (weekday + 7 - weekday_of(clock / DAY_SECONDS)) % 7;
	c->clock_base = clock - divider_seconds(c, now);
	c->updates_seen = clock;
	c->alarm_at = next_alarm(c, clock);
	c->running = true;
}

/* log2 of the periodic interval in divider counts; 0 is "none". */
static unsigned period_shift(const struct cmos *c)
{
	unsigned rs = c->ram[REG_A] & A_RS;

	if (!rs)
		return 0;
	return rs < 3 ? rs + 6 : rs - 1;
}

static uint64_t periods_at(const struct cmos *c, ns_t now)
{
	return mul_div(now - c->divider_start, DIVIDER_HZ, NS_PER_SEC) >> period_shift(c);
}

static void update_irq(struct cmos *c)
{
	irq_line_set(&c->irq, c->flags & c->ram[REG_B] & B_INTERRUPTS);
}

/* Accounts for everything that has happened up to `now`. */
static void sync(struct cmos *c, ns_t now)
{
	if (c->dividing && period_shift(c)) {
		uint64_t periods = periods_at(c, now);

		if (periods > c->periods_seen) {
			c->flags |= C_PF;
			c->periods_seen = periods;
		}
	}
	if (c->running) {
		uint64_t clock = clock_at(c, now);

		if (clock > c->updates_seen) {
			c->flags |= C_UF;
			c->updates_seen = clock;
		}
		if (clock >= c->alarm_at) {
			c->flags |= C_AF;
			c->alarm_at = next_alarm(c, clock);
		}
	}
	update_irq(c);
}

static bool update_in_progress(const struct cmos *c, ns_t now)
{
	return c->running && (now - c->divider_start) % NS_PER_SEC >= NS_PER_SEC - UIP_NS;
}

static void write_a(struct cmos *c, uint8_t value, ns_t now)
{
	bool dividing = (value & A_DV) == A_DV_RUN;

	if (c->dividing && !dividing)
		clock_stop(c, now);
	c->ram[REG_A] = value & ~A_UIP;
	if (!c->dividing && dividing)
		c->divider_start = now - RELEASE_NS;
	c->dividing = dividing;
	c->periods_seen = periods_at(c, now);
	clock_start(c, now);
}

/* SET going high ends updates and clears UIE. */
static void write_b(struct cmos *c, uint8_t value, ns_t now)
{
	if (value & ~c->ram[REG_B] & B_SET) {
		clock_stop(c, now);
		value &= ~B_UIE;
	}
	c->ram[REG_B] = value;
	if (c->running)
		c->alarm_at = next_alarm(c, c->updates_seen); /* DM and 24/12 change its meaning */
	else
		clock_start(c, now);
}

static void write_time(struct cmos *c, unsigned index, uint8_t value, ns_t now)
{
	clock_stop(c, now);
	c->ram[index] = value;
	clock_start(c, now);
}

static void write_data(struct cmos *c, uint8_t value, ns_t now)
{
	unsigned index = c->index & INDEX_MASK;

	sync(c, now);
	if (is_time(index)) {
		write_time(c, index, value, now);
	} else if (index == REG_A) {
		write_a(c, value, now);
	} else if (index == REG_B) {
		write_b(c, value, now);
	} else if (index != REG_C && index != REG_D) {
		c->ram[index] = value;
		if (index <= REG_HOURS_ALARM && c->running)
			c->alarm_at = next_alarm(c, c->updates_seen);
	}
	update_irq(c);
}

static uint8_t read_c(struct cmos *c, ns_t now)
{
	uint8_t value;

	sync(c, now);
	value = c->flags;
	if (value & c->ram[REG_B] & B_INTERRUPTS)
		value |= C_IRQF;
	c->flags = 0;
	update_irq(c);
	return value;
}

static uint8_t read_data(struct cmos *c, ns_t now)
{
	unsigned index = c->index & INDEX_MASK;

	if (index == REG_C)
		return read_c(c, now);
	if (index == REG_A)
		return c->ram[REG_A] | (update_in_progress(c, now) ? A_UIP : 0);
	if (c->running && is_time(index))
		return time_byte(c, index, clock_at(c, now));
	return c->ram[index];
}

static void store(struct cmos *c, unsigned index, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		c->ram[index + i] = value >> (8 * i);
}

static void fill_ram(struct cmos *c, const struct cmos_config *config)
{
	uint64_t low = config->mem_low_bytes;
	uint64_t ext = low > MIB(1) ? (low - MIB(1)) / KIB(1) : 0;
	uint64_t above_16m = low > MIB(16) ? (low - MIB(16)) / KIB(64) : 0;
	unsigned sum = 0;

	c->ram[RAM_EQUIPMENT] = EQUIPMENT_FPU;
	store(c, RAM_BASE_KB, BASE_KB, 2);
	store(c, RAM_EXT_KB, MIN(ext, 0xffffu), 2);
	store(c, RAM_EXT_KB_2, MIN(ext, 0xffffu), 2);
	store(c, RAM_EXT_64KB, MIN(above_16m, 0xffffu), 2);
	store(c, RAM_HIGH_64KB, MIN(config->mem_high_bytes / KIB(64), 0xffffffu), 3);
	for (unsigned i = RAM_CHECKED_FIRST; i <= RAM_CHECKED_LAST; i++)
		sum += c->ram[i];
	c->ram[RAM_CHECKSUM] = sum >> 8;
	c->ram[RAM_CHECKSUM + 1] = sum;
}

void cmos_init(struct cmos *c, const struct cmos_config *config, struct irq_line irq, ns_t now)
{
	const struct civil unix_epoch = {1970, 1, 1};

	memset(c, 0, sizeof(*c));
	c->irq = irq;
	c->ram[REG_A] = A_POWER_ON;
	c->ram[REG_B] = B_24H;
	c->ram[REG_D] = D_VRT;
	c->dividing = true;
	c->running = true;
	c->clock_base = day_number(&unix_epoch) * DAY_SECONDS + config->unix_time;
	c->updates_seen = clock_at(c, now);
	c->alarm_at = next_alarm(c, c->updates_seen);
	c->periods_seen = periods_at(c, now);
	fill_ram(c, config);
	update_irq(c);
}

void cmos_reset(struct cmos *c, ns_t now)
{
	sync(c, now);
	c->index = 0;
	c->ram[REG_B] &= ~(B_INTERRUPTS | B_SQWE);
	c->flags = 0;
	update_irq(c);
}

static uint8_t read_byte(struct cmos *c, unsigned offset, ns_t now)
{
	switch (offset) {
	case 0: return c->index;
	case 1: return read_data(c, now);
	case 2: return c->upper_index;
	case 3: return c->upper[c->upper_index & INDEX_MASK];
	default: return 0xff;
	}
}

static void write_byte(struct cmos *c, unsigned offset, uint8_t value, ns_t now)
{
	switch (offset) {
	case 0: c->index = value; break;
	case 1: write_data(c, value, now); break;
	case 2: c->upper_index = value; break;
	case 3: c->upper[c->upper_index & INDEX_MASK] = value; break;
	default: break;
	}
}

uint32_t cmos_read(struct cmos *c, unsigned offset, unsigned size, ns_t now)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && i < sizeof(value); i++)
		value |= (uint32_t)read_byte(c, offset + i, now) << (8 * i);
	return value;
}

void cmos_write(struct cmos *c, unsigned offset, unsigned size, uint32_t value, ns_t now)
{
	for (unsigned i = 0; i < size && i < sizeof(value); i++)
		write_byte(c, offset + i, value >> (8 * i), now);
}

/* When the divider reaches a clock value. */
static ns_t time_of_clock(const struct cmos *c, uint64_t clock)
{
	return c->divider_start + (clock - c->clock_base) * NS_PER_SEC;
}

static ns_t next_period(const struct cmos *c)
{
	uint64_t counts = (c->periods_seen + 1) << period_shift(c);

	if (counts >= UINT64_MAX / NS_PER_SEC * DIVIDER_HZ)
		return NS_NEVER;
	/* The first nanosecond in which the divider has counted that far. */
	return c->divider_start + mul_div(counts, NS_PER_SEC, DIVIDER_HZ) +
	       (counts * NS_PER_SEC % DIVIDER_HZ != 0);
}

/* Only an interrupt that is enabled and not already flagged needs anybody's attention. */
ns_t cmos_deadline(const struct cmos *c)
{
	unsigned wanted = c->ram[REG_B] & B_INTERRUPTS & ~c->flags;
	ns_t due = NS_NEVER;

	if ((wanted & C_PF) && c->dividing && period_shift(c))
		due = next_period(c);
	if ((wanted & C_UF) && c->running)
		due = MIN(due, time_of_clock(c, c->updates_seen + 1));
	if ((wanted & C_AF) && c->running && c->alarm_at != NEVER)
		due = MIN(due, time_of_clock(c, c->alarm_at));
	return due;
}

void cmos_tick(struct cmos *c, ns_t now)
{
	sync(c, now);
}
