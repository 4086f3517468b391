/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/cpus.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

static const struct bootinfo_cpu *find(const struct boot_cpus_list *list, uint32_t apic_id)
{
	for (unsigned i = 0; i < list->count; i++) {
		if (list->cpu[i].apic_id == apic_id)
			return &list->cpu[i];
	}
	return NULL;
}

static bool is_usable(const struct boot_cpus_list *list, uint32_t apic_id)
{
	const struct bootinfo_cpu *cpu = find(list, apic_id);

	return cpu && (cpu->flags & BOOT_CPU_ENABLED);
}

/* CPUs that `list` calls usable and `other` does not. */
static unsigned count_alone(
	const struct boot_cpus_list *list, const struct boot_cpus_list *other, uint32_t *first_id)
{
	unsigned count = 0;

	for (unsigned i = 0; i < list->count; i++) {
		uint32_t id = list->cpu[i].apic_id;

		if (!(list->cpu[i].flags & BOOT_CPU_ENABLED) || is_usable(other, id))
			continue;
		if (count++ == 0)
			*first_id = id;
	}
	return count;
}

/* The next CPU from *at on that both call usable; false: there is none. */
static bool next_common(const struct boot_cpus_list *list, const struct boot_cpus_list *other,
	unsigned *at, uint32_t *id)
{
	while (*at < list->count) {
		const struct bootinfo_cpu *cpu = &list->cpu[(*at)++];

		*id = cpu->apic_id;
		if ((cpu->flags & BOOT_CPU_ENABLED) && is_usable(other, cpu->apic_id))
			return true;
	}
	return false;
}

static bool is_same_order(const struct boot_cpus_list *a, const struct boot_cpus_list *b)
{
	unsigned i = 0, j = 0;
	uint32_t id, other_id;

	while (next_common(a, b, &i, &id)) {
		if (!next_common(b, a, &j, &other_id) || id != other_id)
			return false;
	}
	return true;
}

/* MP Services mark the CPU that this runs on. */
static bool knows_boot_cpu(const struct boot_cpus_list *mp, const struct boot_cpus_list *acpi,
	struct boot_cpus_diff *diff)
{
	for (unsigned i = 0; i < mp->count; i++) {
		if (!(mp->cpu[i].flags & BOOT_CPU_BSP))
			continue;
		diff->boot_id = mp->cpu[i].apic_id;
		return is_usable(acpi, diff->boot_id);
	}
	return true;
}

/* Without those that a list names twice: a CPU must not be started twice. */
static unsigned copy(const struct boot_cpus_list *list, struct bootinfo_cpu *out)
{
	struct boot_cpus_list copied = {out, 0};

	for (unsigned i = 0; i < list->count; i++) {
		if (!find(&copied, list->cpu[i].apic_id))
			out[copied.count++] = list->cpu[i];
	}
	return copied.count;
}

unsigned boot_cpus_merge(const struct boot_cpus_list *mp, const struct boot_cpus_list *acpi,
	struct bootinfo_cpu *out, struct boot_cpus_diff *diff)
{
	memset(diff, 0, sizeof(*diff));
	if (!mp->count)
		return copy(acpi, out);
	if (!acpi->count)
		return copy(mp, out);
	diff->acpi_ignored = !knows_boot_cpu(mp, acpi, diff);
	if (diff->acpi_ignored)
		return copy(mp, out);

	diff->only_mp = count_alone(mp, acpi, &diff->only_mp_id);
	diff->only_acpi = count_alone(acpi, mp, &diff->only_acpi_id);
	diff->other_order = !is_same_order(mp, acpi);
	for (unsigned i = 0; i < acpi->count; i++) {
		const struct bootinfo_cpu *same = find(mp, acpi->cpu[i].apic_id);

		out[i] = acpi->cpu[i];
		out[i].flags &= same ? same->flags : 0;
		if (same)
			out[i].flags |= same->flags & BOOT_CPU_BSP;
	}
	return acpi->count;
}

void boot_cpus_text(const struct boot_cpus_diff *diff, char text[BOOT_CPUS_TEXT_MAX])
{
	text[0] = '\0';
	if (diff->acpi_ignored)
		fmt_string(text, BOOT_CPUS_TEXT_MAX,
			"ACPI does not list the CPU that this runs on (APIC ID %u): taking the "
			"list of MP Services",
			diff->boot_id);
	else if (diff->only_mp && diff->only_acpi)
		fmt_string(text, BOOT_CPUS_TEXT_MAX,
			"ACPI does not offer %u of MP Services' CPUs (APIC ID %u), nor they %u of "
			"its (APIC ID %u): only those of both are used",
			diff->only_mp, diff->only_mp_id, diff->only_acpi, diff->only_acpi_id);
	else if (diff->only_mp)
		fmt_string(text, BOOT_CPUS_TEXT_MAX,
			"ACPI does not offer %u of MP Services' CPUs (the first: APIC ID %u): not "
			"used",
			diff->only_mp, diff->only_mp_id);
	else if (diff->only_acpi)
		fmt_string(text, BOOT_CPUS_TEXT_MAX,
			"MP Services did not start %u of ACPI's CPUs (the first: APIC ID %u): not "
			"used",
			diff->only_acpi, diff->only_acpi_id);
	else if (diff->other_order)
		fmt_string(text, BOOT_CPUS_TEXT_MAX,
			"CPUs are numbered as ACPI lists them, as in other systems; MP Services "
			"have another order");
}
