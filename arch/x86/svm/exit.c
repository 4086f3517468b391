/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop and the decoding of exits: a table indexed by the exit code says which fields count
 * and what they mean in neutral terms, the hook does the rest.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/svm/svm_insn.h"

/* What else a reason needs. */
#define NEED_LENGTH    1u /* the instruction's length */
#define NEED_VECTORING 2u /* may cut short the delivery of an event */
#define NEED_DECODE    4u /* the row's function */

#define CODE_NPF   SVM_EXIT_COUNT /* its row in the table */
#define CODE_COUNT (SVM_EXIT_COUNT + 1)

struct decode_row {
	uint8_t reason; /* enum exit_reason */
	uint8_t needs;
	uint8_t info; /* the flight recorder notes this register, unless decode knows better */
	void (*decode)(struct vcpu *v, struct vm_exit *e, const struct vmcb *b);
};

static const struct vmcb *vmcb_of(const struct vcpu *v)
{
	const struct svm_vcpu *x = v->vendor;

	return x->vmcb;
}

/* Not every CPU says how long an instruction is; hv/vm can look at its bytes. */
static void find_length(struct vcpu *v, struct vm_exit *e)
{
	if (svm_config.features & CPUID_SVM_EDX_NRIPS)
		e->insn_len = (uint8_t)(vmcb_of(v)->next_rip - v->rip);
	else if (!v->hooks->decode(v, e))
		e->reason = EXIT_AGAIN;
}

static void decode_exception(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	struct svm_vcpu *x = v->vendor;

	e->exception.vector = (uint8_t)(b->exit_code - SVM_EXIT_EXCEPTION);
	e->exception.type = EVENT_EXCEPTION;
	e->exception.has_error = EXC_HAS_ERROR_MASK >> e->exception.vector & 1;
	e->exception.error = e->exception.has_error ? (uint32_t)b->exit_info1 : 0;
	/* An intercepted #PF leaves CR2 alone (APM vol. 2, "#PF (Page Fault)"). */
	if (e->exception.vector == EXC_PF) {
		x->vmcb->cr2 = b->exit_info2;
		x->vmcb->clean &= ~SVM_CLEAN_CR2;
	} else if (e->exception.vector == EXC_BP || e->exception.vector == EXC_OF) {
		/* Only in a step, and RIP has not moved: executed again behind what waits. */
		e->reason = EXIT_AGAIN;
		x->vmcb->int_shadow = 0;
	} else if (e->exception.vector == EXC_MC) {
		e->reason = EXIT_NMI;
		host_machine_check();
	}
}

/* INT1 is trapped before it does anything. */
static void decode_icebp(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	(void)b;
	e->exception.vector = EXC_DB;
	e->exception.type = EVENT_PRIVILEGED_SOFT;
	e->exception.has_error = false;
	e->exception.error = 0;
	find_length(v, e);
}

/*
 * At CPL 3 #GP comes before the intercept (APM vol. 2, "Instruction Intercepts"); not so in QEMU 10.
 */
static void decode_cache(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	if (b->cpl)
		e->reason = EXIT_FORBIDDEN;
	else
		find_length(v, e);
}

/* No instruction has caused it. */
static void decode_between(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	(void)e;
	(void)b;
	svm_keep_shadow(v->vendor);
}

static void decode_interrupt(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	decode_between(v, e, b);
	irq_window();
}

static void decode_iret(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	(void)e;
	(void)b;
	svm_iret(v);
}

static void decode_cr(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	e->cr.number = b->exit_code & 15;
	e->cr.kind = b->exit_code >= SVM_EXIT_CR_WRITE ? CR_WRITE : CR_READ;
	e->cr.gpr = b->exit_info1 & SVM_CR_INFO_GPR;
	/* Both came with the same family of CPUs, but not in every emulator. */
	if (svm_config.features & CPUID_SVM_EDX_DECODE)
		find_length(v, e);
	else if (!v->hooks->decode(v, e))
		e->reason = EXIT_AGAIN;
}

static void decode_io(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	uint32_t info = (uint32_t)b->exit_info1;

	_Static_assert(IO_IN == SVM_IOIO_IN && IO_STRING == SVM_IOIO_STRING >> 1 &&
			       IO_REP == SVM_IOIO_REP >> 1,
		"IN stands apart");
	e->io.port = (uint16_t)(info >> SVM_IOIO_PORT_SHIFT);
	e->io.size = (info >> SVM_IOIO_SIZE_SHIFT) & 7;
	e->io.kind = (info & SVM_IOIO_IN) | ((info >> 1) & (IO_STRING | IO_REP));
	e->info = e->io.port;
	e->insn_len = (uint8_t)(b->exit_info2 - v->rip);
}

static void decode_msr(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	if (b->exit_info1 & 1)
		e->reason = EXIT_WRMSR;
	find_length(v, e);
}

static void decode_npf(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	uint64_t info = b->exit_info1;

	(void)v;
	e->stage2.gpa = b->exit_info2;
	e->info = (uint32_t)b->exit_info2;
	e->stage2.gva = 0;
	e->stage2.gva_valid = false;
	e->stage2.fetch = info & SVM_NPF_FETCH;
	e->stage2.write = info & SVM_NPF_WRITE;
	e->stage2.read = !e->stage2.fetch && !e->stage2.write;
	e->stage2.mapped = info & SVM_NPF_PRESENT;
	e->stage2.walking = info & SVM_NPF_WALKING;
	e->stage2.byte_count = b->insn_count & 15;
	e->stage2.bytes = b->insn_bytes;
}

#define ROW(n, r, f)        [SVM_EXIT_##n] = {EXIT_##r, f, RCX, NULL}
#define DECODED(n, r, f, d) [SVM_EXIT_##n] = {EXIT_##r, (f) | NEED_DECODE, RCX, d}

static const struct decode_row decode_table[CODE_COUNT] = {
	[SVM_EXIT_CR_READ + 4] = {EXIT_CR, NEED_DECODE, RCX, decode_cr},
	[SVM_EXIT_CR_READ + 8] = {EXIT_CR, NEED_DECODE, RCX, decode_cr},
	[SVM_EXIT_CR_WRITE + 4] = {EXIT_CR, NEED_DECODE, RCX, decode_cr},
	[SVM_EXIT_CR_WRITE + 8] = {EXIT_CR, NEED_DECODE, RCX, decode_cr},
	[SVM_EXIT_EXCEPTION... SVM_EXIT_EXCEPTION + 31] = {EXIT_EXCEPTION,
		NEED_VECTORING | NEED_DECODE, RCX, decode_exception},
	DECODED(INTR, INTERRUPT, NEED_VECTORING, decode_interrupt),
	DECODED(NMI, NMI, NEED_VECTORING, decode_between), /* taken as soon as GIF was set */
	ROW(INIT, INIT, NEED_VECTORING),
	DECODED(VINTR, INTERRUPT_WINDOW, 0, decode_between),
	ROW(RDPMC, FORBIDDEN, 0),
	[SVM_EXIT_CPUID] = {EXIT_CPUID, NEED_LENGTH, RAX, NULL},
	DECODED(IRET, NMI_WINDOW, 0, decode_iret),
	DECODED(INVD, CACHE_CONTROL, 0, decode_cache),
	ROW(HLT, HLT, NEED_LENGTH),
	ROW(INVLPGA, UNDEFINED, 0),
	DECODED(IOIO, IO, 0, decode_io),
	DECODED(MSR, RDMSR, 0, decode_msr),
	ROW(TASK_SWITCH, TASK_SWITCH, NEED_VECTORING),
	ROW(SHUTDOWN, TRIPLE_FAULT, NEED_VECTORING),
	ROW(VMRUN, UNDEFINED, 0),
	ROW(VMMCALL, HYPERCALL, 0),
	ROW(VMLOAD, UNDEFINED, 0),
	ROW(VMSAVE, UNDEFINED, 0),
	ROW(STGI, UNDEFINED, 0),
	ROW(CLGI, UNDEFINED, 0),
	ROW(SKINIT, UNDEFINED, 0),
	ROW(RDTSCP, UNDEFINED, 0),
	DECODED(ICEBP, EXCEPTION, 0, decode_icebp),
	DECODED(WBINVD, CACHE_CONTROL, 0, decode_cache),
	ROW(MONITOR, UNDEFINED, 0),
	ROW(MWAIT, UNDEFINED, 0),
	ROW(MWAIT_ARMED, UNDEFINED, 0),
	ROW(XSETBV, XSETBV, NEED_LENGTH),
	ROW(RDPRU, UNDEFINED, 0),
	ROW(INVPCID, UNDEFINED, 0),
	[CODE_NPF] = {EXIT_STAGE2, NEED_VECTORING | NEED_DECODE, RCX, decode_npf},
};

/* A code that has no row of its own number. */
static uint32_t row_number(struct vm_exit *e, uint64_t code)
{
	if (code == SVM_EXIT_NPF)
		return CODE_NPF;
	e->info = 0;
	e->failure.error = (uint32_t)code;
	e->failure.detail = code;
	return CODE_COUNT;
}

static void decode_more(struct vcpu *v, struct vm_exit *e, const struct decode_row *row)
{
	if (row->needs & NEED_VECTORING)
		svm_save_vectoring(v);
	if (row->needs & NEED_DECODE)
		row->decode(v, e, vmcb_of(v));
}

static void decode_exit(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	uint64_t code = b->exit_code;
	uint32_t number = (uint32_t)code;
	const struct decode_row *row;

	v->rip = b->rip;
	e->raw = number;
	e->insn_len = 0;
	if (UNLIKELY(code >= SVM_EXIT_COUNT)) {
		number = row_number(e, code);
		if (number == CODE_COUNT) {
			e->reason = (uint32_t)code == SVM_EXIT_INVALID ? EXIT_ENTRY_FAILURE
								       : EXIT_UNKNOWN;
			return;
		}
	}
	row = &decode_table[number];
	e->reason = row->reason;
	e->info = (uint32_t)v->gpr[row->info];
	if (row->needs & NEED_LENGTH)
		find_length(v, e);
	if (row->needs & ~NEED_LENGTH)
		decode_more(v, e, row);
}

/* RIP, the shadow of STI or MOV SS, and a due single step, which AMD-V has no field for. */
void svm_instruction_done(struct vcpu *v, uint64_t rip)
{
	struct svm_vcpu *x = v->vendor;
	struct vmcb *b = x->vmcb;

	v->rip = rip;
	b->rip = rip;
	b->int_shadow = 0;
	if (LIKELY(!(b->rflags & RFLAGS_TF)) || v->event.valid)
		return;
	b->dr6 |= DR6_BS;
	b->clean &= ~SVM_CLEAN_DRX;
	v->event = (struct vcpu_event){.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_DB};
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
}

static void next_instruction(struct vcpu *v, const struct vm_exit *e)
{
	uint64_t rip = v->rip + e->insn_len;

	/* Only code in the low 4 GiB can be 32-bit code, whose IP wraps. */
	if (UNLIKELY((uint32_t)rip < e->insn_len) &&
		!(vmcb_of(v)->seg[SEG_CS].attr & (SEG_ATTR_L >> 4)))
		rip &= UINT32_MAX;
	svm_instruction_done(v, rip);
}

static void record(struct vcpu *v, const struct vm_exit *e)
{
	struct recorder_entry *entry = &v->recorder[v->recorder_at++ % RECORDER_SIZE];

	entry->rip = v->rip;
	entry->raw = e->raw;
	entry->info = e->info;
	v->exits[e->reason]++;
}

static void after_exit(struct vcpu *v, struct svm_vcpu *x, struct vm_exit *e)
{
	struct vmcb *b = x->vmcb;
	bool window;

	b->event_inj = 0;
	b->tlb_control = SVM_TLB_NOTHING;
	b->clean = svm_config.clean;
	/*
	 * What waits for a window may have its turn now, without another exit; and an NMI behind an
	 * injected event has no window at all.
	 */
	if (UNLIKELY(v->want_interrupt_window || v->want_nmi_window))
		__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
	window = UNLIKELY(x->stepping) && svm_step_end(v);
	decode_exit(v, e, b);
	if (window)
		e->reason = EXIT_NMI_WINDOW;
}

void svm_run(struct vcpu *v)
{
	const struct vcpu_hooks *hooks = v->hooks;
	struct svm_vcpu *x = v->vendor;
	enum exit_action action = ACT_RESUME;
	struct vm_exit e;

	do {
		if (UNLIKELY(__atomic_load_n(&v->attention, __ATOMIC_ACQUIRE))) {
			if (!hooks->before_entry(v))
				return;
			if (v->event.valid)
				svm_inject(x, &v->event);
			svm_update_windows(v);
		}
		timing_enter(&v->timing);
		if (UNLIKELY(svm_enter(v, x) != SVM_ENTERED)) {
			svm_take_back(v);
			continue;
		}
		timing_exit(&v->timing);
		after_exit(v, x, &e);
		record(v, &e);
		action = hooks->exit[e.reason](v, &e);
		if (action == ACT_NEXT)
			next_instruction(v, &e);
	} while (action != ACT_LEAVE);
}
