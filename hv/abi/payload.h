/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an ELF64 payload guest is given at its entry point. The only thing the loader and a payload
 * both know; must not know either of them. All addresses are guest-physical and below 4 GiB.
 *
 * Entry of the first vCPU (the others wait for INIT-SIPI):
 *   - 64-bit mode, paging on: the first 4 GiB are identity-mapped, writable and executable;
 *   - RDI = address of struct payload_info, RSP = top of a 16 KiB stack, RIP = the ELF entry point;
 *   - CS = 10h, DS = ES = SS = 18h flat, interrupts off, no IDT.
 *
 * The block, the map, the command line, the page tables and the stack lie in PAYLOAD_LOW_BASE ..
 * PAYLOAD_LOW_END: usable RAM that is free again once the payload has left them. Everything else
 * below 640 KiB is untouched, 1000h - FFFFh in particular (a place for a SIPI trampoline).
 */
#ifndef HV_ABI_PAYLOAD_H
#define HV_ABI_PAYLOAD_H

#include "hv/lib/types.h"

#define PAYLOAD_MAGIC    0x4c504842u /* "BHPL" as bytes */
#define PAYLOAD_VERSION  1u
#define PAYLOAD_LOW_BASE 0x10000u
#define PAYLOAD_LOW_END  0x20000u

/* Memory types as in E820. What the map does not mention is not RAM. */
#define PAYLOAD_MEM_USABLE   1u
#define PAYLOAD_MEM_RESERVED 2u
#define PAYLOAD_MEM_ACPI     3u

struct payload_mem {
	uint64_t base;
	uint64_t size; /* bytes, never 0 */
	uint32_t type; /* PAYLOAD_MEM_* */
	uint32_t reserved;
};

struct payload_info {
	uint32_t magic;
	uint32_t version;
	uint32_t size;      /* sizeof(struct payload_info): later versions only append */
	uint32_t cpu_count; /* APIC ids are 0 .. cpu_count - 1 */
	uint64_t cmdline;   /* NUL-terminated, never 0 */
	uint64_t map;       /* struct payload_mem[map_count], sorted, disjoint */
	uint32_t map_count;
	uint32_t reserved;
	uint64_t module;      /* the image's initrd, page aligned; 0: none */
	uint64_t module_size; /* bytes */
	uint64_t rsdp;        /* ACPI root pointer; 0: none */
};

_Static_assert(sizeof(struct payload_mem) == 24, "payload ABI");
_Static_assert(sizeof(struct payload_info) == 64, "payload ABI");

#endif
