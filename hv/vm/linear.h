/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's linear addresses, for emulate.c. On the vCPU's own CPU, no locks. */
#ifndef HV_VM_LINEAR_H
#define HV_VM_LINEAR_H

#include "arch/x86/emul/execute.h"
#include "arch/x86/emul/walk.h"
#include "hv/vm/vm.h"

struct emulation {
	struct vm_cpu *c;
	struct vcpu_mode mode;
	unsigned cpl;
	/* One translation that the exit itself told us. */
	bool known;
	gva_t known_gva;
	gpa_t known_gpa;
	bool known_write;    /* it was translated for a write too */
	uint64_t locked_old; /* what the first half of a locked instruction read */
	uint64_t dr7, hit;   /* breakpoints: those that are armed, bits of DR6 for those met */
	/* The port access that the CPU has found to be allowed; NULL: none. */
	const struct vm_exit *port_access;
};

/* emulate.c: for ctx->env. */
extern const struct emul_env vm_emul_env;
/* emulate_regs.c: what the executor may reach through it. */
extern const struct emul_system vm_emul_system;
extern const struct emul_vector_regs vm_emul_vectors;

/*
 * Read the vCPU's state; ctx->env stays NULL. e tells the translation of a data access, where it
 * does; NULL: only the instruction is wanted.
 */
void linear_prepare(struct emulation *em, struct emul_ctx *ctx, const struct vm_exit *e);

/* One page's worth of translation. access: WALK_*. EMUL_FAULT: ctx->fault says which. */
enum emul_result linear_translate(
	struct emulation *em, struct emul_ctx *ctx, gva_t gva, unsigned access, gpa_t *gpa);

/* The guest gets what ctx->fault says. */
void linear_raise(struct vm_cpu *c, const struct emul_fault *fault);

/* Up to 15 bytes at CS:RIP; fewer when the next page cannot be fetched. */
enum emul_result linear_fetch(
	struct emulation *em, struct emul_ctx *ctx, uint8_t *bytes, unsigned *count);

/*
 * The instruction goes on where it cannot be fetched: that is the guest's fault, at the first such
 * byte.
 */
enum emul_result linear_fetch_fault(struct emulation *em, struct emul_ctx *ctx, unsigned count);

#endif
