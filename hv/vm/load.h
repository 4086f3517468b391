/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts a guest's kernel, initrd, command line and firmware tables into its RAM and says in which
 * state its first vCPU starts: Linux bzImage, Multiboot 1 and ELF64 payloads. Pure: knows memory
 * and bytes, no vCPU, no vendor, no file system. Takes no lock: the guest does not run yet.
 *
 * Order of calls: guest_mem_layout_pc, load_layout_init, load_tables, load_guest.
 *
 * Below 1 MiB the loader uses 10000h - 1FFFFh (usable to the guest afterwards), the BIOS data
 * area's two size words, the EBDA page and F0000h - FFFFFh (ACPI root pointer, MP table).
 */
#ifndef HV_VM_LOAD_H
#define HV_VM_LOAD_H

#include "hv/lib/types.h"
#include "hv/mm/guest_mem.h"

#define LOAD_E820_MAX    12
#define LOAD_CMDLINE_MAX 4096 /* bytes with the NUL */
#define LOAD_ERROR_MAX   160
#define LOAD_VCPUS_MAX   64
#define LOAD_RAM_MIN     MIB(2)

/* Memory types as INT 15h E820 numbers them. */
enum load_mem_type {
	LOAD_MEM_USABLE = 1,
	LOAD_MEM_RESERVED = 2,
	LOAD_MEM_ACPI = 3,
};

struct load_e820 {
	gpa_t base;
	uint64_t size; /* bytes, never 0 */
	uint32_t type; /* enum load_mem_type */
};

/* Where things are in a guest's physical address space; all loaders tell their guest the same. */
struct load_layout {
	struct load_e820 map[LOAD_E820_MAX]; /* sorted, disjoint */
	unsigned map_count;
	gpa_t low_end;   /* end of usable RAM below 4 GiB: ACPI tables begin here */
	gpa_t acpi_base; /* == low_end */
	uint64_t acpi_size;
	gpa_t rsdp;     /* in F0000h - FFFFFh */
	gpa_t mp_table; /* MP floating pointer */
};

/* The kernel and initrd stay the caller's and are only read during the call. */
struct load_request {
	const void *kernel;
	uint64_t kernel_size;
	const void *initrd; /* may be NULL */
	uint64_t initrd_size;
	const char *cmdline; /* NUL-terminated; NULL: empty */
	const char *name;    /* the guest's name: first word of a Multiboot command line */
	unsigned vcpu_count;
	const struct load_layout *layout;
};

enum load_kind { LOAD_LINUX = 1, LOAD_MULTIBOOT, LOAD_ELF64 };

/*
 * 64-bit with paging, or 32-bit protected with flat segments and no paging. CS is the entry's, the
 * other five segment registers are the selector behind it, with the descriptors below (also found
 * in the GDT in guest RAM); base 0, limit 4 GiB. No IDT, no LDT, RFLAGS = 2. TR is the backend's
 * choice.
 */
enum load_mode { LOAD_MODE_LONG = 1, LOAD_MODE_FLAT32 };

#define LOAD_CS_LINUX     0x10 /* boot.rst wants these: __BOOT_CS, __BOOT_DS */
#define LOAD_CS_MULTIBOOT 0x08 /* nothing is said; old kernels' own GDTs begin so */
#define LOAD_DS(cs)       ((uint16_t)((cs) + 8))
#define LOAD_GDT_LIMIT    0x1f
#define LOAD_DESC_CODE64  0x00af9b000000ffffull
#define LOAD_DESC_CODE32  0x00cf9b000000ffffull
#define LOAD_DESC_DATA    0x00cf93000000ffffull

/* State of the first vCPU; registers not named are 0. */
struct load_entry {
	enum load_mode mode;
	uint64_t rip, rsp;
	uint64_t rax, rbx, rsi, rdi;
	uint64_t cr0, cr3, cr4, efer;
	uint16_t cs;
	gpa_t gdt_base;
	uint16_t gdt_limit;
};

/* What the guest's tables say of its CPUs. */
struct load_cpus {
	unsigned count;               /* 1 .. LOAD_VCPUS_MAX */
	uint32_t signature, features; /* CPUID leaf 1: EAX and EDX */
};

struct load_result {
	enum load_kind kind;
	struct load_entry entry;
	gpa_t kernel_base;     /* lowest address of the kernel as loaded */
	gpa_t initrd_base;     /* 0: none */
	uint64_t bytes_copied; /* file bytes moved into guest RAM */
	uint64_t bytes_cleared;
	char error[LOAD_ERROR_MAX]; /* on failure: what is wrong and where, one line; else "" */
};

/*
 * Work out the memory map for mem (laid out by guest_mem_layout_pc). E_RANGE: less than
 * LOAD_RAM_MIN.
 */
int load_layout_init(struct load_layout *layout, const struct guest_mem *mem) MUST_CHECK;

/*
 * Write ACPI tables, MP table and BIOS data area for these CPUs (APIC ids from 0) into RAM.
 * E_INVAL: their count; E_RANGE: RAM is not where layout says.
 */
int load_tables(const struct load_layout *layout, const struct guest_mem *mem,
	const struct load_cpus *cpus) MUST_CHECK;

/*
 * Recognise the kernel, check it and copy everything into RAM. On failure result->error says why;
 * RAM may then be partly written and the guest must not be started. E_UNSUP: a kind or version of
 * image that is not supported; E_INVAL: a damaged image; E_RANGE: it does not fit.
 */
int load_guest(const struct load_request *req, const struct guest_mem *mem,
	struct load_result *result) MUST_CHECK;

#endif
