/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD-V: VMRUN and what comes back from it. Each CPU remembers the VMCBs it ran, as hardware with
 * clean bits may: whoever calls a group of fields clean that is not fails the test, and so does a
 * guest that would run with what belongs to the hypervisor or another guest.
 */
#include <stdio.h>
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/svm/svm_insn.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/fake_priv.h"
#include "tests/fakes/svm_fake_priv.h"

#define VMCBS_MAX 8u
#define POISON    0xa5a5a5a5a5a5a5a5ull
/* Everything that 8000_000Ah names and this hypervisor uses. */
#define FEATURES_ALL                                                                               \
	(CPUID_SVM_EDX_NP | CPUID_SVM_EDX_SVML | CPUID_SVM_EDX_NRIPS | CPUID_SVM_EDX_CLEAN_BITS |  \
		CPUID_SVM_EDX_FLUSH_ASID | CPUID_SVM_EDX_DECODE | CPUID_SVM_EDX_VGIF)

/* What the machine knows of one VMCB. */
struct known {
	hpa_t pa;            /* 0: slot is free */
	int cpu;             /* that ran it last, -1: none */
	bool nmi_masked;     /* an NMI was delivered, and no IRET since */
	uint64_t rflags;     /* before the delivery of the injected event */
	bool ran[FAKE_CPUS]; /* cached[] is valid */
	struct vmcb cached[FAKE_CPUS];
};

struct fake_svm fake_svm;
static struct known known[VMCBS_MAX];
static struct known *running;

void fake_svm_reset(void)
{
	memset(&fake_svm, 0, sizeof(fake_svm));
	memset(known, 0, sizeof(known));
	running = NULL;
	fake_svm_tlb_reset();
}

void fake_svm_frames_reused(hpa_t base, uint64_t size)
{
	for (unsigned i = 0; i < VMCBS_MAX; i++) {
		if (known[i].pa && known[i].pa - base < size)
			memset(&known[i], 0, sizeof(known[i]));
	}
	fake_svm_tlb_frames_reused(base, size);
}

void fake_svm_features(uint32_t edx, uint32_t asids)
{
	fake_cpuid_set(CPUID_LEAF_SVM, 0, (struct cpuid_regs){1, asids, 0, edx});
}

uint32_t svm_features(void)
{
	return fake_cpuid_host(NULL, CPUID_LEAF_SVM, 0).edx;
}

void fake_machine_amd(void)
{
	for (unsigned i = FAKE_CPUS; i-- > 0;) {
		fake_cpu_select(i);
		fake_cpuid_amd();
		fake_svm_features(FEATURES_ALL, 0x8000);
		for (uint32_t msr = MSR_IA32_VMX_BASIC; msr <= MSR_IA32_VMX_TRUE_ENTRY; msr++)
			fake_msr_remove(msr);
		fake_msr_remove(MSR_IA32_FEATURE_CONTROL);
		fake_msr_set(MSR_VM_CR, 0);
		fake_msr_set(MSR_VM_HSAVE_PA, 0);
	}
}

static struct known *know(hpa_t pa)
{
	struct known *found = NULL;

	for (unsigned i = 0; i < VMCBS_MAX; i++) {
		if (known[i].pa == pa)
			return &known[i];
		if (!known[i].pa && !found)
			found = &known[i];
	}
	if (!found)
		fake_fail("more than %u VMCBs", VMCBS_MAX);
	memset(found, 0, sizeof(*found));
	found->pa = pa;
	found->cpu = -1;
	return found;
}

struct vmcb *fake_vmcb(void)
{
	if (!running)
		fake_fail("no VMRUN yet");
	return phys_to_virt(running->pa);
}

/* ---- VMSAVE ---- */

/* What VMSAVE of the hypervisor's own state stores: what this CPU has. */
static void save_host(struct vmcb *area)
{
	area->seg[SEG_FS].base = fake_msr_get(MSR_IA32_FS_BASE);
	area->seg[SEG_GS].base = fake_msr_get(MSR_IA32_GS_BASE);
	area->tr.selector = fake_this->tr;
	area->tr.base = (uint64_t)fake_this->descriptors;
	area->kernel_gs_base = fake_msr_get(MSR_IA32_KERNEL_GS_BASE);
	area->star = fake_msr_get(MSR_IA32_STAR);
	area->lstar = fake_msr_get(MSR_IA32_LSTAR);
	area->cstar = fake_msr_get(MSR_IA32_CSTAR);
	area->sfmask = fake_msr_get(MSR_IA32_FMASK);
	area->sysenter_cs = fake_msr_get(MSR_IA32_SYSENTER_CS);
	area->sysenter_esp = fake_msr_get(MSR_IA32_SYSENTER_ESP);
	area->sysenter_eip = fake_msr_get(MSR_IA32_SYSENTER_EIP);
}

static void need_svme(const char *what)
{
	if (!(fake_msr_get(MSR_IA32_EFER) & EFER_SVME))
		fake_fail("%s without EFER.SVME: #UD", what);
}

void vmsave(hpa_t area)
{
	fake_record(FAKE_VMSAVE, area, 0);
	need_svme("VMSAVE");
	if (area & (PAGE_SIZE - 1))
		fake_fail("VMSAVE to 0x%lx: #GP", (unsigned long)area);
	if (area == fake_msr_get(MSR_VM_HSAVE_PA))
		fake_fail("VMSAVE into the CPU's own save area");
	save_host(phys_to_virt(area));
}

/* ---- Exits ---- */

void fake_svm_exit_code(uint64_t code)
{
	struct vmcb *b = fake_vmcb();

	fake_svm.exit_set = true;
	b->exit_code = code;
	b->exit_info1 = b->exit_info2 = POISON;
	b->exit_int_info = b->event_inj & ~SVM_EVENT_VALID; /* echoed: only V says that it counts */
	b->next_rip = svm_features() & CPUID_SVM_EDX_NRIPS ? POISON : 0;
	if (svm_features() & CPUID_SVM_EDX_DECODE) {
		b->insn_count = 0;
		memset(b->insn_bytes, 0xa5, sizeof(b->insn_bytes));
	}
}

void fake_svm_exit(uint64_t code, uint64_t info1, uint64_t info2)
{
	const struct vmcb *b = fake_vmcb();

	if (code < 32 * SVM_INTERCEPT_WORDS && !(b->intercept[code / 32] >> code % 32 & 1))
		fake_fail("exit 0x%lx is not intercepted", (unsigned long)code);
	fake_svm_exit_code(code);
	fake_vmcb()->exit_info1 = info1;
	fake_vmcb()->exit_info2 = info2;
}

void fake_svm_exit_insn(uint64_t code, uint64_t info1, unsigned length)
{
	struct vmcb *b = fake_vmcb();

	fake_svm_exit(code, info1, POISON);
	if (code == SVM_EXIT_IOIO)
		b->exit_info2 = b->rip + length;
	if (svm_features() & CPUID_SVM_EDX_NRIPS)
		b->next_rip = b->rip + length;
	if (code <= SVM_EXIT_CR_WRITE + 15 && !(svm_features() & CPUID_SVM_EDX_DECODE))
		b->exit_info1 = POISON;
}

void fake_svm_exit_npf(uint64_t info1, gpa_t gpa, const uint8_t *bytes, unsigned count)
{
	struct vmcb *b = fake_vmcb();

	fake_svm_exit(SVM_EXIT_NPF, info1, gpa);
	if (!(svm_features() & CPUID_SVM_EDX_DECODE) || !count || count > sizeof(b->insn_bytes))
		return;
	b->insn_count = (uint8_t)count;
	memcpy(b->insn_bytes, bytes, count);
}

void fake_svm_vectoring(uint64_t info)
{
	struct vmcb *b = fake_vmcb();

	b->exit_int_info = info | SVM_EVENT_VALID;
	if (!fake_svm.injected.valid)
		return;
	/* Nothing of the injected event was done. */
	b->rflags = running->rflags;
	if (fake_svm.injected.type == EVENT_NMI)
		running->nmi_masked = false;
}

bool fake_svm_step(uint64_t rip, uint64_t rflags)
{
	struct vmcb *b = fake_vmcb();
	bool trap = b->rflags & RFLAGS_TF;

	b->rip = rip;
	b->rflags = rflags | RFLAGS_RESERVED;
	b->int_shadow = 0;
	if (!trap)
		return false;
	b->dr6 |= DR6_BS;
	fake_svm_exit(SVM_EXIT_EXCEPTION + EXC_DB, 0, 0);
	return true;
}

bool fake_svm_iret(uint64_t rip, uint64_t rflags)
{
	if (fake_vmcb()->intercept[SVM_INTERCEPT_3] & SVM_3_IRET) {
		fake_svm_exit(SVM_EXIT_IRET, POISON, POISON);
		return true;
	}
	running->nmi_masked = false;
	return fake_svm_step(rip, rflags);
}

/* ---- VMRUN ---- */

static void take_injection(struct vmcb *b)
{
	struct fake_injection *i = &fake_svm.injected;
	uint64_t info = b->event_inj;

	memset(i, 0, sizeof(*i));
	running->rflags = b->rflags;
	if (!(info & SVM_EVENT_VALID))
		return;
	*i = (struct fake_injection){
		.valid = true,
		.vector = (uint8_t)info,
		.type = info >> SVM_EVENT_TYPE_SHIFT & SVM_EVENT_TYPE_MASK,
		.has_error = info & SVM_EVENT_ERROR_VALID,
		.error = (uint32_t)(info >> SVM_EVENT_ERROR_SHIFT),
		.rip = b->rip,
	};
	fake_record(FAKE_INJECT, info, 0);
	if (i->type == EVENT_NMI && running->nmi_masked)
		fake_fail("NMI injected while NMIs are blocked");
	if (i->type == EVENT_NMI)
		running->nmi_masked = true;
	/* As if delivered through an interrupt gate. */
	b->rflags &= ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_RF);
	b->int_shadow = 0;
}

/* A virtual interrupt comes before the guest's next instruction. */
static bool virtual_interrupt(struct vmcb *b)
{
	if (!(b->v_intr & SVM_V_IRQ) || !(b->rflags & RFLAGS_IF) ||
		(b->int_shadow & SVM_INT_SHADOW))
		return false;
	if (b->intercept[SVM_INTERCEPT_3] & SVM_3_VINTR) {
		fake_svm_exit(SVM_EXIT_VINTR, POISON, POISON);
		return true;
	}
	fake_svm.injected = (struct fake_injection){.valid = true,
		.vector = (uint8_t)(b->v_intr >> SVM_V_VECTOR_SHIFT),
		.type = EVENT_INTERRUPT,
		.rip = b->rip};
	b->v_intr &= ~SVM_V_IRQ;
	b->rflags &= ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_RF);
	return false;
}

static void play(struct vcpu *v, struct vmcb *b)
{
	fake_svm.entries++;
	fake_svm.exit_set = false;
	take_injection(b);
	if (fake_svm.interrupted) {
		fake_svm_exit(SVM_EXIT_INTR, POISON, POISON);
	} else if (!virtual_interrupt(b)) {
		if (!fake_svm.guest)
			fake_fail("VMRUN, and no guest to play");
		fake_svm.guest(v, fake_svm.ctx);
		if (!fake_svm.exit_set)
			fake_fail("the guest callback did not exit");
	}
	running->cpu = (int)fake_cpu_index();
	running->ran[fake_cpu_index()] = true;
	running->cached[fake_cpu_index()] = *b;
}

/* APM vol. 2, "VMCB Clean Field": what must not be called clean. */
static void check_clean(const struct vmcb *b)
{
	const char *group;

	if (!(svm_features() & CPUID_SVM_EDX_CLEAN_BITS) || !b->clean)
		return;
	if (running->cpu != (int)fake_cpu_index())
		fake_fail("clean bits 0x%x: this VMCB last ran on CPU %d", b->clean, running->cpu);
	group = svm_clean_group_differs(b, &running->cached[fake_cpu_index()], b->clean);
	if (group)
		fake_fail("VMCB: %s changed, and its clean bit says it has not", group);
}

/* What entry.S will load when the guest is left must be this CPU's. */
static void check_host(const struct svm_vcpu *x)
{
	static struct vmcb now;
	const struct vmcb *area = phys_to_virt(x->host_area);
	hpa_t save = fake_msr_get(MSR_VM_HSAVE_PA);

	if (fake_this->rflags & RFLAGS_IF)
		fake_fail("VMRUN with interrupts on");
	need_svme("VMRUN");
	if (!save || x->host_area == x->vmcb_pa || x->host_area == save || save == x->vmcb_pa)
		fake_fail("save areas: CPU 0x%lx, host 0x%lx, VMCB 0x%lx", (unsigned long)save,
			(unsigned long)x->host_area, (unsigned long)x->vmcb_pa);
	(void)phys_to_virt(save);
	if (phys_to_virt(x->vmcb_pa) != x->vmcb)
		fake_fail("VMRUN of 0x%lx, which is not the VMCB", (unsigned long)x->vmcb_pa);
	memset(&now, 0, sizeof(now));
	save_host(&now);
	if (memcmp(&now, area, sizeof(now)) != 0)
		fake_fail("VMRUN, and the host's FS, GS, TR or MSRs are not saved for this CPU");
}

static int refuse(struct vmcb *b, const char *problem)
{
	snprintf(fake_svm.problem, sizeof(fake_svm.problem), "%s", problem);
	if (!fake_svm.tolerate)
		fake_fail("VMRUN refused: %s", problem);
	fake_svm_exit_code(fake_svm.invalid_short ? SVM_EXIT_INVALID : UINT64_MAX);
	b->exit_int_info = b->event_inj; /* it was not delivered */
	b->rip = POISON;
	/* QEMU: the host's. Of the guest's state CS is what it looks at last. */
	if (strcmp(problem, "CS has both L and D") != 0)
		b->rsp = b->rflags = b->cr0 = POISON;
	return SVM_ENTERED;
}

int svm_enter(struct vcpu *v, struct svm_vcpu *x)
{
	struct vmcb *b = x->vmcb;
	const char *problem;

	fake_record(FAKE_ENTER, b->clean, 0);
	check_host(x);
	if (fake_svm.post_before_entry) {
		__atomic_or_fetch(&v->attention, fake_svm.post_before_entry, __ATOMIC_RELAXED);
		fake_svm.post_before_entry = 0;
	}
	if (v->attention)
		return SVM_ABORTED;
	b->rax = v->gpr[RAX];
	running = know(x->vmcb_pa);
	problem = svm_check_vmcb(b);
	if (problem)
		return refuse(b, problem);
	if (x->stepping && (b->event_inj & SVM_EVENT_VALID))
		fake_fail("an event is delivered while RFLAGS.TF is the hypervisor's");
	check_clean(b);
	svm_tlb_enter(b);
	play(v, b);
	b->rax = v->gpr[RAX];
	return SVM_ENTERED;
}
