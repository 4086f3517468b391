/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What payload guests are written with: console, checks, faults that are expected, interrupts,
 * time. A payload defines PAYLOAD("name") and payload_run(). It must not know the hypervisor's
 * insides, only the PC that it is promised. Interrupts are off unless a payload switches them on.
 * It has one CPU unless it starts others (smp.h), which may print and check; the rest says so.
 */
#ifndef GUESTS_RUNTIME_GUEST_H
#define GUESTS_RUNTIME_GUEST_H

#include "arch/x86/cpu/insn.h"
#include "hv/abi/payload.h"
#include "hv/lib/types.h"

#define PAYLOAD(name) const char guest_name[] = name

extern const char guest_name[];
extern const struct payload_info *guest_info;

/* The payload itself. When it returns, the guest prints PASS or FAIL and exits with 0 or 1. */
void payload_run(void);

/* ---- guest.c ---- */

/* The port of `exit_port` in the configs of all tests. */
#define GUEST_EXIT_PORT 0xf4

void print(const char *format, ...) PRINTF(1, 2);
/* Bring the UART back to a state in which print() works. */
void console_init(void);
/* Prints `FAIL text` and counts when the condition does not hold; returns it. */
bool check(bool holds, const char *format, ...) PRINTF(2, 3);
unsigned check_failures(void);
NORETURN void guest_exit(uint32_t value);

const char *guest_cmdline(void);
/* The decimal number in the command line, or `otherwise` if there is none. */
uint64_t guest_number(uint64_t otherwise);
/* End of RAM below 4 GiB: the first address that is nobody's. */
uint64_t guest_ram_end(void);
/* Whether the hypervisor below is Bulkhead: what only it promises is checked only then. */
bool on_bulkhead(void);
/* The CPU is QEMU's own (no KVM), which lets a few things pass that real ones do not. */
bool on_qemu_cpu(void);

/* Call fn for each piece of usable RAM that neither the image nor the loader's area occupies. */
void guest_free_ram(void (*fn)(uint64_t base, uint64_t end));

/* ---- trap.c ---- */

/* As start.S pushes it. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "start.S");

/* Selectors of the runtime's GDT. */
#define GUEST_CS     0x08
#define GUEST_DS     0x10
#define GUEST_TSS    0x18
#define GUEST_USER32 0x2b
#define GUEST_USERDS 0x33
#define GUEST_USERCS 0x3b
#define GUEST_TSS_AP 0x40 /* of CPU 1; the others follow */

struct trap_fault {
	uint64_t vector, error, rip, cr2;
};
/* The last exception that trap_try() or the exception table caught. */
extern struct trap_fault trap_last;

void trap_init(void);
void trap_init_cpu(unsigned cpu);
/* The number of this CPU, from its task register. */
unsigned smp_id(void);
bool trap_try(void (*fn)(uint64_t), uint64_t arg);
/* Copy an instruction behind a label, run it, return: the vector it raises, or -1. */
int trap_run(const uint8_t *code, unsigned size);
/* fn(arg) must raise exactly this exception. */
void check_fault(unsigned vector, void (*fn)(uint64_t), uint64_t arg, const char *text);
/* The same for an instruction. vector -1: it must not fault. */
void check_code(int vector, const uint8_t *code, unsigned size, const char *text);

/*
 * What happens at a vector instead of the default, which is: exceptions end the payload,
 * interrupts are counted, logged and acknowledged at the LAPIC (unless irq_manual_eoi). NULL: the
 * default again.
 */
void trap_set_handler(unsigned vector, void (*handler)(struct trap_frame *frame));
extern struct desc_ptr trap_idt;
/* Use stack n (1 - 7) of the TSS for a vector; 0: the stack in use. */
void trap_set_ist(unsigned vector, unsigned index, uint64_t stack_top);
/* The stack for exceptions from user mode. */
void trap_set_kernel_stack(uint64_t stack_top);

#define IRQ_LOG_SIZE 64
extern volatile unsigned irq_count[256];        /* of CPU 0, as the log */
extern volatile unsigned irq_cpu_count[8][256]; /* of each */
extern volatile uint8_t irq_log[IRQ_LOG_SIZE];  /* vectors in the order of delivery */
extern volatile unsigned irq_logged;
extern volatile bool irq_manual_eoi;
void irq_forget(void);
/* Let pending interrupts in for a moment. */
void irq_open(void);

/* ---- apic.c ---- */

void apic_init(void);
/* The LAPIC of a further CPU: enabled, its pins and timer masked. */
void apic_init_cpu(void);
bool apic_has_x2apic(void);
/* From any mode to xAPIC or x2APIC; the registers are as after reset, then software-enabled. */
void apic_set_x2apic(bool on);
uint32_t apic_read(unsigned offset);
void apic_write(unsigned offset, uint32_t value);
void apic_eoi(void);
/* The interrupt command register; dest is an APIC id. */
void apic_send(uint32_t dest, uint32_t command);
void apic_self(unsigned vector);
bool apic_pending(unsigned vector);    /* in IRR */
bool apic_in_service(unsigned vector); /* in ISR */

uint32_t ioapic_read(unsigned index);
void ioapic_write(unsigned index, uint32_t value);
void ioapic_route(unsigned pin, uint64_t entry);

/* ---- time.c ---- */

#define TIME_VECTOR 0xef

void time_init(void);
uint64_t time_hz(void); /* of the TSC */
uint64_t time_us_to_tsc(uint64_t us);
uint64_t time_tsc_to_us(uint64_t tsc);
uint32_t pm_timer(void);
void delay_us(uint64_t us);
/* Sleep with HLT until the TSC has this value; uses the LAPIC timer and TIME_VECTOR. */
void time_sleep_until(uint64_t tsc);
/* Arm the LAPIC timer once, with TIME_VECTOR. */
void time_arm(uint64_t tsc);

/* ---- regs.c ---- */

/*
 * Switch SSE on and choose the values.
 */
void regs_init(uint64_t seed);
/*
 * Load all GPRs and XMMs, leave the CPU (HLT with interrupts on, or OUT): the quadword that
 * changed, or -1.
 */
int regs_changed(bool sleep);

#endif
