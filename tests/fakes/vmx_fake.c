/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x: VMCSs with their launch state and the memory they live in, entries and exits. A VMCS's data
 * is kept here; its frame holds a cookie, so that a frame that was freed and cleared is no VMCS any
 * more.
 */
#include <stdarg.h>
#include <stdio.h>
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "hv/lib/string.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/fake_priv.h"
#include "tests/fakes/vmx_fake_priv.h"
#include "tests/fakes/vmx_fields.h"

#define VMCS_MAX 8u
#define COOKIE   0x5ca1ab1e0000ull /* plus the slot */
#define POISON   0xa5a5a5a5a5a5a5a5ull

struct vmcs {
	hpa_t hpa; /* 0: slot is free */
	bool launched, cleared;
	int active; /* CPU that may hold parts of it in its caches, -1: none */
	uint64_t value[VMX_FIELD_END / 2];
	bool defined[VMX_FIELD_END / 2];
};

static struct vmcs vmcs_slots[VMCS_MAX];
struct fake_vmx fake_vmx;
const char vmx_exit_entry[1];

void fake_vmx_reset(void)
{
	memset(vmcs_slots, 0, sizeof(vmcs_slots));
	memset(&fake_vmx, 0, sizeof(fake_vmx));
	fake_tlb_clear();
}

static uint64_t *cookie_of(hpa_t hpa)
{
	return (uint64_t *)phys_to_virt(hpa) + 1;
}

static struct vmcs *find_vmcs(hpa_t hpa)
{
	uint64_t cookie = *cookie_of(hpa);
	unsigned slot = (unsigned)(cookie - COOKIE);

	if (cookie < COOKIE || slot >= VMCS_MAX || vmcs_slots[slot].hpa != hpa)
		return NULL;
	return &vmcs_slots[slot];
}

/* A frame becomes a VMCS: the SDM says nothing of what its fields hold. */
static struct vmcs *new_vmcs(hpa_t hpa)
{
	for (unsigned i = 0; i < VMCS_MAX; i++) {
		struct vmcs *c = &vmcs_slots[i];

		if (c->hpa && c->hpa != hpa && *cookie_of(c->hpa) == COOKIE + i)
			continue;
		if (c->active >= 0 && c->hpa && c->hpa != hpa)
			fake_fail("the frame of a VMCS active on CPU %d was given away", c->active);
		memset(c, 0, sizeof(*c));
		c->hpa = hpa;
		c->active = -1;
		for (unsigned f = 0; f < VMX_FIELD_END / 2; f++)
			c->value[f] = POISON;
		*cookie_of(hpa) = COOKIE + i;
		return c;
	}
	fake_fail("more than %u VMCSs", VMCS_MAX);
}

static struct vmcs *current(const char *what)
{
	struct vmcs *c;

	if (!fake_this->vmxon)
		fake_fail("%s outside VMX operation: #UD", what);
	if (!fake_this->current)
		fake_fail("%s without a current VMCS", what);
	c = find_vmcs(fake_this->current);
	if (!c)
		fake_fail("%s: the current VMCS's frame was given away", what);
	if (c->active != (int)fake_cpu_index())
		fake_fail("%s: the current VMCS is active on CPU %d", what, c->active);
	return c;
}

/* ---- VMX operation ---- */

bool fake_fixed_valid(uint64_t value, uint32_t fixed0, uint64_t free)
{
	uint64_t ones = fake_msr_get(fixed0) & ~free, may = fake_msr_get(fixed0 + 1) | free;

	return (value & ones) == ones && !(value & ~may);
}

static uint32_t revision(void)
{
	return (uint32_t)(fake_msr_get(MSR_IA32_VMX_BASIC) & VMX_BASIC_REVISION_MASK);
}

static bool region_valid(hpa_t region)
{
	return !(region & (PAGE_SIZE - 1)) && *(uint32_t *)phys_to_virt(region) == revision();
}

bool vmxon(hpa_t region)
{
	const uint64_t enabled = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;

	fake_record(FAKE_VMXON, region, 0);
	if (!(fake_this->cr4 & CR4_VMXE))
		fake_fail("VMXON without CR4.VMXE: #UD");
	if (fake_this->vmxon)
		fake_fail("VMXON in VMX operation");
	if ((fake_msr_get(MSR_IA32_FEATURE_CONTROL) & enabled) != enabled)
		fake_fail("VMXON while IA32_FEATURE_CONTROL forbids it: #GP");
	if (!fake_fixed_valid(fake_this->cr0, MSR_IA32_VMX_CR0_FIXED0, 0) ||
		!fake_fixed_valid(fake_this->cr4, MSR_IA32_VMX_CR4_FIXED0, 0))
		fake_fail("VMXON with CR0 or CR4 fixed bits wrong: #GP");
	if (!region_valid(region))
		return false;
	fake_this->vmxon = region;
	fake_this->current = 0;
	return true;
}

void vmxoff(void)
{
	fake_record(FAKE_VMXOFF, 0, 0);
	if (!fake_this->vmxon)
		fake_fail("VMXOFF outside VMX operation: #UD");
	for (unsigned i = 0; i < VMCS_MAX; i++) {
		if (vmcs_slots[i].hpa && vmcs_slots[i].active == (int)fake_cpu_index())
			fake_fail("VMXOFF with an active VMCS");
	}
	fake_this->vmxon = 0;
}

bool vmclear(hpa_t hpa)
{
	struct vmcs *c;

	fake_record(FAKE_VMCLEAR, hpa, 0);
	if (!fake_this->vmxon)
		fake_fail("VMCLEAR outside VMX operation: #UD");
	if (hpa & (PAGE_SIZE - 1) || hpa == fake_this->vmxon)
		return false;
	c = find_vmcs(hpa);
	if (!c)
		c = new_vmcs(hpa);
	if (c->active >= 0 && c->active != (int)fake_cpu_index())
		fake_fail("VMCLEAR of a VMCS that is active on CPU %d", c->active);
	c->active = -1;
	c->launched = false;
	c->cleared = true;
	if (fake_this->current == hpa)
		fake_this->current = 0;
	return true;
}

bool vmptrld(hpa_t hpa)
{
	struct vmcs *c;

	fake_record(FAKE_VMPTRLD, hpa, 0);
	if (!fake_this->vmxon)
		fake_fail("VMPTRLD outside VMX operation: #UD");
	if (hpa == fake_this->vmxon || !region_valid(hpa))
		fake_fail("VMPTRLD of something that is no VMCS");
	c = find_vmcs(hpa);
	if (!c || !c->cleared)
		fake_fail("VMPTRLD of a VMCS that was never cleared");
	if (c->active >= 0 && c->active != (int)fake_cpu_index())
		fake_fail("VMPTRLD of a VMCS that is active on CPU %d", c->active);
	c->active = (int)fake_cpu_index();
	fake_this->current = hpa;
	return true;
}

/* ---- Fields ---- */

static void check_field(uint64_t field, const char *what)
{
	if (!vmx_field_exists(field))
		fake_fail("%s of unknown field 0x%lx", what, (unsigned long)field);
}

uint64_t vmread(uint64_t field)
{
	struct vmcs *c = current("VMREAD");

	check_field(field, "VMREAD");
	if (!c->defined[field / 2])
		fake_fail("VMREAD of field 0x%lx, which is undefined now", (unsigned long)field);
	fake_record(FAKE_VMREAD, field, c->value[field / 2]);
	return c->value[field / 2];
}

void vmwrite(uint64_t field, uint64_t value)
{
	struct vmcs *c = current("VMWRITE");

	fake_record(FAKE_VMWRITE, field, value);
	check_field(field, "VMWRITE");
	if (vmx_field_read_only(field))
		fake_fail("VMWRITE of read-only field 0x%lx", (unsigned long)field);
	if (value & ~vmx_field_mask(field))
		fake_fail("VMWRITE of 0x%lx to field 0x%lx: too wide", (unsigned long)value,
			(unsigned long)field);
	c->value[field / 2] = value;
	c->defined[field / 2] = true;
}

uint64_t fake_vmcs_get(uint32_t field)
{
	check_field(field, "look at");
	return current("look")->value[field / 2];
}

bool fake_vmcs_defined(uint32_t field)
{
	check_field(field, "look at");
	return current("look")->defined[field / 2];
}

void fake_vmcs_set(uint32_t field, uint64_t value)
{
	struct vmcs *c = current("change");

	check_field(field, "change");
	c->value[field / 2] = value & vmx_field_mask(field);
	c->defined[field / 2] = true;
}

static void undefine(uint32_t field)
{
	struct vmcs *c = current("change");

	c->value[field / 2] = POISON & vmx_field_mask(field);
	c->defined[field / 2] = false;
}

/* ---- Exits ---- */

/*
 * What only some exits write is stale after the others (SDM vol. 3, "VM-Exit Information Fields").
 */
static void exit_begin(void)
{
	undefine(VMCS_EXIT_INSN_LENGTH);
	undefine(VMCS_EXIT_INSN_INFO);
	undefine(VMCS_EXIT_INTR_ERROR);
	undefine(VMCS_IDT_VECTORING_ERROR);
	undefine(VMCS_GUEST_PHYSICAL);
	undefine(VMCS_GUEST_LINEAR);
	fake_vmcs_set(VMCS_EXIT_INTR_INFO, 0);
	fake_vmcs_set(VMCS_IDT_VECTORING_INFO, 0);
}

void fake_exit(uint32_t reason, uint64_t qualification)
{
	fake_vmx.exit_set = true;
	exit_begin();
	fake_vmcs_set(VMCS_EXIT_REASON, reason);
	fake_vmcs_set(VMCS_EXIT_QUALIFICATION, qualification);
}

void fake_exit_insn(uint32_t reason, uint64_t qualification, uint32_t length)
{
	fake_exit(reason, qualification);
	fake_vmcs_set(VMCS_EXIT_INSN_LENGTH, length);
}

void fake_exit_exception(uint32_t intr_info, uint32_t error, uint64_t qualification)
{
	fake_exit(VMX_EXIT_EXCEPTION_NMI, qualification);
	fake_vmcs_set(VMCS_EXIT_INTR_INFO, intr_info | INTR_INFO_VALID);
	if (intr_info & INTR_INFO_ERROR_VALID)
		fake_vmcs_set(VMCS_EXIT_INTR_ERROR, error);
}

void fake_exit_ept(gpa_t gpa, gva_t gva, uint64_t qualification)
{
	fake_exit(VMX_EXIT_EPT_VIOLATION, qualification);
	fake_vmcs_set(VMCS_GUEST_PHYSICAL, gpa);
	if (qualification & 0x80)
		fake_vmcs_set(VMCS_GUEST_LINEAR, gva);
}

void fake_vectoring(uint32_t info, uint32_t error, uint32_t insn_len)
{
	fake_vmcs_set(VMCS_IDT_VECTORING_INFO, info | INTR_INFO_VALID);
	if (info & INTR_INFO_ERROR_VALID)
		fake_vmcs_set(VMCS_IDT_VECTORING_ERROR, error);
	if ((info >> INTR_INFO_TYPE_SHIFT & INTR_INFO_TYPE_MASK) >= EVENT_SOFT_INTERRUPT)
		fake_vmcs_set(VMCS_EXIT_INSN_LENGTH, insn_len);
	fake_vmx.cut_short = true;
}

/* ---- Entry ---- */

static int entry_problem(uint32_t error, const char *text)
{
	snprintf(fake_vmx.problem, sizeof(fake_vmx.problem), "%s", text);
	if (!fake_vmx.tolerate)
		fake_fail("VM entry refused: %s", text);
	if (error) {
		fake_vmcs_set(VMCS_INSN_ERROR, error);
		return 1;
	}
	fake_exit(VMX_EXIT_ENTRY_GUEST_STATE | VMX_EXIT_ENTRY_FAILURE, 0);
	return 0;
}

static void take_injection(struct vcpu *v)
{
	struct fake_injection *i = &fake_vmx.injected;
	uint32_t info = (uint32_t)fake_vmcs_get(VMCS_ENTRY_INTR_INFO);

	memset(i, 0, sizeof(*i));
	(void)v;
	if (!(info & INTR_INFO_VALID))
		return;
	*i = (struct fake_injection){
		.valid = true,
		.vector = (uint8_t)info,
		.type = (info >> INTR_INFO_TYPE_SHIFT) & INTR_INFO_TYPE_MASK,
		.has_error = info & INTR_INFO_ERROR_VALID,
		.rip = fake_vmcs_get(VMCS_GUEST_RIP),
	};
	if (i->has_error)
		i->error = (uint32_t)fake_vmcs_get(VMCS_ENTRY_ERROR_CODE);
	if (i->type >= EVENT_SOFT_INTERRUPT)
		i->insn_len = (uint32_t)fake_vmcs_get(VMCS_ENTRY_INSN_LENGTH);
	fake_record(FAKE_INJECT, info, i->error);
	/* As if delivered through an interrupt gate; the guest callback may put it all back. */
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY,
		(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI) |
			(i->type == EVENT_NMI ? INTERRUPTIBILITY_NMI : 0));
	fake_vmcs_set(VMCS_GUEST_RFLAGS,
		fake_vmcs_get(VMCS_GUEST_RFLAGS) & ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_RF));
}

/* With a window control set and the window open, the guest executes nothing. */
static bool window_exit(void)
{
	uint64_t proc = fake_vmcs_get(VMCS_PROC_CONTROLS);
	uint64_t state = fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY);

	/*
	 * STI's shadow may or may not hold this one back (SDM vol. 3, "Other Causes of VM Exits").
	 */
	if ((proc & PROC_NMI_WINDOW_EXITING) &&
		!(state & (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS))) {
		fake_exit(VMX_EXIT_NMI_WINDOW, 0);
		return true;
	}
	if ((proc & PROC_INTERRUPT_WINDOW_EXITING) &&
		(fake_vmcs_get(VMCS_GUEST_RFLAGS) & RFLAGS_IF) &&
		!(state & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))) {
		fake_exit(VMX_EXIT_INTERRUPT_WINDOW, 0);
		return true;
	}
	return false;
}

static void play(struct vcpu *v)
{
	uint64_t info;

	take_injection(v);
	fake_vmx.entries++;
	fake_vmx.exit_set = false;
	fake_vmx.cut_short = false;
	fake_vmx.delivered = 0;
	if (!vmx_apic_entered() && !window_exit()) {
		vmx_apic_deliver();
		if (!fake_vmx.guest)
			fake_fail("entry, and no guest to play");
		fake_vmx.guest(v, fake_vmx.ctx);
		if (!fake_vmx.exit_set)
			fake_fail("the guest callback did not exit");
	}
	/* The exit clears the valid bit; the rest of the field stays. */
	info = fake_vmcs_get(VMCS_ENTRY_INTR_INFO);
	fake_vmcs_set(VMCS_ENTRY_INTR_INFO, info & ~(uint64_t)INTR_INFO_VALID);
	/*
	 * Unrestricted guest: LMA goes into the entry control (SDM vol. 3, "Saving Non-Register
	 * State").
	 */
	info = fake_vmcs_get(VMCS_ENTRY_CONTROLS) & ~(uint64_t)ENTRY_IA32E_MODE_GUEST;
	fake_vmcs_set(VMCS_ENTRY_CONTROLS,
		info | (fake_vmcs_get(VMCS_GUEST_EFER) & EFER_LMA ? ENTRY_IA32E_MODE_GUEST : 0));
}

/* Never executed here: nmi.c compares addresses with them. */
const char vmx_enter_window[2], vmx_enter_window_end[1], vmx_enter_abort[1];

int vmx_enter(struct vcpu *v, struct vmx_vcpu *x, bool launched)
{
	struct vmcs *c = current("VM entry");
	const char *problem;

	fake_record(FAKE_ENTER, !launched, 0);
	if (fake_this->rflags & RFLAGS_IF)
		fake_fail("VM entry with interrupts on");
	/* What entry.S does; the depth of the stack never changes here. */
	if (x->host_rsp != 0xffffc08000009f00ull) {
		x->host_rsp = 0xffffc08000009f00ull;
		vmwrite(VMCS_HOST_RSP, x->host_rsp);
	}
	if (fake_vmx.post_before_entry) {
		__atomic_or_fetch(&v->attention, fake_vmx.post_before_entry, __ATOMIC_RELAXED);
		fake_vmx.post_before_entry = 0;
	}
	if (v->attention)
		return VMX_ABORTED;
	if (fake_vmx.fail_next) {
		fake_vmcs_set(VMCS_INSN_ERROR, fake_vmx.fail_next);
		fake_vmx.fail_next = 0;
		return 1;
	}
	if (launched != c->launched)
		return entry_problem(launched ? 5 : 4, launched
							       ? "VMRESUME with a VMCS not launched"
							       : "VMLAUNCH with a VMCS not clear");
	problem = vmx_check_controls();
	if (problem)
		return entry_problem(7, problem);
	problem = vmx_check_host();
	if (problem)
		return entry_problem(8, problem);
	problem = vmx_check_guest();
	if (problem)
		return entry_problem(0, problem);
	c->launched = true;
	play(v);
	return 0;
}
