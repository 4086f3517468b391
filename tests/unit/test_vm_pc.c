/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual PC put together: what answers where, which wire ends where, what the console gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "drivers/virt/ioapic.h"
#include "drivers/virt/vga.h"
#include "hv/vm/pc_priv.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define IOAPIC  IOAPIC_BASE_DEFAULT
#define BUFFER  0xff000000ull
#define PM1_STS 0x600
#define PM1_EN  0x602
#define PM1_CNT 0x604
#define PWRBTN  0x100

static struct vm *vm;

static void create(bool debug_mmio, uint16_t exit_port)
{
	fake_fail_hook = fake_fail_cmocka;
	vm_world_machine();
	vm_world_config.debug_mmio = debug_mmio;
	if (exit_port)
		vm_world_config.exit_port = exit_port;
	if (vm_world_create(1) != OK)
		return;
	vm_world_load();
	vm = vmw.vm;
	lapic_mmio_write(&vmw.c->lapic, LAPIC_SVR, 4, 0x1ff, 0);
	lapic_mmio_write(&vmw.c->lapic, LAPIC_LVT_LINT0, 4, LAPIC_LVT_MASKED, 0);
	vm_world_flags(RFLAGS_IF, 0);
}

static int setup(void **state)
{
	(void)state;
	create(false, 0);
	return vm ? 0 : -1;
}

static int setup_debug(void **state)
{
	(void)state;
	create(true, 0);
	return vm ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	vm = NULL;
	return 0;
}

static uint64_t in(uint16_t port, unsigned size)
{
	uint64_t value;

	bus_read(&vm->ports, port, size, &value);
	return value;
}

static void out(uint16_t port, unsigned size, uint64_t value)
{
	bus_write(&vm->ports, port, size, value);
}

static void ioapic(unsigned index, uint32_t value)
{
	bus_write(&vm->mmio, IOAPIC + IOAPIC_IOREGSEL, 4, index);
	bus_write(&vm->mmio, IOAPIC + IOAPIC_IOWIN, 4, value);
}

static void console_said(const char *want)
{
	char text[256];
	unsigned length = 0;

	while (length < sizeof(text) - 1 && ring_get(&vmw.console_out, (uint8_t *)&text[length]))
		length++;
	text[length] = 0;
	assert_string_equal(text, want);
}

static void debug_ports(void **state)
{
	(void)state;
	assert_int_equal(in(0xe9, 1), 0xe9);
	assert_int_equal(in(0x402, 1), 0xe9);
	out(0xe9, 1, 'a');
	out(0x402, 1, 'b');
	out(0x3f8, 1, 'c');
	out(0xe9, 1, '\n');
	console_said("abc\n");
	/* There is no word there. */
	out(0xe9, 2, 'x');
	assert_int_equal(in(0xe9, 2), 0xffff);
	console_said("");
	/* A full ring loses them at once, and counts. */
	for (unsigned i = 0; i < sizeof(vmw.out) + 5; i++)
		out(0x402, 1, 'z');
	assert_int_equal(vmw.dropped, sizeof(vmw.out) + 5 - ring_used(&vmw.console_out));
	assert_true(vmw.dropped >= 5);
	assert_int_equal(vmw.timers_armed, 0);
}

static void no_test_device(void **state)
{
	uint64_t value;

	(void)state;
	out(0xe0, 4, 0x12345678);
	assert_int_equal(in(0xe0, 4), 0xffffffff);
	assert_int_equal(in(0xe8, 1), 0xff);
	assert_false(bus_read(&vm->mmio, BUFFER, 4, &value));
	ioapic(IOAPIC_REG_REDIR + 2 * 14, 0x51);
	out(0x200e, 1, 1);
	assert_true(lapic_pending(&vmw.c->lapic) < 0);
}

static void test_device(void **state)
{
	uint64_t value;

	(void)state;
	out(0xe0, 4, 0x12345678);
	assert_int_equal(in(0xe8, 1), 0x78);
	out(0xe4, 4, 0x1000);
	assert_int_equal(in(0xe0, 2), 0x5678);
	/* The latch has E9h too, and the console still gets what is written there. */
	out(0xe9, 1, '!');
	assert_int_equal(in(0xe9, 1), '!');
	assert_int_equal(in(0xe0, 4), 0x12342178);
	out(0xe8, 4, 0);
	console_said("!");
	assert_int_equal(in(0x402, 1), 0xe9);
	for (unsigned size = 1; size <= 8; size *= 2) {
		assert_true(bus_write(&vm->mmio, BUFFER + 0x1000 * size, size, 0x1122334455667788));
		assert_true(bus_read(&vm->mmio, BUFFER + 0x1000 * size, size, &value));
		assert_true(value == (0x1122334455667788 & mask_bytes(size)));
	}
	assert_true(bus_read(&vm->mmio, BUFFER + 0x3000, 8, &value));
	assert_int_equal(value, 0);
	assert_false(bus_read(&vm->mmio, BUFFER + 0x10000, 1, &value));
}

/* Line n is GSI n: IRQ 0 arrives at pin 2; the first 16 reach the PIC too. */
static void test_lines(void **state)
{
	static const struct {
		unsigned line, pin;
	} rows[] = {{14, 14}, {23, 23}, {0, 2}, {16, 16}, {1, 1}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned line = rows[i].line, vector = 0x50 + 16 * i;

		ioapic(IOAPIC_REG_REDIR + 2 * rows[i].pin, vector);
		out((uint16_t)(0x2000 + line), 1, 1);
		assert_int_equal(lapic_pending(&vmw.c->lapic), vector);
		out((uint16_t)(0x2000 + line), 1, 0);
		assert_int_equal(in(line < 8 ? 0x20 : 0xa0, 1) >> line % 8 & 1, line < 16);
	}
}

/* LegacyReplacement while the PIT's output is high: the HPET's first match is an edge too. */
static void hpet_replaces_pit(void **state)
{
	const uint64_t hpet = 0xfed00000;

	(void)state;
	ioapic(IOAPIC_REG_REDIR + 2 * 2, 0x52);
	out(0x43, 1, 0x34); /* mode 2: high until its first period ends */
	out(0x40, 1, 0);
	out(0x40, 1, 0);
	assert_int_equal(lapic_pending(&vmw.c->lapic), 0x52);
	lapic_ack(&vmw.c->lapic, 0x52);
	lapic_eoi(&vmw.c->lapic);
	assert_true(lapic_pending(&vmw.c->lapic) < 0);
	assert_true(bus_write(&vm->mmio, hpet + 0x100, 8, 4)); /* timer 0: one shot, edge, on */
	assert_true(bus_write(&vm->mmio, hpet + 0x108, 8, 0));
	assert_true(bus_write(&vm->mmio, hpet + 0x10, 8, 3));
	assert_int_equal(lapic_pending(&vmw.c->lapic), 0x52);
}

static void power_button(void **state)
{
	(void)state;
	ioapic(IOAPIC_REG_REDIR + 2 * 9, 0x59 | IOAPIC_RTE_LEVEL);
	out(0xb2, 1, 2);
	assert_int_equal(in(PM1_CNT, 2) & 1, 1);
	out(PM1_EN, 2, PWRBTN);
	assert_int_equal(in(PM1_STS, 2), 0);
	vm_cpu_post(vmw.c, POST_POWER);
	assert_true(vm_before_entry(&vmw.c->vcpu));
	assert_int_equal(in(PM1_STS, 2), PWRBTN);
	assert_true(vmw.c->vcpu.event.valid);
	assert_int_equal(vmw.c->vcpu.event.vector, 0x59);
	/* The SCI falls with the status bit. */
	out(PM1_STS, 2, PWRBTN);
	assert_int_equal(in(PM1_STS, 2), 0);
	vmw.c->vcpu.event.valid = false;
	lapic_eoi(&vmw.c->lapic);
	pc_eoi(vm, 0x59);
	assert_true(lapic_pending(&vmw.c->lapic) < 0);
}

static void screen(void **state)
{
	static const uint8_t hi[] = {'H', 7, 'i', 0x70};
	char chars[PC_SCREEN_COLUMNS];
	uint16_t cell;

	(void)state;
	for (unsigned row = 0; row < PC_SCREEN_ROWS; row++)
		assert_false(pc_screen_row(vm, row, chars));
	assert_int_equal(guest_mem_read(&vm->mem, 0xbfffe, &cell, 2), OK);
	assert_int_equal(cell, 0x0720);
	assert_int_equal(guest_mem_write(&vm->mem, 0xb8000 + 160, hi, sizeof(hi)), OK);
	assert_true(pc_screen_row(vm, 1, chars));
	assert_memory_equal(chars, "Hi  ", 4);
	out(0x3d4, 2, 80 << 8 | 0x0d);
	assert_true(pc_screen_row(vm, 0, chars));
	assert_memory_equal(chars, "Hi  ", 4);
	assert_false(pc_screen_row(vm, 1, chars));
	/* The text is RAM, what is before it is not; other ports are where they were. */
	assert_false(guest_mem_is_ram(&vm->mem, 0xb7fff, 1));
	assert_int_equal(in(0x3ff, 1), 0);
	out(0x72, 2, 0x4210);
	assert_int_equal(in(0x73, 1), 0x42);
}

/* A port that a device has is refused with a reason, not tried again for ever. */
/*
 * After a BIOS: the tick comes through the first PIC at vector 8, and the other inputs are masked.
 * After reset nothing comes.
 */
static void as_a_bios_leaves_it(void **state)
{
	(void)state;
	assert_int_equal(vm->pc->model[MODEL_PIT].armed, NS_NEVER);
	pc_bios_leave(vm);
	assert_int_equal(in(0x21, 1), 0xfa);
	assert_int_equal(in(0xa1, 1), 0xff);
	assert_int_not_equal(vm->pc->model[MODEL_PIT].armed, NS_NEVER);
	assert_false(pc_pic_pending(vm));
	fake_this->tsc += tsc_from_ns(60000000);
	pc_model_fire(&vm->pc->model[MODEL_PIT].timer, 0);
	assert_true(pc_pic_pending(vm));
	assert_int_equal(pc_pic_ack(vm), 8);
}

static void exit_port_of_a_device(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		create(i == 1, i == 1 ? 0xe1 : 0xe9);
		assert_null(vm);
		assert_true(strstr(vmw.error, "belongs to a device"));
		vm_world_config.exit_port = 0xf4;
		assert_int_equal(vm_world_create(1), OK);
		vm_world_fini();
	}
	create(false, 0x402);
	assert_int_equal(vm_world_create(1), E_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(debug_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(no_test_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device, setup_debug, teardown),
		cmocka_unit_test_setup_teardown(test_lines, setup_debug, teardown),
		cmocka_unit_test_setup_teardown(hpet_replaces_pit, setup, teardown),
		cmocka_unit_test_setup_teardown(power_button, setup, teardown),
		cmocka_unit_test_setup_teardown(screen, setup, teardown),
		cmocka_unit_test_setup_teardown(as_a_bios_leaves_it, setup, teardown),
		cmocka_unit_test_teardown(exit_port_of_a_device, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
