/* SPDX-License-Identifier: Apache-2.0 */
/* One list of CPUs out of MP Services' and ACPI's: agreement, order, what only one has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "boot/cpus.h"

#define ON  BOOT_CPU_ENABLED
#define BSP (BOOT_CPU_ENABLED | BOOT_CPU_BSP)

struct merge_case {
	const char *name;
	struct bootinfo_cpu mp[4], acpi[4], out[4];
	uint8_t mp_count, acpi_count, out_count;
	const char *text;
};

static const struct merge_case cases[] = {
	{"agreement", {{0, BSP}, {2, ON}, {4, 0}}, {{0, ON}, {2, ON}, {4, 0}},
		{{0, BSP}, {2, ON}, {4, 0}}, 3, 3, 3, ""},
	{"no ACPI", {{0, BSP}, {2, ON}}, {{0, 0}}, {{0, BSP}, {2, ON}}, 2, 0, 2, ""},
	{"no MP Services", {{0, 0}}, {{6, ON}, {7, 0}}, {{6, ON}, {7, 0}}, 0, 2, 2, ""},
	{"neither", {{0, 0}}, {{0, 0}}, {{0, 0}}, 0, 0, 0, ""},
	{"one twice", {{0, BSP}, {2, ON}, {0, ON}, {3, ON}}, {{0, 0}}, {{0, BSP}, {2, ON}, {3, ON}},
		4, 0, 3, ""},
	{"ACPI's order", {{0, BSP}, {1, ON}, {2, ON}, {3, ON}},
		{{0, ON}, {2, ON}, {1, ON}, {3, ON}}, {{0, BSP}, {2, ON}, {1, ON}, {3, ON}}, 4, 4,
		4,
		"CPUs are numbered as ACPI lists them, as in other systems; MP Services have "
		"another order"},
	{"the order of unusable ones does not matter", {{0, BSP}, {1, 0}, {2, ON}},
		{{0, ON}, {2, ON}, {1, 0}}, {{0, BSP}, {2, ON}, {1, 0}}, 3, 3, 3, ""},
	{"ACPI lacks some", {{0, BSP}, {1, ON}, {2, ON}, {3, ON}}, {{0, ON}, {2, ON}, {3, 0}},
		{{0, BSP}, {2, ON}, {3, 0}}, 4, 3, 3,
		"ACPI does not offer 2 of MP Services' CPUs (the first: APIC ID 1): not used"},
	{"MP Services lack one, and one is ill", {{0, BSP}, {1, 0}}, {{0, ON}, {1, ON}, {9, ON}},
		{{0, BSP}, {1, 0}, {9, 0}}, 2, 3, 3,
		"MP Services did not start 2 of ACPI's CPUs (the first: APIC ID 1): not used"},
	{"each has its own", {{0, BSP}, {1, ON}, {5, ON}}, {{5, ON}, {0, ON}, {7, ON}},
		{{5, ON}, {0, BSP}, {7, 0}}, 3, 3, 3,
		"ACPI does not offer 1 of MP Services' CPUs (APIC ID 1), nor they 1 of its (APIC "
		"ID 7): only those of both are used"},
	{"ACPI does not know the boot CPU", {{4, ON}, {6, BSP}}, {{0, ON}, {1, ON}, {4, ON}},
		{{4, ON}, {6, BSP}}, 2, 3, 2,
		"ACPI does not list the CPU that this runs on (APIC ID 6): taking the list of MP "
		"Services"},
	{"ACPI calls the boot CPU disabled", {{0, BSP}, {1, ON}}, {{0, 0}, {1, ON}},
		{{0, BSP}, {1, ON}}, 2, 2, 2,
		"ACPI does not list the CPU that this runs on (APIC ID 0): taking the list of MP "
		"Services"},
	{"no boot CPU is marked", {{0, ON}, {1, ON}}, {{1, ON}}, {{1, ON}}, 2, 1, 1,
		"ACPI does not offer 1 of MP Services' CPUs (the first: APIC ID 0): not used"},
};

static void merging(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct merge_case *c = &cases[i];
		const struct boot_cpus_list mp = {c->mp, c->mp_count};
		const struct boot_cpus_list acpi = {c->acpi, c->acpi_count};
		struct bootinfo_cpu out[5];
		struct boot_cpus_diff diff;
		char text[BOOT_CPUS_TEXT_MAX];
		unsigned count;

		memset(out, 0xee, sizeof(out));
		count = boot_cpus_merge(&mp, &acpi, out, &diff);
		boot_cpus_text(&diff, text);
		if (count != c->out_count || memcmp(out, c->out, count * sizeof(*out)) ||
			strcmp(text, c->text))
			fail_msg("%s: %u CPUs, \"%s\"", c->name, count, text);
		assert_int_equal(out[count].apic_id, 0xeeeeeeee); /* and none behind them */
	}
}

/* The longest numbers still fit. */
static void longest_sentence(void **state)
{
	const struct boot_cpus_diff diff = {.only_mp = 4096,
		.only_acpi = 4096,
		.only_mp_id = UINT32_MAX,
		.only_acpi_id = UINT32_MAX};
	char text[BOOT_CPUS_TEXT_MAX];

	(void)state;
	boot_cpus_text(&diff, text);
	assert_non_null(strstr(text, "are used"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merging),
		cmocka_unit_test(longest_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
