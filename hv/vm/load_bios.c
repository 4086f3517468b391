/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot 1 starts a kernel on a PC whose BIOS has run, so what a BIOS leaves in memory is there:
 * real-mode interrupt vectors with handlers behind them, and the entry that reboots. There are no
 * BIOS services: callers are told so, as a BIOS does for functions that it does not have. What the
 * BIOS has done to the devices is pc_bios.c's. Pure; no lock.
 */
#include "hv/vm/load_priv.h"
#include "hv/lib/string.h"

#define SEGMENT      0xf000u
#define SEGMENT_BASE (SEGMENT << 4)
#define HANDLERS     0xff00u /* offset in the segment */
#define REBOOT       0xfff0u
#define VECTORS      256u

#define VECTOR_TICK 0x08u
#define VECTOR_IRQ8 0x70u
#define VECTOR_KEY  0x1bu /* Ctrl-Break, and behind it the hook that is called at each tick */

/* IRQ 0: counts at 0040:006C, without the wrap at midnight; then INT 1Ch, then EOI. */
static const char on_tick[] = "\x1e\x50\x31\xc0\x8e\xd8"      /* push ds, ax; ds = 0 */
			      "\x66\xff\x06\x6c\x04\xcd\x1c"  /* inc dword [46Ch]; int 1Ch */
			      "\xb0\x20\xe6\x20\x58\x1f\xcf"; /* EOI; pop ax, ds; iret */
static const char on_irq[] = "\x50\xb0\x20\xe6\x20\x58\xcf";  /* EOI of the first PIC */
static const char on_irq_8[] = "\x50\xb0\x20\xe6\xa0\xe6\x20\x58\xcf"; /* of both */
/* A service that is not there: CF in the caller's flags, above its IP and CS. */
static const char on_call[] = "\x55\x89\xe5\x80\x4e\x06\x01" /* push bp; or byte [sp + 6], 1 */
			      "\xb4\x86\x5d\xcf";            /* mov ah, 86h; pop bp; iret */
static const char on_other[] = "\xcf";
/* A pulse of the keyboard controller's reset line. */
static const char on_reboot[] = "\xb0\xfe\xe6\x64\xf4\xeb\xfd";

/* Vectors from `first` on, as many as `count`, lead to code of `size` bytes; the last row wins. */
static const struct {
	const char *code;
	uint8_t size;
	uint8_t first;
	uint16_t count;
} handlers[] = {
	{on_call, sizeof(on_call) - 1, 0, VECTORS},
	{on_other, sizeof(on_other) - 1, 0, VECTOR_TICK}, /* exceptions */
	{on_other, sizeof(on_other) - 1, VECTOR_KEY, 2},
	{on_irq, sizeof(on_irq) - 1, VECTOR_TICK, 8},
	{on_irq_8, sizeof(on_irq_8) - 1, VECTOR_IRQ8, 8},
	{on_tick, sizeof(on_tick) - 1, VECTOR_TICK, 1},
};

int load_bios(const struct load_ctx *ctx)
{
	uint32_t *vectors = guest_mem_map(ctx->mem, 0, VECTORS * sizeof(*vectors), NULL);
	char *code = guest_mem_map(
		ctx->mem, SEGMENT_BASE + HANDLERS, MIB(1) - SEGMENT_BASE - HANDLERS, NULL);
	uint16_t at = 0;

	_Static_assert(sizeof(on_reboot) - 1 <= 0x10000 - REBOOT, "the segment's end");
	if (!vectors || !code)
		return E_RANGE;
	for (unsigned i = 0; i < ARRAY_SIZE(handlers); i++) {
		memcpy(code + at, handlers[i].code, handlers[i].size);
		for (unsigned v = 0; v < handlers[i].count; v++)
			vectors[handlers[i].first + v] = SEGMENT << 16 | (HANDLERS + at);
		at += handlers[i].size;
	}
	memcpy(code + REBOOT - HANDLERS, on_reboot, sizeof(on_reboot) - 1);
	return OK;
}
