/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/vmx_world.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"

struct vmx_world world;

static hpa_t table_alloc(void *context)
{
	(void)context;
	return frame_alloc(&host_frames, WORLD_OWNER, 1, 1);
}

static void table_free(void *context, hpa_t frame)
{
	(void)context;
	frame_free(&host_frames, WORLD_OWNER, frame, 1);
}

static bool before_entry(struct vcpu *v)
{
	world.before_entry_calls++;
	v->attention = 0;
	if (world.before) {
		world.before(v);
	} else if (v->reinject.valid) {
		v->event = v->reinject;
		v->reinject.valid = false;
	}
	return true;
}

static enum exit_action on_exit(struct vcpu *v, const struct vm_exit *e)
{
	unsigned at = world.at;

	if (at >= WORLD_STEPS)
		fake_fail("more than %u exits", WORLD_STEPS);
	world.exit[at] = *e;
	world.at++;
	if (world.on_exit)
		world.on_exit(v, e);
	return at < world.steps ? world.action[at] : ACT_LEAVE;
}

static void guest(struct vcpu *v, void *ctx)
{
	(void)ctx;
	if (world.at < world.steps)
		world.step[world.at](v);
	else
		fake_exit(VMX_EXIT_TRIPLE_FAULT, 0);
}

static struct vcpu_hooks hooks;

void world_enable_cpu(void)
{
	const char *reason = "";

	if (vmx_cpu_check(&world.caps, &reason) != OK || vmx_cpu_enable(0, &reason) != OK)
		fake_fail("VT-x: %s", reason);
}

void world_vcpu_init(struct vcpu *v, unsigned vpid)
{
	memset(v, 0, sizeof(*v));
	v->hooks = &hooks;
	v->ops = &vmx_ops;
	v->vpid = vpid;
	v->owner = WORLD_OWNER;
	v->stage2_root = world.stage2.root;
	v->cr4_guest_bits = CR4_PSE | CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_FSGSBASE | CR4_SMEP |
			    CR4_LA57;
	v->has_rdtscp = v->has_invpcid = v->has_xsaves = true;
	if (vmx_vcpu_init(v) != OK)
		fake_fail("no memory");
}

void world_state(struct vcpu_state *s)
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

void world_init(void)
{
	struct vcpu_state s;

	memset(&world, 0, sizeof(world));
	memset(&vmx_config, 0, sizeof(vmx_config));
	hooks.before_entry = before_entry;
	for (unsigned i = 0; i < EXIT_COUNT; i++)
		hooks.exit[i] = on_exit;
	fake_reset();
	world_enable_cpu();
	fake_vmx.guest = guest;
	world.stage2 = (struct pt){.format = &pt_format_ept,
		.page_sizes = PT_4K | PT_2M | PT_1G,
		.frame_alloc = table_alloc,
		.frame_free = table_free,
		.to_virt = phys_to_virt};
	if (pt_create(&world.stage2) != OK)
		fake_fail("no memory");
	world_vcpu_init(&world.v, 1);
	vmx_vcpu_load(&world.v);
	world_state(&s);
	vmx_state_set(&world.v, &s);
}

void world_fini(void)
{
	fake_cpu_select(0);
}

const struct vm_exit *world_run(void (*step)(struct vcpu *v), enum exit_action action)
{
	memset(world.exit, 0, sizeof(world.exit));
	world.at = 0;
	world.steps = 1;
	world.step[0] = step;
	world.action[0] = action;
	fake_counts_clear();
	vmx_run(&world.v);
	return &world.exit[0];
}
