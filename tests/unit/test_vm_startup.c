/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several vCPUs: INIT and SIPI in all orders of posting and the state after INIT, on both vendors'
 * fakes; who gets an interrupt of the PIC or of lowest priority; a LAPIC page that moves; models'
 * timers that another vCPU needs. Messages are sent as guests send them. vCPU 1 on CPU 1 receives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/virt/switch.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/vm/pc.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define MSR_APIC_BASE 0x1bu
#define RAM_PAGE      0x5000ull
#define MOVES_MAX     64u

static struct vm_cpu *ap;
static struct vcpu *v;

static void begin(unsigned cpus)
{
	fake_fail_hook = fake_fail_cmocka;
	vm_world_init(cpus);
	ap = vmw.vm->cpu[1];
	v = &ap->vcpu;
	for (unsigned i = 0; i < cpus; i++) {
		struct lapic *l = &vmw.vm->cpu[i]->lapic;

		lapic_mmio_write(l, LAPIC_SVR, 4, LAPIC_SVR_ENABLE | 0xff, 0);
		lapic_mmio_write(l, LAPIC_LVT_LINT0, 4, LAPIC_LVT_MASKED, 0);
		vmw.vm->cpu[i]->vcpu.attention = 0;
	}
}

static void end(void)
{
	vm_world_fini();
}

static int on_vmx(void **state)
{
	(void)state;
	vm_world_ops = &vmx_ops;
	begin(2);
	return 0;
}

static int on_svm(void **state)
{
	(void)state;
	vm_world_ops = &svm_ops;
	begin(2);
	return 0;
}

static int on_four(void **state)
{
	(void)state;
	vm_world_ops = &vmx_ops;
	begin(4);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end();
	return 0;
}

/* vCPU 0 writes its ICR. */
static void send(uint32_t dest, uint32_t command)
{
	unsigned back = fake_cpu_index();

	fake_cpu_select(0);
	assert_true(vm_mmio_write(vmw.c, LAPIC_BASE_DEFAULT + LAPIC_ICR_HIGH, 4, dest << 24));
	assert_true(vm_mmio_write(vmw.c, LAPIC_BASE_DEFAULT + LAPIC_ICR_LOW, 4, command));
	fake_cpu_select(back);
}

static void send_init(void)
{
	send(1, LAPIC_DM_INIT << 8 | 1 << 14);
}

static void send_sipi(unsigned vector)
{
	send(1, LAPIC_DM_STARTUP << 8 | 1 << 14 | vector);
}

static bool enter(unsigned cpu)
{
	fake_cpu_select(cpu);
	return vm_before_entry(&vmw.vm->cpu[cpu]->vcpu);
}

/* ---- INIT and SIPI ---- */

#define WAITS       (-1)
#define UNDISTURBED 0

static const char *script;

/* Up to where the vCPU looks: I is INIT, a digit the vector of a SIPI. */
static void play(void)
{
	for (; *script && *script != '|'; script++) {
		if (*script == 'I')
			send_init();
		else
			send_sipi((unsigned)(*script - '0'));
	}
	if (*script)
		script++;
}

static void play_while_idle(void)
{
	if (*script)
		play();
	else
		vm_stop(vmw.vm, STOP_KILLED, "killed");
}

static void run_life(bool waiting, const char *text, int result)
{
	struct vcpu_state s;
	bool entered;

	ap->waits_for_sipi = waiting;
	script = text;
	vmw.idle = play_while_idle;
	do {
		play();
		entered = enter(1);
	} while (entered && *script);
	v->ops->state_get(v, &s);
	if (entered != (result != WAITS) || ap->waits_for_sipi != !entered)
		fail_msg("%s: entered %u", text, entered);
	if (result == UNDISTURBED) {
		assert_int_equal(s.rip, VM_WORLD_ENTRY);
		assert_int_equal(s.seg[SEG_CS].selector, 0x08);
	} else if (result > 0) {
		if (s.seg[SEG_CS].base != (uint64_t)result << 12)
			fail_msg("%s: CS base 0x%lx", text, (unsigned long)s.seg[SEG_CS].base);
		assert_int_equal(s.seg[SEG_CS].selector, result << 8);
		assert_int_equal(s.rip, 0);
		assert_int_equal(v->rip, 0);
	}
}

/* SDM vol. 3, "MP Initialization Protocol Algorithm": one SIPI is enough, further ones are lost. */
static void init_and_sipi(void **state)
{
	static const struct {
		bool waiting;
		const char *text;
		int result;
	} lives[] = {
		{true, "1", 1},
		{true, "I1", 1},
		{true, "1I", WAITS},
		{true, "12", 1},
		{true, "1|2", 1},
		{true, "I|1", 1},
		{true, "II1", 1},
		{true, "I1I2", 2},
		{true, "I", WAITS},
		{false, "1", UNDISTURBED},
		{false, "1|2", UNDISTURBED},
		{false, "I", WAITS},
		{false, "I1", 1},
		{false, "1I", WAITS},
		{false, "1I2", 2},
		{false, "1|I2", 2},
		{false, "I12", 1},
		{false, "I|1|2", 1},
		{false, "I1|2|I3", 3},
		{false, "I1|I|4", 4},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lives); i++) {
		run_life(lives[i].waiting, lives[i].text, lives[i].result);
		end();
		begin(2);
	}
}

static void stopped_while_waiting(void **state)
{
	(void)state;
	run_life(true, "", WAITS);
	assert_int_equal(vmw.idles, 1);
	assert_int_equal(vmw.vm->stop.kind, STOP_KILLED);
}

/* Neither an NMI nor an interrupt ends the wait, and none of them is there afterwards. */
static void nothing_else_wakes(void **state)
{
	(void)state;
	ap->waits_for_sipi = true;
	vm_cpu_nmi(ap);
	send(1, 0x31);
	send_init();
	script = "|1";
	vmw.idle = play_while_idle;
	assert_true(enter(1));
	assert_int_equal(vmw.idles, 2);
	assert_false(v->event.valid || v->want_nmi_window || v->want_interrupt_window);
}

static uint64_t tsc_offset;

static void make_busy(void)
{
	fake_cpu_select(1);
	v->ops->reg_write(v, REG_CR0, CR0_PE | CR0_PG | CR0_ET | CR0_CD | CR0_NE);
	v->ops->reg_write(v, REG_PAT, 0x0606060606060606ull);
	v->ops->reg_write(v, REG_RFLAGS, RFLAGS_RESERVED | RFLAGS_IF);
	memset(v->gpr, 0x5a, sizeof(v->gpr));
	write_dr0(0x1234);
	write_dr3(0x5678);
	write_dr6(DR6_RESET | 1);
	v->event = (struct vcpu_event){.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_UD};
	v->reinject = (struct vcpu_event){.valid = true, .type = EVENT_INTERRUPT, .vector = 0x41};
	ap->extint_pending = ap->interrupt_again = ap->halted = true;
	ap->nmi_pending = 2;
	lapic_mmio_write(&ap->lapic, LAPIC_TPR, 4, 0x30, 0);
	lapic_mmio_write(&ap->lapic, LAPIC_LVT_TIMER, 4, LAPIC_TIMER_PERIODIC | 0x60, 0);
	lapic_mmio_write(&ap->lapic, LAPIC_TIMER_ICT, 4, 1000000, 0);
	lapic_accept(&ap->lapic, 0x55, false);
	vm_lapic_rearm(ap);
	assert_true(ap->lapic_timer.deadline != TIMER_NEVER);
	ap->xcr0 = XCR0_X87 | XCR0_SSE;
	tsc_offset = ap->tsc_offset = 0x123456;
}

static void check_segments(const struct vcpu_state *s)
{
	static const struct {
		uint32_t attr, limit;
		uint64_t base;
		uint16_t selector;
	} rows[SEG_COUNT] = {
		[SEG_ES] = {0x93, 0xffff, 0, 0},
		[SEG_CS] = {0x9b, 0xffff, 0x8000, 0x800},
		[SEG_SS] = {0x93, 0xffff, 0, 0},
		[SEG_DS] = {0x93, 0xffff, 0, 0},
		[SEG_FS] = {0x93, 0xffff, 0, 0},
		[SEG_GS] = {0x93, 0xffff, 0, 0},
		[SEG_LDTR] = {0x82, 0xffff, 0, 0},
		[SEG_TR] = {0x8b, 0xffff, 0, 0},
	};

	for (unsigned i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(s->seg[i].attr, rows[i].attr);
		assert_int_equal(s->seg[i].limit, rows[i].limit);
		assert_int_equal(s->seg[i].base, rows[i].base);
		assert_int_equal(s->seg[i].selector, rows[i].selector);
	}
	assert_int_equal(s->gdtr.base | s->idtr.base, 0);
	assert_int_equal(s->gdtr.limit, 0xffff);
	assert_int_equal(s->idtr.limit, 0xffff);
}

/* SDM vol. 3, "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT". */
static void state_after_init(void **state)
{
	struct vcpu_state s;

	(void)state;
	make_busy();
	send_init();
	send_sipi(8);
	vmw.idle = NULL;
	assert_true(enter(1));
	v->ops->state_get(v, &s);
	check_segments(&s);
	assert_int_equal(s.cr0, CR0_CD | CR0_ET);
	assert_int_equal(s.cr2 | s.cr3 | s.cr4 | s.efer, 0);
	assert_int_equal(s.rflags, RFLAGS_RESERVED);
	assert_int_equal(s.rip | s.rsp, 0);
	assert_int_equal(s.dr7, DR7_RESET);
	assert_int_equal(fake_this->dr[0] | fake_this->dr[3], 0);
	assert_int_equal(fake_this->dr[6], DR6_RESET);
	for (unsigned i = 0; i < GPR_COUNT; i++) {
		if (i != RDX && i != RSP)
			assert_int_equal(v->gpr[i], 0);
	}
	assert_int_equal(v->gpr[RDX], cpuid_table_find(&ap->cpuid, CPUID_LEAF_FEATURES, 0)->eax);
	assert_false(v->event.valid || v->reinject.valid);
	assert_false(ap->nmi_pending || ap->extint_pending || ap->interrupt_again || ap->halted);
	/* The LAPIC begins anew, in its place. */
	assert_int_equal(lapic_mmio_read(&ap->lapic, LAPIC_SVR, 4, 0), 0xff);
	assert_int_equal(lapic_mmio_read(&ap->lapic, LAPIC_TPR, 4, 0), 0);
	assert_int_equal(lapic_pending(&ap->lapic), -1);
	assert_int_equal(lapic_mmio_read(&ap->lapic, LAPIC_ID, 4, 0), 1 << 24);
	assert_true(ap->lapic_timer.deadline == TIMER_NEVER);
	/* What stays. */
	assert_int_equal(v->ops->reg_read(v, REG_PAT), 0x0606060606060606ull);
	assert_int_equal(ap->xcr0, XCR0_X87 | XCR0_SSE);
	assert_int_equal(ap->tsc_offset, tsc_offset);
}

/* INIT leaves the LAPIC in x2APIC mode, and where it is. */
static void init_keeps_the_mode(void **state)
{
	const uint64_t base = LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | LAPIC_BASE_EXTD;

	(void)state;
	fake_cpu_select(1);
	assert_true(vm_msr_write(ap, MSR_APIC_BASE, base));
	send_init();
	send_sipi(8);
	assert_true(enter(1));
	assert_int_equal(ap->lapic.apic_base, base);
	assert_int_equal(ap->lapic.mode, LAPIC_X2APIC);
}

static void init_to_the_boot_cpu(void **state)
{
	(void)state;
	fake_cpu_select(1);
	assert_true(vm_mmio_write(ap, LAPIC_BASE_DEFAULT + LAPIC_ICR_LOW, 4,
		LAPIC_SH_OTHERS << 18 | LAPIC_DM_INIT << 8 | 1 << 14));
	assert_int_equal(vmw.vm->stop.kind, STOP_RESET);
	assert_false(enter(1));
}

static void init_to_itself(void **state)
{
	(void)state;
	fake_cpu_select(1);
	assert_true(vm_mmio_write(ap, LAPIC_BASE_DEFAULT + LAPIC_ICR_HIGH, 4, 1 << 24));
	assert_true(vm_mmio_write(
		ap, LAPIC_BASE_DEFAULT + LAPIC_ICR_LOW, 4, LAPIC_DM_INIT << 8 | 1 << 14));
	assert_true(v->attention & VCPU_POSTED);
	run_life(false, "|9", 9);
}

/* ---- The PIC ---- */

static void pic_program(void)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} init[] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0xa0, 0x11}, {0xa1, 0x28},
		{0xa1, 2}, {0xa1, 1}, {0x21, 0xef}, {0xa1, 0xff}};

	for (unsigned i = 0; i < ARRAY_SIZE(init); i++)
		assert_true(bus_write(&vmw.vm->ports, init[i].port, 1, init[i].value));
}

/* IRQ 4, as in test_vm_event.c. */
static void uart_interrupt(void)
{
	assert_true(bus_write(&vmw.vm->ports, 0x3fc, 1, 8));
	assert_true(bus_write(&vmw.vm->ports, 0x3f9, 1, 2));
}

static void open_interrupts(struct vm_cpu *c)
{
	fake_cpu_select(c->vcpu.id);
	c->vcpu.ops->reg_write(&c->vcpu, REG_RFLAGS, RFLAGS_RESERVED | RFLAGS_IF);
}

static void lint0_extint(struct vm_cpu *c)
{
	lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT0, 4, LAPIC_DM_EXTINT << 8, 0);
}

static void ioapic_pin0_extint(unsigned dest)
{
	assert_true(bus_write(&vmw.vm->mmio, 0xfec00000, 4, 0x11));
	assert_true(bus_write(&vmw.vm->mmio, 0xfec00010, 4, dest << 24));
	assert_true(bus_write(&vmw.vm->mmio, 0xfec00000, 4, 0x10));
	assert_true(bus_write(&vmw.vm->mmio, 0xfec00010, 4, LAPIC_DM_EXTINT << 8));
}

static void delivered(struct vm_cpu *c, unsigned vector)
{
	assert_true(enter(c->vcpu.id));
	assert_true(c->vcpu.event.valid);
	assert_int_equal(c->vcpu.event.vector, vector);
	c->vcpu.event.valid = false;
}

static void nothing_for(struct vm_cpu *c)
{
	assert_true(enter(c->vcpu.id));
	assert_false(c->vcpu.event.valid || c->vcpu.want_interrupt_window);
}

static void extint_by_lint0(void **state)
{
	(void)state;
	pic_program();
	lint0_extint(ap);
	open_interrupts(ap);
	open_interrupts(vmw.c);
	uart_interrupt();
	assert_int_equal(vmw.kicks[1], 1);
	nothing_for(vmw.c);
	delivered(ap, 0x24);
	nothing_for(ap);
}

static void extint_by_the_ioapic(void **state)
{
	(void)state;
	pic_program();
	ioapic_pin0_extint(1);
	open_interrupts(ap);
	open_interrupts(vmw.c);
	uart_interrupt();
	assert_int_equal(vmw.kicks[1], 1);
	nothing_for(vmw.c);
	delivered(ap, 0x24);
	nothing_for(ap);
}

/* Both hear it: whoever comes first fetches it. */
static void extint_for_two(void **state)
{
	(void)state;
	pic_program();
	lint0_extint(ap);
	ioapic_pin0_extint(1);
	lint0_extint(vmw.c);
	open_interrupts(ap);
	open_interrupts(vmw.c);
	uart_interrupt();
	delivered(vmw.c, 0x24);
	nothing_for(ap);
	/* The message of the IOAPIC has not outlived it. */
	assert_false(ap->extint_pending);
}

static struct virt_ops quick_ops;

static uint32_t another_is_quicker(struct vcpu *unused)
{
	(void)unused;
	assert_int_equal(pc_pic_ack(vmw.vm), 0x24);
	assert_int_equal(pc_pic_ack(vmw.vm), -1);
	return 0;
}

/* Fetched between the look at the PIC and the fetch: no vector is made up. */
static void extint_lost_to_another(void **state)
{
	(void)state;
	pic_program();
	lint0_extint(ap);
	open_interrupts(ap);
	fake_cpu_select(0);
	uart_interrupt();
	quick_ops = *v->ops;
	quick_ops.interruptibility = another_is_quicker;
	v->ops = &quick_ops;
	nothing_for(ap);
	v->ops = vm_world_ops;
}

/* ---- Lowest priority ---- */

static unsigned receivers(void)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < vmw.vm->cpu_count; i++) {
		struct vm_cpu *c = vmw.vm->cpu[i];

		c->vcpu.event.valid = false;
		assert_true(enter(i));
		for (unsigned w = 0; w < 8; w++)
			mask |= (c->lapic.page[LAPIC_IRR / 4 + 4 * w] ? 1u : 0) << i;
		lapic_mmio_write(&c->lapic, LAPIC_SVR, 4, LAPIC_SVR_ENABLE | 0xff, 0);
		memset(&c->lapic.page[LAPIC_IRR / 4], 0, 0x80);
		lapic_rescan(&c->lapic);
	}
	return mask;
}

static void lowest_to_all(void)
{
	send(0xff, LAPIC_DM_LOWEST << 8 | 1 << 14 | 0x41);
}

static void lowest_priority(void **state)
{
	unsigned seen = 0;

	(void)state;
	for (unsigned i = 0; i < 4; i++) { /* equals take turns */
		unsigned one;

		lowest_to_all();
		one = receivers();
		assert_int_equal(__builtin_popcount(one), 1);
		seen |= one;
	}
	assert_int_equal(seen, 0xf);
	for (unsigned i = 0; i < 4; i++) { /* the lowest wins */
		for (unsigned c = 0; c < 4; c++)
			lapic_mmio_write(
				&vmw.vm->cpu[c]->lapic, LAPIC_TPR, 4, c == i ? 0x10 : 0x20, 0);
		for (unsigned n = 0; n < 5; n++) {
			lowest_to_all();
			assert_int_equal(receivers(), 1 << i);
		}
	}
	/* Whoever is disabled by software is none. */
	lapic_mmio_write(&vmw.vm->cpu[3]->lapic, LAPIC_SVR, 4, 0xff, 0);
	lowest_to_all();
	assert_int_equal(__builtin_popcount(receivers() & 7), 1);
	send(9, LAPIC_DM_LOWEST << 8 | 1 << 14 | 0x41);
	assert_int_equal(receivers(), 0);
}

/* ---- The LAPIC's page ---- */

static bool move_to(uint64_t page)
{
	fake_cpu_select(1);
	return vm_msr_write(ap, MSR_APIC_BASE, page | LAPIC_BASE_EN);
}

static uint64_t version_at(struct vm_cpu *c, gpa_t page)
{
	uint64_t value = UINT64_MAX;

	if (!vm_mmio_read(c, page + LAPIC_VERSION, 4, &value))
		return UINT64_MAX;
	return value;
}

static void page_moves(void **state)
{
	uint64_t version = version_at(ap, LAPIC_BASE_DEFAULT);

	(void)state;
	assert_true(move_to(0xfed40000));
	assert_int_equal(version_at(ap, 0xfed40000), version);
	assert_true(version_at(ap, LAPIC_BASE_DEFAULT) == UINT64_MAX);
	assert_true(version_at(vmw.c, 0xfed40000) == UINT64_MAX);
	assert_int_equal(version_at(vmw.c, LAPIC_BASE_DEFAULT), version);
	assert_int_equal(vmw.vm->lapic_moves, 0);
	assert_int_equal(vmw.vm->cpu[0]->posts, 0);
	/* Reserved bits of the register still are. */
	assert_false(vm_msr_write(ap, MSR_APIC_BASE, LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | 1));
	/* What is refused takes no page of RAM. */
	assert_false(vm_msr_write(ap, MSR_APIC_BASE, RAM_PAGE | LAPIC_BASE_EN | 1));
	assert_int_equal(vmw.vm->lapic_moves, 0);
	assert_true(version_at(ap, LAPIC_BASE_DEFAULT) == UINT64_MAX);
}

static void page_moves_onto_ram(void **state)
{
	struct pt_mapping found;
	uint64_t word = 0x1122334455667788ull, read = 0;

	(void)state;
	assert_int_equal(pt_lookup(&vmw.vm->stage2, RAM_PAGE, &found), OK);
	assert_int_equal(guest_mem_write(&vmw.vm->mem, RAM_PAGE + LAPIC_VERSION, &word, 8), OK);
	assert_true(move_to(RAM_PAGE));
	assert_int_not_equal(pt_lookup(&vmw.vm->stage2, RAM_PAGE, &found), OK);
	assert_int_equal(pt_lookup(&vmw.vm->stage2, RAM_PAGE - PAGE_SIZE, &found), OK);
	assert_int_equal(pt_lookup(&vmw.vm->stage2, RAM_PAGE + PAGE_SIZE, &found), OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(vmw.vm->cpu[i]->posts & POST_FLUSH);
		assert_true(vmw.vm->cpu[i]->vcpu.attention & VCPU_POSTED);
		assert_true(vmw.kicks[i] > 0);
		assert_true(enter(i));
		assert_int_equal(vmw.vm->cpu[i]->posts, 0);
	}
	/* Its own CPU sees the registers, the other one what was there: no device takes it. */
	assert_true(version_at(ap, RAM_PAGE) != UINT64_MAX);
	assert_true(version_at(vmw.c, RAM_PAGE) == UINT64_MAX);
	assert_int_equal(guest_mem_read(&vmw.vm->mem, RAM_PAGE + LAPIC_VERSION, &read, 8), OK);
	assert_true(read == word);
}

/* Both CPUs had the page in their TLB; VT-x, whose fake asks it. */
static void page_is_flushed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		fake_cpu_select(i);
		assert_true(fake_guest_access(RAM_PAGE) != 0);
	}
	assert_true(move_to(RAM_PAGE));
	for (unsigned i = 0; i < 2; i++) {
		assert_true(enter(i));
		assert_true(fake_guest_access(RAM_PAGE) == 0);
		assert_true(fake_guest_access(RAM_PAGE + PAGE_SIZE) != 0);
	}
}

static void moves_are_limited(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MOVES_MAX; i++)
		assert_true(move_to(RAM_PAGE + (i & 1) * PAGE_SIZE));
	assert_false(move_to(RAM_PAGE + 2 * PAGE_SIZE));
	assert_int_equal(LAPIC_BASE_ADDR(ap->lapic.apic_base), RAM_PAGE + PAGE_SIZE);
	/* The way back is free. */
	assert_true(move_to(LAPIC_BASE_DEFAULT));
	assert_true(version_at(ap, LAPIC_BASE_DEFAULT) != UINT64_MAX);
}

/* ---- Timers of models ---- */

/* The PIT in mode 2, programmed by CPU 1: its timer is CPU 0's. */
static void timers_of_models(void **state)
{
	(void)state;
	fake_cpu_select(1);
	vmw.timers_armed = 0;
	assert_true(bus_write(&vmw.vm->ports, 0x43, 1, 0x34));
	assert_true(bus_write(&vmw.vm->ports, 0x40, 1, 0xa9));
	assert_true(bus_write(&vmw.vm->ports, 0x40, 1, 4));
	assert_int_equal(vmw.timers_armed, 0);
	assert_true(vmw.c->posts & POST_TIMERS);
	assert_true(vmw.kicks[0] > 0);
	assert_true(enter(0));
	assert_int_equal(vmw.timers_armed, 1);
	/* Nothing earlier is asked for again. */
	fake_cpu_select(1);
	vmw.kicks[0] = 0;
	assert_true(bus_write(&vmw.vm->ports, 0x43, 1, 0x34));
	assert_int_equal(vmw.kicks[0], 0);
}

/* An access on its own CPU needs nobody. */
static void timers_at_home(void **state)
{
	(void)state;
	fake_cpu_select(0);
	vmw.timers_armed = 0;
	assert_true(bus_write(&vmw.vm->ports, 0x43, 1, 0x34));
	assert_true(bus_write(&vmw.vm->ports, 0x40, 1, 0xa9));
	assert_true(bus_write(&vmw.vm->ports, 0x40, 1, 4));
	assert_true(vmw.timers_armed > 0);
	assert_false(vmw.c->posts & POST_TIMERS);
}

#define BOTH(name)                                                                                 \
	{#name " (VT-x)", name, on_vmx, teardown, NULL},                                           \
	{                                                                                          \
#name " (AMD-V)", name, on_svm, teardown, NULL                                     \
	}
#define TEST(name)      cmocka_unit_test_setup_teardown(name, on_vmx, teardown)
#define TEST_FOUR(name) cmocka_unit_test_setup_teardown(name, on_four, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(init_and_sipi),
		BOTH(stopped_while_waiting),
		BOTH(nothing_else_wakes),
		BOTH(state_after_init),
		BOTH(init_keeps_the_mode),
		BOTH(init_to_the_boot_cpu),
		BOTH(init_to_itself),
		BOTH(extint_by_lint0),
		BOTH(extint_by_the_ioapic),
		BOTH(extint_for_two),
		BOTH(extint_lost_to_another),
		TEST_FOUR(lowest_priority),
		TEST(page_moves),
		BOTH(page_moves_onto_ram),
		TEST(page_is_flushed),
		TEST(moves_are_limited),
		TEST(timers_of_models),
		TEST(timers_at_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
