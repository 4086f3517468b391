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

#define INSN_LENGTH_MAX 15u

struct decode_row {
	uint8_t reason; /* enum exit_reason */
	uint8_t needs;  /* SVM_NEED_*: when decode() is called */
	uint8_t info;   /* the flight recorder notes this register, unless decode knows better */
	void (*decode)(struct vcpu *v, struct vm_exit *e, const struct vmcb *b);
};

/* Not every CPU says how long an instruction is; hv/vm can look at its bytes. */
static void look_at_bytes(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	v->hooks->decode(v, e, vmcb_code_root(b));
}

static void find_length(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	if (svm_config.needs & SVM_NEED_LENGTH)
		look_at_bytes(v, e, b);
}

/* The exit may have cut short the delivery of an event. */
static inline void save_vectoring(struct vcpu *v, const struct vmcb *b)
{
	if (UNLIKELY(b->exit_int_info & SVM_EVENT_VALID))
		svm_save_vectoring(v);
}

static void decode_vectoring(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	(void)e;
	save_vectoring(v, b);
}

static void decode_exception(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	struct svm_vcpu *x = v->vendor;

	save_vectoring(v, b);
	e->insn_len = 0;
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
	e->exception.vector = EXC_DB;
	e->exception.type = EVENT_PRIVILEGED_SOFT;
	e->exception.has_error = false;
	e->exception.error = 0;
	find_length(v, e, b);
}

/*
 * At CPL 3 #GP comes before the intercept (APM vol. 2, "Instruction Intercepts"); not so in QEMU 10.
 */
static void decode_cache(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	if (b->cpl)
		e->reason = EXIT_FORBIDDEN;
	else
		find_length(v, e, b);
}

/* No instruction has caused it. */
static void decode_between(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	(void)e;
	(void)b;
	svm_keep_shadow(v->vendor);
}

/* Taken as soon as GIF was set. */
static void decode_nmi(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	save_vectoring(v, b);
	decode_between(v, e, b);
}

static void decode_interrupt(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	save_vectoring(v, b);
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
		find_length(v, e, b);
	else
		look_at_bytes(v, e, b);
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
	find_length(v, e, b);
}

static void decode_npf(struct vcpu *v, struct vm_exit *e, const struct vmcb *b)
{
	uint64_t info = b->exit_info1;

	save_vectoring(v, b);
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

#define ROW(n, r)             [SVM_EXIT_##n] = {EXIT_##r, 0, RCX, NULL}
#define DECODED(n, r, decode) [SVM_EXIT_##n] = {EXIT_##r, SVM_NEED_DECODE, RCX, decode}
#define LENGTH(n, r, info)    [SVM_EXIT_##n] = {EXIT_##r, SVM_NEED_LENGTH, info, look_at_bytes}
#define CR(code)              [SVM_EXIT_CR_##code] = {EXIT_CR, SVM_NEED_DECODE, RCX, decode_cr}

static const struct decode_row decode_table[SVM_EXIT_COUNT] = {
	CR(READ + 4),
	CR(READ + 8),
	CR(WRITE + 4),
	CR(WRITE + 8),
	[SVM_EXIT_EXCEPTION... SVM_EXIT_EXCEPTION + 31] = {EXIT_EXCEPTION, SVM_NEED_DECODE, RCX,
		decode_exception},
	DECODED(INTR, INTERRUPT, decode_interrupt),
	DECODED(NMI, NMI, decode_nmi),
	DECODED(INIT, INIT, decode_vectoring),
	DECODED(VINTR, INTERRUPT_WINDOW, decode_between),
	ROW(RDPMC, FORBIDDEN),
	LENGTH(CPUID, CPUID, RAX),
	DECODED(IRET, NMI_WINDOW, decode_iret),
	DECODED(INVD, CACHE_CONTROL, decode_cache),
	LENGTH(HLT, HLT, RCX),
	ROW(INVLPGA, UNDEFINED),
	DECODED(IOIO, IO, decode_io),
	DECODED(MSR, RDMSR, decode_msr),
	DECODED(SHUTDOWN, TRIPLE_FAULT, decode_vectoring),
	ROW(VMRUN, UNDEFINED),
	ROW(VMMCALL, HYPERCALL),
	ROW(VMLOAD, UNDEFINED),
	ROW(VMSAVE, UNDEFINED),
	ROW(STGI, UNDEFINED),
	ROW(CLGI, UNDEFINED),
	ROW(SKINIT, UNDEFINED),
	ROW(RDTSCP, UNDEFINED),
	DECODED(ICEBP, EXCEPTION, decode_icebp),
	DECODED(WBINVD, CACHE_CONTROL, decode_cache),
	ROW(MONITOR, UNDEFINED),
	ROW(MWAIT, UNDEFINED),
	ROW(MWAIT_ARMED, UNDEFINED),
	LENGTH(XSETBV, XSETBV, RCX),
	ROW(RDPRU, UNDEFINED),
	ROW(INVPCID, UNDEFINED),
};

/*
 * QEMU's SYSENTER to 64-bit code, which it has although it is an AMD CPU, leaves both L and D in
 * CS. It does not mind until a VMRUN has to load that (APM vol. 2, "Canonicalization and
 * Consistency Checks"). D means nothing there: without it the entry can be tried again. RIP is not
 * the guest's after such a failure, the rest of the state is.
 */
static bool entry_mended(struct vcpu *v, struct vmcb *b)
{
	const uint16_t both = (SEG_ATTR_L | SEG_ATTR_DB) >> 4;

	if (!(b->efer & EFER_LMA) || (b->seg[SEG_CS].attr & both) != both)
		return false;
	b->seg[SEG_CS].attr &= (uint16_t) ~(SEG_ATTR_DB >> 4);
	b->clean &= ~SVM_CLEAN_SEG;
	b->rip = v->rip;
	save_vectoring(v, b);
	return true;
}

/* A code that has no row of its own number. */
static NOINLINE void decode_high(struct vcpu *v, struct vm_exit *e, struct vmcb *b)
{
	e->info = 0;
	if (e->raw == SVM_EXIT_INVALID && entry_mended(v, b)) {
		e->reason = EXIT_AGAIN;
		return;
	}
	v->rip = b->rip;
	if (b->exit_code == SVM_EXIT_NPF) {
		e->reason = EXIT_STAGE2;
		decode_npf(v, e, b);
		return;
	}
	e->reason = e->raw == SVM_EXIT_INVALID ? EXIT_ENTRY_FAILURE : EXIT_UNKNOWN;
	e->failure.error = e->raw;
	e->failure.detail = b->exit_code;
}

static inline void decode_exit(struct vcpu *v, struct vm_exit *e, struct vmcb *b)
{
	uint64_t code = b->exit_code;
	const struct decode_row *row;

	e->raw = (uint32_t)code;
	/* Means something only where the CPU knows it and the table has LENGTH. */
	e->insn_len = (uint8_t)(b->next_rip - b->rip);
	if (UNLIKELY(code >= SVM_EXIT_COUNT)) {
		decode_high(v, e, b);
		return;
	}
	v->rip = b->rip;
	row = &decode_table[code];
	e->reason = row->reason;
	e->info = (uint32_t)v->gpr[row->info];
	if (row->needs & svm_config.needs)
		row->decode(v, e, b);
}

/* AMD-V has no field for a #DB that is due behind an instruction. Several causes are one #DB. */
void svm_debug_trap(struct vcpu *v, uint64_t dr6)
{
	struct svm_vcpu *x = v->vendor;

	if (v->event.valid && v->event.vector != EXC_DB)
		return;
	x->vmcb->dr6 |= dr6;
	x->vmcb->clean &= ~SVM_CLEAN_DRX;
	v->event = (struct vcpu_event){.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_DB};
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
}

/* RF lasts for one instruction, TF asks for a #DB behind it. */
static NOINLINE void end_flags(struct vcpu *v, struct vmcb *b)
{
	b->rflags &= ~RFLAGS_RF;
	if (b->rflags & RFLAGS_TF)
		svm_debug_trap(v, DR6_BS);
}

static inline void instruction_done(struct vcpu *v, struct vmcb *b, uint64_t rip)
{
	v->rip = rip;
	b->rip = rip;
	b->int_shadow = 0;
	if (UNLIKELY(b->rflags & (RFLAGS_TF | RFLAGS_RF)))
		end_flags(v, b);
}

/* RIP, the shadow of STI or MOV SS, and a due single step. */
void svm_instruction_done(struct vcpu *v, uint64_t rip)
{
	const struct svm_vcpu *x = v->vendor;

	instruction_done(v, x->vmcb, rip);
}

/* Only code in the low 4 GiB can be 32-bit code, whose IP wraps. */
static NOINLINE void next_instruction_low(struct vcpu *v, struct vmcb *b, uint64_t rip)
{
	bool wraps = (uint32_t)rip < (uint32_t)v->rip;

	if (wraps && !(b->seg[SEG_CS].attr & (SEG_ATTR_L >> 4)))
		rip &= UINT32_MAX;
	instruction_done(v, b, rip);
}

static inline void next_instruction(struct vcpu *v, struct vmcb *b, const struct vm_exit *e)
{
	uint64_t rip = v->rip + e->insn_len;

	if (UNLIKELY((uint32_t)rip < INSN_LENGTH_MAX))
		next_instruction_low(v, b, rip);
	else
		instruction_done(v, b, rip);
}

static void record(struct vcpu *v, const struct vm_exit *e)
{
	struct recorder_entry *entry = &v->recorder[v->recorder_at++ % RECORDER_SIZE];

	entry->rip = v->rip;
	entry->raw = e->raw;
	entry->info = e->info;
	v->exits[e->reason]++;
}

/*
 * What waits for a window may have its turn now, without another exit; and an NMI behind an
 * injected event has no window at all. Only where one of them waits is anything stepped.
 */
static NOINLINE void window_waits(struct vcpu *v, struct svm_vcpu *x, struct vm_exit *e)
{
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
	svm_virtual_end(v);
	if (x->stepping && svm_step_end(v))
		e->reason = EXIT_NMI_WINDOW;
}

static inline void after_exit(struct vcpu *v, struct svm_vcpu *x, struct vmcb *b, struct vm_exit *e)
{
	b->event_inj = 0;
	b->tlb_control = SVM_TLB_NOTHING;
	b->clean = svm_config.clean;
	decode_exit(v, e, b);
	if (UNLIKELY(v->want_interrupt_window || v->want_nmi_window))
		window_waits(v, x, e);
}

void svm_run(struct vcpu *v)
{
	const struct vcpu_hooks *hooks = v->hooks;
	struct svm_vcpu *x = v->vendor;
	struct vmcb *b = x->vmcb;
	enum exit_action action = ACT_RESUME;
	struct vm_exit e;

	do {
		if (UNLIKELY(atomic_set(&v->attention))) {
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
		after_exit(v, x, b, &e);
		record(v, &e);
		action = hooks->exit[e.reason](v, &e);
		if (action == ACT_NEXT)
			next_instruction(v, b, &e);
	} while (action != ACT_LEAVE);
}
