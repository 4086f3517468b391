/* SPDX-License-Identifier: Apache-2.0 */
/* I/O ports: the devices of the PC answer, nothing else does, and string instructions work. */
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("ports");

#define SCRATCH     0x3ff
#define UNCLAIMED   0x5678
#define HOST_BRIDGE 0x29c08086u
#define ECAM        0xb0000000ul

static const uint16_t unclaimed[] = {0x100, 0x278, 0x2f8, 0x3e8, 0x5678, 0xc000, 0xfff0};

static void test_unclaimed(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(unclaimed); i++) {
		uint16_t port = unclaimed[i];

		outb(port, 0);
		outw(port, 0);
		outl(port, 0);
		check(inb(port) == 0xff, "port %xh reads %xh", port, inb(port));
		check(inw(port) == 0xffff, "port %xh reads %xh at 16 bits", port, inw(port));
		check(inl(port) == 0xffffffff, "port %xh reads %xh at 32 bits", port, inl(port));
	}
}

/* IN writes only the part of RAX that it should; EAX clears the upper half as always. */
static void test_width(void)
{
	uint64_t b = 0x1122334455667788, w = b, l = b;

	__asm__ volatile("inb %w1, %%al" : "+a"(b) : "d"(UNCLAIMED));
	__asm__ volatile("inw %w1, %%ax" : "+a"(w) : "d"(UNCLAIMED));
	__asm__ volatile("inl %w1, %%eax" : "+a"(l) : "d"(UNCLAIMED));
	check(b == 0x11223344556677ff, "IN AL gives RAX 0x%lx", b);
	check(w == 0x112233445566ffff, "IN AX gives RAX 0x%lx", w);
	check(l == 0xffffffff, "IN EAX gives RAX 0x%lx", l);
}

static uint32_t config_read(uint32_t address)
{
	outl(0xcf8, 0x80000000 | address);
	return inl(0xcfc);
}

static void test_pci(void)
{
	check(config_read(0) == HOST_BRIDGE, "host bridge 0x%x", config_read(0));
	check(inw(0xcfe) == HOST_BRIDGE >> 16, "device id at 16 bits 0x%x", inw(0xcfe));
	check(inb(0xcfd) == 0x80, "vendor id's second byte 0x%x", inb(0xcfd));
	check(inl(0xcf8) == 0x80000000, "the address register reads 0x%x", inl(0xcf8));
	check(config_read(0x1f << 11) >> 16 == 0x2918, "LPC bridge 0x%x", config_read(0x1f << 11));
	check(config_read(5 << 11) == 0xffffffff, "something at 00:05.0");
	check(config_read(3 << 16) == 0xffffffff, "something on bus 3");
	outl(0xcf8, 0);
	check(inl(0xcfc) == 0xffffffff, "data without the enable bit: 0x%x", inl(0xcfc));
	check(*(volatile uint32_t *)ECAM == HOST_BRIDGE, "ECAM: host bridge 0x%x",
		*(volatile uint32_t *)ECAM);
	check(*(volatile uint16_t *)(ECAM + 2) == HOST_BRIDGE >> 16, "ECAM at 16 bits");
	check(*(volatile uint32_t *)(ECAM + (5ul << 15)) == 0xffffffff,
		"ECAM: something at 00:05.0");
}

static uint8_t cmos(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void test_cmos(void)
{
	uint64_t end = rdtsc() + 3 * time_hz();
	uint8_t second = cmos(0);

	check(cmos(0xd) & 0x80, "the clock's battery is dead");
	check((cmos(7) & 0xf) < 10 && cmos(7) >= 1 && cmos(7) <= 0x31, "day %xh", cmos(7));
	check(cmos(8) >= 1 && cmos(8) <= 0x12, "month %xh", cmos(8));
	outb(0x70, 0x60);
	outb(0x71, 0xa5);
	check(cmos(0x60) == 0xa5, "CMOS RAM reads %xh", cmos(0x60));
	while (cmos(0) == second && rdtsc() < end)
		cpu_relax();
	check(cmos(0) != second, "the clock stands still");
}

static uint16_t pit_count(unsigned channel)
{
	uint16_t low;

	outb(0x43, (uint8_t)(channel << 6));
	low = inb((uint16_t)(0x40 + channel));
	return (uint16_t)(low | inb((uint16_t)(0x40 + channel)) << 8);
}

/* Channel 2 counts down once from 65535: about 55 ms. */
static void test_pit(void)
{
	uint16_t first, second;
	uint64_t end;

	outb(0x61, (uint8_t)((inb(0x61) & ~3) | 1)); /* gate on, speaker off */
	outb(0x43, 0xb0);
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	first = pit_count(2);
	delay_us(5000);
	second = pit_count(2);
	check(first - second > 5000 && first - second < 10000, "5 ms are %d PIT ticks",
		first - second);
	check(!(inb(0x61) & 0x20), "PIT output 2 is high too early");
	end = rdtsc() + time_us_to_tsc(200000);
	while (!(inb(0x61) & 0x20) && rdtsc() < end)
		cpu_relax();
	check(inb(0x61) & 0x20, "PIT output 2 never rises");
}

static void test_pm_timer(void)
{
	uint32_t start = pm_timer(), ticks;
	uint64_t tsc = rdtsc(), us;

	while (((pm_timer() - start) & 0xffffff) < 35795) /* 10 ms */
		cpu_relax();
	ticks = (pm_timer() - start) & 0xffffff;
	us = time_tsc_to_us(rdtsc() - tsc);
	check(us > ticks * 10 / 36 * 9 / 10 && us < ticks * 10 / 36 * 12 / 10,
		"%u PM timer ticks take %lu us", ticks, us);
}

static void test_uart(void)
{
	static const uint8_t values[] = {0, 0xff, 0x5a};

	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		outb(SCRATCH, values[i]);
		check(inb(SCRATCH) == values[i], "UART scratch reads %xh", inb(SCRATCH));
	}
	while (!(inb(0x3fd) & 0x40))
		cpu_relax();
	outb(0x3fc, 0x10);
	outb(0x3f8, 'L');
	delay_us(2000);
	check(inb(0x3fd) & 1 && inb(0x3f8) == 'L', "UART loopback");
	console_init();
}

static void test_strings(void)
{
	static const char out[] = "abcdefgh";
	uint8_t in[16];
	uint8_t *to = in;
	const char *from = out;
	uint64_t count = 8;

	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(SCRATCH) : "memory");
	check(inb(SCRATCH) == 'h' && count == 0 && from == out + 8, "REP OUTSB: %xh, %lu left",
		inb(SCRATCH), count);
	memset(in, 0, sizeof(in));
	count = 5;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(SCRATCH) : "memory");
	check(!memcmp(in, "hhhhh\0", 6) && to == in + 5, "REP INSB");
	count = 2;
	to = in;
	__asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(UNCLAIMED) : "memory");
	check(*(uint64_t *)in == UINT64_MAX && in[8] == 0, "REP INSD");
	from = out + 3;
	count = 3;
	__asm__ volatile("std; rep outsb; cld" : "+S"(from), "+c"(count) : "d"(SCRATCH) : "memory");
	check(inb(SCRATCH) == 'b' && from == out, "REP OUTSB downwards");
	to = in + 7;
	count = 0;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(SCRATCH) : "memory");
	check(to == in + 7, "REP INSB of nothing moves");
	__asm__ volatile("insw" : "+D"(to) : "d"(UNCLAIMED) : "memory");
	check(to == in + 9 && in[7] == 0xff && in[8] == 0xff, "INSW");
}

/* More than the hypervisor does in one go, and over a page boundary. */
static void test_long_string(void)
{
	static uint8_t buffer[8192] ALIGNED(4096);
	void *to = buffer + 3000;
	uint64_t count = 3000;

	outb(SCRATCH, 0x77);
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(SCRATCH) : "memory");
	check(count == 0 && to == buffer + 6000, "long REP INSB: %lu left", count);
	check(buffer[2999] == 0 && buffer[3000] == 0x77 && buffer[5999] == 0x77 &&
			buffer[6000] == 0,
		"long REP INSB: bounds");
}

void payload_run(void)
{
	test_unclaimed();
	test_width();
	test_pci();
	test_cmos();
	test_pit();
	test_pm_timer();
	test_uart();
	test_strings();
	test_long_string();
}
