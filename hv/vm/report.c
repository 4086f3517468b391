/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The post-mortem of a guest that failed: registers, the bytes at RIP, the page walk of RIP and the
 * last exits. Runs on the vCPU's own CPU before its state is unloaded. The cause itself is said by
 * whoever reports the stop.
 */
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/emul/walk.h"
#include "hv/lib/fmt.h"
#include "hv/vm/vm.h"

#define REPORT_EXITS 8u /* of the flight recorder; all of it would flood the console */
#define LINE_MAX     160

struct report {
	struct vm_cpu *c;
	struct vcpu_state s;
};

static void PRINTF(2, 3) line(const struct report *r, const char *format, ...)
{
	char text[LINE_MAX];
	va_list args;

	va_start(args, format);
	fmt_vstring(text, sizeof(text), format, args);
	va_end(args);
	vm_host.say(r->c->vm, text);
}

static void report_registers(const struct report *r)
{
	static const char *const names[GPR_COUNT] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP",
		"RSI", "RDI", "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
	const struct vcpu_state *s = &r->s;
	const uint64_t *gpr = r->c->vcpu.gpr;

	line(r, "  RIP %016lx  RFLAGS %lx  CS %04x  SS %04x  CPL %u", s->rip, s->rflags,
		s->seg[SEG_CS].selector, s->seg[SEG_SS].selector,
		(s->seg[SEG_SS].attr & SEG_ATTR_DPL) >> 5);
	for (unsigned i = 0; i < GPR_COUNT; i += 4)
		line(r, "  %s %016lx  %s %016lx  %s %016lx  %s %016lx", names[i],
			i == RSP ? s->rsp : gpr[i], names[i + 1], gpr[i + 1], names[i + 2],
			gpr[i + 2], names[i + 3], gpr[i + 3]);
	line(r, "  CR0 %lx  CR2 %lx  CR3 %lx  CR4 %lx  EFER %lx", s->cr0, s->cr2, s->cr3, s->cr4,
		s->efer);
	line(r, "  IDT %lx/%x  GDT %lx/%x", s->idtr.base, s->idtr.limit, s->gdtr.base,
		s->gdtr.limit);
}

static int walk_read(void *opaque, gpa_t gpa, unsigned size, uint64_t *value)
{
	const struct report *r = opaque;

	*value = 0;
	return guest_mem_read(&r->c->vm->mem, gpa, value, size);
}

static void report_walk(const struct report *r, gva_t gva, const struct walk_out *out, int status)
{
	char text[LINE_MAX];
	size_t at = fmt_string(text, sizeof(text), "  walk of %lx:", gva);

	for (unsigned i = 0; i < out->depth; i++)
		at += fmt_string(
			text + at, sizeof(text) - at, " %lx=%lx", out->entry_gpa[i], out->entry[i]);
	if (status == OK)
		fmt_string(text + at, sizeof(text) - at, " -> %lx", out->gpa);
	else
		fmt_string(text + at, sizeof(text) - at, " -> not mapped");
	line(r, "%s", text);
}

static void report_code(struct report *r)
{
	const struct vcpu_state *s = &r->s;
	const struct walk_env env = {
		.cr0 = s->cr0,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.efer = s->efer,
		.phys_bits = (uint8_t)r->c->cpuid.phys_bits,
		.gib_pages = true,
		.opaque = r,
		.read = walk_read,
	};
	gva_t gva = s->rip + (s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEG_ATTR_L
					     ? 0
					     : s->seg[SEG_CS].base);
	struct walk_out out = {.depth = 0};
	int status = walk_translate(&env, gva, 0, &out);
	uint8_t bytes[16];
	char text[LINE_MAX];
	size_t at;

	report_walk(r, gva, &out, status);
	if (status != OK)
		return;
	at = fmt_string(text, sizeof(text), "  code at %lx:", gva);
	for (unsigned i = 0; i < sizeof(bytes) && i < out.left; i++) {
		if (guest_mem_read(&r->c->vm->mem, out.gpa + i, &bytes[i], 1) != OK)
			break;
		at += fmt_string(text + at, sizeof(text) - at, " %02x", bytes[i]);
	}
	line(r, "%s", text);
}

static void report_exits(const struct report *r)
{
	const struct vcpu *v = &r->c->vcpu;
	uint32_t count = MIN(v->recorder_at, REPORT_EXITS);

	for (uint32_t i = 0; i < count; i++) {
		const struct recorder_entry *e =
			&v->recorder[(v->recorder_at - count + i) % RECORDER_SIZE];

		line(r, "  exit -%u: reason %u at %lx, info %x", count - i, e->raw, e->rip,
			e->info);
	}
}

void vm_report(struct vm_cpu *c)
{
	struct report r = {.c = c};

	c->vcpu.ops->state_get(&c->vcpu, &r.s);
	line(&r, "post-mortem: %s", c->vm->stop.text);
	report_registers(&r);
	report_code(&r);
	report_exits(&r);
}
