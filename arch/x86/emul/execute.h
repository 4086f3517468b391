/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executes one decoded instruction on a copy of the vCPU's state. Segmentation, privilege and flags
 * are done here; linear addresses, ports and the page walk belong to the owner's callbacks. Every
 * check that can fail is made before a register changes, so a fault leaves the state as the
 * instruction (or the current REP iteration) found it. Locking: none, the context is the caller's.
 *
 * LOCK is honoured as far as the callbacks are atomic: the owner must see to it that nothing came
 * between the two halves in RAM; a device model's lock covers each access, not both together.
 */
#ifndef ARCH_X86_EMUL_EXECUTE_H
#define ARCH_X86_EMUL_EXECUTE_H

#include "arch/x86/emul/decode.h"
#include "hv/lib/types.h"

/* REP iterations done in one call, so that interrupts and stop requests get their turn. */
#define EMUL_REP_BATCH 64

/* Segment attributes in the VMCS access-rights layout (SDM vol. 3, "Guest Register State"). */
#define EMUL_SEG_TYPE_MASK   0xfu
#define EMUL_SEG_ACCESSED    BIT(0)
#define EMUL_SEG_WRITE       BIT(1) /* data: writable; code: readable */
#define EMUL_SEG_EXPAND_DOWN BIT(2) /* data; code: conforming */
#define EMUL_SEG_CODE        BIT(3)
#define EMUL_SEG_S           BIT(4)
#define EMUL_SEG_DPL_SHIFT   5
#define EMUL_SEG_P           BIT(7)
#define EMUL_SEG_L           BIT(13)
#define EMUL_SEG_DB          BIT(14)
#define EMUL_SEG_G           BIT(15)
#define EMUL_SEG_UNUSABLE    BIT(16)

struct emul_seg {
	uint64_t base;
	uint32_t limit; /* in bytes, granularity already applied */
	uint32_t attr;
};

enum emul_result {
	EMUL_DONE,        /* the instruction is complete, RIP is behind it */
	EMUL_AGAIN,       /* run it again, the owner asked; RIP unchanged */
	EMUL_PARTLY,      /* iterations of REP are complete, others left; RIP unchanged */
	EMUL_FAULT,       /* ctx->fault says what to inject; RIP unchanged */
	EMUL_UNSUPPORTED, /* not emulated: stop the guest with a report */
	EMUL_STOP,        /* a callback wants the guest stopped */
};

#define EMUL_ACCESS_MAX 32u

/* For callbacks: what an access is for. */
#define EMUL_ACCESS_WRITE  BIT(0) /* write; on a read: the same bytes are written next */
#define EMUL_ACCESS_LOCKED BIT(1) /* half of a locked read-modify-write */
#define EMUL_ACCESS_SYSTEM BIT(2) /* descriptor tables: as supervisor whatever the CPL */

struct emul_fault {
	uint8_t vector;
	bool has_error;
	uint32_t error_code;
	uint64_t cr2; /* vector 14 only */
};

struct emul_ctx;

/*
 * Addresses are linear, at most EMUL_ACCESS_MAX bytes at a time, and may cross pages: translate
 * every page before the first byte moves. Each returns EMUL_DONE, EMUL_AGAIN, EMUL_FAULT
 * (ctx->fault filled in) or EMUL_STOP. The CPU has checked IOPL and the TSS bitmap before a port
 * access exited (SDM vol. 3 "Relative Priority of Faults and VM Exits", APM vol. 2 "IOIO
 * Intercepts").
 */
struct emul_env {
	enum emul_result (*read)(
		struct emul_ctx *ctx, gva_t gva, void *buf, unsigned size, unsigned access);
	enum emul_result (*write)(
		struct emul_ctx *ctx, gva_t gva, const void *buf, unsigned size, unsigned access);
	/*
	 * Would the access fault? Asked when a side effect (port or device read) comes before it.
	 */
	enum emul_result (*probe)(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access);
	enum emul_result (*io_in)(
		struct emul_ctx *ctx, uint16_t port, unsigned size, uint32_t *value);
	enum emul_result (*io_out)(
		struct emul_ctx *ctx, uint16_t port, unsigned size, uint32_t value);
	/* Asked only for what the mode needs: in 64-bit mode no more than FS and GS. */
	void (*segment)(struct emul_ctx *ctx, enum emul_seg_reg reg, struct emul_seg *seg);
	const struct emul_system *system;       /* NULL: what needs it is not emulated */
	const struct emul_vector_regs *vectors; /* likewise */
};

/* Segment registers with their selectors, LDTR and TR among them. */
#define EMUL_LDTR EMUL_SEG_COUNT
#define EMUL_TR   (EMUL_SEG_COUNT + 1)

struct emul_selector {
	uint16_t selector;
	struct emul_seg seg;
};

enum emul_table { EMUL_GDT, EMUL_IDT };

struct emul_system {
	void (*get)(struct emul_ctx *ctx, unsigned reg, struct emul_selector *s);
	/* The DPL of SS is the CPL from now on, even when SS is unusable. */
	void (*set)(struct emul_ctx *ctx, unsigned reg, const struct emul_selector *s);
	void (*table_get)(
		struct emul_ctx *ctx, enum emul_table table, uint64_t *base, uint32_t *limit);
	void (*table_set)(
		struct emul_ctx *ctx, enum emul_table table, uint64_t base, uint32_t limit);
	bool (*cr0_set)(struct emul_ctx *ctx, uint64_t value); /* false: #GP */
	/* Translations from here on are those of the new root. Task switches only. */
	bool (*cr3_set)(struct emul_ctx *ctx, uint64_t value); /* false: #GP */
};

/* Live vector registers. Sizes: 8 an MMX register, 16 XMM, 32 YMM. */
struct emul_vector_regs {
	enum emul_result (*get)(struct emul_ctx *ctx, unsigned reg, void *buf, unsigned size);
	/* zero_upper: the register's bits above size become 0, otherwise they stay. */
	enum emul_result (*set)(struct emul_ctx *ctx, unsigned reg, const void *buf, unsigned size,
		bool zero_upper);
	enum emul_result (*mxcsr_get)(struct emul_ctx *ctx, uint32_t *value);
	enum emul_result (*mxcsr_set)(struct emul_ctx *ctx, uint32_t value);
	uint64_t (*xcr0)(struct emul_ctx *ctx); /* 0 without CR4.OSXSAVE */
};

struct emul_ctx {
	uint64_t *gpr; /* [EMUL_GPR_COUNT], RSP included */
	uint64_t rip;
	uint64_t rflags;
	uint64_t cr0;
	uint64_t cr4;
	uint8_t code; /* enum emul_code, from emul_code_size */
	uint8_t cpl;
	bool long_mode;            /* EFER.LMA */
	bool watched;              /* breakpoints are armed: one iteration of REP at a time */
	bool stack_shadow;         /* set: SS was loaded, nothing may come before the next one */
	bool nmi_done;             /* set: IRET, NMIs are no longer blocked */
	bool has_tzcnt, has_lzcnt; /* otherwise F3 means nothing to BSF and BSR */
	const struct emul_env *env;
	void *opaque;
	struct emul_fault fault; /* valid after EMUL_FAULT */
};

/* Code size of a mode: what emul_decode must be told, and ctx->code. */
enum emul_code emul_code_size(uint64_t efer, uint32_t cs_attr);

/*
 * The one permission function: offset in a segment to linear address, with the mode's limit, type
 * and canonical checks; access is EMUL_ACCESS_WRITE or 0. EMUL_DONE, EMUL_FAULT with #GP, #SS or
 * #AC, or EMUL_UNSUPPORTED for an access that wraps around the end of a 4 GiB address space.
 */
enum emul_result emul_linear(struct emul_ctx *ctx, enum emul_seg_reg segment, uint64_t offset,
	unsigned size, unsigned access, gva_t *linear) MUST_CHECK;

/*
 * Execute insn, decoded from the bytes at CS:RIP. After EMUL_DONE the owner still ends an interrupt
 * shadow and raises the single-step #DB when RFLAGS.TF was set before.
 */
enum emul_result emul_execute(struct emul_ctx *ctx, const struct emul_insn *insn) MUST_CHECK;

#endif
