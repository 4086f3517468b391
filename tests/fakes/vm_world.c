/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/vm_world.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"

struct vm_world vmw;
const struct virt_ops *vm_world_ops = &vmx_ops;
struct vm_world_config vm_world_config;
unsigned vm_world_apic;
void (*vm_world_trim)(void);

static void poll(void)
{
	vmw.polls++;
}

static void idle(const uint32_t *wake)
{
	(void)wake;
	vmw.idles++;
	if (!vmw.idle)
		fake_fail("the guest sleeps, and nothing will wake it");
	vmw.idle();
}

static void timer_set(struct timer *t, uint64_t deadline)
{
	vmw.timers_armed++;
	t->deadline = deadline;
	if (vmw.timer_was_armed)
		vmw.timer_was_armed();
}

static void kick(unsigned cpu)
{
	if (cpu >= FAKE_CPUS)
		fake_fail("kick of CPU %u", cpu);
	vmw.kicks[cpu]++;
	if (vmw.kicked)
		vmw.kicked(cpu);
}

static void say(const struct vm *vm, const char *text)
{
	(void)vm;
	(void)text;
	vmw.said++;
}

void vm_world_machine(void)
{
	const char *reason = "";

	memset(&vmw, 0, sizeof(vmw));
	vm_world_config = (struct vm_world_config){.exit_port = 0xf4};
	memset(&vmx_config, 0, sizeof(vmx_config));
	memset(&svm_config, 0, sizeof(svm_config));
	fake_reset();
	if (vm_world_ops == &svm_ops)
		fake_machine_amd();
	ring_init(&vmw.console_out, vmw.out, sizeof(vmw.out));
	ring_init(&vmw.console_in, vmw.in, sizeof(vmw.in));
	vm_host = (struct vm_host){.poll = poll,
		.idle = idle,
		.timer_arm = timer_set,
		.kick = kick,
		.this_cpu = fake_cpu_index,
		.page_sizes = PT_4K | PT_2M,
		.say = say};
	for (unsigned i = FAKE_CPUS; i-- > 0;) {
		fake_cpu_select(i);
		if (vm_world_trim)
			vm_world_trim();
		if (vm_world_ops->cpu_check(&vm_host.caps, &reason) != OK ||
			vm_world_ops->cpu_enable(i, &reason) != OK)
			fake_fail("%s: %s", vm_world_ops->name, reason);
	}
	vm_host.caps.apic &= vm_world_apic;
}

/* The smallest ELF64 payload: one segment of a page. */
static const void *payload(uint64_t *size)
{
	static uint64_t file[1024];
	uint8_t *bytes = (uint8_t *)file;

	memcpy(bytes, "\177ELF\2\1\1", 7);
	file[2] = 1ull << 32 | 62ull << 16 | 2; /* version, machine, type */
	file[3] = VM_WORLD_ENTRY;
	file[4] = 64; /* phoff */
	bytes[52] = 64;
	bytes[54] = 56;
	bytes[56] = 1;
	file[8] = 5ull << 32 | 1; /* PT_LOAD, R+X */
	file[9] = 4096;
	file[10] = file[11] = VM_WORLD_ENTRY;
	file[12] = file[13] = 4096;
	file[14] = 4096;
	*size = sizeof(file);
	return file;
}

int vm_world_create(unsigned cpus)
{
	struct vm_params p = {.name = "web",
		.owner = VM_WORLD_OWNER,
		.vpid = 1,
		.cpu_count = cpus,
		.memory = VM_WORLD_MEMORY,
		.exit_port = vm_world_config.exit_port,
		.debug_mmio = vm_world_config.debug_mmio,
		.unix_time = 1700000000,
		.cmdline = "",
		.console_out = &vmw.console_out,
		.console_in = &vmw.console_in,
		.console_dropped = &vmw.dropped};
	int status;

	p.kernel = payload(&p.kernel_size);
	for (unsigned i = 0; i < cpus; i++)
		p.cpus[i] = (uint16_t)i;
	status = vm_create(&vmw.vm, &p, vm_world_ops, vmw.error);
	vmw.c = status == OK ? vmw.vm->cpu[0] : NULL;
	return status;
}

static void start_state(struct vcpu_state *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s->seg[i] = (struct segment){0x10, 0xc093, 0xffffffff, 0};
	s->seg[SEG_CS] = (struct segment){0x08, 0xa09b, 0xffffffff, 0};
	s->seg[SEG_LDTR].attr = SEG_ATTR_UNUSABLE;
	s->seg[SEG_TR] = (struct segment){0x18, 0x8b, 0x67, 0};
	s->rip = VM_WORLD_ENTRY;
	s->rflags = RFLAGS_RESERVED;
	s->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_WP | CR0_NE;
	s->cr3 = 0x10000;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
	s->dr7 = DR7_RESET;
}

void vm_world_load(void)
{
	struct vcpu_state s;

	start_state(&s);
	for (unsigned i = vmw.vm->cpu_count; i-- > 0;) {
		struct vcpu *v = &vmw.vm->cpu[i]->vcpu;

		fake_cpu_select(i);
		v->ops->vcpu_load(v);
		v->ops->state_set(v, &s);
	}
}

void vm_world_init(unsigned cpus)
{
	vm_world_machine();
	if (vm_world_create(cpus) != OK)
		fake_fail("no guest: %s", vmw.error);
	vm_world_load();
	fake_counts_clear();
	memset(vmw.kicks, 0, sizeof(vmw.kicks));
	vmw.timers_armed = 0;
}

void vm_world_fini(void)
{
	if (!vmw.vm)
		return;
	for (unsigned i = vmw.vm->cpu_count; i-- > 0;) {
		struct vcpu *v = &vmw.vm->cpu[i]->vcpu;

		fake_cpu_select(i);
		v->ops->vcpu_unload(v);
	}
	vm_destroy(vmw.vm);
	vmw.vm = NULL;
	/* Whatever it had may now be somebody else's: the pool asks the TLBs. */
	while (frame_scrub_step(&host_frames))
		;
}

void vm_world_flags(uint64_t rflags, uint32_t interruptibility)
{
	fake_vmcs_set(VMCS_GUEST_RFLAGS, rflags | RFLAGS_RESERVED);
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, interruptibility);
}
