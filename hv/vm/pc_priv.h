/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the virtual PC (pc*.c) among themselves: its models with their locks and timers, and
 * the wires between them.
 */
#ifndef HV_VM_PC_PRIV_H
#define HV_VM_PC_PRIV_H

#include "drivers/virt/cmos.h"
#include "drivers/virt/debug_mmio.h"
#include "drivers/virt/hpet.h"
#include "drivers/virt/i8042.h"
#include "drivers/virt/ioapic.h"
#include "drivers/virt/pci.h"
#include "drivers/virt/pic8259.h"
#include "drivers/virt/pit8254.h"
#include "drivers/virt/pm.h"
#include "drivers/virt/reset.h"
#include "drivers/virt/uart16550.h"
#include "drivers/virt/vga.h"
#include "hv/vm/pc.h"

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
	MODEL_VGA,
	MODEL_DEBUG_MMIO,
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
	struct vga vga;
	struct debug_mmio debug_mmio;
	bool pic_output;
	uint32_t stalled_tail;
	ns_t stalled_since; /* console ring full, NS_NEVER: not */
	struct timer console_timer;
	uint8_t debug_port;
};

/* pc_model.c: uniform access to the models; indexed by enum model_index */
extern const struct model_ops pc_model_ops[MODEL_COUNT];
void pc_model_arm(struct model *m, ns_t deadline);
void pc_model_fire(struct timer *t, uint64_t now);
/* What a bus calls with a struct window. */
uint64_t pc_window_read(void *ctx, uint64_t offset, unsigned size);
void pc_window_write(void *ctx, uint64_t offset, unsigned size, uint64_t value);

/* This is the CPU of vCPU 0, whose timers are the models'. */
static inline bool pc_at_home(const struct vm *vm)
{
	return vm->cpu[0]->vcpu.cpu == vm_host.this_cpu();
}

/* After each access: nearly always nothing has changed. */
static inline void pc_model_rearm(struct model *m)
{
	ns_t deadline = m->ops->deadline ? m->ops->deadline(m->state) : NS_NEVER;

	if (UNLIKELY(deadline != m->armed))
		pc_model_arm(m, deadline);
}

/* pc_irq.c: what the models' outputs are connected to; ctx is the struct vm */
void pc_irq_isa(void *ctx, unsigned pin, bool level);
/* Any pin of the IOAPIC; the first 16 are ISA interrupts. */
void pc_irq_gsi(void *ctx, unsigned gsi, bool level);
void pc_irq_legacy(void *ctx, unsigned pin, bool level);
void pc_irq_hpet(void *ctx, unsigned gsi, bool level);
void pc_irq_pic_output(void *ctx, unsigned pin, bool level);
void pc_irq_ioapic_deliver(void *ctx, const struct ioapic_msg *msg);

/* pc_console.c: the UART's line to the console rings */
bool pc_console_tx(void *ctx, uint8_t byte);
/* A byte beside the UART, never waiting: lost if the ring is full. Takes the UART's lock. */
void pc_console_debug(struct vm *vm, uint8_t byte);
void pc_console_fire(struct timer *t, uint64_t now);

#endif
