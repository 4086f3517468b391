/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-over ABI between the loader (boot/) and the hypervisor: the only thing both know.
 *
 * At entry to the hypervisor, on the boot CPU, after ExitBootServices:
 *   - 64-bit mode, interrupts off, no firmware timer armed; RDI = address of struct bootinfo, RSP
 *     valid only until the hypervisor switches to its own stack. GDT and IDT are the firmware's.
 *   - CR3 holds tables built by the loader, in loader memory: the first 4 GiB and all RAM of the
 *     memory map that is not the firmware's are identity-mapped (writable), and the hypervisor's
 *     image is mapped at its linked address (HV_VIRT_BASE), offset for offset from hv_phys.
 *   - Every pointer in bootinfo is a physical address. bootinfo, the arrays it points to, the page
 *     tables and the loader's stack lie in BOOT_MEM_LOADER ranges: free once copied.
 *   - Files lie in BOOT_MEM_FILES ranges, the hypervisor's image in a BOOT_MEM_HYPERVISOR range.
 */
#ifndef BOOT_BOOTINFO_H
#define BOOT_BOOTINFO_H

#include <stdint.h>

#define BOOTINFO_MAGIC   0x4448454b4c55422full /* "/BULKHED" as bytes */
#define BOOTINFO_VERSION 3u

#define HV_VIRT_BASE 0xffffffff80000000ull

enum boot_mem_type {
	BOOT_MEM_FREE = 1,       /* write-back RAM, nobody's after the hand-over */
	BOOT_MEM_LOADER = 2,     /* as FREE once the hypervisor has copied bootinfo */
	BOOT_MEM_HYPERVISOR = 3, /* the hypervisor's image */
	BOOT_MEM_FILES = 4,      /* files of the config, page aligned */
	BOOT_MEM_ACPI = 5,       /* tables: readable RAM, never given out */
	BOOT_MEM_FIRMWARE = 6,   /* runtime services, reserved: never touched */
	BOOT_MEM_MMIO = 7,
};

struct bootinfo_mem {
	uint64_t base; /* page aligned */
	uint64_t size; /* bytes, a multiple of 4096, never 0 */
	uint32_t type; /* enum boot_mem_type */
	uint32_t reserved;
};

#define BOOT_PATH_MAX 160

struct bootinfo_file {
	char path[BOOT_PATH_MAX]; /* as the config names it, '/'-separated, NUL-terminated */
	uint64_t base;            /* 2 MiB aligned; 0 if the file could not be read */
	uint64_t size;            /* bytes */
	int32_t status;           /* 0, or why not: -1 not found, -2 no memory, -3 read error */
	uint32_t reserved;
};

struct bootinfo_cpu {
	uint32_t apic_id;
	uint32_t flags; /* BOOT_CPU_* */
};
#define BOOT_CPU_ENABLED 1u
#define BOOT_CPU_BSP     2u

struct bootinfo_framebuffer {
	uint64_t base, size; /* base 0: none */
	uint32_t width, height;
	uint32_t pitch; /* bytes from one line to the next */
	uint32_t bgr;   /* 1: blue is the low byte, 0: red is; always 32 bits per pixel */
};

/* What ACPI's tables say; ports and addresses are 0 where they say nothing. */
struct bootinfo_acpi {
	uint64_t hpet; /* register block */
	/* Memory-mapped configuration space of PCI segment 0: where bus 0 lies or would lie. */
	uint64_t ecam;
	uint16_t pm1a_cnt, pm1b_cnt, pm_timer, smi_cmd, reset_port;
	uint8_t reset_value, acpi_enable;
	uint8_t has_s5, slp_typ_a, slp_typ_b; /* the types count only with has_s5 */
	uint8_t ecam_first_bus, ecam_last_bus;
	uint8_t reserved[7];
};

struct bootinfo {
	uint64_t magic;
	uint32_t version;
	uint32_t size;     /* sizeof(struct bootinfo) */
	uint32_t checksum; /* chosen so that all 32-bit words of the struct add up to 0 */
	uint32_t reserved;

	uint64_t hv_phys; /* where HV_VIRT_BASE lies, 2 MiB aligned */
	uint64_t hv_size; /* bytes, with bss */

	/* Sorted, disjoint, neighbours of one type merged: struct bootinfo_mem[mem_count]. */
	uint64_t mem;
	/* In the order of the config, no path twice: struct bootinfo_file[file_count]. */
	uint64_t files;
	/*
	 * In ACPI's order, enabled if MP Services call it usable too; one list where there is no
	 * other, perhaps none: struct bootinfo_cpu[cpu_count].
	 */
	uint64_t cpus;
	uint32_t mem_count, file_count, cpu_count;
	uint32_t trampoline; /* a LOADER page below 1 MiB for starting CPUs, 0: none */

	uint64_t config;      /* text of bulkhead.toml, not NUL-terminated, in a LOADER range */
	uint64_t config_size; /* bytes */
	uint64_t rsdp;        /* physical address, 0: this firmware has no ACPI */
	uint64_t unix_time;   /* seconds since 1970 by the firmware's clock, 0: unknown */
	struct bootinfo_framebuffer framebuffer;
	struct bootinfo_acpi acpi;
};

_Static_assert(sizeof(struct bootinfo_mem) == 24, "hand-over ABI");
_Static_assert(sizeof(struct bootinfo_file) == 184, "hand-over ABI");
_Static_assert(sizeof(struct bootinfo_cpu) == 8, "hand-over ABI");
_Static_assert(sizeof(struct bootinfo_framebuffer) == 32, "hand-over ABI");
_Static_assert(sizeof(struct bootinfo_acpi) == 40, "hand-over ABI");
_Static_assert(sizeof(struct bootinfo) == 184, "hand-over ABI");

/* Sum of the structure's 32-bit words: 0 when the checksum field is right. */
static inline uint32_t bootinfo_sum(const struct bootinfo *bi)
{
	const uint32_t *word = (const uint32_t *)(const void *)bi;
	uint32_t sum = 0;

	for (unsigned i = 0; i < sizeof(*bi) / 4; i++)
		sum += word[i];
	return sum;
}

#endif
