/* SPDX-License-Identifier: Apache-2.0 */
/* Powers itself off as ACPI has it: SLP_TYP of S5 and SLP_EN in PM1a_CNT. */
#include "guests/runtime/guest.h"

PAYLOAD("poweroff");

#define PM1A_CNT   0x604
#define SLP_TYP_S5 (5u << 10)
#define SLP_EN     (1u << 13)

void payload_run(void)
{
	outw(PM1A_CNT, (uint16_t)(SLP_TYP_S5 | SLP_EN));
	delay_us(100000);
	check(false, "still running after power-off");
}
