/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop and the decoding of exits: raw fields are read once, a table indexed by the basic
 * exit reason says which and what they mean in neutral terms, the hook does the rest.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/vmx/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "hv/lib/string.h"

/* What else a reason needs. */
#define NEED_LENGTH    1u /* the instruction's length */
#define NEED_VECTORING 2u /* may cut short the delivery of an event */
#define NEED_DECODE    4u /* the row's function */

struct decode_row {
	uint8_t reason; /* enum exit_reason */
	uint8_t needs;
	uint8_t info; /* the flight recorder notes this register, unless decode knows better */
	void (*decode)(struct vcpu *v, struct vm_exit *e, uint64_t qualification);
};

/*
 * An exit that hit IRET after it had unblocked NMIs must block them again, or the NMI handler nests
 * (SDM vol. 3, "Information for VM Exits Due to Vectored Events").
 */
static void reblock_nmi(const struct vcpu *v)
{
	if (!v->reinject.valid)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			vmread(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
}

/*
 * A #DB that is intercepted does not leave its single step in the pending debug exceptions, as
 * other exits do; but the entry after it wants to see it there while a shadow and TF last (SDM vol.
 * 3, "Checks on Guest Non-Register State"). Its delivery ends the shadow, so that can end now.
 */
static void end_shadow(void)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (state & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			state & ~(uint64_t)(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

/*
 * An intercepted #DB has not changed DR6 and DR7 yet (SDM vol. 3, "Exit Qualification"). INT1 is no
 * debug condition and leaves DR6 alone.
 */
static void set_dr6(unsigned type, uint64_t qualification)
{
	if (type != EVENT_PRIVILEGED_SOFT)
		write_dr6((read_dr6() & ~0xfull) | (qualification & 0x600full) | DR6_RESET);
	vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GD);
}

static void decode_exception(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_INTR_INFO);

	e->exception.vector = (uint8_t)(info & INTR_INFO_VECTOR);
	e->exception.type = (info >> INTR_INFO_TYPE_SHIFT) & INTR_INFO_TYPE_MASK;
	if (e->exception.type >= EVENT_SOFT_INTERRUPT)
		e->insn_len = (uint8_t)vmread(VMCS_EXIT_INSN_LENGTH);
	e->exception.has_error = info & INTR_INFO_ERROR_VALID;
	if (e->exception.has_error)
		e->exception.error = (uint32_t)vmread(VMCS_EXIT_INTR_ERROR);
	if ((info & INTR_INFO_NMI_UNBLOCK) && e->exception.vector != EXC_DF)
		reblock_nmi(v);
	if (e->exception.vector == EXC_DB) {
		end_shadow();
		set_dr6(e->exception.type, qualification);
	}
	if (e->exception.vector == EXC_NMI) {
		e->reason = EXIT_NMI;
		/* The exit left NMIs blocked: only the handler's IRET opens them again. */
		host_nmi();
	} else if (e->exception.vector == EXC_MC) {
		e->reason = EXIT_NMI;
		host_machine_check();
	}
}

static void decode_interrupt(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	(void)v;
	(void)e;
	(void)qualification;
	irq_window();
}

static void decode_cr(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	static const uint8_t kind[4] = {CR_WRITE, CR_READ, CR_CLTS, CR_LMSW};

	(void)v;
	e->cr.number = qualification & 15;
	e->cr.kind = kind[(qualification >> 4) & 3];
	e->cr.gpr = (qualification >> 8) & 15;
	e->cr.lmsw = (uint16_t)(qualification >> 16);
}

static void decode_task_switch(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	static const uint8_t source[4] = {TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE};

	(void)v;
	e->task.selector = (uint16_t)qualification;
	e->task.source = source[qualification >> 30 & 3];
	e->info = e->task.selector;
}

static void decode_io(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	(void)v;
	e->io.size = (uint8_t)((qualification & 7) + 1);
	e->io.kind = (qualification >> 3) & (IO_IN | IO_STRING | IO_REP);
	e->io.port = (uint16_t)(qualification >> 16);
	e->info = e->io.port;
}

static void decode_ept_violation(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	e->stage2.gpa = vmread(VMCS_GUEST_PHYSICAL);
	e->stage2.byte_count = 0;
	e->info = (uint32_t)e->stage2.gpa;
	e->stage2.read = qualification & 1;
	e->stage2.write = qualification & 2;
	e->stage2.fetch = qualification & 4;
	e->stage2.mapped = qualification & 0x38;
	e->stage2.gva_valid = qualification & 0x80;
	e->stage2.walking = e->stage2.gva_valid && !(qualification & 0x100);
	if (e->stage2.gva_valid)
		e->stage2.gva = vmread(VMCS_GUEST_LINEAR);
	if (qualification & INTR_INFO_NMI_UNBLOCK)
		reblock_nmi(v);
}

/*
 * An access of the register page that the CPU does not virtualize: as if nothing were mapped there.
 * No address is told but the offset (SDM vol. 3, "APIC-Access VM Exits").
 */
static void decode_apic_access(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	unsigned type = qualification >> APIC_ACCESS_TYPE_SHIFT & APIC_ACCESS_TYPE_MASK;

	(void)v;
	e->stage2.gpa = APIC_DEFAULT_BASE + (qualification & APIC_ACCESS_OFFSET);
	e->stage2.byte_count = 0;
	e->info = (uint32_t)e->stage2.gpa;
	e->stage2.gva_valid = e->stage2.mapped = false;
	e->stage2.write = type == APIC_ACCESS_WRITE;
	e->stage2.read = !e->stage2.write;
	e->stage2.fetch = type == APIC_ACCESS_FETCH;
	e->stage2.walking = type > APIC_ACCESS_DELIVERY; /* by a physical address */
}

static void decode_apic_write(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	(void)v;
	e->apic.offset = qualification & APIC_ACCESS_OFFSET;
	e->info = e->apic.offset;
}

static void decode_apic_eoi(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	(void)v;
	e->apic.vector = (uint8_t)qualification;
	e->info = e->apic.vector;
}

/*
 * An entry that the tables themselves make invalid is our mistake; the guest stops with the report.
 */
static void decode_misconfig(struct vcpu *v, struct vm_exit *e, uint64_t qualification)
{
	(void)v;
	(void)qualification;
	e->failure.error = VMX_EXIT_EPT_MISCONFIG;
	e->failure.detail = vmread(VMCS_GUEST_PHYSICAL);
}

#define ROW(n, r, f)        [VMX_EXIT_##n] = {EXIT_##r, f, RCX, NULL}
#define DECODED(n, r, f, d) [VMX_EXIT_##n] = {EXIT_##r, (f) | NEED_DECODE, RCX, d}

static const struct decode_row decode_table[VMX_EXIT_COUNT] = {
	DECODED(EXCEPTION_NMI, EXCEPTION, NEED_VECTORING, decode_exception),
	DECODED(EXTERNAL_INTERRUPT, INTERRUPT, NEED_VECTORING, decode_interrupt),
	ROW(TRIPLE_FAULT, TRIPLE_FAULT, NEED_VECTORING),
	ROW(INIT, INIT, 0),
	ROW(SIPI, SIPI, 0),
	ROW(INTERRUPT_WINDOW, INTERRUPT_WINDOW, 0),
	ROW(NMI_WINDOW, NMI_WINDOW, 0),
	/* The length means nothing for an event, which is in v->reinject, but no INT n. */
	DECODED(TASK_SWITCH, TASK_SWITCH, NEED_LENGTH | NEED_VECTORING, decode_task_switch),
	[VMX_EXIT_CPUID] = {EXIT_CPUID, NEED_LENGTH, RAX, NULL},
	ROW(GETSEC, UNDEFINED, 0),
	ROW(HLT, HLT, NEED_LENGTH),
	ROW(INVD, CACHE_CONTROL, NEED_LENGTH),
	ROW(WBINVD, CACHE_CONTROL, NEED_LENGTH),
	ROW(RDPMC, FORBIDDEN, 0),
	ROW(VMCALL, HYPERCALL, NEED_LENGTH),
	DECODED(CR_ACCESS, CR, NEED_LENGTH, decode_cr),
	DECODED(IO, IO, NEED_LENGTH, decode_io),
	ROW(RDMSR, RDMSR, NEED_LENGTH),
	ROW(WRMSR, WRMSR, NEED_LENGTH),
	ROW(MWAIT, UNDEFINED, 0),
	ROW(MONITOR, UNDEFINED, 0),
	ROW(TPR_THRESHOLD, TPR, 0),
	DECODED(APIC_ACCESS, STAGE2, NEED_VECTORING, decode_apic_access),
	DECODED(APIC_WRITE, APIC_WRITE, 0, decode_apic_write),
	DECODED(VIRTUALIZED_EOI, APIC_EOI, 0, decode_apic_eoi),
	DECODED(EPT_VIOLATION, STAGE2, NEED_VECTORING, decode_ept_violation),
	DECODED(EPT_MISCONFIG, ENTRY_FAILURE, NEED_VECTORING, decode_misconfig),
	ROW(INVEPT, UNDEFINED, 0),
	ROW(INVVPID, UNDEFINED, 0),
	ROW(RDTSCP, UNDEFINED, 0),
	ROW(INVPCID, UNDEFINED, 0),
	ROW(VMFUNC, UNDEFINED, 0),
	ROW(XSETBV, XSETBV, NEED_LENGTH),
	/* All of VMX but VMCALL is consecutive. */
	[VMX_EXIT_VMCLEAR... VMX_EXIT_VMXON] = {EXIT_UNDEFINED, 0, RCX, NULL},
};

/* The last exit cut short the delivery of an event: it is delivered again at the next entry. */
static void save_vectoring(struct vcpu *v)
{
	uint32_t info = (uint32_t)vmread(VMCS_IDT_VECTORING_INFO);
	struct vcpu_event *event = &v->reinject;

	if (!(info & INTR_INFO_VALID))
		return;
	*event = (struct vcpu_event){
		.valid = true,
		.vector = (uint8_t)(info & INTR_INFO_VECTOR),
		.type = (uint8_t)((info >> INTR_INFO_TYPE_SHIFT) & INTR_INFO_TYPE_MASK),
		.has_error = info & INTR_INFO_ERROR_VALID,
	};
	if (event->has_error)
		event->error = (uint32_t)vmread(VMCS_IDT_VECTORING_ERROR);
	if (event->type >= EVENT_SOFT_INTERRUPT)
		event->insn_len = (uint8_t)vmread(VMCS_EXIT_INSN_LENGTH);
	/* NMI delivery that is repeated must not find NMIs blocked by its first attempt. */
	if (event->type == EVENT_NMI)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)INTERRUPTIBILITY_NMI);
	__atomic_or_fetch(&v->attention, VCPU_REINJECT, __ATOMIC_RELAXED);
}

/*
 * A number that no row has, or one with flags: of those only the failure of an entry is ever due.
 */
static void decode_unusual(struct vm_exit *e)
{
	e->reason = EXIT_UNKNOWN;
	e->info = 0;
	if (!(e->raw & VMX_EXIT_ENTRY_FAILURE))
		return;
	e->reason = EXIT_ENTRY_FAILURE;
	e->failure.error = e->raw & 0xffff;
	if (e->failure.error == VMX_EXIT_ENTRY_MACHINE_CHECK)
		host_machine_check(); /* the machine's, as in an exit for #MC */
	e->failure.detail = vmread(VMCS_EXIT_QUALIFICATION);
}

static void decode_more(struct vcpu *v, struct vm_exit *e, const struct decode_row *row)
{
	if (row->needs & NEED_VECTORING)
		save_vectoring(v);
	if (row->needs & NEED_DECODE)
		row->decode(v, e, vmread(VMCS_EXIT_QUALIFICATION));
}

static void decode_exit(struct vcpu *v, struct vm_exit *e)
{
	uint32_t raw = (uint32_t)vmread(VMCS_EXIT_REASON);
	const struct decode_row *row;

	v->rip = vmread(VMCS_GUEST_RIP);
	e->raw = raw;
	e->insn_len = 0;
	if (UNLIKELY(raw >= VMX_EXIT_COUNT)) {
		decode_unusual(e);
		return;
	}
	row = &decode_table[raw];
	e->reason = row->reason;
	e->info = (uint32_t)v->gpr[row->info];
	if (row->needs & NEED_LENGTH)
		e->insn_len = (uint8_t)vmread(VMCS_EXIT_INSN_LENGTH);
	if (row->needs & ~NEED_LENGTH)
		decode_more(v, e, row);
}

/* RF lasts for one instruction, TF asks for a #DB behind it. */
static NOINLINE void end_flags(uint64_t rflags)
{
	if (rflags & RFLAGS_RF)
		vmwrite(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	if (rflags & RFLAGS_TF)
		vmwrite(VMCS_GUEST_PENDING_DEBUG,
			vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

/* RIP, the shadow of STI or MOV SS, and a pending single step. */
void vmx_instruction_done(struct vcpu *v, uint64_t rip)
{
	uint64_t shadow = vmread(VMCS_GUEST_INTERRUPTIBILITY), rflags;

	v->rip = rip;
	vmwrite(VMCS_GUEST_RIP, rip);
	if (UNLIKELY(shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			shadow & ~(uint64_t)(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
	rflags = vmread(VMCS_GUEST_RFLAGS);
	if (UNLIKELY(rflags & (RFLAGS_TF | RFLAGS_RF)))
		end_flags(rflags);
}

static void next_instruction(struct vcpu *v, const struct vm_exit *e)
{
	uint64_t rip = v->rip + e->insn_len;

	/* Only code in the low 4 GiB can be 32-bit code, whose IP wraps. */
	if (UNLIKELY((uint32_t)rip < e->insn_len) &&
		!(vmread(VMCS_GUEST_ES_RIGHTS + 2 * SEG_CS) & SEG_ATTR_L))
		rip &= UINT32_MAX;
	vmx_instruction_done(v, rip);
}

static void inject(struct vcpu_event *event)
{
	uint32_t info = INTR_INFO_VALID | (uint32_t)event->type << INTR_INFO_TYPE_SHIFT |
			event->vector;

	/* Real mode pushes no error code, and an entry that asks for one fails. */
	if (event->has_error && (vmread(VMCS_GUEST_CR0) & CR0_PE)) {
		info |= INTR_INFO_ERROR_VALID;
		vmwrite(VMCS_ENTRY_ERROR_CODE, event->error);
	}
	if (event->type >= EVENT_SOFT_INTERRUPT)
		vmwrite(VMCS_ENTRY_INSN_LENGTH, event->insn_len);
	vmwrite(VMCS_ENTRY_INTR_INFO, info);
	event->valid = false;
}

/* The entry did not happen: the event that was to go with it is chosen again. */
static void take_back(struct vcpu *v)
{
	uint32_t info = (uint32_t)vmread(VMCS_ENTRY_INTR_INFO);

	if (!(info & INTR_INFO_VALID))
		return;
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
	v->reinject = (struct vcpu_event){
		.valid = true,
		.vector = (uint8_t)(info & INTR_INFO_VECTOR),
		.type = (uint8_t)((info >> INTR_INFO_TYPE_SHIFT) & INTR_INFO_TYPE_MASK),
		.has_error = info & INTR_INFO_ERROR_VALID,
	};
	if (v->reinject.has_error)
		v->reinject.error = (uint32_t)vmread(VMCS_ENTRY_ERROR_CODE);
	if (v->reinject.type >= EVENT_SOFT_INTERRUPT)
		v->reinject.insn_len = (uint8_t)vmread(VMCS_ENTRY_INSN_LENGTH);
	__atomic_or_fetch(&v->attention, VCPU_REINJECT, __ATOMIC_RELAXED);
}

static void update_windows(const struct vcpu *v, struct vmx_vcpu *x)
{
	uint32_t controls = x->proc_base;

	if (v->want_interrupt_window)
		controls |= PROC_INTERRUPT_WINDOW_EXITING;
	/*
	 * The NMI window of some CPUs is open in the shadow of STI, where an NMI cannot be
	 * injected: the guest would never get out of it (SDM vol. 3, "Other Causes of VM Exits").
	 */
	if (v->want_nmi_window)
		controls |= vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_STI
				    ? PROC_INTERRUPT_WINDOW_EXITING
				    : PROC_NMI_WINDOW_EXITING;
	if (controls == x->proc_controls)
		return;
	x->proc_controls = controls;
	vmwrite(VMCS_PROC_CONTROLS, controls);
}

static void record(struct vcpu *v, const struct vm_exit *e)
{
	struct recorder_entry *entry = &v->recorder[v->recorder_at++ % RECORDER_SIZE];

	entry->rip = v->rip;
	entry->raw = e->raw;
	entry->info = e->info;
	v->exits[e->reason]++;
}

void vmx_run(struct vcpu *v)
{
	const struct vcpu_hooks *hooks = v->hooks;
	struct vmx_vcpu *x = v->vendor;
	enum exit_action action;
	struct vm_exit e;
	int entered;

	do {
		if (UNLIKELY(atomic_set(&v->attention))) {
			if (!hooks->before_entry(v))
				return;
			if (v->event.valid)
				inject(&v->event);
			update_windows(v, x);
			vmx_apic_update(v, x);
		}
		timing_enter(&v->timing);
		entered = vmx_enter(v, x, v->launched);
		if (LIKELY(entered == VMX_ENTERED)) {
			timing_exit(&v->timing);
			v->launched = true;
			decode_exit(v, &e);
		} else if (entered == VMX_ABORTED) {
			take_back(v);
			action = ACT_RESUME;
			continue;
		} else {
			e.raw = VMX_EXIT_ENTRY_FAILURE;
			e.reason = EXIT_ENTRY_FAILURE;
			e.info = 0;
			e.failure.error = 0;
			e.failure.detail = vmread(VMCS_INSN_ERROR);
		}
		record(v, &e);
		action = hooks->exit[e.reason](v, &e);
		if (action == ACT_NEXT)
			next_instruction(v, &e);
	} while (action != ACT_LEAVE);
}
