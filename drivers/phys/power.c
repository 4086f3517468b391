/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/phys/power.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"

#define PCI_ADDRESS 0xcf8u
#define PCI_DATA    0xcfcu
#define PCI_ENABLE  0x80000000u

#define PIIX4_PM_FUNCTION 0x0b00u /* 00:01.3 */
#define ICH9_LPC_FUNCTION 0xf800u /* 00:1f.0 */
#define PIIX4_PM_ID       0x71138086u
#define PCI_VENDOR_INTEL  0x8086u
#define PCI_CLASS         0x08u
#define PCI_CLASS_ISA     0x0601u
#define PMBASE            0x40u /* in both; bit 0 reads as 1: I/O space */
#define PIIX4_PMREGMISC   0x80u /* bit 0: decode the block */
#define ICH9_ACPI_CNTL    0x44u
#define ICH9_ACPI_EN      0x80u
#define PM1_CNT           4u

#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_TYP_MASK  (7u << PM1_SLP_TYP_SHIFT)
#define PM1_SLP_EN        (1u << 13)
#define S5_PIIX4          0u
#define S5_ICH9           7u

#define PM1_SCI_EN     1u
#define ENABLE_POLLS   300u
#define ENABLE_POLL_US 1000u

#define RESET_CONTROL 0xcf9u
#define RESET_SYSTEM  0x02u
#define RESET_CPU     0x04u
#define RESET_FULL    0x08u
#define I8042_STATUS  0x64u
#define I8042_BUSY    0x02u
#define I8042_PULSE   0xfeu
#define RESET_WAIT_US 100000u
#define POWER_WAIT_US 1000000u

static uint32_t pci_read(unsigned function, unsigned reg)
{
	outl(PCI_ADDRESS, PCI_ENABLE | function | reg);
	return inl(PCI_DATA);
}

static bool is_piix4(void)
{
	return pci_read(PIIX4_PM_FUNCTION, 0) == PIIX4_PM_ID;
}

static bool is_ich9(void)
{
	return (pci_read(ICH9_LPC_FUNCTION, 0) & 0xffff) == PCI_VENDOR_INTEL &&
	       pci_read(ICH9_LPC_FUNCTION, PCI_CLASS) >> 16 == PCI_CLASS_ISA &&
	       (pci_read(ICH9_LPC_FUNCTION, ICH9_ACPI_CNTL) & ICH9_ACPI_EN);
}

uint16_t power_find_pm_base(void)
{
	uint32_t base = 0;

	if (is_piix4())
		base = pci_read(PIIX4_PM_FUNCTION, PMBASE);
	else if (is_ich9())
		base = pci_read(ICH9_LPC_FUNCTION, PMBASE);
	return base & 1 ? base & 0xffc0 : 0;
}

static void enter_sleep(uint16_t port, unsigned slp_typ)
{
	uint16_t value;

	if (!port)
		return;
	value = inw(port) & (uint16_t) ~(PM1_SLP_TYP_MASK | PM1_SLP_EN);
	value |= (uint16_t)(slp_typ << PM1_SLP_TYP_SHIFT) & PM1_SLP_TYP_MASK;
	/* ACPI, "Transitioning from the Working to the Sleeping State": the type first, then go. */
	outw(port, value);
	outw(port, value | PM1_SLP_EN);
}

/* Before ACPI mode is on, some chipsets ignore SLP_EN (ACPI, "Legacy/ACPI Select and the SCI Interrupt"). */
static void enable_acpi(const struct power_acpi *acpi)
{
	if (!acpi->smi_cmd || !acpi->acpi_enable)
		return;
	for (unsigned i = 0; i < ENABLE_POLLS && !(inw(acpi->pm1a_cnt) & PM1_SCI_EN); i++) {
		if (i == 0)
			outb(acpi->smi_cmd, acpi->acpi_enable);
		tsc_delay_us(ENABLE_POLL_US);
	}
}

int power_off(const struct power_acpi *acpi)
{
	uint16_t base = power_find_pm_base();

	if (acpi && acpi->pm1a_cnt) {
		enable_acpi(acpi);
		enter_sleep(acpi->pm1a_cnt, acpi->slp_typ_a);
		enter_sleep(acpi->pm1b_cnt, acpi->slp_typ_b);
	} else if (base) {
		/* Type 0 is S5 on the PIIX4 and in emulators' ICH9, and nothing on a real ICH9. */
		enter_sleep(base + PM1_CNT, S5_PIIX4);
		if (!is_piix4()) {
			tsc_delay_us(RESET_WAIT_US);
			enter_sleep(base + PM1_CNT, S5_ICH9);
		}
	} else {
		return E_UNSUP;
	}
	tsc_delay_us(POWER_WAIT_US);
	return E_TIMEOUT;
}

static void reset_by_8042(void)
{
	for (unsigned i = 0; i < 100000 && (inb(I8042_STATUS) & I8042_BUSY); i++)
		cpu_relax();
	outb(I8042_STATUS, I8042_PULSE);
	tsc_delay_us(RESET_WAIT_US);
}

void power_reset(const struct power_acpi *acpi)
{
	static const struct desc_ptr no_idt;

	cli();
	/*
	 * With the block decoded Bochs comes back from a reset in a state its firmware cannot
	 * start from.
	 */
	if (is_piix4()) {
		outl(PCI_ADDRESS, PCI_ENABLE | PIIX4_PM_FUNCTION | PIIX4_PMREGMISC);
		outb(PCI_DATA, 0);
	}
	if (acpi && acpi->reset_port) {
		outb(acpi->reset_port, acpi->reset_value);
		tsc_delay_us(RESET_WAIT_US);
	}
	outb(RESET_CONTROL, RESET_SYSTEM);
	outb(RESET_CONTROL, RESET_SYSTEM | RESET_CPU);
	tsc_delay_us(RESET_WAIT_US);
	outb(RESET_CONTROL, RESET_FULL | RESET_SYSTEM | RESET_CPU);
	tsc_delay_us(RESET_WAIT_US);
	reset_by_8042();
	lidt(&no_idt);
	for (;;)
		__builtin_trap();
}
