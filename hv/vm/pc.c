/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual PC put together: which model is reached where, with which lock, and what is too small
 * for a model. Ranges are fixed before the guest runs.
 */
#include "drivers/virt/acpi_tables.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"
#include "hv/vm/pc_priv.h"

/* ---- Power ---- */

static void guest_sleep(void *ctx, unsigned slp_typ)
{
	if (slp_typ == ACPI_SLP_TYP_S5)
		vm_stop(ctx, STOP_POWEROFF, "powered off");
}

static void guest_reset(void *ctx)
{
	vm_stop(ctx, STOP_RESET, "reset");
}

void pc_power_button(struct vm *vm)
{
	struct model *m = &vm->pc->model[MODEL_PM];

	spin_lock(&m->lock);
	pm_power_button(&vm->pc->pm, vm_now(vm));
	pc_model_rearm(m);
	spin_unlock(&m->lock);
}

/* ---- Screen ---- */

/* As firmware clears it: blanks, light grey on black. */
static void clear_text(struct vm *vm)
{
	uint64_t *text = guest_mem_map(&vm->mem, VGA_TEXT_BASE, VGA_TEXT_SIZE, NULL);

	for (unsigned i = 0; text && i < VGA_TEXT_SIZE / sizeof(*text); i++)
		text[i] = 0x0720072007200720;
}

bool pc_screen_row(const struct vm *vm, unsigned row, char chars[PC_SCREEN_COLUMNS])
{
	const uint8_t *text = guest_mem_map(&vm->mem, VGA_TEXT_BASE, VGA_TEXT_SIZE, NULL);

	_Static_assert(PC_SCREEN_COLUMNS == VGA_COLUMNS && PC_SCREEN_ROWS == VGA_ROWS, "mode 3");
	return text && vga_text_row(&vm->pc->vga, text, row, chars);
}

/* ---- Things too small for a model ---- */

/* Port 80h: a POST code latch; Linux also writes it for delays. */
static uint64_t port80_read(void *ctx, uint64_t offset, unsigned size)
{
	(void)offset;
	(void)size;
	return ((struct pc *)ctx)->debug_port;
}

static void port80_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	(void)offset;
	(void)size;
	((struct pc *)ctx)->debug_port = (uint8_t)value;
}

/* Ports E9h and 402h, as Bochs, QEMU and firmware for them use them: a byte for the console. */
#define DEBUG_PORT       0xe9
#define DEBUG_PORT_FW    0x402
#define DEBUG_PORT_THERE 0xe9 /* what a guest reads that asks whether it is there */

static uint64_t debug_read(void *ctx, uint64_t offset, unsigned size)
{
	(void)ctx;
	(void)offset;
	(void)size;
	return DEBUG_PORT_THERE;
}

static void debug_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	(void)offset;
	(void)size;
	pc_console_debug(ctx, (uint8_t)value);
}

/* The test device's latch at E8h takes E9h with it: what is written there is seen all the same. */
static void debug_latch_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct window *w = ctx;

	pc_window_write(w, offset, size, value);
	if (size == 1 && DEBUG_MMIO_PORT_BYTES + offset == DEBUG_PORT)
		pc_console_debug(w->vm, (uint8_t)value);
}

/* isa-debug-exit: any write ends the guest. */
static uint64_t exit_read(void *ctx, uint64_t offset, unsigned size)
{
	(void)ctx;
	(void)offset;
	(void)size;
	return 0;
}

static void exit_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct vm *vm = ctx;

	(void)offset;
	(void)size;
	spin_lock(&vm->stop_lock);
	if (vm->stop.kind == STOP_NONE)
		vm->stop.exit_value = (uint32_t)value;
	spin_unlock(&vm->stop_lock);
	vm_stop(vm, STOP_EXIT, "exit %u (0x%x)", (unsigned)value, (unsigned)value);
}

static uint64_t ecam_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pc *pc = ctx;

	if (size == 8)
		return (uint64_t)pci_ecam_read(&pc->pci, offset + 4, 4) << 32 |
		       pci_ecam_read(&pc->pci, offset, 4);
	return pci_ecam_read(&pc->pci, offset, size);
}

static void ecam_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pc *pc = ctx;

	pci_ecam_write(&pc->pci, offset, MIN(size, 4u), (uint32_t)value);
	if (size == 8)
		pci_ecam_write(&pc->pci, offset + 4, 4, (uint32_t)(value >> 32));
}

/* ---- Assembly ---- */

struct port_row {
	uint16_t base, size;
	uint8_t model;
	uint32_t shift;
};

/* CF8h-CFFh is split: RST_CNT is one byte inside the PCI address port. */
static const struct port_row port_rows[] = {
	{0x20, 2, MODEL_PIC, PIC8259_MASTER},
	{0x40, 4, MODEL_PIT, 0},
	{0x60, 1, MODEL_I8042, I8042_DATA},
	{0x61, 1, MODEL_PIT, PIT8254_PORT61},
	{0x64, 1, MODEL_I8042, I8042_STATUS},
	{0x70, CMOS_REGS, MODEL_CMOS, 0},
	{0x92, 1, MODEL_RESET, RESET_PORT92},
	{0xa0, 2, MODEL_PIC, PIC8259_SLAVE},
	{ACPI_SMI_CMD, 2, MODEL_PM, PM_BLOCK_SIZE},
	{VGA_PORT_BASE, VGA_REGS, MODEL_VGA, 0},
	{0x3f8, 8, MODEL_UART, 0},
	{0x4d0, 2, MODEL_PIC, PIC8259_ELCR},
	{ACPI_PM_BASE, PM_BLOCK_SIZE, MODEL_PM, 0},
};

static struct window *new_window(struct vm *vm, unsigned model, unsigned shift)
{
	struct pc *pc = vm->pc;
	struct window *w;

	if (pc->window_count == ARRAY_SIZE(pc->window))
		return NULL;
	w = &pc->window[pc->window_count++];
	w->model = &pc->model[model];
	w->ops = w->model->ops;
	w->state = w->model->state;
	w->vm = vm;
	w->shift = shift;
	return w;
}

static int add_window(struct vm *vm, struct bus *bus, uint64_t base, uint64_t size, unsigned model,
	unsigned shift)
{
	struct window *w = new_window(vm, model, shift);

	if (!w)
		return E_NOMEM;
	return bus_add(bus, &(struct bus_range){base, size, pc_window_read, pc_window_write, w,
				    vm->pc->shared ? &w->model->lock : NULL});
}

static int add_debug_mmio(struct vm *vm)
{
	static const struct port_row rows[] = {
		{DEBUG_MMIO_PORT_LATCH, DEBUG_MMIO_LATCH, MODEL_DEBUG_MMIO,
			DEBUG_MMIO_OFFSET_LATCH},
		{DEBUG_MMIO_PORT_FLUSH, 4, MODEL_DEBUG_MMIO, DEBUG_MMIO_OFFSET_FLUSH},
		{DEBUG_MMIO_PORT_LINES, DEBUG_MMIO_LINES, MODEL_DEBUG_MMIO,
			DEBUG_MMIO_OFFSET_LINES},
	};
	struct window *bytes = new_window(vm, MODEL_DEBUG_MMIO, DEBUG_MMIO_OFFSET_BYTES);
	int status = E_NOMEM;

	if (bytes)
		status = bus_add(
			&vm->ports, &(struct bus_range){DEBUG_MMIO_PORT_BYTES, DEBUG_MMIO_LATCH,
					    pc_window_read, debug_latch_write, bytes,
					    vm->pc->shared ? &bytes->model->lock : NULL});
	for (unsigned i = 0; i < ARRAY_SIZE(rows) && status == OK; i++)
		status = add_window(
			vm, &vm->ports, rows[i].base, rows[i].size, rows[i].model, rows[i].shift);
	if (status != OK)
		return status;
	return add_window(vm, &vm->mmio, DEBUG_MMIO_BASE, DEBUG_MMIO_SIZE, MODEL_DEBUG_MMIO, 0);
}

/* CF8h as a dword is PCI's; as a byte, CF9h is the reset register (ICH9, "RST_CNT"). */
static uint64_t cf8_read(void *ctx, uint64_t offset, unsigned size)
{
	struct vm *vm = ctx;

	if (offset == 1 && size == 1)
		return reset_read(&vm->pc->reset, RESET_CF9, 1, vm_now(vm));
	return pci_read(&vm->pc->pci, (unsigned)offset, size, vm_now(vm));
}

static void cf8_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct vm *vm = ctx;

	if (offset == 1 && size == 1)
		reset_write(&vm->pc->reset, RESET_CF9, 1, (uint32_t)value, vm_now(vm));
	else
		pci_write(&vm->pc->pci, (unsigned)offset, size, (uint32_t)value, vm_now(vm));
}

static int add_ranges(struct vm *vm)
{
	struct pc *pc = vm->pc;
	struct spinlock *pci_lock = &pc->model[MODEL_PCI].lock;
	const struct bus_range ports[] = {
		{0xcf8, 8, cf8_read, cf8_write, vm, pci_lock},
		{0x80, 1, port80_read, port80_write, pc, NULL},
		{DEBUG_PORT_FW, 1, debug_read, debug_write, vm, NULL},
		{pc->debug_mmio.buffer ? 0 : DEBUG_PORT, 1, debug_read, debug_write, vm, NULL},
		{vm->exit_port, MIN(4u, 0x10000u - vm->exit_port), exit_read, exit_write, vm, NULL},
	};
	const struct bus_range ecam = {
		ACPI_ECAM_BASE, ACPI_ECAM_SIZE, ecam_read, ecam_write, pc, pci_lock};
	int status = OK;

	for (unsigned i = 0; i < ARRAY_SIZE(port_rows) && status == OK; i++)
		status = add_window(vm, &vm->ports, port_rows[i].base, port_rows[i].size,
			port_rows[i].model, port_rows[i].shift);
	for (unsigned i = 0; i < ARRAY_SIZE(ports) && status == OK; i++) {
		if (ports[i].base != 0)
			status = bus_add(&vm->ports, &ports[i]);
	}
	if (status == OK)
		status = add_window(vm, &vm->mmio, ACPI_IOAPIC_BASE, IOAPIC_SIZE, MODEL_IOAPIC, 0);
	if (status == OK)
		status = add_window(vm, &vm->mmio, ACPI_HPET_BASE, HPET_REGION_SIZE, MODEL_HPET, 0);
	if (status == OK)
		status = bus_add(&vm->mmio, &ecam);
	return status == OK && pc->debug_mmio.buffer ? add_debug_mmio(vm) : status;
}

static void init_models(struct vm *vm, const struct vm_params *params)
{
	struct pc *pc = vm->pc;
	const struct uart16550_env uart = {pc_console_tx, vm};
	const struct pm_env pm = {guest_sleep, vm};
	const struct hpet_env hpet = {pc_irq_hpet, vm};
	const struct i8042_env i8042 = {guest_reset, vm};
	const struct reset_env reset = {guest_reset, vm};
	const struct pci_config pci = {ACPI_ECAM_BASE, ACPI_PM_BASE};
	const uint64_t low = MIN(params->memory, GIB(2));
	const struct cmos_config cmos = {params->unix_time, low, params->memory - low};

	uart16550_init(&pc->uart, &uart, (struct irq_line){pc_irq_isa, vm, 4});
	pic8259_init(&pc->pic, (struct irq_line){pc_irq_pic_output, vm, 0});
	pit8254_init(&pc->pit, (struct irq_line){pc_irq_legacy, vm, 0});
	cmos_init(&pc->cmos, &cmos, (struct irq_line){pc_irq_legacy, vm, 8}, 0);
	pm_init(&pc->pm, &pm, (struct irq_line){pc_irq_isa, vm, ACPI_SCI_IRQ}, true);
	hpet_init(&pc->hpet, &hpet, 0);
	i8042_init(&pc->i8042, &i8042, (struct irq_line){pc_irq_isa, vm, 1});
	reset_init(&pc->reset, &reset);
	pci_init(&pc->pci, &pci);
	ioapic_init(&pc->ioapic, pc_irq_ioapic_deliver, vm);
	vga_init(&pc->vga);
	clear_text(vm);
}

unsigned pc_frames(void)
{
	return (sizeof(struct pc) + PAGE_SIZE - 1) / PAGE_SIZE;
}

int pc_create(struct vm *vm, void *storage, const struct vm_params *params)
{
	struct pc *pc = storage;
	void *const state[MODEL_COUNT] = {&pc->uart, &pc->pic, &pc->pit, &pc->cmos, &pc->pm,
		&pc->hpet, &pc->i8042, &pc->reset, &pc->pci, &pc->ioapic, &pc->vga,
		&pc->debug_mmio};

	vm->pc = pc;
	pc->shared = params->cpu_count > 1;
	pc->stalled_since = NS_NEVER;
	timer_init(&pc->console_timer, pc_console_fire);
	for (unsigned i = 0; i < MODEL_COUNT; i++) {
		struct model *m = &pc->model[i];

		m->ops = &pc_model_ops[i];
		m->state = state[i];
		m->vm = vm;
		m->armed = NS_NEVER;
		timer_init(&m->timer, pc_model_fire);
	}
	if (params->debug_mmio) {
		uint8_t *buffer = memory_alloc(vm->owner, DEBUG_MMIO_SIZE / PAGE_SIZE);

		if (!buffer)
			return E_NOMEM;
		debug_mmio_init(&pc->debug_mmio, buffer, (struct irq_line){pc_irq_gsi, vm, 0});
	}
	init_models(vm, params);
	return add_ranges(vm);
}

void pc_stop(struct vm *vm)
{
	for (unsigned i = 0; i < MODEL_COUNT; i++)
		vm_host.timer_arm(&vm->pc->model[i].timer, TIMER_NEVER);
	vm_host.timer_arm(&vm->pc->console_timer, TIMER_NEVER);
}
