/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/svm_world.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"

struct svm_world svmw;

static hpa_t table_alloc(void *context)
{
	(void)context;
	return frame_alloc(&host_frames, SVMW_OWNER, 1, 1);
}

static void table_free(void *context, hpa_t frame)
{
	(void)context;
	frame_free(&host_frames, SVMW_OWNER, frame, 1);
}

static bool before_entry(struct vcpu *v)
{
	svmw.before_entry_calls++;
	v->attention = 0;
	if (svmw.before) {
		svmw.before(v);
	} else if (v->reinject.valid) {
		v->event = v->reinject;
		v->reinject.valid = false;
	}
	return true;
}

static void decode(struct vcpu *v, struct vm_exit *e, uint64_t code_root)
{
	(void)code_root;
	svmw.decode_calls++;
	if (!svmw.decode)
		fake_fail("an instruction is decoded that the CPU has decoded");
	if (!svmw.decode(v, e))
		e->reason = EXIT_AGAIN;
}

static enum exit_action on_exit(struct vcpu *v, const struct vm_exit *e)
{
	unsigned at = svmw.at;

	(void)v;
	if (at >= SVMW_STEPS)
		fake_fail("more than %u exits", SVMW_STEPS);
	svmw.exit[at] = *e;
	svmw.at++;
	return at < svmw.steps ? svmw.action[at] : ACT_LEAVE;
}

static void guest(struct vcpu *v, void *ctx)
{
	(void)ctx;
	if (svmw.at < svmw.steps)
		svmw.step[svmw.at](v);
	else
		fake_svm_exit(SVM_EXIT_SHUTDOWN, 0, 0);
}

static struct vcpu_hooks hooks;

void svmw_enable_cpu(void)
{
	const char *reason = "";

	if (svm_cpu_check(&svmw.caps, &reason) != OK ||
		svm_cpu_enable(fake_cpu_index(), &reason) != OK)
		fake_fail("AMD-V: %s", reason);
}

void svmw_vcpu_init(struct vcpu *v, unsigned vpid)
{
	memset(v, 0, sizeof(*v));
	v->hooks = &hooks;
	v->ops = &svm_ops;
	v->vpid = vpid;
	v->owner = SVMW_OWNER;
	v->stage2_root = svmw.stage2.root;
	v->cr4_guest_bits = CR4_PSE | CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_FSGSBASE | CR4_SMEP;
	v->has_rdtscp = v->has_invpcid = v->has_xsaves = true;
	if (svm_vcpu_init(v) != OK)
		fake_fail("no memory");
}

void svmw_state(struct vcpu_state *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s->seg[i] = (struct segment){0x10, 0xc093, 0xffffffff, 0};
	s->seg[SEG_CS] = (struct segment){0x08, 0xa09b, 0xffffffff, 0};
	s->seg[SEG_LDTR].attr = SEG_ATTR_UNUSABLE;
	s->seg[SEG_TR] = (struct segment){0x18, 0x8b, 0x67, 0};
	s->gdtr.limit = s->idtr.limit = 0xff;
	s->rip = 0x1000;
	s->rsp = 0x8000;
	s->rflags = RFLAGS_RESERVED | RFLAGS_IF;
	s->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_WP;
	s->cr3 = 0x2000;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA | EFER_SCE;
	s->dr7 = DR7_RESET;
}

static void make_vcpu(void)
{
	struct vcpu_state s;

	svmw.stage2 = (struct pt){.format = &pt_format_npt,
		.page_sizes = PT_4K | PT_2M | PT_1G,
		.frame_alloc = table_alloc,
		.frame_free = table_free,
		.to_virt = phys_to_virt};
	if (pt_create(&svmw.stage2) != OK)
		fake_fail("no memory");
	svmw_vcpu_init(&svmw.v, 1);
	svmw.x = svmw.v.vendor;
	svmw.b = svmw.x->vmcb;
	svm_vcpu_load(&svmw.v);
	svmw_state(&s);
	svm_state_set(&svmw.v, &s);
}

static void start(bool all, uint32_t features, uint32_t asids)
{
	memset(&svmw, 0, sizeof(svmw));
	memset(&svm_config, 0, sizeof(svm_config));
	hooks.before_entry = before_entry;
	hooks.decode = decode;
	for (unsigned i = 0; i < EXIT_COUNT; i++)
		hooks.exit[i] = on_exit;
	fake_reset();
	fake_machine_amd();
	for (unsigned i = FAKE_CPUS; i-- > 0 && !all;) {
		fake_cpu_select(i);
		fake_svm_features(features | CPUID_SVM_EDX_NP, asids);
	}
	svmw_enable_cpu();
	fake_svm.guest = guest;
	make_vcpu();
}

void svmw_init(void)
{
	start(true, 0, 0);
}

void svmw_init_with(uint32_t features, uint32_t asids)
{
	start(false, features, asids);
}

void svmw_fini(void)
{
	fake_cpu_select(0);
}

const struct vm_exit *svmw_run(void (*step)(struct vcpu *v), enum exit_action action)
{
	memset(svmw.exit, 0, sizeof(svmw.exit));
	svmw.at = 0;
	svmw.steps = 1;
	svmw.step[0] = step;
	svmw.action[0] = action;
	svmw.decode_calls = 0;
	fake_counts_clear();
	svm_run(&svmw.v);
	return &svmw.exit[0];
}
