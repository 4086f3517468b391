/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/cpu/trap.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_lapic.h"
#include "arch/x86/cpu/panic.h"

#define VECTORS   256u
#define STUB_SIZE 16u

/* SDM vol. 3, "64-Bit IDT Gate Descriptors" */
struct PACKED idt_gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "IDT gate, SDM vol. 3");

struct extable_entry {
	uint64_t from, to;
};
extern const struct extable_entry hv_extable_start[], hv_extable_end[];
extern const char trap_stubs[];

static struct idt_gate idt[VECTORS] ALIGNED(16);
static irq_handler *handlers[VECTORS];

void trap_init(void)
{
	static const uint8_t ist[EXC_COUNT] = {
		[EXC_NMI] = IST_NMI, [EXC_DF] = IST_DF, [EXC_MC] = IST_MC};

	for (unsigned v = 0; v < VECTORS; v++) {
		uint64_t stub = (uint64_t)&trap_stubs[v * STUB_SIZE];

		idt[v] = (struct idt_gate){
			.offset_low = (uint16_t)stub,
			.offset_mid = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
			.selector = SEL_CODE64,
			.ist = v < EXC_COUNT ? ist[v] : 0,
			.type = 0x80 | DESC_TYPE_INT_GATE,
		};
	}
}

void trap_load_idt(void)
{
	struct desc_ptr idtr = {sizeof(idt) - 1, (uint64_t)idt};

	lidt(&idtr);
}

int irq_set_handler(unsigned vector, irq_handler *handler)
{
	if (vector < EXC_COUNT || vector >= VECTORS)
		return E_RANGE;
	if (handlers[vector])
		return E_BUSY;
	handlers[vector] = handler;
	return 0;
}

const char *trap_name(unsigned vector)
{
	static const char *const names[EXC_COUNT] = {"divide error", "debug exception", "NMI",
		"breakpoint", "overflow", "bound range exceeded", "invalid opcode",
		"device not available", "double fault", "coprocessor segment overrun",
		"invalid TSS", "segment not present", "stack fault", "general protection",
		"page fault", "exception 15", "x87 error", "alignment check", "machine check",
		"SIMD error", "virtualization exception",
		"control protection", [EXC_HV] = "hypervisor injection",
		[EXC_VC] = "VMM communication", [EXC_SX] = "security exception"};

	if (vector >= EXC_COUNT)
		return "interrupt";
	return names[vector] ? names[vector] : "reserved exception";
}

static bool fix_up(struct trap_frame *frame)
{
	for (const struct extable_entry *e = hv_extable_start; e < hv_extable_end; e++) {
		if (e->from == frame->rip) {
			frame->rip = e->to;
			return true;
		}
	}
	return false;
}

/* The CPU could not push the frame of a page fault: RSP stands at or just above the guard page. */
static bool stack_overflowed(const struct trap_frame *frame)
{
	/* Not in a panic: the per-CPU area may be what is broken. */
	if (frame->vector != EXC_DF || panic_in_progress())
		return false;
	return frame->rsp - (this_cpu()->stacks + CPU_MAIN_STACK - PAGE_SIZE) < 2 * PAGE_SIZE;
}

static void take_exception(struct trap_frame *frame)
{
	unsigned vector = (unsigned)frame->vector;

	switch (vector) {
	case EXC_DB: /* nothing here sets TF or a breakpoint: see svm/entry.S */
	case EXC_GP:
	case EXC_UD:
	case EXC_PF:
	case EXC_SS:
		if (fix_up(frame))
			return;
		break;
	case EXC_SX:
		if (frame->error == SX_INIT)
			return; /* an INIT that VM_CR.R_INIT has turned into this */
		break;
	default: break;
	}
	panic_trap(frame, "%s%s (vector %u, error code 0x%lx)", trap_name(vector),
		stack_overflowed(frame) ? ", for the stack is full" : "", vector, frame->error);
}

static void take_nmi(struct trap_frame *frame)
{
	struct cpu *cpu = this_cpu();

	cpu->nmi_count++;
	while (panic_in_progress())
		hlt();
	if (cpu->nmi_handler)
		cpu->nmi_handler(cpu, frame);
}

static void take_irq(unsigned vector)
{
	this_cpu()->irq_count[vector]++;
	if (handlers[vector])
		handlers[vector](vector);
	if (vector == VECTOR_SPURIOUS)
		return;
	/* An unexpected one may not have come through the LAPIC at all (8259). */
	if (handlers[vector] || host_lapic_in_service(vector))
		host_lapic_eoi();
}

void trap_dispatch(struct trap_frame *frame)
{
	if (frame->vector == EXC_NMI)
		take_nmi(frame);
	else if (frame->vector < EXC_COUNT)
		take_exception(frame);
	else
		take_irq((unsigned)frame->vector);
}
