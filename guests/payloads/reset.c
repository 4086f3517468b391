/* SPDX-License-Identifier: Apache-2.0 */
/* Resets itself through CF9h, or as the command line says: kbc, port92, init. */
#include "arch/x86/defs/apic.h"
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("reset");

void payload_run(void)
{
	const char *how = guest_cmdline();

	if (!strcmp(how, "kbc"))
		outb(0x64, 0xfe);
	else if (!strcmp(how, "port92"))
		outb(0x92, inb(0x92) | 1);
	else if (!strcmp(how, "init"))
		apic_send(0, APIC_DM_INIT | APIC_ICR_ASSERT | APIC_ICR_LEVEL);
	else
		outb(0xcf9, 6);
	delay_us(100000);
	check(false, "still running after a reset");
}
