/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/vm/pc.h"
#include "arch/x86/cpu/tsc.h"
#include "drivers/virt/acpi_tables.h"
#include "drivers/virt/cmos.h"
#include "drivers/virt/hpet.h"
#include "drivers/virt/i8042.h"
#include "drivers/virt/ioapic.h"
#include "drivers/virt/pci.h"
#include "drivers/virt/pic8259.h"
#include "drivers/virt/pit8254.h"
#include "drivers/virt/pm.h"
#include "drivers/virt/reset.h"
#include "drivers/virt/uart16550.h"
#include "hv/lib/string.h"

/* How long a full console ring may hold the guest's UART back before bytes are dropped. */
#define CONSOLE_STALL_NS     NS_PER_SEC
#define CONSOLE_POLL_NS      NS_PER_MS
/* No model's event comes more often than this, whatever the guest programs. */
#define MODEL_TIMER_FLOOR_NS (20 * NS_PER_US)

enum model_index {
	MODEL_UART,
	MODEL_PIC,
	MODEL_PIT,
	MODEL_CMOS,
	MODEL_PM,
	MODEL_HPET,
	MODEL_I8042,
	MODEL_RESET,
	MODEL_PCI,
	MODEL_IOAPIC,
	MODEL_COUNT
};

struct model_ops {
	uint64_t (*read)(void *m, uint64_t offset, unsigned size, ns_t now);
	void (*write)(void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now);
	ns_t (*deadline)(const void *m); /* NULL: has no timed events */
	void (*tick)(void *m, ns_t now);
};

/* One model with its lock and its timer. */
struct model {
	const struct model_ops *ops;
	void *state;
	struct vm *vm;
	struct spinlock lock;
	struct timer timer;
	ns_t armed; /* what the timer is set to */
};

/* One window of a model in a bus: offsets in the window plus `shift` are the model's. */
struct window {
	struct model *model;
	const struct model_ops *ops; /* the model's, as state and vm: reached at each access */
	void *state;
	struct vm *vm;
	unsigned shift;
};

struct pc {
	bool shared; /* by several vCPUs: else only one CPU ever reaches the models */
	struct model model[MODEL_COUNT];
	struct window window[BUS_RANGES_MAX];
	unsigned window_count;
	struct uart16550 uart;
	struct pic8259 pic;
	struct pit8254 pit;
	struct cmos cmos;
	struct pm pm;
	struct hpet hpet;
	struct i8042 i8042;
	struct reset reset;
	struct pci pci;
	struct ioapic ioapic;
	bool pic_output;
	uint32_t stalled_tail;
	ns_t stalled_since; /* console ring full, NS_NEVER: not */
	struct timer console_timer;
	uint8_t debug_port;
};

/* ---- Uniform access to the models ---- */

#define MODEL_ACCESS(name)                                                                         \
	static uint64_t name##_access_read(void *m, uint64_t offset, unsigned size, ns_t now)      \
	{                                                                                          \
		return name##_read(m, (unsigned)offset, size, now);                                \
	}                                                                                          \
	static void name##_access_write(                                                           \
		void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)                 \
	{                                                                                          \
		name##_write(m, (unsigned)offset, size, (uint32_t)value, now);                     \
	}
#define MODEL_TIMED(name)                                                                          \
	static ns_t name##_access_deadline(const void *m)                                          \
	{                                                                                          \
		return name##_deadline(m);                                                         \
	}                                                                                          \
	static void name##_access_tick(void *m, ns_t now)                                          \
	{                                                                                          \
		name##_tick(m, now);                                                               \
	}
#define OPS(name)                                                                                  \
	{                                                                                          \
		name##_access_read, name##_access_write, NULL, NULL                                \
	}
#define OPS_TIMED(name)                                                                            \
	{                                                                                          \
		name##_access_read, name##_access_write, name##_access_deadline,                   \
			name##_access_tick                                                         \
	}

MODEL_ACCESS(uart16550)
MODEL_ACCESS(pic8259)
MODEL_ACCESS(pit8254)
MODEL_ACCESS(cmos)
MODEL_ACCESS(i8042)
MODEL_ACCESS(reset)
MODEL_ACCESS(pci)
MODEL_TIMED(uart16550)
MODEL_TIMED(pit8254)
MODEL_TIMED(cmos)
MODEL_TIMED(pm)
MODEL_TIMED(hpet)

/* The PM model has two register blocks: APM_CNT and APM_STS follow the 128 bytes at PMBASE here. */
static uint64_t pm_access_read(void *m, uint64_t offset, unsigned size, ns_t now)
{
	if (offset >= PM_BLOCK_SIZE)
		return pm_apm_read(m, (unsigned)(offset - PM_BLOCK_SIZE), size, now);
	return pm_read(m, (unsigned)offset, size, now);
}

static void pm_access_write(void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)
{
	if (offset >= PM_BLOCK_SIZE)
		pm_apm_write(m, (unsigned)(offset - PM_BLOCK_SIZE), size, (uint32_t)value, now);
	else
		pm_write(m, (unsigned)offset, size, (uint32_t)value, now);
}

static uint64_t hpet_access_read(void *m, uint64_t offset, unsigned size, ns_t now)
{
	return hpet_read(m, (unsigned)offset, size, now);
}

static void hpet_access_write(void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)
{
	hpet_write(m, (unsigned)offset, size, value, now);
}

static uint64_t ioapic_access_read(void *m, uint64_t offset, unsigned size, ns_t now)
{
	(void)now;
	return ioapic_mmio_read(m, (uint32_t)offset, size);
}

static void ioapic_access_write(void *m, uint64_t offset, unsigned size, uint64_t value, ns_t now)
{
	(void)now;
	ioapic_mmio_write(m, (uint32_t)offset, size, value);
}

static const struct model_ops model_ops[MODEL_COUNT] = {
	[MODEL_UART] = OPS_TIMED(uart16550),
	[MODEL_PIC] = OPS(pic8259),
	[MODEL_PIT] = OPS_TIMED(pit8254),
	[MODEL_CMOS] = OPS_TIMED(cmos),
	[MODEL_PM] = OPS_TIMED(pm),
	[MODEL_HPET] = OPS_TIMED(hpet),
	[MODEL_I8042] = OPS(i8042),
	[MODEL_RESET] = OPS(reset),
	[MODEL_PCI] = OPS(pci),
	[MODEL_IOAPIC] = OPS(ioapic),
};

static bool at_home(const struct vm *vm)
{
	return vm->cpu[0]->vcpu.cpu == vm_host.this_cpu();
}

/*
 * A CPU's timers are its own, so that another one can only ask. It need not if the timer comes too
 * early: nothing is due then, and it is armed anew.
 */
static NOINLINE void arm(struct model *m, ns_t deadline)
{
	if (!at_home(m->vm)) {
		if (deadline < m->armed)
			vm_cpu_post(m->vm->cpu[0], POST_TIMERS);
		return;
	}
	m->armed = deadline;
	if (deadline != NS_NEVER) {
		ns_t floor = vm_now(m->vm) + MODEL_TIMER_FLOOR_NS;

		deadline = MAX(deadline, floor) + m->vm->start_ns;
	}
	vm_host.timer_arm(&m->timer, tsc_at_ns(deadline));
}

/* After each access: nearly always nothing has changed. */
static inline void rearm(struct model *m)
{
	ns_t deadline = m->ops->deadline ? m->ops->deadline(m->state) : NS_NEVER;

	if (UNLIKELY(deadline != m->armed))
		arm(m, deadline);
}

static void model_fire(struct timer *t, uint64_t now)
{
	struct model *m = CONTAINER_OF(t, struct model, timer);

	(void)now;
	spin_lock(&m->lock);
	m->armed = NS_NEVER;
	m->ops->tick(m->state, vm_now(m->vm));
	rearm(m);
	spin_unlock(&m->lock);
}

void pc_timers_rearm(struct vm *vm)
{
	for (unsigned i = 0; i < MODEL_COUNT; i++) {
		struct model *m = &vm->pc->model[i];

		spin_lock(&m->lock);
		rearm(m);
		spin_unlock(&m->lock);
	}
}

static uint64_t window_read(void *ctx, uint64_t offset, unsigned size)
{
	const struct window *w = ctx;
	uint64_t value = w->ops->read(w->state, offset + w->shift, size, vm_now(w->vm));

	if (w->ops->deadline && w->ops->deadline(w->state) != w->model->armed)
		rearm(w->model);
	return value;
}

static void window_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	const struct window *w = ctx;

	w->ops->write(w->state, offset + w->shift, size, value, vm_now(w->vm));
	if (w->ops->deadline && w->ops->deadline(w->state) != w->model->armed)
		rearm(w->model);
}

/* ---- Interrupt wires ---- */

static void ioapic_pin(struct pc *pc, unsigned pin, bool level)
{
	struct spinlock *lock = &pc->model[MODEL_IOAPIC].lock;

	spin_lock(lock);
	ioapic_set_irq(&pc->ioapic, pin, level);
	spin_unlock(lock);
}

/* An ISA interrupt goes to both controllers; IRQ 0 is pin 2 of the IOAPIC. */
static void isa_irq(struct vm *vm, unsigned irq, bool level)
{
	struct pc *pc = vm->pc;
	struct spinlock *lock = &pc->model[MODEL_PIC].lock;

	spin_lock(lock);
	pic8259_set_irq(&pc->pic, irq, level);
	spin_unlock(lock);
	ioapic_pin(pc, irq == 0 ? 2 : irq, level);
}

static void irq_wire(void *ctx, unsigned pin, bool level)
{
	isa_irq(ctx, pin, level);
}

/* The PIT's IRQ 0 and the RTC's IRQ 8 are cut off while the HPET replaces them. */
static void legacy_irq_wire(void *ctx, unsigned pin, bool level)
{
	struct vm *vm = ctx;

	if (!hpet_legacy(&vm->pc->hpet))
		isa_irq(vm, pin, level);
}

static void hpet_wire(void *ctx, unsigned gsi, bool level)
{
	struct vm *vm = ctx;

	if (hpet_legacy(&vm->pc->hpet) && gsi == HPET_LEGACY_GSI_TIMER0)
		isa_irq(vm, 0, level);
	else if (gsi < PIC8259_PINS && gsi != 2)
		isa_irq(vm, gsi, level);
	else
		ioapic_pin(vm->pc, gsi, level);
}

/* INTR is wired to LINT0 of every LAPIC, and to pin 0 of the IOAPIC. */
static void pic_output(void *ctx, unsigned pin, bool level)
{
	struct vm *vm = ctx;

	(void)pin;
	__atomic_store_n(&vm->pc->pic_output, level, __ATOMIC_RELEASE);
	if (vm->cpu_count == 0)
		return;
	for (unsigned i = 0; i < vm->cpu_count && level; i++) {
		if (lapic_accepts_pic(&vm->cpu[i]->lapic))
			vm_cpu_look(vm->cpu[i]);
	}
	ioapic_pin(vm->pc, 0, level);
}

static void ioapic_deliver(void *ctx, const struct ioapic_msg *msg)
{
	struct vm *vm = ctx;
	const struct lapic_ipi ipi = {
		.dest = msg->dest,
		.vector = msg->vector,
		.delivery = msg->delivery,
		.shorthand = LAPIC_SH_NONE,
		.logical = msg->logical,
		.level = msg->level,
	};

	vm_route(vm, &ipi);
}

bool pc_pic_pending(const struct vm *vm)
{
	return __atomic_load_n(&vm->pc->pic_output, __ATOMIC_ACQUIRE);
}

uint8_t pc_pic_ack(struct vm *vm)
{
	struct spinlock *lock = &vm->pc->model[MODEL_PIC].lock;
	int vector;

	spin_lock(lock);
	vector = pic8259_ack(&vm->pc->pic);
	spin_unlock(lock);
	return (uint8_t)vector;
}

void pc_eoi(struct vm *vm, uint8_t vector)
{
	struct spinlock *lock = &vm->pc->model[MODEL_IOAPIC].lock;

	spin_lock(lock);
	ioapic_eoi(&vm->pc->ioapic, vector);
	spin_unlock(lock);
}

/* ---- Console ---- */

/* The ring is full. */
static NOINLINE bool console_full(struct vm *vm)
{
	struct pc *pc = vm->pc;
	uint32_t tail = __atomic_load_n(&vm->console_out->tail, __ATOMIC_RELAXED);
	ns_t now = vm_now(vm);

	/* The stall begins anew whenever the reader has moved. */
	if (pc->stalled_since == NS_NEVER || pc->stalled_tail != tail) {
		pc->stalled_since = now;
		pc->stalled_tail = tail;
	}
	if (now - pc->stalled_since >= CONSOLE_STALL_NS) {
		__atomic_add_fetch(vm->console_dropped, 1, __ATOMIC_RELAXED);
		return true; /* taken, and lost */
	}
	if (!at_home(vm))
		vm_cpu_post(vm->cpu[0], POST_CONSOLE);
	else if (pc->console_timer.deadline == TIMER_NEVER)
		vm_host.timer_arm(
			&pc->console_timer, tsc_at_ns(vm->start_ns + now + CONSOLE_POLL_NS));
	return false;
}

static bool console_tx(void *ctx, uint8_t byte)
{
	struct vm *vm = ctx;

	if (UNLIKELY(!ring_put(vm->console_out, byte)))
		return console_full(vm);
	return true;
}

void pc_console_poll(struct vm *vm)
{
	struct model *m = &vm->pc->model[MODEL_UART];
	uint8_t byte;

	spin_lock(&m->lock);
	uart16550_tx_poll(&vm->pc->uart, vm_now(vm));
	while (uart16550_rx_room(&vm->pc->uart) > 0 && ring_get(vm->console_in, &byte))
		uart16550_rx(&vm->pc->uart, byte, vm_now(vm));
	rearm(m);
	spin_unlock(&m->lock);
	/* What did not fit comes when the guest has read some. */
	if (ring_used(vm->console_in) > 0 && vm->pc->console_timer.deadline == TIMER_NEVER)
		vm_host.timer_arm(&vm->pc->console_timer,
			tsc_at_ns(vm->start_ns + vm_now(vm) + CONSOLE_POLL_NS));
}

static void console_fire(struct timer *t, uint64_t now)
{
	struct pc *pc = CONTAINER_OF(t, struct pc, console_timer);

	(void)now;
	pc_console_poll(pc->model[MODEL_UART].vm);
}

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
	uint8_t model, shift;
};

/* CF8h-CFFh is split: RST_CNT is one byte inside the PCI address port. */
static const struct port_row port_rows[] = {
	{0x20, 2, MODEL_PIC, PIC8259_MASTER},
	{0x40, 4, MODEL_PIT, 0},
	{0x60, 1, MODEL_I8042, I8042_DATA},
	{0x61, 1, MODEL_PIT, PIT8254_PORT61},
	{0x64, 1, MODEL_I8042, I8042_STATUS},
	{0x70, 2, MODEL_CMOS, 0},
	{0x92, 1, MODEL_RESET, RESET_PORT92},
	{0xa0, 2, MODEL_PIC, PIC8259_SLAVE},
	{ACPI_SMI_CMD, 2, MODEL_PM, PM_BLOCK_SIZE},
	{0x3f8, 8, MODEL_UART, 0},
	{0x4d0, 2, MODEL_PIC, PIC8259_ELCR},
	{ACPI_PM_BASE, PM_BLOCK_SIZE, MODEL_PM, 0},
};

static int add_window(struct vm *vm, struct bus *bus, uint64_t base, uint64_t size, unsigned model,
	unsigned shift)
{
	struct pc *pc = vm->pc;
	struct window *w;

	if (pc->window_count == ARRAY_SIZE(pc->window))
		return E_NOMEM;
	w = &pc->window[pc->window_count++];
	w->model = &pc->model[model];
	w->ops = w->model->ops;
	w->state = w->model->state;
	w->vm = vm;
	w->shift = shift;
	return bus_add(bus, &(struct bus_range){base, size, window_read, window_write, w,
				    pc->shared ? &w->model->lock : NULL});
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
	return status == OK ? bus_add(&vm->mmio, &ecam) : status;
}

static void init_models(struct vm *vm, const struct vm_params *params)
{
	struct pc *pc = vm->pc;
	const struct uart16550_env uart = {console_tx, vm};
	const struct pm_env pm = {guest_sleep, vm};
	const struct hpet_env hpet = {hpet_wire, vm};
	const struct i8042_env i8042 = {guest_reset, vm};
	const struct reset_env reset = {guest_reset, vm};
	const struct pci_config pci = {ACPI_ECAM_BASE, ACPI_PM_BASE};
	const uint64_t low = MIN(params->memory, GIB(2));
	const struct cmos_config cmos = {params->unix_time, low, params->memory - low};

	uart16550_init(&pc->uart, &uart, (struct irq_line){irq_wire, vm, 4});
	pic8259_init(&pc->pic, (struct irq_line){pic_output, vm, 0});
	pit8254_init(&pc->pit, (struct irq_line){legacy_irq_wire, vm, 0});
	cmos_init(&pc->cmos, &cmos, (struct irq_line){legacy_irq_wire, vm, 8}, 0);
	pm_init(&pc->pm, &pm, (struct irq_line){irq_wire, vm, ACPI_SCI_IRQ}, true);
	hpet_init(&pc->hpet, &hpet, 0);
	i8042_init(&pc->i8042, &i8042, (struct irq_line){irq_wire, vm, 1});
	reset_init(&pc->reset, &reset);
	pci_init(&pc->pci, &pci);
	ioapic_init(&pc->ioapic, ioapic_deliver, vm);
}

unsigned pc_frames(void)
{
	return (sizeof(struct pc) + PAGE_SIZE - 1) / PAGE_SIZE;
}

int pc_create(struct vm *vm, void *storage, const struct vm_params *params)
{
	struct pc *pc = storage;
	void *const state[MODEL_COUNT] = {&pc->uart, &pc->pic, &pc->pit, &pc->cmos, &pc->pm,
		&pc->hpet, &pc->i8042, &pc->reset, &pc->pci, &pc->ioapic};

	vm->pc = pc;
	pc->shared = params->cpu_count > 1;
	pc->stalled_since = NS_NEVER;
	timer_init(&pc->console_timer, console_fire);
	for (unsigned i = 0; i < MODEL_COUNT; i++) {
		struct model *m = &pc->model[i];

		m->ops = &model_ops[i];
		m->state = state[i];
		m->vm = vm;
		m->armed = NS_NEVER;
		timer_init(&m->timer, model_fire);
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
