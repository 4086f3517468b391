/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions, NMIs and interrupts of the host. Exceptions go to the exception table, else panic;
 * NMIs to the CPU's nmi_handler; vectors from 32 up to a table of handlers shared by all CPUs.
 *
 * Locking: handlers are set during bring-up, before other CPUs take interrupts. They run with IF=0
 * on the interrupted stack; the EOI is sent after the handler returns.
 */
#ifndef ARCH_X86_CPU_TRAP_H
#define ARCH_X86_CPU_TRAP_H

#include "hv/lib/types.h"

/*
 * The hypervisor's own vectors. Any other may come unexpectedly: EOI if in service, counted,
 * ignored.
 */
#define VECTOR_TIMER    0xf0u
#define VECTOR_KICK     0xf1u /* makes a CPU leave its guest or its HLT */
#define VECTOR_CALL     0xf2u
#define VECTOR_ERROR    0xfeu
#define VECTOR_SPURIOUS 0xffu /* never EOI'd */

/* What trap_entry in trap_entry.S pushes; lowest address first. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct trap_frame) == 176, "matches trap_entry.S");

typedef void irq_handler(unsigned vector);

/* E_BUSY if the vector has a handler already, E_RANGE below 32. */
int irq_set_handler(unsigned vector, irq_handler *handler) MUST_CHECK;

/* Build the IDT (once) and load it (every CPU). */
void trap_init(void);
void trap_load_idt(void);

/* From trap_entry.S only. */
void trap_dispatch(struct trap_frame *frame);

/* "page fault" for 14 and so on; never NULL. */
const char *trap_name(unsigned vector);

#endif
