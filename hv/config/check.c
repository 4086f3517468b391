/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/config/check.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

#define SUBJECT_MAX 48u
#define SIZE_TEXT   32u
#define LOW_MEMORY  MIB(1) /* no part of a kernel or initrd is loaded below */

struct check {
	const struct config *config;
	const struct config_machine_facts *facts;
	struct config_verdict *verdict;
	struct config_errors *errors;
	uint64_t image_bytes[CONFIG_IMAGES_MAX]; /* kernel and initrd, as far as known */
	/* Guests that can start, each behind the one it waits for. */
	unsigned admitted_count;
	uint8_t admitted[CONFIG_GUESTS_MAX];
	bool decided[CONFIG_GUESTS_MAX];
};

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void number_text(char text[SIZE_TEXT], uint64_t number)
{
	fmt_string(text, SIZE_TEXT, "%lu", number);
}

/* As a config would write it, rounded down to whole mebibytes. */
static void size_text(char text[SIZE_TEXT], uint64_t bytes)
{
	if (bytes && bytes % GIB(1) == 0)
		fmt_string(text, SIZE_TEXT, "%luG", bytes / GIB(1));
	else
		fmt_string(text, SIZE_TEXT, "%luM", bytes / MIB(1));
}

/* ---- Mistakes -------------------------------------------------------------------------------- */

static void stop_image(struct check *check, unsigned index, enum config_error code,
	struct config_place at, const char *a, const char *b)
{
	char subject[SUBJECT_MAX];

	fmt_string(subject, sizeof(subject), "image.%s", check->config->images[index].name);
	config_errors_add(check->errors, code, at, subject, a, b, NULL);
	check->verdict->image_bad[index] = true;
}

static void tell_guest(struct check *check, unsigned index, enum config_error code,
	struct config_place at, const char *const args[3])
{
	char subject[SUBJECT_MAX];

	fmt_string(subject, sizeof(subject), "guest.%s", check->config->guests[index].name);
	config_errors_add(check->errors, code, at, subject, args[0], args[1], args[2]);
}

static void stop_guest(struct check *check, unsigned index, enum config_error code,
	struct config_place at, const char *a, const char *b)
{
	tell_guest(check, index, code, at, (const char *const[3]){a, b, NULL});
	check->verdict->guest_bad[index] = true;
}

/* ---- The machine and images ------------------------------------------------------------------ */

/* What keeps an existing CPU from being used; NULL: nothing that is known. */
static const char *cpu_problem(const struct check *check, unsigned cpu)
{
	return check->facts->cpu_problem ? check->facts->cpu_problem(check->facts->context, cpu)
					 : NULL;
}

static void check_machine(struct check *check)
{
	const struct config_number *cpu = &check->config->machine.housekeeping;
	bool absent = check->facts->cpu_count && cpu->value >= check->facts->cpu_count;
	const char *problem = NULL;
	char number[SIZE_TEXT], last[SIZE_TEXT];

	check->verdict->housekeeping = (uint32_t)cpu->value;
	if (!absent && cpu->value)
		problem = cpu_problem(check, (unsigned)cpu->value);
	if (!absent && !problem)
		return;
	check->verdict->housekeeping = 0;
	number_text(number, cpu->value);
	number_text(last, check->facts->cpu_count - 1);
	config_errors_add(check->errors,
		absent ? CONFIG_HOUSEKEEPING_ABSENT : CONFIG_HOUSEKEEPING_UNUSABLE, cpu->at,
		"machine.housekeeping", number, absent ? last : problem, NULL);
}

static void check_file(
	struct check *check, unsigned image, const char *key, const struct config_string *path)
{
	uint64_t size = 0;
	int status;

	if (!path->text || !check->facts->file_size)
		return;
	status = check->facts->file_size(check->facts->context, path->text, &size);
	if (status)
		stop_image(check, image,
			status == E_NOENT ? CONFIG_FILE_MISSING : CONFIG_FILE_UNREADABLE, path->at,
			key, path->text);
	else
		check->image_bytes[image] = add_saturating(check->image_bytes[image], size);
}

static void check_image(struct check *check, unsigned index)
{
	const struct config_image *image = &check->config->images[index];

	check->verdict->image_bad[index] = image->bad;
	check_file(check, index, "kernel", &image->kernel);
	check_file(check, index, "initrd", &image->initrd);
}

/* ---- Each guest by itself -------------------------------------------------------------------- */

static void check_guest_image(struct check *check, unsigned index)
{
	const struct config *config = check->config;
	const struct config_guest *guest = &config->guests[index];
	struct config_guess guess;

	if (!guest->image.text)
		return;
	if (guest->image_index >= 0) {
		if (check->verdict->image_bad[guest->image_index])
			stop_guest(check, index, CONFIG_IMAGE_BAD, guest->image.at,
				guest->image.text, NULL);
		return;
	}
	config_guess_init(&guess, guest->image.text);
	for (unsigned i = 0; i < config->image_count; i++)
		config_guess_try(&guess, config->images[i].name);
	stop_guest(check, index, CONFIG_IMAGE_UNKNOWN, guest->image.at, guest->image.text,
		config_guess_text(&guess));
}

static bool names_cpu_before(const struct config_cpus *cpus, unsigned end)
{
	for (unsigned i = 0; i < end; i++) {
		if (cpus->cpu[i].number == cpus->cpu[end].number)
			return true;
	}
	return false;
}

static void check_guest_cpus(struct check *check, unsigned index)
{
	const struct config_cpus *cpus = &check->config->guests[index].cpus;
	unsigned cpu_count = check->facts->cpu_count;
	char number[SIZE_TEXT], last[SIZE_TEXT];

	for (unsigned i = 0; i < cpus->count; i++) {
		const struct config_cpu *cpu = &cpus->cpu[i];

		number_text(number, cpu->number);
		number_text(last, cpu_count - 1);
		if (names_cpu_before(cpus, i))
			stop_guest(check, index, CONFIG_CPU_REPEATED, cpu->at, number, NULL);
		else if (cpu_count && cpu->number >= cpu_count)
			stop_guest(check, index, CONFIG_CPU_ABSENT, cpu->at, number, last);
		else if (cpu_problem(check, cpu->number))
			stop_guest(check, index, CONFIG_CPU_UNUSABLE, cpu->at, number,
				cpu_problem(check, cpu->number));
		else if (cpu->number == check->verdict->housekeeping)
			tell_guest(check, index, CONFIG_WARN_HOUSEKEEPING_SHARED, cpu->at,
				(const char *const[3]){number});
	}
}

static void check_guest_memory(struct check *check, unsigned index)
{
	const struct config_guest *guest = &check->config->guests[index];
	uint64_t memory = guest->memory.value, files;
	char need[SIZE_TEXT];

	if (!guest->memory.at.line)
		return;
	if (memory < CONFIG_MEMORY_UNIT || memory % CONFIG_MEMORY_UNIT) {
		stop_guest(check, index, CONFIG_MEMORY_UNIT_WRONG, guest->memory.at, NULL, NULL);
		return;
	}
	if (guest->image_index < 0)
		return;
	files = add_saturating(check->image_bytes[guest->image_index], LOW_MEMORY);
	if (files <= memory)
		return;
	size_text(need, align_up(MIN(files, UINT64_MAX / 2), CONFIG_MEMORY_UNIT));
	stop_guest(check, index, CONFIG_MEMORY_FILES, guest->memory.at, guest->image.text, need);
}

static bool is_in_cycle(const struct config *config, unsigned index)
{
	int other = config->guests[index].after_index;

	for (unsigned steps = 0; other >= 0 && steps < config->guest_count; steps++) {
		if (other == (int)index)
			return true;
		other = config->guests[other].after_index;
	}
	return false;
}

static void check_guest_after(struct check *check, unsigned index)
{
	const struct config *config = check->config;
	const struct config_guest *guest = &config->guests[index];
	struct config_guess guess;

	if (!guest->after.text)
		return;
	if (guest->after_index >= 0) {
		if (is_in_cycle(config, index))
			tell_guest(check, index, CONFIG_AFTER_CYCLE, guest->after.at,
				(const char *const[3]){guest->name, guest->after.text,
					guest->after_index == (int)index ? ""
									 : ", which waits for it"});
		else if (config->guests[guest->after_index].restart == CONFIG_RESTART_ALWAYS)
			tell_guest(check, index, CONFIG_AFTER_ALWAYS, guest->after.at,
				(const char *const[3]){guest->after.text});
		else
			return;
		check->verdict->guest_bad[index] = true;
		return;
	}
	config_guess_init(&guess, guest->after.text);
	for (unsigned i = 0; i < config->guest_count; i++)
		config_guess_try(&guess, config->guests[i].name);
	stop_guest(check, index, CONFIG_AFTER_UNKNOWN, guest->after.at, guest->after.text,
		config_guess_text(&guess));
}

static void check_guest(struct check *check, unsigned index)
{
	check->verdict->guest_bad[index] = check->config->guests[index].bad;
	check_guest_image(check, index);
	check_guest_cpus(check, index);
	check_guest_memory(check, index);
	check_guest_after(check, index);
}

/* ---- Guests together ------------------------------------------------------------------------- */

/* True when one of the two waits, through however many others, for the other. */
static bool is_chain(const struct config *config, unsigned a, unsigned b)
{
	int other = config->guests[a].after_index;

	for (; other >= 0; other = config->guests[other].after_index) {
		if (other == (int)b)
			return true;
	}
	for (other = config->guests[b].after_index; other >= 0;
		other = config->guests[other].after_index) {
		if (other == (int)a)
			return true;
	}
	return false;
}

static bool names_cpu(const struct config_cpus *cpus, uint16_t number)
{
	for (unsigned i = 0; i < cpus->count; i++) {
		if (cpus->cpu[i].number == number)
			return true;
	}
	return false;
}

static void check_cpu_taken(struct check *check, unsigned index, const struct config_cpu *cpu)
{
	const struct config *config = check->config;
	char number[SIZE_TEXT];

	for (unsigned k = 0; k < check->admitted_count; k++) {
		unsigned other = check->admitted[k];

		if (!names_cpu(&config->guests[other].cpus, cpu->number) ||
			is_chain(config, index, other))
			continue;
		number_text(number, cpu->number);
		stop_guest(check, index, CONFIG_CPU_TAKEN, cpu->at, number,
			config->guests[other].name);
		return;
	}
}

static void check_cpus_taken(struct check *check, unsigned index)
{
	const struct config_cpus *cpus = &check->config->guests[index].cpus;

	for (unsigned i = 0; i < cpus->count; i++)
		check_cpu_taken(check, index, &cpus->cpu[i]);
}

/*
 * The most memory that the first `count` admitted guests can need at once. A guest and those that
 * wait for it never run together, so a guest's branch needs the larger of its own memory and the
 * sum of the branches behind it. Going backwards, these are complete when the guest comes.
 */
static uint64_t most_memory(const struct check *check, unsigned count)
{
	uint64_t behind[CONFIG_GUESTS_MAX] = {0}, total = 0;

	while (count--) {
		unsigned index = check->admitted[count];
		const struct config_guest *guest = &check->config->guests[index];
		uint64_t branch = MAX(guest->memory.value, behind[index]);
		uint64_t *sum = guest->after_index < 0 ? &total : &behind[guest->after_index];

		*sum = add_saturating(*sum, branch);
	}
	return total;
}

static void check_memory_full(struct check *check, unsigned index)
{
	const struct config_guest *guest = &check->config->guests[index];
	uint64_t all = check->facts->memory_bytes, before, after;
	char want[SIZE_TEXT], left[SIZE_TEXT], total[SIZE_TEXT];

	if (!all)
		return;
	before = most_memory(check, check->admitted_count);
	check->admitted[check->admitted_count] = (uint8_t)index;
	after = most_memory(check, check->admitted_count + 1);
	if (after <= all)
		return;
	size_text(want, guest->memory.value);
	/* What its own chain already counts is its to use as well. */
	size_text(left, all - before + (guest->memory.value - (after - before)));
	size_text(total, all);
	tell_guest(check, index, CONFIG_MEMORY_FULL, guest->memory.at,
		(const char *const[3]){want, left, total});
	check->verdict->guest_bad[index] = true;
}

static void decide(struct check *check, unsigned index)
{
	const struct config_guest *guest = &check->config->guests[index];
	bool *bad = &check->verdict->guest_bad[index];

	check->decided[index] = true;
	if (guest->after_index >= 0 && check->verdict->guest_bad[guest->after_index])
		stop_guest(
			check, index, CONFIG_AFTER_BAD, guest->after.at, guest->after.text, NULL);
	if (!*bad)
		check_cpus_taken(check, index);
	if (!*bad)
		check_memory_full(check, index);
	if (!*bad)
		check->admitted[check->admitted_count++] = (uint8_t)index;
}

/*
 * First come, first served in file order; whom a guest waits for comes before it. Members of a
 * cycle are bad already and count as decided.
 */
static void decide_all(struct check *check)
{
	const struct config *config = check->config;

	for (unsigned i = 0; i < config->guest_count; i++)
		check->decided[i] = is_in_cycle(config, i);
	for (unsigned i = 0; i < config->guest_count; i++) {
		while (!check->decided[i]) {
			unsigned first = i;
			int after = config->guests[first].after_index;

			while (after >= 0 && !check->decided[after]) {
				first = (unsigned)after;
				after = config->guests[first].after_index;
			}
			decide(check, first);
		}
	}
}

void config_check(const struct config *config, const struct config_machine_facts *facts,
	struct config_verdict *verdict, struct config_errors *errors)
{
	struct check check = {
		.config = config, .facts = facts, .verdict = verdict, .errors = errors};

	memset(verdict, 0, sizeof(*verdict));
	check_machine(&check);
	for (unsigned i = 0; i < config->image_count; i++)
		check_image(&check, i);
	for (unsigned i = 0; i < config->guest_count; i++)
		check_guest(&check, i);
	decide_all(&check);
}
