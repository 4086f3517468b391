/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt delivery: IPIs in both APIC modes, priorities, masking, the shadow of STI, the
 * IOAPIC.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"

PAYLOAD("interrupts");

#define IOAPIC_PIT_PIN          2
#define ESR_SEND_ILLEGAL_VECTOR (1u << 5)

static const char *mode;

static void expect(const uint8_t *vectors, unsigned count, const char *text)
{
	check(irq_logged == count, "%s, %s: %u interrupts, not %u", mode, text, irq_logged, count);
	for (unsigned i = 0; i < count && i < irq_logged; i++)
		check(irq_log[i] == vectors[i], "%s, %s: vector %xh, not %xh", mode, text,
			irq_log[i], vectors[i]);
	irq_forget();
}

#define EXPECT(text, ...)                                                                          \
	do {                                                                                       \
		const uint8_t list[] = {__VA_ARGS__};                                              \
		expect(list, sizeof(list), text);                                                  \
	} while (0)

static void expect_none(const char *text)
{
	expect(NULL, 0, text);
}

static void test_self(bool x2apic)
{
	apic_self(0x40);
	expect_none("interrupts off");
	check(apic_pending(0x40), "%s: vector 40h is not in IRR", mode);
	irq_open();
	EXPECT("self IPI", 0x40);
	check(!apic_pending(0x40) && !apic_in_service(0x40), "%s: 40h stays in IRR or ISR", mode);
	apic_send(0, APIC_ICR_ASSERT | 0x41);
	irq_open();
	EXPECT("physical destination", 0x41);
	apic_send(x2apic ? UINT32_MAX : 0xff, APIC_ICR_ASSERT | 0x42);
	irq_open();
	EXPECT("broadcast", 0x42);
	apic_send(0, APIC_ICR_ASSERT | APIC_ICR_ALL | 0x43);
	irq_open();
	EXPECT("all including self", 0x43);
	apic_send(0, APIC_ICR_ASSERT | APIC_ICR_OTHERS | 0x44);
	apic_send(0x55, APIC_ICR_ASSERT | 0x45);
	irq_open();
	expect_none("others only, and nobody");
	if (!x2apic) {
		apic_write(APIC_DFR, UINT32_MAX);
		apic_write(APIC_LDR, 0x02000000);
	}
	apic_send(x2apic ? 1 : 2, APIC_ICR_ASSERT | APIC_ICR_LOGICAL | 0x46);
	irq_open();
	EXPECT("logical destination", 0x46);
	apic_self(0x47);
	apic_self(0x47);
	irq_open();
	EXPECT("the same twice", 0x47);
	if (x2apic) {
		wrmsr(MSR_IA32_X2APIC_BASE + APIC_SELF_IPI / 16, 0x48);
		irq_open();
		EXPECT("SELF_IPI", 0x48);
	}
}

static void test_priority(void)
{
	apic_self(0x31);
	apic_self(0x52);
	apic_self(0x41);
	apic_self(0x53);
	irq_open();
	EXPECT("four at once", 0x53, 0x52, 0x41, 0x31);

	irq_manual_eoi = true;
	apic_self(0x52);
	irq_open();
	apic_self(0x41);
	apic_self(0x5f);
	irq_open();
	EXPECT("same and lower class wait", 0x52);
	check((apic_read(APIC_PPR) & 0xf0) == 0x50, "%s: PPR %xh", mode, apic_read(APIC_PPR));
	apic_self(0x63);
	irq_open();
	EXPECT("a higher one interrupts", 0x63);
	check(apic_in_service(0x52) && apic_in_service(0x63), "%s: ISR", mode);
	apic_eoi();
	check(apic_in_service(0x52) && !apic_in_service(0x63), "%s: EOI ended the wrong one", mode);
	irq_open();
	expect_none("52h still in service");
	apic_eoi();
	irq_open();
	EXPECT("highest of those waiting", 0x5f);
	apic_eoi();
	irq_open();
	EXPECT("the last", 0x41);
	apic_eoi();
	irq_manual_eoi = false;
}

static void set_cr8(uint64_t value)
{
	write_cr8(value);
}

static void test_tpr(void)
{
	apic_write(APIC_TPR, 0x50);
	/* QEMU 10 lets a guest of AMD-V read its virtual TPR instead, whatever is intercepted. */
	check(read_cr8() == 5 || (on_qemu_cpu() && read_cr8() == 0), "%s: CR8 is %lu", mode,
		read_cr8());
	apic_self(0x4f);
	apic_self(0x5f);
	apic_self(0x60);
	irq_open();
	EXPECT("TPR 50h", 0x60);
	write_cr8(4);
	check(apic_read(APIC_TPR) == 0x40, "%s: TPR is %xh", mode, apic_read(APIC_TPR));
	irq_open();
	EXPECT("CR8 4", 0x5f);
	/* Lowered while interrupts are on: at once. */
	__asm__ volatile("sti; nop" : : : "memory");
	write_cr8(0);
	__asm__ volatile("nop; cli" : : : "memory");
	EXPECT("CR8 0", 0x4f);
	if (on_bulkhead())
		check_fault(EXC_GP, set_cr8, 16, "CR8 = 16");
}

static volatile uint32_t after_sti, seen_after_sti;

static void sti_handler(struct trap_frame *f)
{
	(void)f;
	seen_after_sti = after_sti;
	irq_count[0x70]++;
	apic_eoi();
}

static void test_sti_shadow(void)
{
	trap_set_handler(0x70, sti_handler);
	irq_forget();
	after_sti = 0;
	apic_self(0x70);
	__asm__ volatile("sti; cli" : : : "memory");
	check(irq_count[0x70] == 0, "%s: an interrupt between STI and CLI", mode);
	__asm__ volatile("sti; movl $1, %0; nop; cli" : "=m"(after_sti) : : "memory");
	check(irq_count[0x70] == 1 && seen_after_sti == 1, "%s: no shadow of STI", mode);
	/* The instruction in the shadow leaves the guest. */
	after_sti = 0;
	apic_self(0x70);
	__asm__ volatile("sti; outb %%al, $0x80; movl $1, %0; nop; cli"
			 : "=m"(after_sti)
			 :
			 : "memory");
	check(irq_count[0x70] == 2 && seen_after_sti == 0, "%s: OUT in the shadow of STI", mode);
	trap_set_handler(0x70, NULL);
	irq_forget();
}

static void test_error(void)
{
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
	apic_self(5);
	apic_write(APIC_ESR, 0);
	check(apic_read(APIC_ESR) & ESR_SEND_ILLEGAL_VECTOR, "%s: vector 5 sent, ESR %xh", mode,
		apic_read(APIC_ESR));
	apic_write(APIC_ESR, 0);
	check(apic_read(APIC_ESR) == 0, "%s: ESR stays", mode);
}

static void pit_rate(unsigned divisor)
{
	outb(0x43, 0x34);
	outb(0x40, (uint8_t)divisor);
	outb(0x40, (uint8_t)(divisor >> 8));
}

static void open_for(uint64_t us)
{
	sti();
	delay_us(us);
	cli();
}

/* 1 kHz of the PIT, edge-triggered, through pin 2. */
static void test_ioapic(void)
{
	unsigned count;

	ioapic_route(IOAPIC_PIT_PIN, 0x60);
	pit_rate(1193);
	open_for(30000);
	count = irq_count[0x60];
	check(count >= 20 && count <= 34, "%s: %u PIT interrupts in 30 ms", mode, count);
	ioapic_route(IOAPIC_PIT_PIN, APIC_LVT_MASKED | 0x60);
	irq_open();
	irq_forget();
	open_for(5000);
	expect_none("masked in the IOAPIC");
	outb(0x43, 0x30); /* mode 0 without a count: silent */
}

static void test_software(void)
{
	__asm__ volatile("int $0x71" : : : "memory");
	check(irq_count[0x71] == 1, "INT 71h");
	check(trap_run((const uint8_t[]){0xcc}, 1) == EXC_BP, "INT3");
	check(trap_run((const uint8_t[]){0x0f, 0x0b}, 2) == EXC_UD, "UD2");
	irq_forget();
}

static void test_mode(bool x2apic)
{
	mode = x2apic ? "x2APIC" : "xAPIC";
	apic_set_x2apic(x2apic);
	irq_forget();
	test_self(x2apic);
	test_priority();
	test_tpr();
	test_sti_shadow();
	if (on_bulkhead())
		test_error();
	test_ioapic();
}

void payload_run(void)
{
	test_software();
	test_mode(false);
	if (!apic_has_x2apic())
		return;
	test_mode(true);
	apic_set_x2apic(false);
	test_mode(false);
}
