/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/config/config.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

#define SUBJECT_MAX 48u /* "guest." and a name */

/* One table of the file being read into its object. */
struct reader {
	struct config *config;
	struct config_errors *errors;
	bool bad;
	char subject[SUBJECT_MAX];
};

struct key {
	const char *name;
	enum toml_type type;
	bool required;
	void (*read)(
		struct reader *r, const struct toml_node *node, const struct key *key, void *field);
	size_t offset;              /* of the field in the object */
	const char *const *choices; /* of read_choice: the names of an enum's values, then NULL */
};

static void complain(struct reader *r, enum config_error code, struct config_place at,
	const char *a, const char *b, const char *c)
{
	config_errors_add(r->errors, code, at, r->subject[0] ? r->subject : NULL, a, b, c);
	r->bad = true;
}

static void complain_number(
	struct reader *r, enum config_error code, struct config_place at, int64_t number)
{
	char text[24];

	fmt_string(text, sizeof(text), "%ld", (long)number);
	complain(r, code, at, text, NULL, NULL);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool is_printable(const char *text)
{
	while (*text >= ' ' && *text <= '~')
		text++;
	return !*text;
}

/* True when every part between slashes is a name; a leading slash is another mistake. */
static bool has_good_components(const char *path)
{
	size_t length;

	for (;; path += length + 1) {
		for (length = 0; path[length] && path[length] != '/';)
			length++;
		if (length == 0 || (length <= 2 && strncmp(path, "..", length) == 0))
			return false;
		if (!path[length])
			return true;
	}
}

static void read_string(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	struct config_string *string = field;

	(void)r;
	(void)key;
	*string = (struct config_string){node->value.string, node->value_at};
}

static void read_boolean(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	bool *boolean = field;

	(void)r;
	(void)key;
	*boolean = node->value.boolean;
}

static void read_switch(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	enum config_switch *sw = field;

	(void)r;
	(void)key;
	*sw = node->value.boolean ? CONFIG_SWITCH_ON : CONFIG_SWITCH_OFF;
}

/* The field stays empty when something is wrong: nobody opens such a path. */
static void read_path(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	const char *path = node->value.string;
	struct config_place at = node->value_at;
	char limit[8];

	fmt_string(limit, sizeof(limit), "%u", CONFIG_PATH_MAX);
	if (!*path)
		complain(r, CONFIG_PATH_EMPTY, at, key->name, NULL, NULL);
	else if (!is_printable(path) || strchr(path, '\\'))
		complain(r, CONFIG_PATH_CHARACTER, at, key->name, NULL, NULL);
	else if (strlen(path) > CONFIG_PATH_MAX)
		complain(r, CONFIG_PATH_TOO_LONG, at, key->name, limit, NULL);
	else if (*path == '/')
		complain(r, CONFIG_PATH_ABSOLUTE, at, key->name, NULL, NULL);
	else if (!has_good_components(path))
		complain(r, CONFIG_PATH_COMPONENT, at, key->name, NULL, NULL);
	else
		read_string(r, node, key, field);
}

static void read_cmdline(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	if (!is_printable(node->value.string))
		complain(r, CONFIG_CMDLINE_CHARACTER, node->value_at, NULL, NULL, NULL);
	else if (strlen(node->value.string) > CONFIG_CMDLINE_MAX)
		complain_number(r, CONFIG_CMDLINE_TOO_LONG, node->value_at, CONFIG_CMDLINE_MAX);
	else
		read_string(r, node, key, field);
}

static void read_choice(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	unsigned *choice = field;
	struct config_guess guess;

	config_guess_init(&guess, node->value.string);
	for (unsigned i = 0; key->choices[i]; i++) {
		if (strcmp(key->choices[i], node->value.string) == 0) {
			*choice = i;
			return;
		}
		config_guess_try(&guess, key->choices[i]);
	}
	complain(r, CONFIG_CHOICE_INVALID, node->value_at, key->name, node->value.string,
		config_guess_text(&guess));
}

static bool parse_cpu(struct reader *r, const struct toml_node *node, uint16_t *number)
{
	int64_t value = node->value.integer;

	if (node->type != TOML_INTEGER) {
		complain(r, CONFIG_WRONG_TYPE, node->value_at, "a CPU",
			toml_type_name(TOML_INTEGER), toml_type_name(node->type));
		return false;
	}
	if (value < 0 || value > UINT16_MAX) {
		complain_number(r, CONFIG_CPU_NUMBER, node->value_at, value);
		return false;
	}
	*number = (uint16_t)value;
	return true;
}

static void read_cpu(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	struct config_number *cpu = field;
	uint16_t number;

	(void)key;
	if (parse_cpu(r, node, &number))
		*cpu = (struct config_number){number, node->value_at};
}

static void read_cpus(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	struct config_cpus *cpus = field;
	const struct toml_node *element = toml_first(&r->config->doc, node);

	(void)key;
	cpus->at = node->value_at;
	if (!element)
		complain(r, CONFIG_CPUS_EMPTY, node->value_at, NULL, NULL, NULL);
	for (; element; element = toml_next(&r->config->doc, element)) {
		struct config_cpu *cpu = &cpus->cpu[cpus->count];

		if (cpus->count == CONFIG_CPUS_MAX) {
			complain_number(
				r, CONFIG_CPUS_TOO_MANY, element->value_at, CONFIG_CPUS_MAX);
			return;
		}
		if (!parse_cpu(r, element, &cpu->number))
			continue;
		cpu->at = element->value_at;
		cpus->count++;
	}
}

static void read_size(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	struct config_number *size = field;
	uint64_t bytes;
	int status = config_parse_size(node->value.string, &bytes);

	if (status)
		complain(r, status == E_RANGE ? CONFIG_SIZE_RANGE : CONFIG_SIZE_MALFORMED,
			node->value_at, key->name, node->value.string, NULL);
	else
		*size = (struct config_number){bytes, node->value_at};
}

static void read_port(
	struct reader *r, const struct toml_node *node, const struct key *key, void *field)
{
	struct config_number *port = field;
	int64_t value = node->value.integer;

	(void)key;
	if (value < 1 || value > UINT16_MAX)
		complain_number(r, CONFIG_PORT_RANGE, node->value_at, value);
	else
		*port = (struct config_number){(uint64_t)value, node->value_at};
}

int config_parse_size(const char *text, uint64_t *bytes)
{
	uint64_t v = 0;
	unsigned shift, digits = 0;
	bool overflow = false;

	for (; *text >= '0' && *text <= '9'; text++, digits++) {
		unsigned digit = (unsigned)(*text - '0');

		overflow |= v > (UINT64_MAX - digit) / 10;
		v = v * 10 + digit;
	}
	switch (*text) {
	case 'K': shift = 10; break;
	case 'M': shift = 20; break;
	case 'G': shift = 30; break;
	default: return E_INVAL;
	}
	if (!digits || text[1])
		return E_INVAL;
	if (overflow || v > UINT64_MAX >> shift)
		return E_RANGE;
	*bytes = v << shift;
	return 0;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static const char *const consoles[] = {[CONFIG_CONSOLE_COM1] = "com1", NULL};
static const char *const all_stopped[] = {
	[CONFIG_ALL_STOPPED_STAY] = "stay",
	[CONFIG_ALL_STOPPED_POWEROFF] = "poweroff",
	[CONFIG_ALL_STOPPED_REBOOT] = "reboot",
	NULL,
};
static const char *const restarts[] = {
	[CONFIG_RESTART_NO] = "no",
	[CONFIG_RESTART_ON_FAILURE] = "on-failure",
	[CONFIG_RESTART_ALWAYS] = "always",
	NULL,
};

#define MACHINE(field) offsetof(struct config_machine, field)
static const struct key machine_keys[] = {
	{"console", TOML_STRING, false, read_choice, MACHINE(console), consoles},
	{"housekeeping", TOML_INTEGER, false, read_cpu, MACHINE(housekeeping), NULL},
	{"color", TOML_BOOLEAN, false, read_boolean, MACHINE(color), NULL},
	{"apic_virtualization", TOML_BOOLEAN, false, read_switch, MACHINE(apic_virtualization),
		NULL},
	{"when_all_stopped", TOML_STRING, false, read_choice, MACHINE(when_all_stopped),
		all_stopped},
	{.name = NULL},
};

#define IMAGE(field) offsetof(struct config_image, field)
static const struct key image_keys[] = {
	{"kernel", TOML_STRING, true, read_path, IMAGE(kernel), NULL},
	{"initrd", TOML_STRING, false, read_path, IMAGE(initrd), NULL},
	{"cmdline", TOML_STRING, false, read_cmdline, IMAGE(cmdline), NULL},
	{.name = NULL},
};

#define GUEST(field) offsetof(struct config_guest, field)
static const struct key guest_keys[] = {
	{"image", TOML_STRING, true, read_string, GUEST(image), NULL},
	{"cpus", TOML_ARRAY, true, read_cpus, GUEST(cpus), NULL},
	{"memory", TOML_STRING, true, read_size, GUEST(memory), NULL},
	{"cmdline", TOML_STRING, false, read_cmdline, GUEST(cmdline), NULL},
	{"restart", TOML_STRING, false, read_choice, GUEST(restart), restarts},
	{"after", TOML_STRING, false, read_string, GUEST(after), NULL},
	{"exit_port", TOML_INTEGER, false, read_port, GUEST(exit_port), NULL},
	{"debug_mmio", TOML_BOOLEAN, false, read_boolean, GUEST(debug_mmio), NULL},
	{.name = NULL},
};

/* ---- Tables ---------------------------------------------------------------------------------- */

static void read_key(
	struct reader *r, const struct toml_node *node, const struct key *keys, void *object)
{
	struct config_guess guess;

	config_guess_init(&guess, node->key);
	for (const struct key *key = keys; key->name; key++) {
		config_guess_try(&guess, key->name);
		if (strcmp(key->name, node->key) != 0)
			continue;
		if (node->type == key->type)
			key->read(r, node, key, (char *)object + key->offset);
		else
			complain(r, CONFIG_WRONG_TYPE, node->value_at, key->name,
				toml_type_name(key->type), toml_type_name(node->type));
		return;
	}
	complain(r, CONFIG_UNKNOWN_KEY, node->key_at, node->key, config_guess_text(&guess), NULL);
}

static bool has_key(const struct toml_doc *doc, const struct toml_node *table, const char *name)
{
	const struct toml_node *n = toml_first(doc, table);

	while (n && strcmp(n->key, name) != 0)
		n = toml_next(doc, n);
	return n;
}

/* True when a mistake was found. */
static bool read_object(
	struct reader *r, const struct toml_node *table, const struct key *keys, void *object)
{
	const struct toml_doc *doc = &r->config->doc;

	r->bad = false;
	for (const struct toml_node *n = toml_first(doc, table); n; n = toml_next(doc, n))
		read_key(r, n, keys, object);
	for (const struct key *key = keys; key->name; key++) {
		if (key->required && !has_key(doc, table, key->name))
			complain(r, CONFIG_KEY_MISSING, table->key_at, key->name, NULL, NULL);
	}
	return r->bad;
}

static bool is_name(const char *text)
{
	size_t length = 0;

	for (; text[length]; length++) {
		char c = text[length];
		bool inner = length > 0 && c == '-';

		if (!inner && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			return false;
	}
	return length >= 1 && length <= CONFIG_NAME_MAX;
}

static void read_machine(struct reader *r, const struct toml_node *table)
{
	fmt_string(r->subject, sizeof(r->subject), "machine");
	read_object(r, table, machine_keys, &r->config->machine);
}

static void read_image(struct reader *r, const struct toml_node *table)
{
	struct config_image *image = &r->config->images[r->config->image_count];

	if (r->config->image_count == CONFIG_IMAGES_MAX) {
		complain_number(r, CONFIG_IMAGES_TOO_MANY, table->key_at, CONFIG_IMAGES_MAX);
		return;
	}
	r->config->image_count++;
	*image = (struct config_image){.name = table->key, .at = table->key_at};
	image->bad = read_object(r, table, image_keys, image);
}

static void read_guest(struct reader *r, const struct toml_node *table)
{
	struct config_guest *guest = &r->config->guests[r->config->guest_count];

	if (r->config->guest_count == CONFIG_GUESTS_MAX) {
		complain_number(r, CONFIG_GUESTS_TOO_MANY, table->key_at, CONFIG_GUESTS_MAX);
		return;
	}
	r->config->guest_count++;
	*guest = (struct config_guest){
		.name = table->key, .at = table->key_at, .image_index = -1, .after_index = -1};
	guest->bad = read_object(r, table, guest_keys, guest);
}

/* [image.N] and [guest.N]. */
static void read_named(struct reader *r, const struct toml_node *parent,
	void (*read)(struct reader *r, const struct toml_node *table))
{
	const struct toml_doc *doc = &r->config->doc;

	for (const struct toml_node *n = toml_first(doc, parent); n; n = toml_next(doc, n)) {
		char header[SUBJECT_MAX];

		r->subject[0] = '\0';
		fmt_string(header, sizeof(header), "%s.NAME", parent->key);
		if (n->type != TOML_TABLE) {
			complain(r, CONFIG_TABLE_EXPECTED, n->key_at, n->key, header, NULL);
		} else if (!is_name(n->key)) {
			complain(r, CONFIG_NAME_INVALID, n->key_at, n->key, NULL, NULL);
		} else {
			fmt_string(r->subject, sizeof(r->subject), "%s.%s", parent->key, n->key);
			read(r, n);
		}
	}
}

static void read_images(struct reader *r, const struct toml_node *table)
{
	read_named(r, table, read_image);
}

static void read_guests(struct reader *r, const struct toml_node *table)
{
	read_named(r, table, read_guest);
}

static void read_top(struct reader *r, const struct toml_node *node)
{
	static const struct {
		const char *name, *header;
		void (*read)(struct reader *r, const struct toml_node *table);
	} tables[] = {
		{"machine", "machine", read_machine},
		{"image", "image.NAME", read_images},
		{"guest", "guest.NAME", read_guests},
	};
	struct config_guess guess;

	r->subject[0] = '\0';
	config_guess_init(&guess, node->key);
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		config_guess_try(&guess, tables[i].name);
		if (strcmp(tables[i].name, node->key) != 0)
			continue;
		if (node->type == TOML_TABLE)
			tables[i].read(r, node);
		else
			complain(r, CONFIG_TABLE_EXPECTED, node->key_at, node->key,
				tables[i].header, NULL);
		return;
	}
	complain(r, CONFIG_UNKNOWN_TABLE, node->key_at, node->key, config_guess_text(&guess), NULL);
}

/* ---- The config ------------------------------------------------------------------------------ */

int config_find_guest(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->guest_count; i++) {
		if (strcmp(config->guests[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static int find_image(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->image_count; i++) {
		if (strcmp(config->images[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static void resolve_names(struct config *config)
{
	for (unsigned i = 0; i < config->guest_count; i++) {
		struct config_guest *guest = &config->guests[i];

		if (guest->image.text)
			guest->image_index = find_image(config, guest->image.text);
		if (guest->after.text)
			guest->after_index = config_find_guest(config, guest->after.text);
	}
}

int config_parse(struct config *config, const char *file_name, const char *text, size_t length,
	struct config_errors *errors)
{
	struct reader r = {.config = config, .errors = errors};
	const struct toml_node *root = &config->doc.nodes[TOML_ROOT];
	int status;

	config_errors_init(errors, file_name);
	config->machine = (struct config_machine){.console = CONFIG_CONSOLE_COM1};
	config->image_count = 0;
	config->guest_count = 0;
	status = toml_parse(&config->doc, text, length, errors);
	if (status)
		return status;
	for (const struct toml_node *n = toml_first(&config->doc, root); n;
		n = toml_next(&config->doc, n))
		read_top(&r, n);
	resolve_names(config);
	return 0;
}

const struct config_image *config_guest_image(
	const struct config *config, const struct config_guest *guest)
{
	return guest->image_index < 0 ? NULL : &config->images[guest->image_index];
}

const char *config_guest_cmdline(const struct config *config, const struct config_guest *guest)
{
	const struct config_image *image = config_guest_image(config, guest);

	if (guest->cmdline.text)
		return guest->cmdline.text;
	return image && image->cmdline.text ? image->cmdline.text : "";
}

static unsigned add_path(const char **paths, unsigned count, const char *path)
{
	if (!path)
		return count;
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(paths[i], path) == 0)
			return count;
	}
	paths[count] = path;
	return count + 1;
}

unsigned config_list_files(const struct config *config, const char *paths[CONFIG_FILES_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < config->image_count; i++) {
		count = add_path(paths, count, config->images[i].kernel.text);
		count = add_path(paths, count, config->images[i].initrd.text);
	}
	return count;
}
