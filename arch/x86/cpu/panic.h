/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the hypervisor when it finds itself broken: never the answer to anything a guest did.
 * Prints by polling the UART, then shows the same on the screen; needs no lock, stops the other
 * CPUs, stays.
 */
#ifndef ARCH_X86_CPU_PANIC_H
#define ARCH_X86_CPU_PANIC_H

#include "hv/lib/types.h"

struct trap_frame;

NORETURN void panic(const char *format, ...) PRINTF(1, 2);
/* With the registers and the backtrace of a trap. */
NORETURN void panic_trap(const struct trap_frame *frame, const char *format, ...) PRINTF(2, 3);
/* True once some CPU panics: NMI handlers then halt. */
bool panic_in_progress(void);

/* Our own invariants. Never on a guest's or a user's data. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (UNLIKELY(!(condition)))                                                        \
			panic("%s:%d: CHECK(%s) failed", __FILE__, __LINE__, #condition);          \
	} while (0)

/*
 * "function+0x1c" of a code address, from the table of symbols in the image; the address itself if
 * unknown. Returns the length stored.
 */
size_t panic_symbol(char *buf, size_t size, uint64_t address);

#endif
