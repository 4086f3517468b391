/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live guest: its memory, vCPUs and virtual PC, from vm_create() to vm_destroy(). Everything it
 * costs is frames charged to its owner number. Who decides which guests exist, and on which CPUs,
 * is above (hv/core).
 *
 * Locking: a vm_cpu belongs to the CPU that runs it. Other CPUs use only vm_stop(), vm_cpu_post()
 * and vm_console_input(). Device models are reached through the buses, which take each model's
 * lock.
 */
#ifndef HV_VM_VM_H
#define HV_VM_VM_H

#include "arch/x86/cpu/tsc.h"
#include "arch/x86/emul/decode.h"
#include "arch/x86/emul/walk.h"
#include "arch/x86/mm/pt.h"
#include "arch/x86/policy/cpuid.h"
#include "arch/x86/policy/mce.h"
#include "arch/x86/virt/virt.h"
#include "drivers/virt/lapic.h"
#include "hv/io/bus.h"
#include "hv/lib/lock.h"
#include "hv/lib/ring.h"
#include "hv/mm/guest_mem.h"
#include "hv/sched/timer.h"
#include "hv/vm/load.h"

#define VM_CPUS_MAX 8u
#define VM_TEXT_MAX 160u

struct pc;
struct vm;

/* What happens around a guest; filled in once by hv/core. All are called on the vCPU's own CPU. */
struct vm_host {
	/* After each host interrupt that interrupted a guest: bounded work of this CPU. */
	void (*poll)(void);
	/*
	 * Nothing to run until an interrupt: sleep once, or do something useful. IF is off on entry
	 * and exit.
	 */
	void (*idle)(const uint32_t *wake);
	/* (Re)arm or stop a timer on this CPU; the deadline is in host TSC ticks. */
	void (*timer_arm)(struct timer *t, uint64_t deadline);
	/* Make another CPU look at its vCPU's attention word. */
	void (*kick)(unsigned cpu);
	unsigned (*this_cpu)(void);
	/* Leaf sizes that stage-2 tables may use (PT_4K | …). */
	uint64_t page_sizes;
	struct virt_caps caps;
	/* One line about a guest, without its name. */
	void (*say)(const struct vm *vm, const char *text);
};
extern struct vm_host vm_host;

/*
 * What to build a guest from. Strings and files stay the caller's; files are only read in
 * vm_create.
 */
struct vm_params {
	const char *name;
	uint16_t owner; /* frame owner, FRAME_OWNER_VM + n: nobody else's */
	unsigned vpid;  /* first of cpu_count tags, unique among live guests */
	unsigned cpu_count;
	uint16_t cpus[VM_CPUS_MAX]; /* physical CPUs */
	uint64_t memory;            /* bytes */
	uint16_t exit_port;         /* 0: none */
	bool debug_mmio;            /* with the test device */
	uint64_t unix_time;         /* for its clock */
	const void *kernel, *initrd;
	uint64_t kernel_size, initrd_size;
	const char *cmdline;
	struct ring *console_out,
		*console_in;       /* producer and consumer here; the others are the caller's */
	uint64_t *console_dropped; /* bytes that found console_out full; outlives the VM */
};

enum vm_stop_kind { STOP_NONE, STOP_POWEROFF, STOP_RESET, STOP_EXIT, STOP_KILLED, STOP_FAILED };

struct vm_stop {
	uint32_t kind;          /* enum vm_stop_kind; atomic, the first one wins */
	uint32_t exit_value;    /* STOP_EXIT */
	unsigned cpu;           /* index of the CPU on which it happened */
	char text[VM_TEXT_MAX]; /* "powered off", "triple fault", ... */
};

/* Posted by other CPUs in vm_cpu.posts. */
#define POST_NMI        0x01u
#define POST_CONSOLE    0x02u
#define POST_VECTOR     0x04u
#define POST_INIT       0x08u
#define POST_SIPI       0x10u  /* its vector in bits 31:24 */
#define POST_EXTINT     0x20u  /* an interrupt of the PIC that the IOAPIC passes on */
#define POST_TIMERS     0x40u  /* vCPU 0: a device model has an earlier deadline */
#define POST_FLUSH      0x80u  /* the stage-2 tables have changed */
#define POST_POWER      0x100u /* vCPU 0: the power button */
#define POST_SIPI_SHIFT 24
#define POST_SIPI_BITS  (POST_SIPI | 0xffu << POST_SIPI_SHIFT)

/*
 * Where the last emulated instruction was fetched: this page, under these registers, by these
 * entries. While all of them are the same, so is the result of the walk.
 */
struct vm_fetch {
	gva_t gva;
	uint64_t cr0, cr3, cr4, efer;
	unsigned kind;        /* WALK_* */
	struct walk_out walk; /* depth 0: nothing */
	/* Where in RAM the entries and the page itself are. */
	struct guest_place entry[WALK_LEVELS_MAX], page;
};

/* A quadword of RAM, and what it held. */
struct vm_seen {
	uint64_t value;
	struct guest_place at;
};

/*
 * The last instruction that vm_decode() looked at. It is there again, with no walk, no fetch and no
 * search for any address, while RIP, the root, the entries below it and the bytes are the same.
 */
struct vm_intercepted {
	uint64_t rip;
	uint64_t root;                         /* virt_ops.code_root */
	struct vm_seen entry[WALK_LEVELS_MAX]; /* the last one again in those beyond depth */
	struct vm_seen insn;                   /* not aligned, but all on one page */
	uint64_t mask;                         /* of insn.value: those of the instruction */
	uint8_t depth;
	uint8_t length;         /* 0: none */
	uint8_t reason, number; /* of the exit, and of the control register */
	uint8_t gpr;
	uint8_t bytes[EMUL_INSN_MAX];
};

struct vm_cpu {
	struct vcpu vcpu; /* first: the backend knows only this */
	struct vm *vm;
	struct lapic lapic;
	struct timer lapic_timer;
	struct cpuid_table cpuid;
	struct emul_insn emulated; /* the last one; bytes from 0 to length say which */
	bool emulated_is_plain;    /* vm_move_is_plain() of it */
	struct vm_fetch fetched;
	struct vm_intercepted intercepted;
	uint32_t posts;             /* atomic, POST_* */
	uint64_t post_vector[2][4]; /* atomic: edge, then level interrupts posted by other CPUs */
	uint32_t nmis_posted;       /* atomic: NMIs that POST_NMI stands for */
	bool halted, waits_for_sipi;
	uint8_t nmi_pending; /* how many: 2 at most */
	bool lapic_away;     /* counted in vm.lapics_away */
	bool io_breakpoints; /* CR4.DE: there may be some, and the CPU never sees a port access */
	/*
	 * If the CPU delivers interrupts: the guest may have run since the model read its page; and
	 * the model may have changed it since the CPU was told.
	 */
	bool lapic_stale, lapic_used;
	bool extint_pending; /* by a message of the IOAPIC */
	/* vector_again was taken from LAPIC or PIC and is not delivered yet */
	bool interrupt_again;
	uint8_t vector_again;
	uint64_t tsc_offset; /* guest TSC = host TSC + this */
	uint64_t tsc_adjust;
	uint64_t xcr0;
	uint64_t tsc_aux, misc_enable;
	struct mce mce;
	uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_variable[16];
};

struct vm {
	const char *name;
	uint16_t owner;
	uint16_t exit_port;
	unsigned cpu_count;
	uint64_t ram_size;
	struct vm_cpu *cpu[VM_CPUS_MAX];
	struct guest_mem mem;
	struct pt stage2;
	struct bus ports, mmio;
	struct spinlock stage2_lock; /* for changes while the guest runs */
	unsigned lapic_moves;        /* to pages of RAM */
	hpa_t apic_access;           /* see struct vcpu; 0: not used */
	unsigned lapics_away;        /* from the page at its usual address */
	uint32_t arbitration;        /* atomic: whose turn it is among LAPICs of equal priority */
	struct pc *pc;
	struct ring *console_out, *console_in;
	uint64_t *console_dropped;
	ns_t start_ns;      /* host time at guest time 0 */
	uint64_t start_tsc; /* host TSC at guest TSC 0 */
	struct load_entry entry;
	struct vm_stop stop;
	struct spinlock stop_lock;
	uint64_t bytes_copied;
	uint64_t ignored_msr_reads, ignored_msr_writes;
};

/*
 * Build a guest. On failure *vm is NULL, everything is given back and `error` (VM_TEXT_MAX) says
 * why. E_BUSY: not enough scrubbed memory yet; the owner waits in the queue for it. Try again, or
 * leave the queue with frame_release_owner().
 */
int vm_create(struct vm **vm, const struct vm_params *params, const struct virt_ops *ops,
	char *error) MUST_CHECK;

/* Run one vCPU on this CPU until the guest stops. The vCPU's own CPU only. */
void vm_cpu_run(struct vm_cpu *c);

/* All vCPUs are out: give everything back. The memory vm points to is gone afterwards. */
void vm_destroy(struct vm *vm);

/* Ask the guest to stop; any CPU. The first cause is kept. */
void vm_stop(struct vm *vm, enum vm_stop_kind kind, const char *format, ...) PRINTF(3, 4);

/* Something that concerns a vCPU's events may have changed: have it look; any CPU. */
void vm_cpu_look(struct vm_cpu *c);
/* Post POST_* to a vCPU; any CPU. */
void vm_cpu_post(struct vm_cpu *c, uint32_t posts);
/* An interrupt message for a vCPU; any CPU. */
void vm_cpu_interrupt(struct vm_cpu *c, uint8_t vector, bool level);
void vm_cpu_nmi(struct vm_cpu *c);
/* INIT and SIPI messages likewise. A SIPI counts if the last INIT has no other one yet. */
void vm_cpu_post_init(struct vm_cpu *c);
void vm_cpu_post_sipi(struct vm_cpu *c, uint8_t vector);

static inline struct vm_cpu *vm_cpu_of(struct vcpu *v)
{
	return CONTAINER_OF(v, struct vm_cpu, vcpu);
}

/* The guest's clocks. */
static inline ns_t vm_now(const struct vm *vm)
{
	return tsc_now_ns() - vm->start_ns;
}

uint64_t vm_cpu_tsc(const struct vm_cpu *c);

/* startup.c: INIT and SIPI as they arrive at the vCPU; on its own CPU */
void vm_cpu_reset(struct vm_cpu *c);
void vm_cpu_startup(struct vm_cpu *c, uint8_t vector);

/* event.c: what is delivered at the next entry */
bool vm_before_entry(struct vcpu *v);
/*
 * The guest has written a register of its LAPIC, on its own CPU: an interrupt may be deliverable
 * now.
 */
void vm_lapic_written(struct vm_cpu *c);
void vm_inject_exception(struct vm_cpu *c, uint8_t vector, bool has_error, uint32_t error);
void vm_inject_gp(struct vm_cpu *c);
void vm_inject_ud(struct vm_cpu *c);
void vm_inject_pf(struct vm_cpu *c, uint32_t error, gva_t cr2);

/* exit.c */
extern const struct vcpu_hooks vm_hooks;

/* msr.c: false: the guest gets #GP */
bool vm_msr_read(struct vm_cpu *c, uint32_t msr, uint64_t *value);
bool vm_msr_write(struct vm_cpu *c, uint32_t msr, uint64_t value);
void vm_msr_reset(struct vm_cpu *c);

/* control.c: false: the guest gets #GP */
bool vm_cr0_write(struct vm_cpu *c, uint64_t value);
bool vm_cr4_write(struct vm_cpu *c, uint64_t value);
/* Outside long mode: writes of CR3 do not exit, but a task switch has one. */
bool vm_cr3_write(struct vm_cpu *c, uint64_t value);
bool vm_xcr0_write(struct vm_cpu *c, uint32_t index, uint64_t value);
bool vm_efer_write(struct vm_cpu *c, uint64_t value);
/* The guest asks for what depends on XCR0. */
void vm_xcr0_seen(struct vm_cpu *c);

/* intercept.c: virt.h, struct vcpu_hooks */
void vm_decode(struct vcpu *v, struct vm_exit *e, uint64_t code_root);

/* move.c: the last instruction again, if it is a plain move to or from a device; false: not done */
bool vm_move_again(struct vm_cpu *c, const struct vm_exit *e);
bool vm_move_is_plain(const struct emul_insn *insn);

/* emulate.c */
/*
 * RIP leads to these bytes, through the tables of the last fetch, in 64-bit code at CPL 0. The
 * first 8 of `bytes` are read, whatever the length.
 */
bool vm_fetch_same(struct vm_cpu *c, uint64_t code_root, const uint8_t *bytes, unsigned length);
/*
 * Up to EMUL_INSN_MAX bytes at RIP, and the code size to decode them in. False: not a single one;
 * the fault is pending, or the guest is stopped.
 */
bool vm_fetch(struct vm_cpu *c, uint8_t *bytes, unsigned *count, enum emul_code *code);
/* The same root leads elsewhere from now on. */
void vm_fetch_forget(struct vm_cpu *c);
/* Decoding wants more bytes than could be fetched: that is a fault. */
void vm_fetch_fault(struct vm_cpu *c, unsigned count);
enum exit_action vm_emulate(struct vm_cpu *c, const struct vm_exit *e);

/* task.c */
enum exit_action vm_task_switch(struct vm_cpu *c, const struct vm_exit *e);

/* lapic_glue.c */
void vm_lapic_init(struct vm_cpu *c, void *page);
/* The guest has run: what the CPU changed in the register page, the model must see. */
static inline void vm_lapic_read_back(struct vm_cpu *c)
{
	if (!(c->vcpu.apic & VCPU_APIC_DELIVERY)) {
		if (c->vcpu.apic)
			lapic_update_ppr(&c->lapic);
	} else if (c->lapic_stale) {
		c->lapic_stale = false;
		lapic_rescan(&c->lapic);
	}
}
/* An interrupt may come of what was done to the model: to be looked at before the next entry. */
static inline void vm_lapic_look(struct vm_cpu *c)
{
	c->lapic_used = true;
	__atomic_or_fetch(&c->vcpu.attention, VCPU_EVENT, __ATOMIC_RELAXED);
}
/* Before the model is used by the guest. If the CPU delivers, it must be told what changes. */
static inline void vm_lapic_sync(struct vm_cpu *c)
{
	vm_lapic_read_back(c);
	if (c->vcpu.apic & VCPU_APIC_DELIVERY)
		vm_lapic_look(c);
}
void vm_lapic_rearm(struct vm_cpu *c);
/* The register page can be at this address. If RAM is there, this vCPU sees it no more. */
bool vm_lapic_may_be_at(struct vm_cpu *c, gpa_t page);
/* Its mode or address may have changed, or whether software has it enabled. */
void vm_lapic_changed(struct vm_cpu *c);
/* The first mapping of vm->apic_access, before any vCPU runs. */
int vm_lapic_map(struct vm *vm) MUST_CHECK;
/* A register was written behind the model's back: EXIT_APIC_WRITE. */
void vm_lapic_page_written(struct vm_cpu *c, uint16_t offset);
/*
 * A device's registers, as this vCPU sees them: its LAPIC's page, then the bus. An access lies in
 * one page. False: nobody is there.
 */
bool vm_mmio_read(struct vm_cpu *c, gpa_t gpa, unsigned size, uint64_t *value);
bool vm_mmio_write(struct vm_cpu *c, gpa_t gpa, unsigned size, uint64_t value);
/* Send a message to the vCPUs that it addresses. */
void vm_route(struct vm *vm, const struct lapic_ipi *ipi);

/* report.c: the post-mortem, line by line through vm_host.say; on the vCPU's own CPU */
void vm_report(struct vm_cpu *c);

#endif
