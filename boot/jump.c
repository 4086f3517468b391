/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last instructions of the loader: interrupts off, timers stopped, over to the hypervisor. Runs
 * after ExitBootServices: must not call firmware. No locks.
 */
#include "boot/insn.h"
#include "boot/loader.h"

/* SDM vol. 3, "Advanced Programmable Interrupt Controller": APIC base, LVT timer, initial count. */
#define MSR_APIC_BASE      0x1b
#define APIC_BASE_EXTD     BIT(10)
#define APIC_BASE_EN       BIT(11)
#define APIC_BASE_ADDRESS  0x000ffffffffff000ull
#define APIC_LVT_TIMER     0x320
#define APIC_INITIAL_COUNT 0x380
#define APIC_LVT_MASKED    0x10000u
#define MSR_X2APIC(offset) (0x800u + (offset) / 16)
#define PIC_MASTER_MASK    0x21
#define PIC_SLAVE_MASK     0xa1

static void write_apic(uint64_t base, uint32_t offset, uint32_t value)
{
	if (base & APIC_BASE_EXTD)
		insn_wrmsr(MSR_X2APIC(offset), value);
	else
		*(volatile uint32_t *)((base & APIC_BASE_ADDRESS) + offset) = value;
}

void jump_silence_interrupts(void)
{
	uint64_t base;

	insn_cli();
	/* The firmware's tick comes from the LAPIC timer or through the PIC and outlives it. */
	insn_outb(PIC_MASTER_MASK, 0xff);
	insn_outb(PIC_SLAVE_MASK, 0xff);
	base = insn_rdmsr(MSR_APIC_BASE);
	if (base & APIC_BASE_EN) {
		write_apic(base, APIC_LVT_TIMER, APIC_LVT_MASKED);
		write_apic(base, APIC_INITIAL_COUNT, 0);
	}
}

void jump_enter(uint64_t cr3, uint64_t stack_top, uint64_t entry, const struct bootinfo *info)
{
	/* As after a call: a return address of 0, and a frame chain that ends here. */
	__asm__ volatile("cli\n\t"
			 "cld\n\t"
			 "mov %[cr3], %%cr3\n\t"
			 "mov %[stack], %%rsp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "push $0\n\t"
			 "jmp *%[entry]"
			 :
			 : [cr3] "a"(cr3), [stack] "c"(stack_top), [entry] "S"(entry), "D"(info)
			 : "memory");
	__builtin_unreachable();
}
