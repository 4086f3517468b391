/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit costs in accesses to the VMCS and to MSRs, from one entry to the next, with the
 * hypervisor's own handlers (design, "Figures to reach"). `make bench` collects the printed lines.
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
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

/* The first rounds warm up: launch, HOST_RSP, window controls. */
#define ROUNDS 4u

static struct vcpu *v;
static void (*leave)(void);
static unsigned rounds, cost[FAKE_ACTIONS];

static void guest(struct vcpu *unused, void *ctx)
{
	(void)unused;
	(void)ctx;
	if (++rounds == ROUNDS) {
		memcpy(cost, fake.count, sizeof(cost));
		vm_stop(vmw.vm, STOP_KILLED, "killed");
	}
	vm_world_flags(RFLAGS_IF, 0);
	fake_counts_clear();
	leave();
}

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_init(1);
	v = &vmw.c->vcpu;
	fake_vmx.guest = guest;
	rounds = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

static void measure(const char *name, void (*how)(void), unsigned vmread, unsigned vmwrite)
{
	leave = how;
	v->ops->run(v);
	assert_int_equal(rounds, ROUNDS);
	printf("accesses %s vmread=%u vmwrite=%u rdmsr=%u wrmsr=%u\n", name, cost[FAKE_VMREAD],
		cost[FAKE_VMWRITE], cost[FAKE_RDMSR], cost[FAKE_WRMSR]);
	assert_int_equal(cost[FAKE_VMREAD], vmread);
	assert_int_equal(cost[FAKE_VMWRITE], vmwrite);
	assert_int_equal(cost[FAKE_RDMSR] + cost[FAKE_WRMSR], 0);
	assert_int_equal(cost[FAKE_INVEPT] + cost[FAKE_INVVPID], 0);
	assert_int_equal(cost[FAKE_IN] + cost[FAKE_OUT] + cost[FAKE_CPUID], 0);
	assert_int_equal(cost[FAKE_VMCLEAR] + cost[FAKE_VMPTRLD] + cost[FAKE_CR_WRITE], 0);
	assert_int_equal(cost[FAKE_ENTER], 1);
}

/* Reason, RIP, length; then interruptibility and RFLAGS, to step over it. */
static void exit_cpuid(void)
{
	v->gpr[RAX] = 1;
	fake_exit_insn(VMX_EXIT_CPUID, 0, 2);
}

static void cpuid_exit(void **state)
{
	(void)state;
	measure("cpuid", exit_cpuid, 5, 1);
}

/* The qualification as well. */
static void exit_io(void)
{
	fake_exit_insn(VMX_EXIT_IO, 0x00800000, 2);
}

static void io_exit(void **state)
{
	(void)state;
	measure("io", exit_io, 6, 1);
}

static void exit_rdmsr(void)
{
	v->gpr[RCX] = MSR_IA32_TSC_ADJUST;
	fake_exit_insn(VMX_EXIT_RDMSR, 0, 2);
}

static void rdmsr_exit(void **state)
{
	(void)state;
	measure("rdmsr", exit_rdmsr, 5, 1);
}

/* Reason, RIP, vectoring and qualification. */
static void exit_interrupt(void)
{
	fake_exit(VMX_EXIT_EXTERNAL_INTERRUPT, 0);
}

static void interrupt_exit(void **state)
{
	(void)state;
	measure("interrupt", exit_interrupt, 4, 0);
	assert_int_equal(cost[FAKE_IRQ_WINDOW], 1);
}

/*
 * Reason, RIP, vectoring, qualification and both addresses; ten for the mode that the instruction
 * runs in; two to step over it. It is fetched where it was, and not decoded again.
 */
static void exit_mmio(void)
{
	const uint8_t store[] = {0x89, 0x07}; /* MOV [RDI], EAX */

	v->gpr[RDI] = LAPIC_BASE_DEFAULT + LAPIC_TPR;
	(void)!guest_mem_write(&vmw.vm->mem, v->rip, store, sizeof(store));
	fake_exit_ept(v->gpr[RDI], v->gpr[RDI], 0x182); /* a write, by the instruction itself */
}

static void mmio_exit(void **state)
{
	(void)state;
	v->ops->reg_write(v, REG_CR3, vmw.vm->entry.cr3);
	measure("mmio", exit_mmio, 13, 1); /* one is DR7, for data breakpoints */
	assert_int_equal(vmw.vm->stop.kind, STOP_KILLED);
}

/*
 * HLT, and the interrupt that ends it: waking reads RFLAGS, choosing it interruptibility and
 * RFLAGS.
 */
static void wake(void)
{
	vm_cpu_interrupt(vmw.c, 0x31, false);
}

static void exit_hlt(void)
{
	if (fake_vmx.injected.valid)
		lapic_eoi(&vmw.c->lapic);
	fake_exit_insn(VMX_EXIT_HLT, 0, 1);
}

static void hlt_exit(void **state)
{
	(void)state;
	vmw.idle = wake;
	measure("hlt", exit_hlt, 8, 2);
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
