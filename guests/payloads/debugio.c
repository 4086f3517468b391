/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debug ports, and the test device of `debug_mmio`: its buffer through every width, its latch, and
 * its interrupt lines, by which both interrupt controllers can be tried with levels.
 */
#include "arch/x86/defs/apic.h"
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("debugio");

#define BUFFER     0xff000000ul
#define LINES      0x2000
#define EDGE_PIN   14
#define LEVEL_PIN  20
#define VECTOR     0x71
#define LEVEL      (1u << 15)
#define REMOTE_IRR (1u << 14)
#define MASTER     0x20
#define ELCR       0x4d0
#define PIC_LEVEL  5
#define PIC_EDGE   6

static void line(unsigned n, uint8_t level)
{
	outb((uint16_t)(LINES + n), level);
}

static void test_debug_ports(void)
{
	static const char text[] = "debug port: one line\n";
	const char *from = text;
	uint64_t count = sizeof(text) - 1;

	check(inb(0x402) == 0xe9, "port 402h reads %xh", inb(0x402));
	for (unsigned i = 0; i < 12; i++)
		outb(i % 2 ? 0xe9 : 0x402, (uint8_t)*from++);
	count -= 12;
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(0x402) : "memory");
	outb(0x80, 0x5a);
	check(inb(0x80) == 0x5a, "port 80h reads %xh", inb(0x80));
}

static void test_latch(void)
{
	outl(0xe0, 0x12345678);
	check(inl(0xe0) == 0x12345678 && inw(0xe1) == 0x3456 && inb(0xe3) == 0x12, "latch at E0h");
	check(inl(0xe8) == 0x12345678 && inb(0xea) == 0x34, "latch at E8h");
	outb(0xe8, 0xab);
	outw(0xe2, 0xcdef);
	check(inl(0xe0) == 0xcdef56ab, "latch %xh", inl(0xe0));
	outl(0xe4, 0x1000); /* taken */
	check(inl(0xe0) == 0xcdef56ab, "the flush port reaches the latch");
}

static void test_buffer(void)
{
	volatile uint8_t *b = (volatile uint8_t *)BUFFER;
	uint64_t value = 0;
	uint8_t copy[40];

	check(*(volatile uint64_t *)b == 0, "the buffer is not clear");
	*(volatile uint64_t *)b = 0x1122334455667788;
	check(b[0] == 0x88 && *(volatile uint16_t *)(b + 3) == 0x4455 &&
			*(volatile uint32_t *)(b + 4) == 0x11223344,
		"narrow reads of the buffer");
	b[0xffff] = 0x5a;
	*(volatile uint16_t *)(b + 6) = 0xaabb;
	*(volatile uint32_t *)(b + 0xfff8) = 0xcafe;
	check(*(volatile uint64_t *)b == 0xaabb334455667788, "narrow writes of the buffer");
	check(*(volatile uint64_t *)(b + 0xfff8) == 0x5a0000000000cafe, "the buffer's end");
	__asm__ volatile("lock xaddq %0, (%1)" : "+r"(value) : "r"(b) : "memory", "cc");
	check(value == 0xaabb334455667788, "LOCK XADD: %lxh", value);
	for (unsigned i = 0; i < sizeof(copy); i++)
		b[0x1000 + i] = (uint8_t)(i + 1);
	__asm__ volatile("rep movsb" : : "S"(b + 0x1000), "D"(copy), "c"(sizeof(copy)) : "memory");
	check(copy[0] == 1 && copy[39] == 40, "REP MOVSB out of the buffer");
}

static void open(void)
{
	sti();
	__asm__ volatile("nop; nop" : : : "memory");
	cli();
}

/* 82093AA: an edge is delivered once; while masked it is lost. */
static void test_edges(void)
{
	irq_forget();
	ioapic_route(EDGE_PIN, VECTOR);
	line(EDGE_PIN, 1);
	open();
	line(EDGE_PIN, 1);
	open();
	check(irq_count[VECTOR] == 1, "edge: %u interrupts", irq_count[VECTOR]);
	line(EDGE_PIN, 0);
	line(EDGE_PIN, 1);
	open();
	check(irq_count[VECTOR] == 2, "second edge: %u interrupts", irq_count[VECTOR]);
	line(EDGE_PIN, 0);
	ioapic_route(EDGE_PIN, APIC_LVT_MASKED | VECTOR);
	line(EDGE_PIN, 1);
	ioapic_route(EDGE_PIN, VECTOR);
	open();
	check(irq_count[VECTOR] == 2, "an edge while masked is delivered");
	line(EDGE_PIN, 0);
	ioapic_route(EDGE_PIN, APIC_LVT_MASKED);
}

static bool remote_irr(void)
{
	return ioapic_read(0x10 + 2 * LEVEL_PIN) & REMOTE_IRR;
}

/* A level is delivered again after each EOI while it lasts, and when it is unmasked. */
static void test_levels(void)
{
	irq_forget();
	irq_manual_eoi = true;
	ioapic_route(LEVEL_PIN, APIC_LVT_MASKED | LEVEL | VECTOR);
	line(LEVEL_PIN, 1);
	open();
	check(irq_count[VECTOR] == 0 && !remote_irr(), "a masked level is delivered");
	ioapic_route(LEVEL_PIN, LEVEL | VECTOR);
	open();
	check(irq_count[VECTOR] == 1 && remote_irr(), "level: %u interrupts", irq_count[VECTOR]);
	check(apic_read(APIC_TMR + VECTOR / 32 * 16) >> VECTOR % 32 & 1, "TMR is clear");
	open();
	check(irq_count[VECTOR] == 1, "level in service is delivered");
	apic_eoi();
	open();
	check(irq_count[VECTOR] == 2, "level after EOI: %u interrupts", irq_count[VECTOR]);
	line(LEVEL_PIN, 0);
	apic_eoi();
	open();
	check(irq_count[VECTOR] == 2 && !remote_irr(), "the level's end");
	irq_manual_eoi = false;
	ioapic_route(LEVEL_PIN, APIC_LVT_MASKED);
}

/* The 8259s without a CPU: poll commands, an edge and a level. */
static void test_pic_poll(void)
{
	static const uint8_t icw[] = {0x20, 4, 1};

	outb(MASTER, 0x11);
	for (unsigned i = 0; i < sizeof(icw); i++)
		outb(MASTER + 1, icw[i]);
	outb(ELCR, 1u << PIC_LEVEL);
	check(inb(ELCR) == 1u << PIC_LEVEL, "ELCR reads %xh", inb(ELCR));
	outb(MASTER + 1, (uint8_t) ~(1u << PIC_LEVEL | 1u << PIC_EDGE));
	outb(MASTER, 0x0c);
	check(inb(MASTER) == 0, "a poll without a request");
	line(PIC_LEVEL, 1);
	line(PIC_EDGE, 1);
	line(PIC_EDGE, 0);
	outb(MASTER, 0x0c);
	check(inb(MASTER) == (0x80 | PIC_LEVEL), "poll of the level");
	outb(MASTER, 0x0b);
	check(inb(MASTER) == 1u << PIC_LEVEL, "ISR %xh", inb(MASTER));
	outb(MASTER, 0x60 | PIC_LEVEL);
	outb(MASTER, 0x0c);
	check(inb(MASTER) == (0x80 | PIC_LEVEL), "the level is not there again");
	line(PIC_LEVEL, 0);
	outb(MASTER, 0x60 | PIC_LEVEL);
	outb(MASTER, 0x0c);
	check(inb(MASTER) == (0x80 | PIC_EDGE), "the edge is lost");
	outb(MASTER, 0x20);
	outb(MASTER, 0x0a);
	check((inb(MASTER) & (1u << PIC_LEVEL | 1u << PIC_EDGE)) == 0, "IRR %xh", inb(MASTER));
	outb(ELCR, 0);
	outb(MASTER + 1, 0xff);
}

void payload_run(void)
{
	test_debug_ports();
	test_latch();
	test_buffer();
	test_edges();
	test_levels();
	test_pic_poll();
}
