/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSRs of a guest. Whatever is not in the table does not exist: #GP. Those that the guest owns
 * while it has the CPU (SYSCALL, SYSENTER, FS/GS bases) never come here. Guest MTRRs are stored,
 * never obeyed. MSRs that only AMD has are constants: arch/x86/policy/msr_amd.c.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/policy/msr_amd.h"
#include "hv/vm/vm.h"

struct msr_rule {
	uint32_t first, last;
	bool (*read)(struct vm_cpu *c, uint32_t msr, uint64_t *value);
	bool (*write)(struct vm_cpu *c, uint32_t msr, uint64_t value);
};

#define MTRR_VARIABLE_PAIRS 8u

static bool read_zero(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)c;
	(void)msr;
	*value = 0;
	return true;
}

static bool write_zero(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)c;
	(void)msr;
	return value == 0;
}

static bool write_ignored(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)c;
	(void)msr;
	(void)value;
	return true;
}

static bool tsc_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = vm_cpu_tsc(c);
	return true;
}

/*
 * The LAPIC changed: an interrupt may be deliverable now (EOI, TPR, self IPI, a deadline passed).
 */
static void look_again(struct vm_cpu *c)
{
	vm_lapic_written(c);
	vm_lapic_rearm(c);
}

/* TSC and TSC_ADJUST move together (SDM vol. 3, "IA32_TSC_ADJUST"). */
static void move_tsc(struct vm_cpu *c, uint64_t delta)
{
	c->tsc_offset += delta;
	c->tsc_adjust += delta;
	c->vcpu.ops->tsc_offset_set(&c->vcpu, c->tsc_offset);
	lapic_timer_tsc_moved(&c->lapic, delta);
	vm_lapic_rearm(c);
}

static bool tsc_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	move_tsc(c, value - vm_cpu_tsc(c));
	return true;
}

static bool tsc_adjust_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = c->tsc_adjust;
	return true;
}

static bool tsc_adjust_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	move_tsc(c, value - c->tsc_adjust);
	return true;
}

static bool apic_base_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = c->lapic.apic_base;
	return true;
}

static bool apic_base_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	/* A value that is refused takes no page of RAM. */
	if (!lapic_apic_base_valid(&c->lapic, value, c->cpuid.phys_bits))
		return false;
	if (LAPIC_BASE_ADDR(value) != LAPIC_BASE_ADDR(c->lapic.apic_base) &&
		!vm_lapic_may_be_at(c, LAPIC_BASE_ADDR(value)))
		return false;
	if (lapic_apic_base_write(&c->lapic, value, c->cpuid.phys_bits) != OK)
		return false;
	cpuid_table_update(&c->cpuid, c->vcpu.ops->reg_read(&c->vcpu, REG_CR4), c->xcr0,
		c->lapic.mode != LAPIC_DISABLED);
	look_again(c);
	return true;
}

static bool feature_control_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)c;
	(void)msr;
	*value = FEATURE_CONTROL_LOCK; /* nothing enabled, nothing to enable */
	return true;
}

static bool mtrrcap_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)c;
	(void)msr;
	*value = MTRRCAP_WC | MTRRCAP_FIX | MTRR_VARIABLE_PAIRS;
	return true;
}

static bool memory_type_valid(uint64_t type)
{
	return type == MEMTYPE_UC || type == MEMTYPE_WC || type == MEMTYPE_WT ||
	       type == MEMTYPE_WP || type == MEMTYPE_WB;
}

static bool variable_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	*value = c->mtrr_variable[msr - MSR_IA32_MTRR_PHYSBASE0];
	return true;
}

static bool variable_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	uint64_t reserved = ~(BIT(c->cpuid.phys_bits) - 1);
	bool mask = (msr - MSR_IA32_MTRR_PHYSBASE0) & 1;

	if (value & (reserved | (mask ? 0x7ff : 0xf00)))
		return false;
	if (!mask && !memory_type_valid(value & 0xff))
		return false;
	c->mtrr_variable[msr - MSR_IA32_MTRR_PHYSBASE0] = value;
	return true;
}

/* 250h, 258h, 259h, 268h .. 26Fh are stored densely. */
static uint64_t *fixed_slot(struct vm_cpu *c, uint32_t msr)
{
	if (msr == MSR_IA32_MTRR_FIX64K_00000)
		return &c->mtrr_fixed[0];
	if (msr <= MSR_IA32_MTRR_FIX16K_A0000)
		return &c->mtrr_fixed[1 + msr - MSR_IA32_MTRR_FIX16K_80000];
	return &c->mtrr_fixed[3 + msr - MSR_IA32_MTRR_FIX4K_C0000];
}

static bool fixed_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	*value = *fixed_slot(c, msr);
	return true;
}

static bool fixed_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	for (unsigned i = 0; i < 64; i += 8) {
		if (!memory_type_valid(value >> i & 0xff))
			return false;
	}
	*fixed_slot(c, msr) = value;
	return true;
}

static bool def_type_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = c->mtrr_def_type;
	return true;
}

static bool def_type_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	if ((value & ~(uint64_t)(MTRR_DEF_TYPE_MASK | MTRR_DEF_TYPE_FE | MTRR_DEF_TYPE_E)) ||
		!memory_type_valid(value & MTRR_DEF_TYPE_MASK))
		return false;
	c->mtrr_def_type = value;
	return true;
}

static bool pat_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = c->vcpu.ops->reg_read(&c->vcpu, REG_PAT);
	return true;
}

static bool pat_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	for (unsigned i = 0; i < 64; i += 8) {
		uint64_t type = value >> i & 0xff;

		if (!memory_type_valid(type) && type != MEMTYPE_UC_MINUS)
			return false;
	}
	c->vcpu.ops->reg_write(&c->vcpu, REG_PAT, value);
	return true;
}

static bool efer_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = c->vcpu.ops->reg_read(&c->vcpu, REG_EFER);
	return true;
}

static bool efer_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	return vm_efer_write(c, value);
}

static bool misc_enable_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = c->misc_enable;
	return true;
}

/*
 * What can be switched: the first two change what CPUID says, the others belong to features that
 * are not shown, or make no difference that a guest can see.
 */
#define MISC_ENABLE_SWITCHES                                                                       \
	(MISC_ENABLE_LIMIT_CPUID | MISC_ENABLE_XD_DISABLE | MISC_ENABLE_FAST_STRINGS |             \
		MISC_ENABLE_TCC | MISC_ENABLE_EMON | MISC_ENABLE_EIST | MISC_ENABLE_MONITOR |      \
		MISC_ENABLE_XTPR_DISABLE)

static bool misc_enable_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	if ((value ^ c->misc_enable) & ~MISC_ENABLE_SWITCHES)
		return false;
	c->misc_enable = value;
	cpuid_table_restrict(
		&c->cpuid, value & MISC_ENABLE_LIMIT_CPUID, value & MISC_ENABLE_XD_DISABLE);
	return true;
}

static bool mc_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	return mce_read(&c->mce, msr, value);
}

static bool mc_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	return mce_write(&c->mce, msr, value);
}

/* No supervisor state can be saved, so none of its bits can be set. */
static bool xss_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = 0;
	return c->cpuid.has_xsaves;
}

static bool xss_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	return c->cpuid.has_xsaves && value == 0;
}

static bool tsc_aux_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = c->tsc_aux;
	return c->vcpu.has_rdtscp;
}

static bool tsc_aux_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	if (!c->vcpu.has_rdtscp || value >> 32 || wrmsr_safe(msr, value) != OK)
		return false;
	c->tsc_aux = value;
	return true;
}

static bool deadline_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = lapic_tsc_deadline_read(&c->lapic, vm_cpu_tsc(c));
	look_again(c);
	return true;
}

static bool deadline_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	lapic_tsc_deadline_write(&c->lapic, value, vm_cpu_tsc(c));
	look_again(c);
	return true;
}

static bool x2apic_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	vm_lapic_sync(c);
	return lapic_msr_read(&c->lapic, msr, vm_cpu_tsc(c), value) == OK;
}

static bool x2apic_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	vm_lapic_sync(c);
	if (lapic_msr_write(&c->lapic, msr, value, vm_cpu_tsc(c)) != OK)
		return false;
	look_again(c);
	return true;
}

/* Sorted by number. */
static const struct msr_rule rules[] = {
	{MSR_IA32_P5_MC_ADDR, MSR_IA32_P5_MC_TYPE, read_zero, write_zero},
	{MSR_IA32_TSC, MSR_IA32_TSC, tsc_read, tsc_write},
	{MSR_IA32_PLATFORM_ID, MSR_IA32_PLATFORM_ID, read_zero, NULL},
	{MSR_IA32_APIC_BASE, MSR_IA32_APIC_BASE, apic_base_read, apic_base_write},
	{MSR_IA32_FEATURE_CONTROL, MSR_IA32_FEATURE_CONTROL, feature_control_read, NULL},
	{MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_ADJUST, tsc_adjust_read, tsc_adjust_write},
	{MSR_IA32_BIOS_SIGN_ID, MSR_IA32_BIOS_SIGN_ID, read_zero, write_ignored},
	{MSR_IA32_MTRRCAP, MSR_IA32_MTRRCAP, mtrrcap_read, NULL},
	{MSR_IA32_MCG_CAP, MSR_IA32_MCG_CTL, mc_read, mc_write},
	{MSR_IA32_MISC_ENABLE, MSR_IA32_MISC_ENABLE, misc_enable_read, misc_enable_write},
	{MSR_IA32_DEBUGCTL, MSR_IA32_DEBUGCTL, read_zero, write_zero},
	{MSR_IA32_MTRR_PHYSBASE0, MSR_IA32_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE_PAIRS - 1,
		variable_read, variable_write},
	{MSR_IA32_MTRR_FIX64K_00000, MSR_IA32_MTRR_FIX64K_00000, fixed_read, fixed_write},
	{MSR_IA32_MTRR_FIX16K_80000, MSR_IA32_MTRR_FIX16K_A0000, fixed_read, fixed_write},
	{MSR_IA32_MTRR_FIX4K_C0000, MSR_IA32_MTRR_FIX4K_F8000, fixed_read, fixed_write},
	{MSR_IA32_PAT, MSR_IA32_PAT, pat_read, pat_write},
	{MSR_IA32_MTRR_DEF_TYPE, MSR_IA32_MTRR_DEF_TYPE, def_type_read, def_type_write},
	{MSR_IA32_MC0_CTL, MSR_IA32_MC0_CTL + 4 * MCE_BANKS - 1, mc_read, mc_write},
	{MSR_IA32_TSC_DEADLINE, MSR_IA32_TSC_DEADLINE, deadline_read, deadline_write},
	{LAPIC_MSR_FIRST, LAPIC_MSR_LAST, x2apic_read, x2apic_write},
	{MSR_IA32_XSS, MSR_IA32_XSS, xss_read, xss_write},
	{MSR_IA32_EFER, MSR_IA32_EFER, efer_read, efer_write},
	{MSR_IA32_TSC_AUX, MSR_IA32_TSC_AUX, tsc_aux_read, tsc_aux_write},
};

static bool is_amd(const struct vm_cpu *c)
{
	return c->cpuid.vendor == CPUID_VENDOR_AMD;
}

static const struct msr_rule *find_rule(uint32_t msr)
{
	unsigned low = 0, high = ARRAY_SIZE(rules);

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (msr < rules[mid].first)
			high = mid;
		else if (msr > rules[mid].last)
			low = mid + 1;
		else
			return &rules[mid];
	}
	return NULL;
}

/*
 * The rule for this guest's CPU: AMD's have none of these (APM vol. 2, "MSR Cross-Reference").
 * MISC_ENABLE is not on the list though they have none either: tests of MSRs write it on any CPU,
 * and it can do no harm.
 */
static const struct msr_rule *rule_for(const struct vm_cpu *c, uint32_t msr)
{
	static const uint32_t not_amd[] = {MSR_IA32_PLATFORM_ID, MSR_IA32_FEATURE_CONTROL};

	for (unsigned i = 0; is_amd(c) && i < ARRAY_SIZE(not_amd); i++) {
		if (msr == not_amd[i])
			return NULL;
	}
	return find_rule(msr);
}

bool vm_msr_read(struct vm_cpu *c, uint32_t msr, uint64_t *value)
{
	const struct msr_rule *rule = rule_for(c, msr);

	if (!rule)
		return is_amd(c) && msr_amd_read(msr, value);
	return rule->read && rule->read(c, msr, value);
}

bool vm_msr_write(struct vm_cpu *c, uint32_t msr, uint64_t value)
{
	const struct msr_rule *rule = rule_for(c, msr);

	if (!rule)
		return is_amd(c) && msr_amd_write(msr, value);
	return rule->write && rule->write(c, msr, value);
}

void vm_msr_reset(struct vm_cpu *c)
{
	mce_reset(&c->mce);
	c->misc_enable = MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAIL |
			 MISC_ENABLE_PEBS_UNAVAIL;
	/*
	 * As firmware leaves them: everything write-back but the legacy hole and the top below 4
	 * GiB.
	 */
	c->mtrr_def_type = MTRR_DEF_TYPE_E | MTRR_DEF_TYPE_FE | MEMTYPE_WB;
	for (unsigned i = 0; i < ARRAY_SIZE(c->mtrr_fixed); i++)
		c->mtrr_fixed[i] = 0x0606060606060606ull;
	*fixed_slot(c, MSR_IA32_MTRR_FIX16K_A0000) = 0;
	c->mtrr_variable[0] = 0x80000000ull | MEMTYPE_UC;
	c->mtrr_variable[1] = (~0x7fffffffull & (BIT(c->cpuid.phys_bits) - 1)) | MTRR_PHYSMASK_V;
}
