/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of a VM entry (SDM vol. 3, "VM Entries"), as far as this hypervisor's features reach.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/virt/virt.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/fake_priv.h"
#include "tests/fakes/vmx_fake_priv.h"
#include "tests/fakes/vmx_fields.h"

const char *vmx_first_broken(const struct vmx_rule *rules, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (rules[i].broken)
			return rules[i].text;
	}
	return NULL;
}

#define GET(f) fake_vmcs_get(VMCS_##f)

static bool fits(uint32_t capability, uint64_t controls)
{
	uint64_t c = fake_msr_get(capability);

	return !((uint32_t)c & ~controls) && !(controls & ~(c >> 32));
}

static bool pae_paging(void)
{
	return (GET(GUEST_CR0) & CR0_PG) && (GET(GUEST_CR4) & CR4_PAE) &&
	       !(GET(GUEST_EFER) & EFER_LMA);
}

static bool needed(unsigned field)
{
	switch (field) {
	case VMCS_ENTRY_ERROR_CODE: return GET(ENTRY_INTR_INFO) & INTR_INFO_ERROR_VALID;
	case VMCS_ENTRY_INSN_LENGTH:
		return (GET(ENTRY_INTR_INFO) & INTR_INFO_VALID) &&
		       (GET(ENTRY_INTR_INFO) >> INTR_INFO_TYPE_SHIFT & 7) >= EVENT_SOFT_INTERRUPT;
	case VMCS_VIRTUAL_APIC:
	case VMCS_TPR_THRESHOLD: return GET(PROC_CONTROLS) & PROC_USE_TPR_SHADOW;
	case VMCS_GUEST_INTR_STATUS:
	case VMCS_EOI_EXIT0:
	case VMCS_EOI_EXIT0 + 2:
	case VMCS_EOI_EXIT0 + 4:
	case VMCS_EOI_EXIT0 + 6: return GET(PROC2_CONTROLS) & PROC2_VIRTUAL_INTERRUPTS;
	case VMCS_APIC_ACCESS: return GET(PROC2_CONTROLS) & PROC2_VIRTUALIZE_APIC;
	case VMCS_GUEST_PDPTE0:
	case VMCS_GUEST_PDPTE0 + 2:
	case VMCS_GUEST_PDPTE0 + 4:
	case VMCS_GUEST_PDPTE0 + 6: return pae_paging();
	default: return !vmx_field_read_only(field);
	}
}

/* No field may still hold what the frame held before. */
static const char *check_all_written(void)
{
	static char text[] = "field 0x....  was never written";

	for (unsigned f = 0; f < VMX_FIELD_END; f = vmx_field_next(f)) {
		if (!needed(f) || fake_vmcs_defined(f))
			continue;
		for (unsigned i = 0; i < 4; i++)
			text[8 + i] = "0123456789abcdef"[f >> (12 - 4 * i) & 15];
		return text;
	}
	return NULL;
}

bool vmx_is_frame(uint64_t address)
{
	return !(address & (PAGE_SIZE - 1)) && address >= FAKE_RAM_BASE &&
	       address < FAKE_RAM_BASE + FAKE_RAM_SIZE;
}

static const char *check_event(void)
{
	uint32_t info = (uint32_t)GET(ENTRY_INTR_INFO), type, vector = info & 0xff;
	bool error, protected_mode = GET(GUEST_CR0) & CR0_PE;
	uint64_t length;

	if (!(info & INTR_INFO_VALID))
		return NULL;
	type = info >> INTR_INFO_TYPE_SHIFT & INTR_INFO_TYPE_MASK;
	error = info & INTR_INFO_ERROR_VALID;
	length = type >= EVENT_SOFT_INTERRUPT ? GET(ENTRY_INSN_LENGTH) : 1;
	const struct vmx_rule rules[] = {
		{type == 1 || type == 7, "injection: reserved type"},
		{info & 0x7ffff000, "injection: reserved bits"},
		{type == EVENT_NMI && vector != EXC_NMI, "injection: NMI with another vector"},
		{type == EVENT_EXCEPTION && vector > 31, "injection: exception above 31"},
		{type == EVENT_EXCEPTION && vector == EXC_NMI, "injection: exception 2"},
		{error && type != EVENT_EXCEPTION, "injection: error code, and no exception"},
		{type == EVENT_EXCEPTION && vector < 32 && protected_mode &&
				error != !!(EXC_HAS_ERROR_MASK & (1u << vector)),
			"injection: error code missing or too much"},
		{error && !protected_mode, "injection: error code in real mode"},
		{error && GET(ENTRY_ERROR_CODE) > 0x7fff, "injection: error code too wide"},
		{length < 1 || length > 15, "injection: instruction length"},
	};
	return vmx_first_broken(rules, ARRAY_SIZE(rules));
}

const char *vmx_check_controls(void)
{
	uint64_t proc = GET(PROC_CONTROLS), proc2 = GET(PROC2_CONTROLS);
	uint64_t pin = GET(PIN_CONTROLS), eptp = GET(EPT_POINTER);
	const char *unwritten = check_all_written();

	if (unwritten)
		return unwritten;
	const struct vmx_rule rules[] = {
		{!fits(MSR_IA32_VMX_TRUE_PINBASED, pin), "pin-based controls"},
		{!fits(MSR_IA32_VMX_TRUE_PROCBASED, proc), "processor-based controls"},
		{!fits(MSR_IA32_VMX_PROCBASED_CTLS2, proc2), "secondary controls"},
		{!fits(MSR_IA32_VMX_TRUE_EXIT, GET(EXIT_CONTROLS)), "exit controls"},
		{!fits(MSR_IA32_VMX_TRUE_ENTRY, GET(ENTRY_CONTROLS)), "entry controls"},
		{!(pin & PIN_EXTERNAL_INTERRUPT_EXITING), "host interrupts would reach the guest"},
		{!(pin & PIN_NMI_EXITING), "host NMIs would reach the guest"},
		{!(proc & PROC_ACTIVATE_SECONDARY), "secondary controls not active"},
		{!(proc & PROC_USE_IO_BITMAPS) && !(proc & PROC_UNCONDITIONAL_IO_EXITING),
			"the guest would reach the machine's ports"},
		{!(proc & PROC_USE_MSR_BITMAPS), "no MSR bitmap"},
		{!(proc & PROC_CR8_LOAD_EXITING) && !(proc & PROC_USE_TPR_SHADOW),
			"CR8 would be the machine's"},
		{!(proc & PROC_HLT_EXITING), "HLT would stop the CPU"},
		{!(proc2 & PROC2_ENABLE_EPT), "no EPT"},
		{!vmx_is_frame(GET(IO_BITMAP_A)) || !vmx_is_frame(GET(IO_BITMAP_B)), "I/O bitmaps"},
		{!vmx_is_frame(GET(MSR_BITMAP)), "MSR bitmap"},
		{GET(CR3_TARGET_COUNT) > 4, "CR3 target count"},
		{GET(VPID) == 0, "VPID 0 is the hypervisor's"},
		{(eptp & 7) != MEMTYPE_WB || (eptp >> 3 & 7) != 3 || eptp & 0xf80,
			"EPT pointer: type, walk length or reserved bits"},
		{(eptp & EPTP_AD) && !(fake_msr_get(MSR_IA32_VMX_EPT_VPID_CAP) & EPT_CAP_AD),
			"EPT pointer: no accessed and dirty flags here"},
		{!vmx_is_frame(eptp & CR3_ADDR_MASK), "EPT root is no frame"},
		{GET(EXIT_MSR_STORE_COUNT) || GET(EXIT_MSR_LOAD_COUNT) || GET(ENTRY_MSR_LOAD_COUNT),
			"MSR lists"},
		{!(GET(EXIT_CONTROLS) & EXIT_HOST_64BIT), "host is not 64-bit"},
		{(proc & PROC_NMI_WINDOW_EXITING) && !(pin & PIN_VIRTUAL_NMIS),
			"NMI window without virtual NMIs"},
	};
	const char *broken = vmx_first_broken(rules, ARRAY_SIZE(rules));

	if (!broken)
		broken = vmx_check_apic();
	return broken ? broken : check_event();
}

/* Stricter than the SDM: the host state must be this CPU's very own. */
const char *vmx_check_host(void)
{
	const struct fake_cpu *c = fake_this;
	const struct vmx_rule rules[] = {
		{GET(HOST_CR0) != c->cr0 ||
				!fake_fixed_valid(GET(HOST_CR0), MSR_IA32_VMX_CR0_FIXED0, 0),
			"host CR0"},
		{GET(HOST_CR4) != c->cr4 ||
				!fake_fixed_valid(GET(HOST_CR4), MSR_IA32_VMX_CR4_FIXED0, 0),
			"host CR4"},
		{GET(HOST_CR3) != c->cr3 || GET(HOST_CR3) == 0, "host CR3"},
		{GET(HOST_CS_SELECTOR) == 0 || GET(HOST_CS_SELECTOR) & 7, "host CS"},
		{GET(HOST_SS_SELECTOR) & 7 || GET(HOST_DS_SELECTOR) & 7 ||
				GET(HOST_ES_SELECTOR) & 7 || GET(HOST_FS_SELECTOR) & 7 ||
				GET(HOST_GS_SELECTOR) & 7,
			"host data selectors"},
		{GET(HOST_TR_SELECTOR) != c->tr || c->tr == 0, "host TR"},
		{GET(HOST_TR_BASE) != 0xffffffff80345678ull, "host TR base"},
		{GET(HOST_GS_BASE) != fake_msr_get(MSR_IA32_GS_BASE) || GET(HOST_GS_BASE) == 0,
			"host GS base"},
		{!fake_canonical(GET(HOST_FS_BASE)), "host FS base"},
		{GET(HOST_GDTR_BASE) != c->gdt.base, "host GDTR"},
		{GET(HOST_IDTR_BASE) != c->idt.base || GET(HOST_IDTR_BASE) == 0, "host IDTR"},
		{GET(HOST_RIP) == 0, "host RIP"},
		{GET(HOST_RSP) == 0, "host RSP"},
		{GET(HOST_EFER) != fake_msr_get(MSR_IA32_EFER), "host EFER"},
		{GET(HOST_PAT) != fake_msr_get(MSR_IA32_PAT), "host PAT"},
	};
	return vmx_first_broken(rules, ARRAY_SIZE(rules));
}

static const char *check_segment(unsigned i)
{
	uint64_t rights = fake_vmcs_get(VMCS_GUEST_ES_RIGHTS + 2 * i);
	uint64_t limit = fake_vmcs_get(VMCS_GUEST_ES_LIMIT + 2 * i);
	uint64_t base = fake_vmcs_get(VMCS_GUEST_ES_BASE + 2 * i);

	if (i != SEG_CS && i != SEG_TR && (rights & RIGHTS_UNUSABLE))
		return NULL;
	const struct vmx_rule rules[] = {
		{rights & 0xfffe0f00, "segment rights: reserved bits"},
		{rights & RIGHTS_UNUSABLE, "CS or TR unusable"},
		{!(rights & SEG_ATTR_P), "segment not present"},
		{!!(rights & SEG_ATTR_S) != (i < SEG_LDTR), "segment rights: S"},
		{(limit & 0xfff) != 0xfff && (rights & SEG_ATTR_G), "limit and granularity"},
		{(limit & 0xfff00000) && !(rights & SEG_ATTR_G), "limit and granularity"},
		{(i == SEG_CS || i == SEG_SS || i == SEG_DS || i == SEG_ES) && base >> 32,
			"segment base above 4 GiB"},
		{!fake_canonical(base), "segment base not canonical"},
		{i == SEG_CS && (rights & SEG_ATTR_L) && (rights & SEG_ATTR_DB),
			"CS has both L and D"},
	};
	return vmx_first_broken(rules, ARRAY_SIZE(rules));
}

static const char *check_segments(void)
{
	uint64_t tr = fake_vmcs_get(VMCS_GUEST_ES_RIGHTS + 2 * SEG_TR) & 15;
	uint64_t cs = fake_vmcs_get(VMCS_GUEST_ES_RIGHTS + 2 * SEG_CS) & 15;
	bool ia32e = GET(ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST;

	if (tr != DESC_TYPE_TSS_BUSY && (ia32e || tr != DESC_TYPE_TSS16_BUSY))
		return "TR is no busy TSS";
	/* Unrestricted guest: type 3 (data) is allowed as well. */
	if (cs != 3 && cs != 9 && cs != 11 && cs != 13 && cs != 15)
		return "CS type";
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const char *broken = check_segment(i);

		if (broken)
			return broken;
	}
	return NULL;
}

static const char *check_guest_control(void)
{
	uint64_t cr0 = GET(GUEST_CR0), cr4 = GET(GUEST_CR4), efer = GET(GUEST_EFER);
	bool ia32e = GET(ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST;
	const struct vmx_rule rules[] = {
		{!fake_fixed_valid(
			 cr0 & ~(CR0_CD | CR0_NW), MSR_IA32_VMX_CR0_FIXED0, CR0_PE | CR0_PG),
			"guest CR0 fixed bits"},
		{(cr0 & CR0_PG) && !(cr0 & CR0_PE), "guest CR0: PG without PE"},
		{cr0 & (CR0_CD | CR0_NW), "the guest would run uncached"},
		{!fake_fixed_valid(cr4, MSR_IA32_VMX_CR4_FIXED0, 0), "guest CR4 fixed bits"},
		{!(cr4 & CR4_MCE), "a machine check would shut the machine down"},
		{(cr4 & CR4_PCIDE) && !ia32e, "guest CR4: PCIDE outside long mode"},
		{ia32e && (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE)), "long mode without PG and PAE"},
		{!!(efer & EFER_LMA) != ia32e, "EFER.LMA and the entry control differ"},
		{(cr0 & CR0_PG) && !!(efer & EFER_LMA) != !!(efer & EFER_LME),
			"EFER.LMA and LME differ"},
		{efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE), "guest EFER reserved bits"},
		{!fake_pat_valid(GET(GUEST_PAT)), "guest PAT"},
		{GET(GUEST_CR3) >> 39, "guest CR3 beyond MAXPHYADDR"},
		{GET(GUEST_DR7) >> 32, "guest DR7"},
		{!fake_canonical(GET(GUEST_SYSENTER_ESP)), "guest SYSENTER_ESP"},
		{!fake_canonical(GET(GUEST_SYSENTER_EIP)), "guest SYSENTER_EIP"},
		{GET(LINK_POINTER) != UINT64_MAX, "VMCS link pointer"},
		{!fake_canonical(GET(GUEST_GDTR_BASE)) || GET(GUEST_GDTR_LIMIT) >> 16, "GDTR"},
		{!fake_canonical(GET(GUEST_IDTR_BASE)) || GET(GUEST_IDTR_LIMIT) >> 16, "IDTR"},
	};
	return vmx_first_broken(rules, ARRAY_SIZE(rules));
}

const char *vmx_check_guest(void)
{
	uint64_t flags = GET(GUEST_RFLAGS), state = GET(GUEST_INTERRUPTIBILITY),
		 rip = GET(GUEST_RIP);
	uint64_t cs = fake_vmcs_get(VMCS_GUEST_ES_RIGHTS + 2 * SEG_CS);
	uint64_t info = GET(ENTRY_INTR_INFO), pending = GET(GUEST_PENDING_DEBUG);
	bool inject = info & INTR_INFO_VALID, ia32e = GET(ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST;
	bool shadow = state & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
	unsigned type = info >> INTR_INFO_TYPE_SHIFT & INTR_INFO_TYPE_MASK;
	const struct vmx_rule rules[] = {
		{!(flags & RFLAGS_RESERVED), "RFLAGS bit 1"},
		{flags & 0xffffffffffc08028ull, "RFLAGS reserved bits"},
		{(flags & RFLAGS_VM) && (ia32e || !(GET(GUEST_CR0) & CR0_PE)), "RFLAGS.VM"},
		{!(ia32e && (cs & SEG_ATTR_L)) && rip >> 32, "RIP above 4 GiB outside 64-bit code"},
		{!fake_canonical(rip), "RIP not canonical"},
		{inject && type == EVENT_INTERRUPT && !(flags & RFLAGS_IF),
			"interrupt injected with IF clear"},
		{inject && type == EVENT_INTERRUPT && shadow,
			"interrupt injected in the shadow of STI or MOV SS"},
		{inject && type == EVENT_NMI && (state & INTERRUPTIBILITY_MOV_SS),
			"NMI injected in the shadow of MOV SS"},
		{inject && type == EVENT_NMI && (state & INTERRUPTIBILITY_STI),
			"NMI injected in the shadow of STI"},
		{inject && type == EVENT_NMI && (state & INTERRUPTIBILITY_NMI),
			"NMI injected while NMIs are blocked"},
		{state & ~0xfull, "interruptibility: reserved bits"},
		{(state & INTERRUPTIBILITY_SMI), "interruptibility: SMI"},
		{(state & 3) == 3, "interruptibility: STI and MOV SS"},
		{(state & INTERRUPTIBILITY_STI) && !(flags & RFLAGS_IF),
			"STI shadow with IF clear"},
		{GET(GUEST_ACTIVITY) != 0, "activity state: HLT would wait in the guest"},
		{pending & ~0x1500full, "pending debug exceptions: reserved bits"},
		{shadow && !(GET(GUEST_DEBUGCTL) & 2) &&
				!!(pending & PENDING_DEBUG_BS) != !!(flags & RFLAGS_TF),
			"pending debug exceptions: BS must equal TF in a shadow"},
	};
	const char *broken = check_guest_control();

	if (!broken)
		broken = check_segments();
	return broken ? broken : vmx_first_broken(rules, ARRAY_SIZE(rules));
}
