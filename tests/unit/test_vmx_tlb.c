/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x: a vCPU comes to a CPU and goes. Host state is that CPU's, guest state survives, and no CPU
 * remembers a translation of frames that may be somebody else's afterwards. First of all: the fake
 * notices when it does.
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
#include "arch/x86/defs/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "hv/mm/memory.h"
#include "tests/fakes/vmx_world.h"

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

static hpa_t frame;

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = on_violation;
	expecting = false;
	world_init();
	frame = frame_alloc(&host_frames, WORLD_OWNER, 1, 1);
	assert_int_equal(pt_map(&world.stage2, GUEST_PAGE, frame, PAGE_SIZE,
				 PT_READ | PT_WRITE | PT_EXEC, PT_4K),
		OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_fini();
	return 0;
}

static void leaves(struct vcpu *v)
{
	(void)v;
	fake_exit_insn(VMX_EXIT_HLT, 0, 1);
}

static void touches(struct vcpu *v)
{
	(void)v;
	assert_int_equal(fake_guest_access(GUEST_PAGE + 5), frame + 5);
	leaves(v);
}

/* ---- What the fake refuses ---- */

static void fake_is_strict(void **state)
{
	struct vcpu other;

	(void)state;
	REFUSED("unknown field", (void)vmread(0x4826 + 2));
	REFUSED("read-only", vmwrite(VMCS_EXIT_REASON, 0));
	REFUSED("too wide", vmwrite(VMCS_GUEST_ES_LIMIT, 1ull << 32));
	REFUSED("undefined now", (void)vmread(VMCS_EXIT_INSN_LENGTH));
	REFUSED("no EPT pointer", invept(INVEPT_SINGLE, world.stage2.root));
	REFUSED("VPID 0", invvpid(INVVPID_SINGLE, 0));
	REFUSED("#GP in the hypervisor", (void)rdmsr(0x12345));
	REFUSED("#GP in the hypervisor", wrmsr(MSR_IA32_FEATURE_CONTROL, 0));
	REFUSED("is not RAM", (void)phys_to_virt(0x1000));
	REFUSED("clears VMXE", write_cr4(read_cr4() & ~CR4_VMXE));
	REFUSED("VMXOFF with an active", vmxoff());
	world_vcpu_init(&other, 2);
	REFUSED("never cleared", vmptrld(((struct vmx_vcpu *)other.vendor)->vmcs));
	world.v.launched = true;
	REFUSED("VMRESUME", world_run(leaves, ACT_LEAVE));
	world.v.launched = false;
	world_run(leaves, ACT_LEAVE);
	world.v.launched = false;
	REFUSED("VMLAUNCH", world_run(leaves, ACT_LEAVE));
}

struct bad_field {
	uint32_t field;
	uint64_t value;
	const char *text;
};

static void entry_is_refused(const struct bad_field *bad)
{
	uint64_t old;

	if (!fake_vmcs_defined(VMCS_GUEST_RIP))
		fake_vmcs_set(VMCS_GUEST_RIP, 0x1000);
	old = fake_vmcs_get(bad->field);
	fake_vmcs_set(bad->field, bad->value);
	REFUSED(bad->text, world_run(leaves, ACT_LEAVE));
	fake_vmcs_set(bad->field, old);
}

static void fake_checks_the_entry(void **state)
{
	static const struct bad_field rows[] = {
		{VMCS_GUEST_RFLAGS, RFLAGS_IF, "RFLAGS bit 1"},
		{VMCS_GUEST_RIP, 0x800000000000, "RIP not canonical"},
		{VMCS_GUEST_CR0, CR0_PE | CR0_PG, "CR0 fixed"},
		{VMCS_GUEST_CR4, CR4_PAE | CR4_MCE, "CR4 fixed"},
		{VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE, "machine check"},
		{VMCS_GUEST_EFER, EFER_LMA, "LME differ"},
		{VMCS_LINK_POINTER, 0, "link pointer"},
		{VMCS_HOST_CR3, 0, "host CR3"},
		{VMCS_HOST_RIP, 0, "host RIP"},
		{VMCS_HOST_TR_SELECTOR, 0, "host TR"},
		{VMCS_HOST_GS_BASE, 0, "host GS"},
		{VMCS_VPID, 0, "VPID 0"},
		{VMCS_GUEST_ES_RIGHTS + 2 * SEG_TR, 0x89, "TR is no busy TSS"},
		{VMCS_ENTRY_INTR_INFO, INTR_INFO_VALID | 0x0d | EVENT_EXCEPTION << 8, "error code"},
		{VMCS_GUEST_ACTIVITY, 1, "HLT"},
		{VMCS_PROC_CONTROLS, 0, "processor-based"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		entry_is_refused(&rows[i]);
	/* An interrupt with IF clear, or in a shadow. */
	fake_vmcs_set(VMCS_ENTRY_INTR_INFO, INTR_INFO_VALID | 0x31);
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED);
	REFUSED("IF clear", world_run(leaves, ACT_LEAVE));
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED | RFLAGS_IF);
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS);
	REFUSED("shadow", world_run(leaves, ACT_LEAVE));
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, 0);
	world_run(leaves, ACT_LEAVE);
}

static void fake_notices_a_forgotten_flush(void **state)
{
	(void)state;
	world_run(touches, ACT_LEAVE);
	assert_true(fake_tlb_refers(frame, PAGE_SIZE) > 0);
	assert_true(fake_tlb_refers(world.stage2.root, PAGE_SIZE) > 0);
	assert_int_equal(pt_unmap(&world.stage2, GUEST_PAGE, PAGE_SIZE), OK);
	/* The tables say no, the TLB still says yes ... */
	assert_int_equal(fake_guest_access(GUEST_PAGE), frame);
	/* ... and whoever gets the frame next would share it. */
	frame_free(&host_frames, WORLD_OWNER, frame, 1);
	REFUSED("while a TLB still knows", frame_scrub_step(&host_frames));
}

static void invvpid_leaves_guest_physical_mappings(void **state)
{
	(void)state;
	world_run(touches, ACT_LEAVE);
	invvpid(INVVPID_SINGLE, 1);
	assert_true(fake_tlb_refers(frame, PAGE_SIZE) > 0);
	vmx_flush_stage2(&world.v);
	assert_int_equal(fake_tlb_refers(frame, PAGE_SIZE), 0);
}

/* ---- What the backend does ---- */

static void flush_stage2_after_unmap(void **state)
{
	(void)state;
	world_run(touches, ACT_LEAVE);
	assert_int_equal(pt_unmap(&world.stage2, GUEST_PAGE, PAGE_SIZE), OK);
	assert_true(world.stage2.stale);
	vmx_flush_stage2(&world.v);
	assert_int_equal(fake_guest_access(GUEST_PAGE), 0);
	frame_free(&host_frames, WORLD_OWNER, frame, 1);
	while (frame_scrub_step(&host_frames))
		;
}

static void unload_forgets_everything(void **state)
{
	(void)state;
	world_run(touches, ACT_LEAVE);
	assert_true(fake_tlb_entries(0) > 0);
	vmx_vcpu_unload(&world.v);
	assert_int_equal(fake_tlb_entries(0), 0);
	assert_int_equal(fake_this->current, 0);
	/* Destroyed: all its frames, the VMCS and tables too, are scrubbed and may be given out. */
	assert_true(frame_release_owner(&host_frames, WORLD_OWNER) > 3);
	while (frame_scrub_step(&host_frames))
		;
	assert_int_equal(host_frames.dirty_frames, 0);
	vmx_cpu_disable(); /* no VMCS is active here any more */
}

/* The next guest gets the same VPID, and the same frames for its root and RAM. */
static void next_guest_with_the_same_tags(void **state)
{
	hpa_t root = world.stage2.root, old_frame = frame;
	struct vcpu_state s;

	(void)state;
	world_run(touches, ACT_LEAVE);
	vmx_vcpu_unload(&world.v);
	frame_release_owner(&host_frames, WORLD_OWNER);
	while (frame_scrub_step(&host_frames))
		;
	assert_int_equal(pt_create(&world.stage2), OK);
	assert_int_equal(world.stage2.root, root);
	world_vcpu_init(&world.v, 1);
	vmx_vcpu_load(&world.v);
	world_state(&s);
	vmx_state_set(&world.v, &s);
	assert_int_equal(fake_guest_access(GUEST_PAGE), 0);
	frame = frame_alloc(&host_frames, WORLD_OWNER, 1, 1);
	if (frame == old_frame)
		frame = frame_alloc(&host_frames, WORLD_OWNER, 1, 1);
	assert_int_equal(pt_map(&world.stage2, GUEST_PAGE, frame, PAGE_SIZE, PT_READ, PT_4K), OK);
	world_run(touches, ACT_LEAVE);
}

/* Stale translations of an earlier owner of the VPID or root on this CPU do not survive a load. */
static void load_forgets_earlier_owners(void **state)
{
	(void)state;
	world_run(touches, ACT_LEAVE);
	fake_counts_clear();
	vmx_vcpu_load(&world.v);
	assert_int_equal(fake_tlb_entries(0), 0);
}

/* Two vCPUs with different tags: one's flush leaves the other's translations. */
static void tags_are_separate(void **state)
{
	struct vcpu other;
	unsigned before;

	(void)state;
	world_run(touches, ACT_LEAVE);
	before = fake_tlb_entries(0);
	world_vcpu_init(&other, 2);
	vmx_flush_guest_tlb(&other);
	assert_int_equal(fake_tlb_entries(0), before);
	vmx_flush_guest_tlb(&world.v);
	assert_true(fake_tlb_entries(0) < before);
}

static void move_to_another_cpu(void **state)
{
	struct vcpu *v = &world.v;

	(void)state;
	world_run(touches, ACT_LEAVE);
	vmx_reg_write(v, REG_PAT, 0x0606060606060606);
	vmx_reg_write(v, REG_SYSENTER_EIP, 0xffffffff81000000);
	vmx_tsc_offset_set(v, 12345);
	vmx_vcpu_unload(v);
	fake_cpu_select(1);
	world_enable_cpu();
	fake_msr_set(MSR_IA32_GS_BASE, 0xffffffff80300000ull);
	fake_this->cr3 = FAKE_RAM_BASE + 0x1000;
	vmx_vcpu_load(v);
	/* The entry checks compare the host state with this CPU's. */
	world_run(touches, ACT_LEAVE);
	assert_int_equal(vmx_reg_read(v, REG_PAT), 0x0606060606060606);
	assert_int_equal(vmx_reg_read(v, REG_SYSENTER_EIP), 0xffffffff81000000);
	assert_int_equal(fake_vmcs_get(VMCS_TSC_OFFSET), 12345);
	assert_int_equal(fake_tlb_entries(0), 0);
	vmx_vcpu_unload(v);
	assert_int_equal(fake_tlb_entries(1), 0);
}

static void init_without_memory(void **state)
{
	struct vcpu v = {.owner = WORLD_OWNER, .vpid = 3};

	(void)state;
	while (frame_alloc(&host_frames, FRAME_OWNER_HV, 1, 1))
		;
	assert_int_equal(vmx_vcpu_init(&v), E_NOMEM);
	frame_free(&host_frames, WORLD_OWNER, frame, 1);
	assert_int_equal(vmx_vcpu_init(&v), E_NOMEM); /* one frame is not enough */
}

/* Instructions that this guest's CPUID does not have are not enabled. */
static void optional_instructions(void **state)
{
	struct vcpu v;
	const uint64_t optional = PROC2_ENABLE_RDTSCP | PROC2_ENABLE_INVPCID | PROC2_ENABLE_XSAVES;
	uint64_t all = fake_vmcs_get(VMCS_PROC2_CONTROLS);

	(void)state;
	assert_int_equal(all & optional, optional);
	world_vcpu_init(&v, 2);
	v.has_rdtscp = v.has_invpcid = v.has_xsaves = false;
	vmx_vcpu_load(&v);
	assert_int_equal(fake_vmcs_get(VMCS_PROC2_CONTROLS), all & ~optional);
	assert_int_equal(fake_vmcs_get(VMCS_XSS_EXITING_BITMAP), 0);
	assert_int_equal(fake_vmcs_get(VMCS_EXCEPTION_BITMAP), 1u << 1 | 1u << 17 | 1u << 18);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fake_is_strict),
		TEST(fake_checks_the_entry),
		TEST(fake_notices_a_forgotten_flush),
		TEST(invvpid_leaves_guest_physical_mappings),
		TEST(flush_stage2_after_unmap),
		TEST(unload_forgets_everything),
		TEST(next_guest_with_the_same_tags),
		TEST(load_forgets_earlier_owners),
		TEST(tags_are_separate),
		TEST(move_to_another_cpu),
		TEST(init_without_memory),
		TEST(optional_instructions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
