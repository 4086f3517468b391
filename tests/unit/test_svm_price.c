/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit costs on AMD-V with the hypervisor's own handlers: no MSR is touched, nothing is
 * flushed, the CPU reads nothing of the VMCB again that has not changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/svm/svm.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

/* The first rounds warm up: the TLB and the clean bits of the first VMRUN. */
#define ROUNDS 4u

static struct vcpu *v;
static void (*leave)(void);
static unsigned rounds, cost[FAKE_ACTIONS];
static uint64_t clean;

static uint64_t last_clean(void)
{
	for (unsigned i = fake.history_used; i-- > 0;) {
		if (fake.history[i].action == FAKE_ENTER)
			return fake.history[i].a;
	}
	return 0;
}

static void guest(struct vcpu *unused, void *ctx)
{
	struct vmcb *b = fake_vmcb();

	(void)unused;
	(void)ctx;
	if (++rounds == ROUNDS) {
		memcpy(cost, fake.count, sizeof(cost));
		clean = last_clean();
		vm_stop(vmw.vm, STOP_KILLED, "killed");
	}
	b->rflags = RFLAGS_RESERVED | RFLAGS_IF;
	fake_counts_clear();
	leave();
}

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_ops = &svm_ops;
	vm_world_init(1);
	v = &vmw.c->vcpu;
	fake_svm.guest = guest;
	rounds = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

/* dirty: groups of the VMCB that the CPU must read anew. */
static void measure(const char *name, void (*how)(void), uint64_t dirty)
{
	leave = how;
	v->ops->run(v);
	assert_int_equal(rounds, ROUNDS);
	printf("accesses svm_%s rdmsr=%u wrmsr=%u vmsave=%u dirty=0x%lx\n", name, cost[FAKE_RDMSR],
		cost[FAKE_WRMSR], cost[FAKE_VMSAVE], (unsigned long)(SVM_CLEAN_ALL & ~clean));
	assert_int_equal(SVM_CLEAN_ALL & ~clean, dirty);
	assert_int_equal(cost[FAKE_RDMSR] + cost[FAKE_WRMSR], 0);
	assert_int_equal(cost[FAKE_VMSAVE] + cost[FAKE_TLB_FLUSH], 0);
	assert_int_equal(cost[FAKE_IN] + cost[FAKE_OUT] + cost[FAKE_CPUID], 0);
	assert_int_equal(cost[FAKE_CR_WRITE], 0);
	assert_int_equal(cost[FAKE_ENTER], 1);
	assert_int_equal(vmw.vm->stop.kind, STOP_KILLED);
}

static void exit_cpuid(void)
{
	v->gpr[RAX] = 1;
	fake_svm_exit_insn(SVM_EXIT_CPUID, 0, 2);
}

static void cpuid_exit(void **state)
{
	(void)state;
	measure("cpuid", exit_cpuid, 0);
}

static void exit_io(void)
{
	fake_svm_exit_insn(SVM_EXIT_IOIO, 0x00800010, 2);
}

static void io_exit(void **state)
{
	(void)state;
	measure("io", exit_io, 0);
}

static void exit_rdmsr(void)
{
	v->gpr[RCX] = MSR_IA32_TSC_ADJUST;
	fake_svm_exit_insn(SVM_EXIT_MSR, 0, 2);
}

static void rdmsr_exit(void **state)
{
	(void)state;
	measure("rdmsr", exit_rdmsr, 0);
}

static void exit_interrupt(void)
{
	fake_svm_exit(SVM_EXIT_INTR, 0, 0);
}

static void interrupt_exit(void **state)
{
	(void)state;
	measure("interrupt", exit_interrupt, 0);
	assert_int_equal(cost[FAKE_IRQ_WINDOW], 1);
}

/* MOV [RDI], EAX to the LAPIC; the CPU hands over the instruction's bytes. */
static void exit_mmio(void)
{
	const uint8_t store[15] = {0x89, 0x07};

	v->gpr[RDI] = LAPIC_BASE_DEFAULT + LAPIC_TPR;
	(void)!guest_mem_write(&vmw.vm->mem, v->rip, store, sizeof(store));
	fake_svm_exit_npf(0x100000006, v->gpr[RDI], store, sizeof(store));
}

static void mmio_exit(void **state)
{
	(void)state;
	v->ops->reg_write(v, REG_CR3, vmw.vm->entry.cr3);
	measure("mmio", exit_mmio, 0);
}

static void wake(void)
{
	vm_cpu_interrupt(vmw.c, 0x31, false);
}

static void exit_hlt(void)
{
	if (fake_svm.injected.valid)
		lapic_eoi(&vmw.c->lapic);
	fake_svm_exit_insn(SVM_EXIT_HLT, 0, 1);
}

static void hlt_exit(void **state)
{
	(void)state;
	vmw.idle = wake;
	measure("hlt", exit_hlt, 0);
	assert_int_equal(vmw.idles, ROUNDS - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cpuid_exit),
		TEST(io_exit),
		TEST(mmio_exit),
		TEST(rdmsr_exit),
		TEST(interrupt_exit),
		TEST(hlt_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
