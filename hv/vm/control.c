/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to CR0, CR4, EFER and XCR0 that the hardware left to us, with the checks of SDM vol. 3
 * ("Control Registers", "Extended Control Registers") and their side effects: long mode, PDPTEs,
 * TLB, CPUID bits.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "hv/vm/vm.h"

/* CR0 bits 63:32 are reserved (#GP); the reserved ones below read as zero and are ignored. */
#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
		CR0_PG)

/*
 * PDPTE bits that must be 0: 2:1, 8:5 and above the physical address (SDM vol. 3, "PDPTE
 * Registers"). Where the CPU reads the entries itself, it looks at them then, and may have set bits
 * that the manual calls reserved (APM vol. 2, "PAE Paging"; QEMU sets A).
 */
static bool pdpte_valid(const struct vm_cpu *c, uint64_t entry)
{
	return !(entry & 1) || !(entry & (0x1e6 | ~(BIT(c->cpuid.phys_bits) - 1)));
}

static bool load_pdptes_of(struct vm_cpu *c, uint64_t cr3)
{
	uint64_t pdpte[4];

	if (!c->vcpu.ops->pdpte_set)
		return true;
	if (guest_mem_read(&c->vm->mem, cr3 & 0xffffffe0u, pdpte, sizeof(pdpte)) != OK)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		if (!pdpte_valid(c, pdpte[i]))
			return false;
	}
	c->vcpu.ops->pdpte_set(&c->vcpu, pdpte);
	return true;
}

static bool load_pdptes(struct vm_cpu *c)
{
	return load_pdptes_of(c, c->vcpu.ops->reg_read(&c->vcpu, REG_CR3));
}

/*
 * Entering long mode: PAE must be on and CS not 64-bit. Leaving it: not from 64-bit code or with
 * PCIDs.
 */
static bool paging_switch_allowed(struct vm_cpu *c, bool on, uint64_t cr4, uint64_t efer)
{
	struct vcpu_state s;

	if (!(efer & EFER_LME))
		return on || !(cr4 & CR4_PCIDE);
	c->vcpu.ops->state_get(&c->vcpu, &s);
	if (s.seg[SEG_CS].attr & SEG_ATTR_L)
		return false;
	return on ? cr4 & CR4_PAE : !(cr4 & CR4_PCIDE);
}

bool vm_cr0_write(struct vm_cpu *c, uint64_t value)
{
	struct vcpu *v = &c->vcpu;
	uint64_t old = v->ops->reg_read(v, REG_CR0), cr4 = v->ops->reg_read(v, REG_CR4);
	uint64_t efer = v->ops->reg_read(v, REG_EFER), changed;

	if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) ||
		((value & CR0_NW) && !(value & CR0_CD)))
		return false;
	value = (value & CR0_DEFINED) | CR0_ET;
	changed = old ^ value;
	if ((changed & CR0_PG) && !paging_switch_allowed(c, value & CR0_PG, cr4, efer))
		return false;
	if ((value & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LME) && !load_pdptes(c))
		return false;
	if ((changed & CR0_PG) && (efer & EFER_LME))
		v->ops->reg_write(v, REG_EFER, value & CR0_PG ? efer | EFER_LMA : efer & ~EFER_LMA);
	v->ops->reg_write(v, REG_CR0, value);
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		v->ops->flush_guest_tlb(v);
	return true;
}

bool vm_cr3_write(struct vm_cpu *c, uint64_t value)
{
	struct vcpu *v = &c->vcpu;
	bool pae = (v->ops->reg_read(v, REG_CR0) & CR0_PG) &&
		   (v->ops->reg_read(v, REG_CR4) & CR4_PAE);

	if (pae && !load_pdptes_of(c, value))
		return false;
	v->ops->reg_write(v, REG_CR3, value);
	v->ops->flush_guest_tlb(v);
	return true;
}

bool vm_cr4_write(struct vm_cpu *c, uint64_t value)
{
	struct vcpu *v = &c->vcpu;
	uint64_t old = v->ops->reg_read(v, REG_CR4), changed = old ^ value;
	uint64_t efer = v->ops->reg_read(v, REG_EFER), cr0 = v->ops->reg_read(v, REG_CR0);
	const uint64_t paging = CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP;

	if (value & ~c->cpuid.cr4_allowed)
		return false;
	if ((efer & EFER_LMA) && (!(value & CR4_PAE) || (changed & CR4_LA57)))
		return false;
	if ((changed & value & CR4_PCIDE) &&
		(!(efer & EFER_LMA) || (v->ops->reg_read(v, REG_CR3) & CR3_PCID_MASK)))
		return false;
	if ((cr0 & CR0_PG) && (value & CR4_PAE) && !(efer & EFER_LMA) && (changed & paging) &&
		!load_pdptes(c))
		return false;
	v->ops->reg_write(v, REG_CR4, value);
	c->io_breakpoints = value & CR4_DE;
	if (changed & CR4_LA57)
		vm_fetch_forget(c);
	if (changed & (paging | CR4_PCIDE | CR4_LA57 | CR4_PKE))
		v->ops->flush_guest_tlb(v);
	cpuid_table_update(&c->cpuid, value, c->xcr0, c->lapic.mode != LAPIC_DISABLED);
	return true;
}

bool vm_efer_write(struct vm_cpu *c, uint64_t value)
{
	struct vcpu *v = &c->vcpu;
	uint64_t old = v->ops->reg_read(v, REG_EFER), cr0 = v->ops->reg_read(v, REG_CR0);

	if (value & ~c->cpuid.efer_allowed)
		return false;
	if (((old ^ value) & EFER_LME) && (cr0 & CR0_PG))
		return false;
	v->ops->reg_write(v, REG_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
	if ((old ^ value) & EFER_NXE)
		v->ops->flush_guest_tlb(v);
	return true;
}

/* Not every machine lets XSETBV exit (QEMU does not): the register itself tells what it is. */
void vm_xcr0_seen(struct vm_cpu *c)
{
	if (!c->cpuid.xcr0_allowed || xgetbv(0) == c->xcr0)
		return;
	c->xcr0 = xgetbv(0);
	cpuid_table_update(&c->cpuid, c->vcpu.ops->reg_read(&c->vcpu, REG_CR4), c->xcr0,
		c->lapic.mode != LAPIC_DISABLED);
}

bool vm_xcr0_write(struct vm_cpu *c, uint32_t index, uint64_t value)
{
	const uint64_t avx512 = XCR0_OPMASK | XCR0_ZMM_HI256 | XCR0_HI16_ZMM;

	if (index != 0 || !(value & XCR0_X87) || (value & ~c->cpuid.xcr0_allowed))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	if ((value & avx512) && ((value & avx512) != avx512 || !(value & XCR0_AVX)))
		return false;
	if (xsetbv_safe(0, value) != OK)
		return false;
	c->xcr0 = value;
	cpuid_table_update(&c->cpuid, c->vcpu.ops->reg_read(&c->vcpu, REG_CR4), value,
		c->lapic.mode != LAPIC_DISABLED);
	return true;
}
