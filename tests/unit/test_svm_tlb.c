/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD-V: a vCPU comes to a CPU and goes; what a CPU remembers of its VMCB and its translations is
 * used only while it is still true. First of all: the fake notices when it is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/svm/svm_insn.h"
#include "hv/mm/memory.h"
#include "tests/fakes/svm_world.h"

static jmp_buf expected;
static bool expecting;
static char said[256];

static void on_violation(const char *text)
{
	strncpy(said, text, sizeof(said) - 1);
	if (expecting)
		longjmp(expected, 1);
	fail_msg("%s", text);
}

/* The fake must refuse this. */
#define REFUSED(part, statement)                                                                   \
	do {                                                                                       \
		expecting = true;                                                                  \
		if (setjmp(expected) == 0) {                                                       \
			statement;                                                                 \
			expecting = false;                                                         \
			fail_msg("not refused: %s", part);                                         \
		}                                                                                  \
		expecting = false;                                                                 \
		if (!strstr(said, part))                                                           \
			fail_msg("refused with \"%s\", not \"%s\"", said, part);                   \
	} while (0)

#define GUEST_PAGE 0x200000ull
#define WITHOUT    (CPUID_SVM_EDX_NRIPS | CPUID_SVM_EDX_DECODE)

static hpa_t frame;

static void map_frame(void)
{
	frame = frame_alloc(&host_frames, SVMW_OWNER, 1, 1);
	assert_int_equal(pt_map(&svmw.stage2, GUEST_PAGE, frame, PAGE_SIZE,
				 PT_READ | PT_WRITE | PT_EXEC, PT_4K),
		OK);
}

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = on_violation;
	expecting = false;
	svmw_init();
	map_frame();
	return 0;
}

/* Neither clean bits nor flush by ASID. */
static int setup_without(void **state)
{
	(void)state;
	fake_fail_hook = on_violation;
	expecting = false;
	svmw_init_with(WITHOUT, 16);
	map_frame();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	svmw_fini();
	return 0;
}

static void leaves(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_insn(SVM_EXIT_HLT, 0, 1);
}

static void touches(struct vcpu *v)
{
	assert_int_equal(fake_svm_access(GUEST_PAGE + 5), frame + 5);
	leaves(v);
}

static void misses(struct vcpu *v)
{
	assert_int_equal(fake_svm_access(GUEST_PAGE), 0);
	leaves(v);
}

static void run(void (*step)(struct vcpu *v))
{
	svmw_run(step, ACT_LEAVE);
}

/* ---- What the fake refuses ---- */

static void exits_unasked(struct vcpu *v)
{
	(void)v;
	fake_svm_exit(SVM_EXIT_RDTSCP, 0, 0);
}

static void fake_is_strict(void **state)
{
	(void)state;
	REFUSED("not intercepted", run(exits_unasked));
	REFUSED("#GP", vmsave(svmw.x->host_area + 8));
	REFUSED("own save area", vmsave(fake_msr_get(MSR_VM_HSAVE_PA)));
	REFUSED("#GP in the hypervisor", wrmsr(MSR_VM_CR, VM_CR_SVMDIS));
	REFUSED("#GP in the hypervisor", wrmsr(MSR_VM_HSAVE_PA, 8));
	fake_this->rflags |= RFLAGS_IF;
	REFUSED("interrupts on", run(leaves));
	fake_this->rflags &= ~RFLAGS_IF;
	fake_msr_set(MSR_IA32_GS_BASE, 0xffffffff80300000);
	REFUSED("not saved for this CPU", run(leaves));
	vmsave(svmw.x->host_area);
	fake_msr_set(MSR_VM_HSAVE_PA, svmw.x->vmcb_pa);
	REFUSED("save areas", run(leaves));
	svm_cpu_disable();
	REFUSED("without EFER.SVME", run(leaves));
	REFUSED("without EFER.SVME", vmsave(svmw.x->host_area));
}

#define BAD(member, value, text)                                                                   \
	{                                                                                          \
		offsetof(struct vmcb, member), sizeof(((struct vmcb *)0)->member), value, text     \
	}

static const struct bad_field {
	size_t offset, size;
	uint64_t value;
	const char *text;
} bad_fields[] = {
	BAD(efer, EFER_LME | EFER_LMA, "EFER.SVME"),
	BAD(efer, EFER_SVME | EFER_LME, "LMA is not"),
	BAD(efer, EFER_SVME | EFER_LME | EFER_LMA | 1 << 1, "EFER reserved"),
	BAD(cr0, CR0_PE | CR0_PG | CR0_NW, "NW without CD"),
	BAD(cr0, 1ull << 32 | CR0_PE | CR0_PG, "CR0[63:32]"),
	BAD(cr0, CR0_PG, "PG without PE"),
	BAD(cr3, 1ull << 52, "CR3"),
	BAD(cr4, CR4_MCE, "without CR4.PAE"),
	BAD(cr4, CR4_PAE, "machine check"),
	BAD(cr4, CR4_PAE | CR4_MCE | CR4_VMXE, "CR4 reserved"),
	BAD(dr6, 1ull << 32, "DR6"),
	BAD(dr7, 1ull << 32, "DR7"),
	BAD(seg[SEG_CS].attr, 0xe9b, "both L and D"),
	BAD(seg[SEG_CS].attr, 0xa1b, "CS not present"),
	BAD(rflags, RFLAGS_IF, "RFLAGS bit 1"),
	BAD(rip, 0x800000000000, "RIP not canonical"),
	BAD(intercept[SVM_INTERCEPT_4], 0, "VMRUN is not intercepted"),
	BAD(intercept[SVM_INTERCEPT_4], SVM_4_VMRUN, "an intercept is missing"),
	BAD(intercept[SVM_INTERCEPT_3], ~SVM_3_INTR, "an intercept is missing"),
	BAD(intercept[SVM_INTERCEPT_EXCEPTION], 0, "for ever"),
	BAD(intercept[SVM_INTERCEPT_CR], 0, "MCE"),
	BAD(asid, 0, "the host's"),
	BAD(asid, 0x8000, "beyond"),
	BAD(iopm_base, 0xfffffffff000, "IOPM"),
	BAD(msrpm_base, 8, "MSRPM"),
	BAD(np_control, 0, "no nested paging"),
	BAD(ncr3, 8, "nCR3"),
	BAD(v_intr, 0, "mask the host"),
	BAD(v_intr, SVM_V_INTR_MASKING | SVM_V_IRQ, "instead of an injected"),
	BAD(v_intr, SVM_V_INTR_MASKING, "the machine's GIF"),
	BAD(v_intr, SVM_V_INTR_MASKING | SVM_V_GIF_ENABLE, "the machine's GIF"),
	BAD(tlb_control, 2, "TLB_CONTROL"),
	BAD(clean, 1u << 31, "clean bits"),
	BAD(event_inj, SVM_EVENT_VALID | 1 << 8 | 0x20, "reserved type"),
	BAD(event_inj, SVM_EVENT_VALID | SVM_TYPE_NMI << 8 | 3, "NMI with another"),
	BAD(event_inj, SVM_EVENT_VALID | SVM_TYPE_EXCEPTION << 8 | 2, "no exception's vector"),
	BAD(event_inj, SVM_EVENT_VALID | SVM_TYPE_EXCEPTION << 8 | 32, "no exception's vector"),
	BAD(event_inj, SVM_EVENT_VALID | SVM_TYPE_EXCEPTION << 8 | EXC_GP, "error code"),
	BAD(event_inj, SVM_EVENT_VALID | SVM_EVENT_ERROR_VALID | SVM_TYPE_EXCEPTION << 8 | EXC_UD,
		"error code"),
};

static void entry_is_refused(const struct bad_field *bad)
{
	const struct vmcb good = *svmw.b;

	memcpy((char *)svmw.b + bad->offset, &bad->value, bad->size);
	REFUSED(bad->text, run(leaves));
	*svmw.b = good;
}

static void fake_checks_the_entry(void **state)
{
	const struct vmcb good = *svmw.b;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad_fields); i++)
		entry_is_refused(&bad_fields[i]);
	svmw.b->event_inj = SVM_EVENT_VALID | 0x31;
	svmw.b->rflags = RFLAGS_RESERVED;
	REFUSED("IF clear", run(leaves));
	svmw.b->rflags |= RFLAGS_IF;
	svmw.b->int_shadow = SVM_INT_SHADOW;
	REFUSED("shadow", run(leaves));
	*svmw.b = good;
	run(leaves);
}

static void checks_flush_by_asid(void **state)
{
	(void)state;
	svmw.b->tlb_control = SVM_TLB_FLUSH_ASID;
	REFUSED("TLB_CONTROL", run(leaves));
}

#define GROUP(bit, member)                                                                         \
	{                                                                                          \
		bit, offsetof(struct vmcb, member)                                                 \
	}

static const struct {
	uint32_t bit;
	size_t offset; /* a byte whose change VMRUN accepts */
} groups[] = {
	GROUP(SVM_CLEAN_I, intercept[SVM_INTERCEPT_DR]),
	GROUP(SVM_CLEAN_I, tsc_offset),
	GROUP(SVM_CLEAN_IOPM, iopm_base),
	GROUP(SVM_CLEAN_ASID, asid),
	GROUP(SVM_CLEAN_CRX, cr0),
	GROUP(SVM_CLEAN_CRX, efer),
	GROUP(SVM_CLEAN_DRX, dr6),
	GROUP(SVM_CLEAN_DRX, dr7),
	GROUP(SVM_CLEAN_DT, gdtr.base),
	GROUP(SVM_CLEAN_DT, idtr.limit),
	GROUP(SVM_CLEAN_SEG, seg[SEG_DS].base),
	GROUP(SVM_CLEAN_SEG, cpl),
	GROUP(SVM_CLEAN_CR2, cr2),
	GROUP(SVM_CLEAN_NP, g_pat),
};

/* Changed behind its clean bit, and with the bit cleared; whole frames of the IOPM. */
static void changed_field(uint32_t bit, size_t offset)
{
	uint8_t *field = (uint8_t *)svmw.b + offset + (bit == SVM_CLEAN_IOPM);
	uint8_t change = bit == SVM_CLEAN_IOPM                   ? 0x10
			 : offset == offsetof(struct vmcb, efer) ? 1
								 : 2;

	run(leaves);
	assert_int_equal(svmw.b->clean, SVM_CLEAN_ALL);
	*field ^= change;
	REFUSED("its clean bit says", run(leaves));
	svmw.b->clean &= ~bit;
	run(leaves);
	*field ^= change;
	svmw.b->clean &= ~bit;
}

static void fake_notices_a_forgotten_clean_bit(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		changed_field(groups[i].bit, groups[i].offset);
}

static void clean_bits_are_ignored_without_the_feature(void **state)
{
	(void)state;
	run(leaves);
	assert_int_equal(svmw.b->clean, 0);
	svmw.b->cr2 ^= 1;
	svmw.b->clean = SVM_CLEAN_ALL;
	run(leaves);
}

static void fake_notices_a_forgotten_flush(void **state)
{
	(void)state;
	run(touches);
	assert_int_equal(fake_svm_tlb_entries(0), 1);
	assert_int_equal(pt_unmap(&svmw.stage2, GUEST_PAGE, PAGE_SIZE), OK);
	/* The tables say no, the TLB still says yes ... */
	REFUSED("stale translation", run(misses));
	/* ... and whoever gets the frame next would share it. */
	frame_free(&host_frames, SVMW_OWNER, frame, 1);
	while (frame_scrub_step(&host_frames))
		;
	REFUSED("somebody else's now", run(leaves));
	svmw.b->tlb_control = SVM_TLB_FLUSH_ALL;
	run(misses);
}

/* ---- Clean bits: what the backend changes, it says ---- */

static void every_write_is_announced(void **state)
{
	struct vcpu *v = &svmw.v;
	struct vcpu_state s;

	(void)state;
	run(leaves);
	for (unsigned r = 0; r < REG_COUNT; r++) {
		uint64_t value = svm_reg_read(v, r);

		assert_int_equal(svmw.b->clean, SVM_CLEAN_ALL);
		/* A bit that VMRUN does not mind. */
		svm_reg_write(v, r, value ^ (r == REG_EFER ? 1 : r == REG_RFLAGS ? 4 : 2));
		run(leaves);
		svm_reg_write(v, r, value);
		run(leaves);
	}
	svm_tsc_offset_set(v, 12345);
	run(leaves);
	svmw_state(&s);
	s.seg[SEG_DS].base = 0x1000;
	s.gdtr.base = 0x5000;
	s.dr7 |= 1;
	svm_state_set(v, &s);
	run(leaves);
	svmw.b->rflags |= RFLAGS_TF;
	svm_instruction_done(v, 0x1003); /* DR6.BS */
	run(leaves);
	v->event.valid = false;
}

static void faults(struct vcpu *v)
{
	(void)v;
	if (svmw.b->intercept[SVM_INTERCEPT_EXCEPTION] & 1u << EXC_PF)
		fake_svm_exit(SVM_EXIT_EXCEPTION + EXC_PF, 4, 0xdead000);
	else
		leaves(v);
}

static void wants_both(struct vcpu *v)
{
	v->want_interrupt_window = v->want_nmi_window = true;
	svmw.before = NULL;
}

static void injects_db(struct vcpu *v)
{
	v->event = (struct vcpu_event){.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_DB};
	svmw.before = NULL;
}

/* Windows, steps and exceptions change intercepts, V_IRQ, CR2 and DR7 between entries. */
static void windows_are_announced(void **state)
{
	struct vcpu *v = &svmw.v;

	(void)state;
	run(leaves);
	svmw.b->int_shadow = SVM_INT_SHADOW;
	svmw.b->rflags &= ~RFLAGS_IF;
	svmw.before = wants_both;
	v->attention = VCPU_EVENT;
	run(faults); /* in a step */
	assert_int_equal(svmw.b->cr2, 0xdead000);
	v->want_interrupt_window = v->want_nmi_window = false;
	v->attention = VCPU_EVENT;
	run(leaves);
	svm_reg_write(v, REG_DR7, DR7_RESET | DR7_GD);
	run(leaves);
	svmw.before = injects_db;
	v->attention = VCPU_EVENT;
	run(leaves);
	run(leaves);
	assert_int_equal(svmw.b->clean, SVM_CLEAN_ALL);
}

/* What nobody changes is not read again: that is what the bits are for. */
static void an_exit_leaves_everything_clean(void **state)
{
	(void)state;
	run(leaves);
	svmw_run(leaves, ACT_NEXT);
	assert_int_equal(svmw.at, 2);
	for (unsigned i = 0; i < fake.history_used; i++) {
		if (fake.history[i].action == FAKE_ENTER)
			assert_int_equal(fake.history[i].a, SVM_CLEAN_ALL);
	}
}

/* ---- The TLB: what the backend does ---- */

static unsigned flushes(void)
{
	unsigned n = fake.count[FAKE_TLB_FLUSH];

	fake_counts_clear();
	return n;
}

static void load_drops_everything(void **state)
{
	(void)state;
	run(touches);
	assert_int_equal(flushes(), 1); /* loaded by the fixture */
	run(touches);
	assert_int_equal(flushes(), 0);
	svm_vcpu_unload(&svmw.v);
	svm_vcpu_load(&svmw.v);
	assert_int_equal(svmw.b->clean, 0);
	run(leaves);
	assert_int_equal(fake_svm_tlb_entries(0), 0);
	assert_int_equal(flushes(), 1);
	run(leaves);
	assert_int_equal(flushes(), 0);
}

static void a_flush_is_done_once(void **state)
{
	(void)state;
	run(touches);
	svm_flush(&svmw.v);
	svm_flush(&svmw.v);
	run(leaves);
	assert_int_equal(flushes(), 1);
	assert_int_equal(fake_svm_tlb_entries(0), 0);
	run(touches);
	assert_int_equal(flushes(), 0);
	assert_int_equal(pt_unmap(&svmw.stage2, GUEST_PAGE, PAGE_SIZE), OK);
	svm_ops.flush_stage2(&svmw.v);
	run(misses);
	frame_free(&host_frames, SVMW_OWNER, frame, 1);
	while (frame_scrub_step(&host_frames))
		;
	run(misses);
}

/* A hook asks for it while the exit is handled: the next entry does it. */
static void guest_flushes(struct vcpu *v)
{
	svm_ops.flush_guest_tlb(v);
	svmw.before = NULL;
}

static void an_aborted_entry_keeps_the_flush(void **state)
{
	(void)state;
	run(touches);
	svmw.before = guest_flushes;
	svmw.v.attention = VCPU_EVENT;
	svmw.before_entry_calls = 0;
	fake_svm.post_before_entry = VCPU_POSTED;
	run(leaves);
	assert_int_equal(svmw.before_entry_calls, 2);
	assert_int_equal(flushes(), 1);
	assert_int_equal(fake_svm_tlb_entries(0), 0);
}

/* A load's flush drops all; a smaller one asked for afterwards must not take its place. */
static void a_load_is_not_made_smaller(void **state)
{
	struct vcpu other;

	(void)state;
	run(touches);
	svmw_vcpu_init(&other, 2);
	svm_vcpu_load(&svmw.v);
	svm_flush(&svmw.v);
	assert_int_equal(svmw.b->tlb_control, SVM_TLB_FLUSH_ALL);
}

/* Where the CPU can, another guest's translations on this CPU are left alone. */
static void only_what_is_needed(void **state)
{
	(void)state;
	run(leaves);
	svm_flush(&svmw.v);
	assert_int_equal(svmw.b->tlb_control, svm_config.features & CPUID_SVM_EDX_FLUSH_ASID
						      ? SVM_TLB_FLUSH_ASID
						      : SVM_TLB_FLUSH_ALL);
	run(leaves);
}

static void run_other(struct vcpu *v, void (*step)(struct vcpu *v))
{
	struct vcpu first = svmw.v;

	svmw.v = *v;
	run(step);
	*v = svmw.v;
	svmw.v = first;
}

/* Two guests with one ASID on one CPU, one after the other: each sees its own memory. */
static void two_guests_with_one_asid(void **state)
{
	struct pt own = svmw.stage2;
	struct vcpu other;
	struct vcpu_state s;
	hpa_t first = frame;
	unsigned asids = svm_config.asids;

	(void)state;
	run(touches);
	svm_vcpu_unload(&svmw.v);
	assert_int_equal(pt_create(&svmw.stage2), OK);
	svmw_vcpu_init(&other, asids); /* 1 + (asids - 1) % (asids - 1) */
	assert_int_equal(((struct svm_vcpu *)other.vendor)->vmcb->asid, svmw.b->asid);
	map_frame();
	assert_int_not_equal(frame, first);
	svm_vcpu_load(&other);
	svmw_state(&s);
	svm_state_set(&other, &s);
	run_other(&other, touches);
	svm_vcpu_unload(&other);
	/* And back. */
	frame = first;
	svmw.stage2 = own;
	svm_vcpu_load(&svmw.v);
	run(touches);
}

static void asids_of_many_guests(void **state)
{
	(void)state;
	for (unsigned vpid = 1; vpid < 40; vpid++) {
		struct vcpu v;
		const struct svm_vcpu *x;

		svmw_vcpu_init(&v, vpid);
		x = v.vendor;
		assert_in_range(x->vmcb->asid, 1, 15);
		if (vpid < 16)
			assert_int_equal(x->vmcb->asid, vpid);
	}
}

/* Destroyed: all its frames are somebody else's, and what the TLB keeps of them is never used. */
static void next_guest_with_the_same_frames(void **state)
{
	hpa_t root = svmw.stage2.root;
	struct vcpu_state s;

	(void)state;
	run(touches);
	svm_vcpu_unload(&svmw.v);
	frame_release_owner(&host_frames, SVMW_OWNER);
	while (frame_scrub_step(&host_frames))
		;
	assert_int_equal(pt_create(&svmw.stage2), OK);
	assert_int_equal(svmw.stage2.root, root);
	svmw_vcpu_init(&svmw.v, 1);
	svmw.x = svmw.v.vendor;
	svmw.b = svmw.x->vmcb;
	svm_vcpu_load(&svmw.v);
	svmw_state(&s);
	svm_state_set(&svmw.v, &s);
	run(misses);
	map_frame();
	run(touches);
}

static void move_to_another_cpu(void **state)
{
	struct vcpu *v = &svmw.v;

	(void)state;
	run(touches);
	svm_reg_write(v, REG_PAT, 0x0606060606060606);
	svm_reg_write(v, REG_SYSENTER_EIP, 0xffffffff81000000);
	svm_vcpu_unload(v);
	fake_cpu_select(1);
	svmw_enable_cpu();
	fake_msr_set(MSR_IA32_GS_BASE, 0xffffffff80300000ull);
	svm_vcpu_load(v);
	/* The entry checks compare the saved host state with this CPU's. */
	run(touches);
	assert_int_equal(svm_reg_read(v, REG_PAT), 0x0606060606060606);
	assert_int_equal(svm_reg_read(v, REG_SYSENTER_EIP), 0xffffffff81000000);
	/* Back to a CPU that remembers what it was, and tables that have changed meanwhile. */
	svm_reg_write(v, REG_CR3, 0x7000);
	run(leaves);
	assert_int_equal(pt_unmap(&svmw.stage2, GUEST_PAGE, PAGE_SIZE), OK);
	svm_vcpu_unload(v);
	fake_cpu_select(0);
	svm_vcpu_load(v);
	run(misses);
}

static void moves_without_load(void **state)
{
	(void)state;
	run(leaves);
	fake_cpu_select(1);
	svmw_enable_cpu();
	svmw.x->host_area = svm_host_area(1);
	vmsave(svmw.x->host_area);
	REFUSED("last ran on CPU 0", run(leaves));
}

static void init_without_memory(void **state)
{
	struct vcpu v = {.owner = SVMW_OWNER, .vpid = 3};

	(void)state;
	while (frame_alloc(&host_frames, FRAME_OWNER_HV, 1, 1))
		;
	assert_int_equal(svm_vcpu_init(&v), E_NOMEM);
	frame_free(&host_frames, SVMW_OWNER, frame, 1);
	assert_int_equal(svm_vcpu_init(&v), E_NOMEM); /* one frame is not enough */
}

/* Instructions that this guest's CPUID does not have do not exist. */
static void optional_instructions(void **state)
{
	struct svm_vcpu *x;
	struct vcpu v;

	(void)state;
	assert_false(svmw.b->intercept[SVM_INTERCEPT_4] & SVM_4_RDTSCP);
	assert_false(svmw.b->intercept[SVM_INTERCEPT_5] & SVM_5_INVPCID);
	memset(&v, 0, sizeof(v));
	v.owner = SVMW_OWNER;
	v.vpid = 2;
	assert_int_equal(svm_vcpu_init(&v), OK);
	x = v.vendor;
	assert_true(x->vmcb->intercept[SVM_INTERCEPT_4] & SVM_4_RDTSCP);
	assert_true(x->vmcb->intercept[SVM_INTERCEPT_5] & SVM_5_INVPCID);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, setup_without, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fake_is_strict),
		TEST(fake_checks_the_entry),
		PLAIN(checks_flush_by_asid),
		TEST(fake_notices_a_forgotten_clean_bit),
		PLAIN(clean_bits_are_ignored_without_the_feature),
		TEST(fake_notices_a_forgotten_flush),
		TEST(every_write_is_announced),
		TEST(windows_are_announced),
		TEST(an_exit_leaves_everything_clean),
		TEST(load_drops_everything),
		TEST(a_flush_is_done_once),
		PLAIN(a_flush_is_done_once),
		TEST(an_aborted_entry_keeps_the_flush),
		PLAIN(an_aborted_entry_keeps_the_flush),
		TEST(a_load_is_not_made_smaller),
		TEST(only_what_is_needed),
		PLAIN(only_what_is_needed),
		PLAIN(two_guests_with_one_asid),
		PLAIN(asids_of_many_guests),
		TEST(next_guest_with_the_same_frames),
		TEST(move_to_another_cpu),
		PLAIN(move_to_another_cpu),
		TEST(moves_without_load),
		TEST(init_without_memory),
		TEST(optional_instructions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
