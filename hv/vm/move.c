/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A short way for what nearly all device accesses are: the MOV that was emulated last, again, in
 * 64-bit code at CPL 0. The CPU has checked segments and pages before the access exited, and the
 * exit says where it went; what is left is the register, the device and the next RIP. Whatever is
 * not exactly that, or reaches into a second page, goes the general way (emulate.c).
 */
#include "arch/x86/defs/msr.h"
#include "hv/vm/vm.h"

static uint64_t effective_address(const struct vcpu *v, const struct emul_insn *insn)
{
	const struct emul_mem *m = &insn->mem;
	uint64_t address = (uint64_t)m->disp;

	if (m->base != EMUL_REG_NONE)
		address += v->gpr[m->base];
	if (m->index != EMUL_REG_NONE)
		address += v->gpr[m->index] * m->scale;
	return m->rip_relative ? address + v->rip + insn->length : address;
}

/* gpr[RSP] is not valid here, so an instruction that uses it goes the general way. */
static bool uses_rsp(const struct emul_insn *insn)
{
	return insn->mem.base == RSP || insn->mem.index == RSP ||
	       (insn->dst.kind == EMUL_OPERAND_REG && insn->dst.reg == RSP) ||
	       (insn->src.kind == EMUL_OPERAND_REG && insn->src.reg == RSP);
}

/* Worked out once when an instruction is decoded: the answer stays with it. */
bool vm_move_is_plain(const struct emul_insn *insn)
{
	bool store = insn->dst.kind == EMUL_OPERAND_MEM, load = insn->src.kind == EMUL_OPERAND_MEM;

	return insn->op == EMUL_OP_MOV && store != load && !insn->lock && insn->addr_size == 8 &&
	       insn->code == EMUL_CODE64 && insn->segment != EMUL_FS && insn->segment != EMUL_GS &&
	       !insn->dst.high && !insn->src.high && !uses_rsp(insn);
}

static void load_register(struct vcpu *v, const struct emul_operand *reg, uint64_t value)
{
	uint64_t keep = reg->size >= 4 ? 0 : ~mask_bytes(reg->size);

	v->gpr[reg->reg] = (v->gpr[reg->reg] & keep) | value;
}

bool vm_move_again(struct vm_cpu *c, const struct vm_exit *e)
{
	struct vcpu *v = &c->vcpu;
	const struct emul_insn *insn = &c->emulated;
	unsigned size = insn->dst.size;
	uint64_t value, gva;

	/* Page walks, fetches and the delivery of events are no moves. */
	if (!c->emulated_is_plain || e->stage2.walking || e->stage2.fetch || v->reinject.valid)
		return false;
	/* Not all hardware tells the linear address; it always tells the offset in its page. */
	gva = effective_address(v, insn);
	if (e->stage2.gva_valid ? gva != e->stage2.gva : (gva ^ e->stage2.gpa) & (PAGE_SIZE - 1))
		return false;
	if ((gva & (PAGE_SIZE - 1)) + size > PAGE_SIZE ||
		!vm_fetch_same(c, v->ops->code_root(v), insn->bytes, insn->length))
		return false;
	if (insn->src.kind == EMUL_OPERAND_MEM) {
		if (!vm_mmio_read(c, e->stage2.gpa, size, &value))
			return false;
		load_register(v, &insn->dst, value);
	} else {
		value = insn->src.kind == EMUL_OPERAND_REG ? v->gpr[insn->src.reg] : insn->imm;
		if (!vm_mmio_write(c, e->stage2.gpa, size, value))
			return false;
	}
	v->ops->instruction_done(v, v->rip + insn->length);
	return true;
}
