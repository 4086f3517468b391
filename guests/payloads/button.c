/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for its power button, as an operating system with ACPI does, and powers off. */
#include "arch/x86/defs/apic.h"
#include "guests/runtime/guest.h"

PAYLOAD("button");

#define PM1_STS 0x600
#define PM1_EN  0x602
#define PM1_CNT 0x604
#define PWRBTN  0x0100
#define SCI_EN  0x0001
#define S5      (0x2000 | 5 << 10)
#define SMI_CMD 0xb2
#define PIN     9
#define VECTOR  0x74
#define LEVEL   (1u << 15)

static void sci(struct trap_frame *f)
{
	(void)f;
	irq_count[VECTOR]++;
	check(inw(PM1_STS) & PWRBTN, "an SCI without a reason: %xh", inw(PM1_STS));
	outw(PM1_STS, PWRBTN);
	apic_eoi();
}

void payload_run(void)
{
	check(!(inw(PM1_CNT) & SCI_EN), "ACPI is on already");
	outb(SMI_CMD, 2);
	check(inw(PM1_CNT) & SCI_EN, "ACPI cannot be switched on");
	trap_set_handler(VECTOR, sci);
	ioapic_route(PIN, LEVEL | VECTOR);
	outw(PM1_EN, PWRBTN);
	print("press the power button");
	while (irq_count[VECTOR] == 0)
		sti_hlt_cli();
	check(irq_count[VECTOR] == 1, "%u SCIs", irq_count[VECTOR]);
	check(!(inw(PM1_STS) & PWRBTN), "the button's status stays");
	if (check_failures() == 0)
		print("powering off");
	outw(PM1_CNT, S5 | SCI_EN);
	check(false, "still running");
}
