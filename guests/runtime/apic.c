/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controllers as a payload uses them: LAPIC in both modes, IOAPIC; the PIC is
 * masked.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "guests/runtime/guest.h"

#define IOAPIC_BASE   0xfec00000ul
#define IOAPIC_SELECT 0x00
#define IOAPIC_WINDOW 0x10
#define IOAPIC_REDIR  0x10
#define SPURIOUS      0xff

static bool x2apic[8]; /* per CPU */

static volatile uint32_t *mmio(uint64_t address)
{
	return (volatile uint32_t *)address;
}

uint32_t apic_read(unsigned offset)
{
	if (x2apic[smp_id()])
		return (uint32_t)rdmsr(MSR_IA32_X2APIC_BASE + offset / 16);
	return *mmio(APIC_DEFAULT_BASE + offset);
}

void apic_write(unsigned offset, uint32_t value)
{
	if (x2apic[smp_id()])
		wrmsr(MSR_IA32_X2APIC_BASE + offset / 16, value);
	else
		*mmio(APIC_DEFAULT_BASE + offset) = value;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_send(uint32_t dest, uint32_t command)
{
	if (x2apic[smp_id()]) {
		wrmsr(MSR_IA32_X2APIC_BASE + APIC_ICR / 16, (uint64_t)dest << 32 | command);
		return;
	}
	apic_write(APIC_ICR_HIGH, dest << 24);
	apic_write(APIC_ICR, command);
}

void apic_self(unsigned vector)
{
	apic_send(0, APIC_ICR_SELF | APIC_ICR_ASSERT | APIC_DM_FIXED | vector);
}

static bool vector_bit(unsigned base, unsigned vector)
{
	return apic_read(base + vector / 32 * 16) >> vector % 32 & 1;
}

bool apic_pending(unsigned vector)
{
	return vector_bit(APIC_IRR, vector);
}

bool apic_in_service(unsigned vector)
{
	return vector_bit(APIC_ISR, vector);
}

bool apic_has_x2apic(void)
{
	return cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_X2APIC;
}

static void enable(void)
{
	apic_write(APIC_SVR, APIC_SVR_ENABLE | SPURIOUS);
	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
	apic_write(APIC_LVT_LINT1, APIC_LVT_MASKED);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	apic_write(APIC_TPR, 0);
}

void apic_set_x2apic(bool on)
{
	const uint64_t both = APIC_BASE_EN | APIC_BASE_EXTD;
	uint64_t base = rdmsr(MSR_IA32_APIC_BASE);

	if (on == !!(base & APIC_BASE_EXTD))
		return;
	if (!on) /* the way back leads through "disabled" */
		wrmsr(MSR_IA32_APIC_BASE, base & ~both);
	wrmsr(MSR_IA32_APIC_BASE, (base & ~both) | (on ? both : APIC_BASE_EN));
	x2apic[smp_id()] = on;
	enable();
}

static void spurious(struct trap_frame *frame)
{
	(void)frame;
}

void apic_init_cpu(void)
{
	x2apic[smp_id()] = rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_EXTD;
	enable();
}

void apic_init(void)
{
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	apic_init_cpu();
	trap_set_handler(SPURIOUS, spurious);
}

uint32_t ioapic_read(unsigned index)
{
	*mmio(IOAPIC_BASE + IOAPIC_SELECT) = index;
	return *mmio(IOAPIC_BASE + IOAPIC_WINDOW);
}

void ioapic_write(unsigned index, uint32_t value)
{
	*mmio(IOAPIC_BASE + IOAPIC_SELECT) = index;
	*mmio(IOAPIC_BASE + IOAPIC_WINDOW) = value;
}

void ioapic_route(unsigned pin, uint64_t entry)
{
	ioapic_write(IOAPIC_REDIR + 2 * pin, APIC_LVT_MASKED);
	ioapic_write(IOAPIC_REDIR + 2 * pin + 1, (uint32_t)(entry >> 32));
	ioapic_write(IOAPIC_REDIR + 2 * pin, (uint32_t)entry);
}
