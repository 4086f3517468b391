/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor tables of a payload, its exceptions and interrupts. */
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

struct PACKED gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "SDM vol. 3, 64-bit IDT gate");

struct PACKED tss {
	uint32_t reserved0;
	uint64_t rsp[3], reserved1, ist[7], reserved2;
	uint16_t reserved3, iomap;
};
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3, 64-bit TSS");

struct extable_row {
	uint64_t from, to;
};

/* start.S and the linker script */
extern const char trap_stubs[], trap_recover[];
extern const struct extable_row guest_extable_start[], guest_extable_end[];
extern char guest_stack[];
uint64_t trap_recover_rsp[8]; /* per CPU; start.S */
void trap_handle(struct trap_frame *f);

struct trap_fault trap_last;
struct desc_ptr trap_idt;
volatile unsigned irq_count[256];
volatile unsigned irq_cpu_count[8][256];
volatile uint8_t irq_log[IRQ_LOG_SIZE];
volatile unsigned irq_logged;
volatile bool irq_manual_eoi;

static struct gate idt[256] ALIGNED(16);
#define CPUS 8u
static struct tss tss[CPUS] ALIGNED(16);
static uint64_t gdt[8 + 2 * (CPUS - 1)] ALIGNED(16);
static void (*handlers[256])(struct trap_frame *);
static uint8_t code_area[64] ALIGNED(64);

static void set_gate(unsigned vector)
{
	uint64_t entry = (uint64_t)trap_stubs + 16 * vector;

	idt[vector] = (struct gate){
		.offset_low = (uint16_t)entry,
		.selector = GUEST_CS,
		.type = 0x8e,
		.offset_mid = (uint16_t)(entry >> 16),
		.offset_high = (uint32_t)(entry >> 32),
	};
}

static uint16_t tss_selector(unsigned cpu)
{
	return cpu == 0 ? GUEST_TSS : (uint16_t)(GUEST_TSS_AP + 16 * (cpu - 1));
}

unsigned smp_id(void)
{
	uint16_t selector = str_selector();

	return selector < GUEST_TSS_AP ? 0 : (selector - GUEST_TSS_AP) / 16 + 1u;
}

/* The descriptor is made anew: a CPU that starts again left it busy. */
void trap_init_cpu(unsigned cpu)
{
	uint64_t base = (uint64_t)&tss[cpu], *row = &gdt[tss_selector(cpu) / 8];

	tss[cpu].iomap = sizeof(tss[cpu]);
	row[0] = (sizeof(tss[cpu]) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
		 (base >> 24 & 0xff) << 56;
	row[1] = base >> 32;
	trap_recover_rsp[cpu] = 0;
	lgdt(&(struct desc_ptr){sizeof(gdt) - 1, (uint64_t)gdt});
	load_segments(GUEST_CS, GUEST_DS);
	ltr(tss_selector(cpu));
	lidt(&trap_idt);
}

void trap_init(void)
{
	const uint64_t user = 3ull << DESC_DPL_SHIFT;
	const uint64_t data = 0x00cf93000000ffffull, code64 = 0x00af9b000000ffffull;

	for (unsigned i = 0; i < 256; i++)
		set_gate(i);
	gdt[GUEST_CS / 8] = code64;
	gdt[GUEST_DS / 8] = data;
	gdt[GUEST_USER32 / 8] = 0x00cf9b000000ffffull | user;
	gdt[GUEST_USERDS / 8] = data | user;
	gdt[GUEST_USERCS / 8] = code64 | user;
	trap_idt = (struct desc_ptr){sizeof(idt) - 1, (uint64_t)idt};
	trap_init_cpu(0);
}

void trap_set_handler(unsigned vector, void (*handler)(struct trap_frame *))
{
	handlers[vector] = handler;
}

void trap_set_ist(unsigned vector, unsigned index, uint64_t stack_top)
{
	if (index > 0)
		tss[smp_id()].ist[index - 1] = stack_top;
	idt[vector].ist = (uint8_t)index;
}

void trap_set_kernel_stack(uint64_t stack_top)
{
	tss[smp_id()].rsp[0] = stack_top;
}

static bool recover(struct trap_frame *f)
{
	const struct extable_row *row;

	trap_last = (struct trap_fault){f->vector, f->error, f->rip, read_cr2()};
	for (row = guest_extable_start; row < guest_extable_end; row++) {
		if (row->from == f->rip) {
			f->rip = row->to;
			return true;
		}
	}
	if (!trap_recover_rsp[smp_id()])
		return false;
	f->rip = (uint64_t)trap_recover;
	f->rsp = trap_recover_rsp[smp_id()];
	f->cs = GUEST_CS;
	f->ss = GUEST_DS;
	f->rflags = RFLAGS_RESERVED;
	return true;
}

static void log_interrupt(unsigned vector)
{
	unsigned cpu = smp_id();

	irq_cpu_count[cpu][vector]++;
	if (cpu == 0) {
		irq_count[vector]++;
		if (irq_logged < IRQ_LOG_SIZE)
			irq_log[irq_logged] = (uint8_t)vector;
		irq_logged++;
	}
	if (!irq_manual_eoi)
		apic_eoi();
}

/* Called by start.S. */
void trap_handle(struct trap_frame *f)
{
	if (handlers[f->vector]) {
		handlers[f->vector](f);
		return;
	}
	if (f->vector >= EXC_COUNT) {
		log_interrupt((unsigned)f->vector);
		return;
	}
	if (f->vector != EXC_NMI && recover(f))
		return;
	print("FAIL %s: CPU %u: unexpected exception %lu, error 0x%lx, rip 0x%lx, rsp 0x%lx, cr2 0x%lx",
		guest_name, smp_id(), f->vector, f->error, f->rip, f->rsp, read_cr2());
	guest_exit(3);
}

static void call(uint64_t address)
{
	((void (*)(void))address)();
}

int trap_run(const uint8_t *code, unsigned size)
{
	memset(code_area, 0xc3, sizeof(code_area)); /* RET */
	memcpy(code_area, code, MIN(size, sizeof(code_area) - 1));
	return trap_try(call, (uint64_t)code_area) ? (int)trap_last.vector : -1;
}

void check_fault(unsigned vector, void (*fn)(uint64_t), uint64_t arg, const char *text)
{
	if (!trap_try(fn, arg))
		check(false, "%s: no exception, expected %u", text, vector);
	else
		check(trap_last.vector == vector, "%s: exception %lu, expected %u", text,
			trap_last.vector, vector);
}

void check_code(int vector, const uint8_t *code, unsigned size, const char *text)
{
	int got = trap_run(code, size);

	check(got == vector, "%s: exception %d, expected %d", text, got, vector);
}

void irq_forget(void)
{
	for (unsigned i = 0; i < 256; i++)
		irq_count[i] = 0;
	irq_logged = 0;
}

void irq_open(void)
{
	__asm__ volatile("sti; nop; nop; cli" : : : "memory", "cc");
}
