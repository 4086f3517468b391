/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's linear addresses: its page walk, one page at a time, and the fetch of instructions. The
 * walk of the last fetch is kept and checked against the tables, which costs less than walking.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "hv/lib/string.h"
#include "hv/vm/linear.h"

static int walk_read(void *opaque, gpa_t gpa, unsigned size, uint64_t *value)
{
	struct emulation *em = opaque;
	const volatile void *entry = guest_mem_map(&em->c->vm->mem, gpa, size, NULL);

	if (!entry)
		return E_RANGE;
	*value = size == 8 ? *(const volatile uint64_t *)entry : *(const volatile uint32_t *)entry;
	return OK;
}

static int walk_cmpxchg(void *opaque, gpa_t gpa, unsigned size, uint64_t old, uint64_t value)
{
	struct emulation *em = opaque;
	void *entry = guest_mem_map(&em->c->vm->mem, gpa, size, NULL);
	uint32_t old32 = (uint32_t)old;
	bool done;

	if (!entry)
		return E_RANGE;
	if (size == 8)
		done = __atomic_compare_exchange_n(
			(uint64_t *)entry, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	else
		done = __atomic_compare_exchange_n((uint32_t *)entry, &old32, (uint32_t)value,
			false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return done ? OK : E_BUSY;
}

/* The guest's, still in the CPU; reading it takes a bit of CR4 that the hypervisor has clear. */
static uint32_t guest_pkru(void)
{
	uint64_t cr4 = read_cr4();
	uint32_t pkru;

	write_cr4(cr4 | CR4_PKE);
	pkru = rdpkru();
	write_cr4(cr4);
	return pkru;
}

/* rflags: what the access is made with, which a task switch has changed. */
static int walk(
	struct emulation *em, uint64_t rflags, gva_t gva, unsigned access, struct walk_out *out)
{
	const struct vcpu_mode *m = &em->mode;
	bool data = !(access & WALK_FETCH);
	const struct walk_env with = {
		.cr0 = m->cr0,
		.cr3 = m->cr3,
		.cr4 = m->cr4,
		.efer = m->efer,
		.rflags = rflags,
		.phys_bits = (uint8_t)em->c->cpuid.phys_bits,
		.gib_pages = em->c->cpuid.extended[1].edx & CPUID_EXT1_EDX_PAGE1GB,
		.pkru = data && (m->cr4 & CR4_PKE) ? guest_pkru() : 0,
		.pkrs = data && (m->cr4 & CR4_PKS) ? (uint32_t)rdmsr(MSR_IA32_PKRS) : 0,
		.opaque = em,
		.read = walk_read,
		.cmpxchg = walk_cmpxchg,
	};

	return walk_translate(&with, gva, access, out);
}

/* The tables that led to the last fetch still lead there. */
static bool same_tables(const struct vm_cpu *c)
{
	const struct vm_fetch *f = &c->fetched;

	for (unsigned i = 0; i < f->walk.depth; i++) {
		if (*guest_mem_at(&c->vm->mem, &f->entry[i]) != f->walk.entry[i])
			return false;
	}
	return f->walk.depth != 0;
}

/* Keep a walk for the next fetch; one whose entries are not all in RAM is not kept. */
static void remember_walk(struct vm_cpu *c, const struct walk_out *walk)
{
	struct vm_fetch *f = &c->fetched;

	f->walk = *walk;
	if (!guest_mem_find(&c->vm->mem, align_down(walk->gpa, PAGE_SIZE), &f->page))
		f->walk.depth = 0;
	for (unsigned i = 0; i < f->walk.depth; i++) {
		if (!guest_mem_find(&c->vm->mem, walk->entry_gpa[i], &f->entry[i]))
			f->walk.depth = 0;
	}
}

static bool fetched_here(
	const struct vm_cpu *c, const struct vcpu_mode *m, gva_t gva, unsigned kind)
{
	const struct vm_fetch *f = &c->fetched;

	return (gva ^ f->gva) < PAGE_SIZE && f->kind == kind && f->cr3 == m->cr3 &&
	       f->cr0 == m->cr0 && f->cr4 == m->cr4 && f->efer == m->efer && same_tables(c);
}

/*
 * The CPU has just fetched and checked the instruction, so the question is only whether its bytes
 * are the ones known: CR3 and the entries decide where they lie.
 */
bool vm_fetch_same(
	struct vm_cpu *c, uint64_t code_root, const uint8_t *known_bytes, unsigned length)
{
	const struct vm_fetch *f = &c->fetched;
	gva_t gva = c->vcpu.rip;
	struct guest_place at = f->page;
	uint64_t bytes, known;
	unsigned skip = gva & 7;

	if ((gva ^ f->gva) >= PAGE_SIZE || skip + length > 8 || f->cr3 != code_root ||
		!same_tables(c))
		return false;
	at.offset += (uint32_t)(gva & (PAGE_SIZE - 1) & ~7ull);
	bytes = *guest_mem_at(&c->vm->mem, &at) >> (skip * 8);
	__builtin_memcpy(&known, known_bytes, 8);
	return ((bytes ^ known) & mask_bytes(length)) == 0;
}

static int translate_fetch(struct emulation *em, gva_t gva, unsigned kind, struct walk_out *out)
{
	struct vm_fetch *f = &em->c->fetched;
	const struct vcpu_mode *m = &em->mode;
	int status;

	if (fetched_here(em->c, m, gva, kind)) {
		out->gpa = align_down(f->walk.gpa, PAGE_SIZE) | (gva & (PAGE_SIZE - 1));
		return OK;
	}
	status = walk(em, m->rflags, gva, kind, out);
	f->walk.depth = 0;
	if (status == OK && (m->efer & EFER_LMA)) { /* its entries have 8 bytes */
		*f = (struct vm_fetch){gva, m->cr0, m->cr3, m->cr4, m->efer, kind, {0}, {{0}}, {0}};
		remember_walk(em->c, out);
	}
	return status;
}

/* The CPU has checked the access that it made, not any other to the same page. */
static bool known_covers(const struct emulation *em, unsigned access)
{
	return !(access & WALK_IMPLICIT) && (em->known_write || !(access & WALK_WRITE));
}

enum emul_result linear_translate(
	struct emulation *em, struct emul_ctx *ctx, gva_t gva, unsigned access, gpa_t *gpa)
{
	struct walk_out out;
	int status;

	if (em->known && (gva ^ em->known_gva) < PAGE_SIZE && known_covers(em, access)) {
		*gpa = align_down(em->known_gpa, PAGE_SIZE) | (gva & (PAGE_SIZE - 1));
		return EMUL_DONE;
	}
	if (access & WALK_FETCH)
		status = translate_fetch(em, gva, access, &out);
	else
		status = walk(em, ctx->rflags, gva, access, &out);
	if (status == OK) {
		*gpa = out.gpa;
		return EMUL_DONE;
	}
	if (status == E_BUSY)
		return EMUL_AGAIN;
	if (status == E_FAULT) {
		ctx->fault = (struct emul_fault){14, true, out.error_code, gva};
		return EMUL_FAULT;
	}
	vm_stop(em->c->vm, STOP_FAILED, "page tables outside its memory, reached from 0x%lx",
		(unsigned long)gva);
	return EMUL_STOP;
}

void linear_prepare(struct emulation *em, struct emul_ctx *ctx, const struct vm_exit *e)
{
	struct vcpu *v = &em->c->vcpu;
	const struct vcpu_mode *m = &em->mode;

	v->ops->mode_get(v, &em->mode);
	v->gpr[RSP] = m->rsp;
	em->cpl = (m->rflags & RFLAGS_VM) ? 3
		  : !(m->cr0 & CR0_PE)    ? 0
					  : (m->ss_attr & SEG_ATTR_DPL) >> 5;
	em->known = e && e->reason == EXIT_STAGE2 && e->stage2.gva_valid && !e->stage2.walking;
	em->known_write = em->known && e->stage2.write;
	em->known_gva = em->known ? e->stage2.gva : 0;
	em->known_gpa = em->known ? e->stage2.gpa : 0;
	*ctx = (struct emul_ctx){
		.gpr = v->gpr,
		.rip = v->rip,
		.rflags = m->rflags,
		.cr0 = m->cr0,
		.cr4 = m->cr4,
		.code = (uint8_t)emul_code_size(m->efer, m->cs_attr),
		.cpl = (uint8_t)em->cpl,
		.opaque = em,
	};
}

static gva_t fetch_address(const struct emulation *em, const struct emul_ctx *ctx)
{
	struct vcpu *v = &em->c->vcpu;
	struct segment cs;

	if (ctx->code == EMUL_CODE64)
		return ctx->rip;
	v->ops->segment_get(v, SEG_CS, &cs);
	return (uint32_t)(cs.base + ctx->rip);
}

enum emul_result linear_fetch(
	struct emulation *em, struct emul_ctx *ctx, uint8_t *bytes, unsigned *count)
{
	gva_t gva = fetch_address(em, ctx);
	unsigned kind = WALK_FETCH | (em->cpl == 3 ? WALK_USER : 0);
	bool known = em->known;

	em->known = false; /* that was the data access */
	for (*count = 0; *count < EMUL_INSN_MAX;) {
		unsigned n = (unsigned)MIN((uint64_t)EMUL_INSN_MAX - *count,
			PAGE_SIZE - ((gva + *count) & (PAGE_SIZE - 1)));
		gpa_t gpa;
		enum emul_result result = linear_translate(em, ctx, gva + *count, kind, &gpa);

		if (result != EMUL_DONE && *count == 0)
			return result;
		if (result != EMUL_DONE ||
			guest_mem_read(&em->c->vm->mem, gpa, bytes + *count, n) != OK)
			break;
		*count += n;
	}
	em->known = known;
	return EMUL_DONE;
}

enum emul_result linear_fetch_fault(struct emulation *em, struct emul_ctx *ctx, unsigned count)
{
	enum emul_result result;
	gpa_t gpa;

	em->known = false;
	result = linear_translate(em, ctx, fetch_address(em, ctx) + count,
		WALK_FETCH | (em->cpl == 3 ? WALK_USER : 0), &gpa);
	return result == EMUL_DONE ? EMUL_UNSUPPORTED : result;
}

void linear_raise(struct vm_cpu *c, const struct emul_fault *fault)
{
	if (fault->vector == EXC_PF)
		vm_inject_pf(c, fault->error_code, fault->cr2);
	else
		vm_inject_exception(c, fault->vector, fault->has_error, fault->error_code);
}

/* What the guest gets for it, when there is nothing to decode. */
static void take_fault(struct vm_cpu *c, const struct emul_ctx *ctx, enum emul_result result)
{
	if (result != EMUL_FAULT)
		return;
	vm_inject_pf(c, ctx->fault.error_code, ctx->fault.cr2);
}

bool vm_fetch(struct vm_cpu *c, uint8_t *bytes, unsigned *count, enum emul_code *code)
{
	struct emulation em = {.c = c};
	struct emul_ctx ctx;
	enum emul_result result;

	linear_prepare(&em, &ctx, NULL);
	*code = (enum emul_code)ctx.code;
	result = linear_fetch(&em, &ctx, bytes, count);
	take_fault(c, &ctx, result);
	return result == EMUL_DONE;
}

void vm_fetch_fault(struct vm_cpu *c, unsigned count)
{
	struct emulation em = {.c = c};
	struct emul_ctx ctx;

	linear_prepare(&em, &ctx, NULL);
	take_fault(c, &ctx, linear_fetch_fault(&em, &ctx, count));
}
