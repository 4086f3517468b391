/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU model: registers, MSRs, CPUID, time. VT-x is in vmx_fake.c, AMD-V in svm_fake.c, RAM in
 * memory_fake.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/svm.h"
#include "hv/lib/string.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/fake_priv.h"

struct fake_machine fake;
struct fake_cpu *fake_this = &fake.cpu[0];
void (*fake_fail_hook)(const char *text);

void fake_fail(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (fake_fail_hook)
		fake_fail_hook(text);
	fprintf(stderr, "fake: %s\n", text);
	abort();
}

void fake_record(enum fake_action action, uint64_t a, uint64_t b)
{
	fake.count[action]++;
	if (fake.history_used < FAKE_HISTORY)
		fake.history[fake.history_used++] = (struct fake_record){
			action, fake_cpu_index(), a, b};
}

void fake_counts_clear(void)
{
	memset(fake.count, 0, sizeof(fake.count));
	fake.history_used = 0;
}

void fake_cpu_select(unsigned cpu)
{
	if (cpu >= FAKE_CPUS)
		fake_fail("no CPU %u", cpu);
	fake_this = &fake.cpu[cpu];
}

unsigned fake_cpu_index(void)
{
	return (unsigned)(fake_this - fake.cpu);
}

/* A Skylake client part, as measured ones report. VMCS revision 4. */
static const struct fake_msr presets[] = {
	{MSR_IA32_FEATURE_CONTROL, false, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX},
	{MSR_IA32_TSC_ADJUST, false, 0},
	{MSR_IA32_SYSENTER_CS, false, 0},
	{MSR_IA32_SYSENTER_ESP, false, 0},
	{MSR_IA32_SYSENTER_EIP, false, 0},
	{MSR_IA32_PAT, false, 0x0007040100070406ull},
	{MSR_IA32_EFER, false, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE},
	{MSR_IA32_STAR, false, 0},
	{MSR_IA32_LSTAR, false, 0},
	{MSR_IA32_CSTAR, false, 0},
	{MSR_IA32_FMASK, false, 0},
	{MSR_IA32_FS_BASE, false, 0},
	{MSR_IA32_GS_BASE, false, 0xffffffff80200000ull},
	{MSR_IA32_KERNEL_GS_BASE, false, 0},
	{MSR_IA32_TSC_AUX, false, 0},
	{MSR_IA32_APIC_BASE, false, 0xfee00000ull | APIC_BASE_EN},
	{MSR_IA32_VMX_BASIC, true, 0x00da040000000004ull},
	{MSR_IA32_VMX_PINBASED_CTLS, true, 0x0000007f00000016ull},
	{MSR_IA32_VMX_PROCBASED_CTLS, true, 0xfff9fffe0401e172ull},
	{MSR_IA32_VMX_EXIT_CTLS, true, 0x01ffffff00036dffull},
	{MSR_IA32_VMX_ENTRY_CTLS, true, 0x0003ffff000011ffull},
	{MSR_IA32_VMX_MISC, true, 0x000000007004c1e7ull},
	{MSR_IA32_VMX_CR0_FIXED0, true, 0x80000021ull},
	{MSR_IA32_VMX_CR0_FIXED1, true, 0xffffffffull},
	{MSR_IA32_VMX_CR4_FIXED0, true, 0x2000ull},
	{MSR_IA32_VMX_CR4_FIXED1, true, 0x003767ffull},
	{MSR_IA32_VMX_PROCBASED_CTLS2, true, 0x001fffff00000000ull},
	{MSR_IA32_VMX_EPT_VPID_CAP, true, 0x00000f0106334141ull},
	{MSR_IA32_VMX_TRUE_PINBASED, true, 0x0000007f00000016ull},
	{MSR_IA32_VMX_TRUE_PROCBASED, true, 0xfff9fffe04006172ull},
	{MSR_IA32_VMX_TRUE_EXIT, true, 0x01ffffff00036dfbull},
	{MSR_IA32_VMX_TRUE_ENTRY, true, 0x0003ffff000011fbull},
};
_Static_assert(ARRAY_SIZE(presets) <= FAKE_MSRS, "room");

static void reset_cpu(struct fake_cpu *c)
{
	memset(c, 0, sizeof(*c));
	c->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	c->cr3 = FAKE_RAM_BASE;
	c->cr4 = CR4_DE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	c->dr[6] = DR6_RESET;
	c->dr[7] = DR7_RESET;
	c->rflags = RFLAGS_RESERVED; /* interrupts off */
	c->xcr0 = XCR0_X87;
	c->xcr0_supported = 0x2e7;
	c->tsc = 1000000;
	/* The TSS descriptor of SEL_TSS, with a base that is spread over both quadwords. */
	c->descriptors[3] = 0x80008b3456780067ull;
	c->descriptors[4] = 0x00000000ffffffffull;
	c->gdt = (struct desc_ptr){8 * GDT_SLOTS - 1, (uint64_t)c->descriptors};
	c->idt = (struct desc_ptr){4095, 0xffffffff80100000ull};
	c->tr = SEL_TSS;
	memcpy(c->msr, presets, sizeof(presets));
	c->msr_count = ARRAY_SIZE(presets);
}

void fake_reset(void)
{
	fake.interrupt = NULL;
	fake_counts_clear();
	for (unsigned i = FAKE_CPUS; i-- > 0;) {
		fake_cpu_select(i);
		reset_cpu(fake_this);
		fake_cpuid_skylake();
	}
	fake_vmx_reset();
	fake_svm_reset();
	fake_memory_reset();
}

/* ---- MSRs ---- */

static struct fake_msr *find_msr(uint32_t msr)
{
	for (unsigned i = 0; i < fake_this->msr_count; i++) {
		if (fake_this->msr[i].msr == msr)
			return &fake_this->msr[i];
	}
	return NULL;
}

void fake_msr_set(uint32_t msr, uint64_t value)
{
	struct fake_msr *m = find_msr(msr);

	if (!m && fake_this->msr_count == FAKE_MSRS)
		fake_fail("no room for MSR 0x%x", msr);
	if (!m) {
		m = &fake_this->msr[fake_this->msr_count++];
		*m = (struct fake_msr){msr, false, 0};
	}
	m->value = value;
}

void fake_msr_remove(uint32_t msr)
{
	struct fake_msr *m = find_msr(msr);

	if (m)
		*m = fake_this->msr[--fake_this->msr_count];
}

uint64_t fake_msr_get(uint32_t msr)
{
	struct fake_msr *m = find_msr(msr);

	if (!m && msr != MSR_IA32_TSC)
		fake_fail("no MSR 0x%x", msr);
	return m ? m->value : fake_this->tsc;
}

bool fake_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

bool fake_pat_valid(uint64_t value)
{
	for (unsigned i = 0; i < 64; i += 8) {
		uint64_t type = value >> i & 0xff;

		if (type > MEMTYPE_UC_MINUS || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool amd(void)
{
	return fake_cpuid_host(NULL, CPUID_LEAF_EXT_FEAT, 0).ecx & CPUID_EXT1_ECX_SVM;
}

static uint64_t efer_bits(void)
{
	uint64_t bits = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	return amd() && !(fake_msr_get(MSR_VM_CR) & VM_CR_SVMDIS) ? bits | EFER_SVME : bits;
}

static bool msr_value_valid(const struct fake_msr *m, uint64_t value)
{
	switch (m->msr) {
	case MSR_VM_CR:
		return !(value & ~0x1full) &&
		       !((value & VM_CR_SVMDIS) && (fake_msr_get(MSR_IA32_EFER) & EFER_SVME));
	case MSR_VM_HSAVE_PA: return !(value & (PAGE_SIZE - 1)) && value >> 48 == 0;
	case MSR_IA32_FEATURE_CONTROL: return !(m->value & FEATURE_CONTROL_LOCK);
	case MSR_IA32_PAT: return fake_pat_valid(value);
	case MSR_IA32_EFER: return !(value & ~efer_bits()) && ((value ^ m->value) & EFER_LME) == 0;
	case MSR_IA32_TSC_AUX: return value >> 32 == 0;
	case MSR_IA32_FS_BASE:
	case MSR_IA32_GS_BASE:
	case MSR_IA32_KERNEL_GS_BASE:
	case MSR_IA32_LSTAR:
	case MSR_IA32_CSTAR:
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP: return fake_canonical(value);
	default: return !m->read_only;
	}
}

int rdmsr_safe(uint32_t msr, uint64_t *value)
{
	struct fake_msr *m = find_msr(msr);

	*value = m ? m->value : msr == MSR_IA32_TSC ? fake_this->tsc : 0;
	fake_record(FAKE_RDMSR, msr, *value);
	return m || msr == MSR_IA32_TSC ? OK : E_FAULT;
}

uint64_t rdmsr(uint32_t msr)
{
	uint64_t value;

	if (rdmsr_safe(msr, &value) != OK)
		fake_fail("RDMSR 0x%x: #GP in the hypervisor", msr);
	return value;
}

int wrmsr_safe(uint32_t msr, uint64_t value)
{
	struct fake_msr *m = find_msr(msr);

	fake_record(FAKE_WRMSR, msr, value);
	if (msr == MSR_IA32_TSC) {
		fake_this->tsc = value;
		return OK;
	}
	if (!m || !msr_value_valid(m, value))
		return E_FAULT;
	/* Locked, these two stay as they are, silently (APM vol. 2, "VM_CR MSR"). */
	if (msr == MSR_VM_CR && (m->value & VM_CR_LOCK))
		value = (value & ~(VM_CR_LOCK | VM_CR_SVMDIS)) |
			(m->value & (VM_CR_LOCK | VM_CR_SVMDIS));
	m->value = value;
	return OK;
}

void wrmsr(uint32_t msr, uint64_t value)
{
	if (wrmsr_safe(msr, value) != OK)
		fake_fail("WRMSR 0x%x, 0x%lx: #GP in the hypervisor", msr, (unsigned long)value);
}

/* ---- Ports: nothing answers ---- */

uint8_t inb(uint16_t port)
{
	fake_record(FAKE_IN, port, 0xff);
	return 0xff;
}

uint16_t inw(uint16_t port)
{
	fake_record(FAKE_IN, port, 0xffff);
	return 0xffff;
}

uint32_t inl(uint16_t port)
{
	fake_record(FAKE_IN, port, 0xffffffff);
	return 0xffffffff;
}

void outb(uint16_t port, uint8_t v)
{
	fake_record(FAKE_OUT, port, v);
}

void outw(uint16_t port, uint16_t v)
{
	fake_record(FAKE_OUT, port, v);
}

void outl(uint16_t port, uint32_t v)
{
	fake_record(FAKE_OUT, port, v);
}

/* ---- Control and debug registers ---- */

#define PLAIN_REGISTER(reg, slot)                                                                  \
	uint64_t read_##reg(void)                                                                  \
	{                                                                                          \
		return fake_this->slot;                                                            \
	}                                                                                          \
	void write_##reg(uint64_t v)                                                               \
	{                                                                                          \
		fake_this->slot = v;                                                               \
	}
PLAIN_REGISTER(cr2, cr2)
PLAIN_REGISTER(cr3, cr3)
PLAIN_REGISTER(cr8, cr8)
PLAIN_REGISTER(dr0, dr[0])
PLAIN_REGISTER(dr1, dr[1])
PLAIN_REGISTER(dr2, dr[2])
PLAIN_REGISTER(dr3, dr[3])
PLAIN_REGISTER(rflags, rflags)

uint64_t read_cr0(void)
{
	return fake_this->cr0;
}

uint64_t read_cr4(void)
{
	return fake_this->cr4;
}

uint64_t read_dr6(void)
{
	return fake_this->dr[6];
}

uint64_t read_dr7(void)
{
	return fake_this->dr[7];
}

/* In VMX operation the fixed bits are enforced (SDM vol. 3, "Restrictions on VMX operation"). */
void write_cr0(uint64_t v)
{
	fake_record(FAKE_CR_WRITE, 0, v);
	if (v >> 32 || ((v & CR0_PG) && !(v & CR0_PE)) || ((v & CR0_NW) && !(v & CR0_CD)))
		fake_fail("MOV to CR0 of 0x%lx: #GP", (unsigned long)v);
	if (fake_this->vmxon && !fake_fixed_valid(v, MSR_IA32_VMX_CR0_FIXED0, 0))
		fake_fail("MOV to CR0 of 0x%lx in VMX operation: #GP", (unsigned long)v);
	fake_this->cr0 = v;
}

void write_cr4(uint64_t v)
{
	fake_record(FAKE_CR_WRITE, 4, v);
	if (v & ~(amd() ? 0x7707ffull : fake_msr_get(MSR_IA32_VMX_CR4_FIXED1)))
		fake_fail("MOV to CR4 of 0x%lx: reserved bits", (unsigned long)v);
	if (!(v & CR4_PAE))
		fake_fail("MOV to CR4 without PAE in long mode");
	if (fake_this->vmxon && !(v & CR4_VMXE))
		fake_fail("MOV to CR4 clears VMXE in VMX operation");
	fake_this->cr4 = v;
}

/*
 * DR6 and DR7: the upper half must be zero (SDM vol. 3, "Debug Registers and Intel 64 Processors").
 */
void write_dr6(uint64_t v)
{
	if (v >> 32)
		fake_fail("MOV to DR6 of 0x%lx: #GP", (unsigned long)v);
	fake_this->dr[6] = (v & 0xe00full) | DR6_RESET;
}

void write_dr7(uint64_t v)
{
	if (v >> 32)
		fake_fail("MOV to DR7 of 0x%lx: #GP", (unsigned long)v);
	fake_this->dr[7] = v | DR7_RESET;
}

/* ---- Extended state ---- */

uint64_t xgetbv(uint32_t index)
{
	if (index != 0)
		fake_fail("XGETBV of %u: #GP", index);
	return fake_this->xcr0;
}

uint32_t rdpkru(void)
{
	if (!(fake_this->cr4 & CR4_PKE))
		fake_fail("RDPKRU without CR4.PKE: #UD");
	return fake_this->pkru;
}

int xsetbv_safe(uint32_t index, uint64_t value)
{
	const uint64_t avx512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;

	fake_record(FAKE_XSETBV, index, value);
	if (index != 0 || !(value & XCR0_X87) || (value & ~fake_this->xcr0_supported) ||
		((value & XCR0_AVX) && !(value & XCR0_SSE)) ||
		((value & avx512) && ((value & avx512) != avx512 || !(value & XCR0_AVX))))
		return E_FAULT;
	fake_this->xcr0 = value;
	return OK;
}

void xsetbv(uint32_t index, uint64_t value)
{
	if (xsetbv_safe(index, value) != OK)
		fake_fail("XSETBV %u, 0x%lx: #GP in the hypervisor", index, (unsigned long)value);
}

static void check_area(const void *area, unsigned align)
{
	if ((uintptr_t)area % align)
		fake_fail("extended state at %p is not aligned to %u", area, align);
}

#define AREA_YMM    576
#define AREA_HEADER 512

void xsave(void *area, uint64_t mask)
{
	uint64_t *header = (uint64_t *)((uint8_t *)area + AREA_HEADER);

	check_area(area, 64);
	if (!(mask & fake_this->xcr0 & XCR0_AVX))
		return;
	memcpy((uint8_t *)area + AREA_YMM, fake_this->ymm, sizeof(fake_this->ymm));
	header[0] |= XCR0_AVX;
}

int xsavec_safe(void *area, uint64_t mask)
{
	uint64_t *header = (uint64_t *)((uint8_t *)area + AREA_HEADER);

	check_area(area, 64);
	if (!(cpu_cpuid(0xd, 1).eax & 2))
		return E_FAULT;
	mask &= fake_this->xcr0;
	if (mask & XCR0_AVX)
		memcpy((uint8_t *)area + AREA_YMM - fake_this->xsavec_low, fake_this->ymm,
			sizeof(fake_this->ymm));
	header[0] = mask & XCR0_AVX;
	header[1] = mask | BIT(63);
	return OK;
}

/* Both formats have these registers in the same place. */
int xrstor_safe(const void *area, uint64_t mask)
{
	const uint64_t *header = (const uint64_t *)((const uint8_t *)area + AREA_HEADER);

	check_area(area, 64);
	if ((header[0] & ~fake_this->xcr0) || header[2])
		return E_FAULT;
	if (!(mask & fake_this->xcr0 & XCR0_AVX))
		return OK;
	if (header[0] & XCR0_AVX)
		memcpy(fake_this->ymm, (const uint8_t *)area + AREA_YMM, sizeof(fake_this->ymm));
	else
		memset(fake_this->ymm, 0, sizeof(fake_this->ymm));
	return OK;
}

void fxsave(void *area)
{
	check_area(area, 16);
}

int fxrstor_safe(const void *area)
{
	check_area(area, 16);
	return OK;
}

/* ---- Identification and time ---- */

struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	fake_record(FAKE_CPUID, leaf, subleaf);
	return fake_cpuid_host(NULL, leaf, subleaf);
}

uint64_t rdtsc(void)
{
	uint64_t now = fake_this->tsc;

	fake_this->tsc += fake_this->tsc_step;
	return now;
}

uint64_t rdtscp(uint32_t *aux)
{
	*aux = (uint32_t)fake_msr_get(MSR_IA32_TSC_AUX);
	return rdtsc();
}

/* ---- Tables and segments ---- */

void lgdt(const struct desc_ptr *p)
{
	fake_this->gdt = *p;
}

void lidt(const struct desc_ptr *p)
{
	fake_this->idt = *p;
}

void lldt(uint16_t selector)
{
	if (selector)
		fake_fail("LLDT of 0x%x", selector);
}

void ltr(uint16_t selector)
{
	fake_this->tr = selector;
}

struct desc_ptr sgdt(void)
{
	return fake_this->gdt;
}

struct desc_ptr sidt(void)
{
	return fake_this->idt;
}

uint16_t str_selector(void)
{
	return fake_this->tr;
}

void load_segments(uint16_t code, uint16_t data)
{
	(void)code;
	(void)data;
}

void *gs_self(void)
{
	static struct cpu areas[FAKE_CPUS];

	return fake_this->gs ? fake_this->gs : &areas[fake_cpu_index()];
}

/* ---- Caches and ordering ---- */

void invlpg(uint64_t va)
{
	(void)va;
}

void wbinvd(void)
{
}

void clflush(const void *p)
{
	(void)p;
}

void mfence(void)
{
}

void lfence(void)
{
}

void verw(uint16_t data_selector)
{
	(void)data_selector;
}

void stac(void)
{
}

void clac(void)
{
}

/* ---- Interrupt flag and waiting ---- */

void cli(void)
{
	fake_this->rflags &= ~RFLAGS_IF;
}

void sti(void)
{
	fake_this->rflags |= RFLAGS_IF;
}

static void take_interrupts(enum fake_action action)
{
	fake_record(action, 0, 0);
	if (fake_this->rflags & RFLAGS_IF)
		fake_fail("interrupts were on already");
	if (fake.interrupt)
		fake.interrupt(fake.interrupt_ctx);
}

void irq_window(void)
{
	take_interrupts(FAKE_IRQ_WINDOW);
}

void host_nmi(void)
{
	fake_record(FAKE_HOST_NMI, 0, 0);
}

void host_machine_check(void)
{
	fake_record(FAKE_HOST_MC, 0, 0);
}

void sti_hlt_cli(void)
{
	take_interrupts(FAKE_HALT);
}

void hlt(void)
{
	fake_fail("HLT with interrupts %s", fake_this->rflags & RFLAGS_IF ? "on" : "off: for ever");
}

void cpu_relax(void)
{
}

uint64_t irq_save(void)
{
	uint64_t flags = read_rflags();

	cli();
	return flags;
}

void irq_restore(uint64_t flags)
{
	if (flags & RFLAGS_IF)
		sti();
}
