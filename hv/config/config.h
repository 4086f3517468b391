/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config as a plain struct. Reading checks each value by itself; hv/config/check.h checks what
 * values mean together and on this machine. Knows no hardware and opens no file. No locks: a config
 * belongs to one caller and does not change once read.
 */
#ifndef HV_CONFIG_CONFIG_H
#define HV_CONFIG_CONFIG_H

#include "hv/config/errors.h"
#include "hv/config/toml.h"

#define CONFIG_IMAGES_MAX  64u
#define CONFIG_GUESTS_MAX  128u
#define CONFIG_CPUS_MAX    8u /* of one guest */
#define CONFIG_NAME_MAX    31u
#define CONFIG_PATH_MAX    159u /* with its NUL it fits bootinfo_file.path */
#define CONFIG_CMDLINE_MAX 1023u
#define CONFIG_FILES_MAX   (2 * CONFIG_IMAGES_MAX)

enum config_console { CONFIG_CONSOLE_COM1 };
enum config_all_stopped {
	CONFIG_ALL_STOPPED_STAY,
	CONFIG_ALL_STOPPED_POWEROFF,
	CONFIG_ALL_STOPPED_REBOOT
};
enum config_restart { CONFIG_RESTART_NO, CONFIG_RESTART_ON_FAILURE, CONFIG_RESTART_ALWAYS };

/* A place with line 0 means: not in the file, the value is the default. */
struct config_string {
	const char *text; /* NULL: not given */
	struct config_place at;
};

struct config_number {
	uint64_t value;
	struct config_place at;
};

struct config_cpu {
	uint16_t number; /* the n-th enabled CPU in firmware order, 0 = boot CPU */
	struct config_place at;
};

struct config_cpus {
	unsigned count;
	struct config_place at;
	struct config_cpu cpu[CONFIG_CPUS_MAX];
};

/* AUTO: the key is absent. */
enum config_switch { CONFIG_SWITCH_AUTO, CONFIG_SWITCH_ON, CONFIG_SWITCH_OFF };

struct config_machine {
	enum config_console console;
	enum config_all_stopped when_all_stopped;
	bool color;
	enum config_switch apic_virtualization;
	struct config_number housekeeping; /* CPU; see config_verdict.housekeeping */
};

struct config_image {
	const char *name;
	struct config_place at;
	struct config_string kernel, initrd,
		cmdline; /* paths are relative to the config's folder */
	bool bad;        /* a mistake was found while reading */
};

struct config_guest {
	const char *name;
	struct config_place at;
	struct config_string image, after, cmdline;
	int image_index; /* into config.images; -1: not given or no such image */
	int after_index; /* into config.guests; -1: not given or no such guest */
	struct config_cpus cpus;
	struct config_number memory; /* bytes */
	enum config_restart restart;
	struct config_number exit_port; /* I/O port 1..0xffff; 0: none */
	bool debug_mmio;
	bool bad; /* a mistake was found while reading */
};

/* Some 300 KiB: keep it static. Points into itself: never copied by value. */
struct config {
	struct config_machine machine;
	unsigned image_count, guest_count;
	struct config_image images[CONFIG_IMAGES_MAX]; /* in file order, as guests */
	struct config_guest guests[CONFIG_GUESTS_MAX];
	struct toml_doc doc; /* holds all strings */
};

/*
 * Read `text`. Initialises both config and errors; file_name is kept for messages.
 * E_INVAL: the file cannot be understood, config has no guests. 0: the config can be checked;
 * mistakes may have been found and their images and guests are marked bad.
 */
int config_parse(struct config *config, const char *file_name, const char *text, size_t length,
	struct config_errors *errors) MUST_CHECK;

/* The image of a guest; NULL if it names none or an unknown one. */
const struct config_image *config_guest_image(
	const struct config *config, const struct config_guest *guest);

/* The kernel command line: the guest's own, else its image's, else "". */
const char *config_guest_cmdline(const struct config *config, const struct config_guest *guest);

/* The guest's index or -1. */
int config_find_guest(const struct config *config, const char *name);

/*
 * The files that the images name, in the order of the config, none twice. Fills paths (at most
 * CONFIG_FILES_MAX, inside config) and returns their number.
 */
unsigned config_list_files(const struct config *config, const char *paths[CONFIG_FILES_MAX]);

/* "256M" → bytes: digits and one of K, M, G. 0, E_INVAL if malformed, E_RANGE beyond 64 bits. */
int config_parse_size(const char *text, uint64_t *bytes) MUST_CHECK;

#endif
