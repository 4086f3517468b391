/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CPU remembers of translations (SDM vol. 3, "Caching Translation Information"):
 * guest-physical mappings tagged by the EPT root, combined ones by VPID and EPT root. Each
 * remembers the tables it was found through, as paging-structure caches do. Entries go only when
 * they are flushed.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/vmx.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "hv/lib/string.h"
#include "tests/fakes/fake.h"

#define TLB_SIZE   256u
#define EPT_LEVELS 4u

struct tlb_entry {
	bool valid;
	uint16_t vpid; /* 0: guest-physical mapping */
	hpa_t root;
	gpa_t page;
	hpa_t frame;
	hpa_t table[EPT_LEVELS];
};

static struct tlb_entry tlb[FAKE_CPUS][TLB_SIZE];

void fake_tlb_clear(void)
{
	memset(tlb, 0, sizeof(tlb));
}

static struct tlb_entry *find(uint16_t vpid, hpa_t root, gpa_t page)
{
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		struct tlb_entry *e = &tlb[fake_cpu_index()][i];

		if (e->valid && e->vpid == vpid && e->root == root && e->page == page)
			return e;
	}
	return NULL;
}

static void remember(struct tlb_entry e, uint16_t vpid)
{
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		struct tlb_entry *slot = &tlb[fake_cpu_index()][i];

		if (slot->valid)
			continue;
		*slot = e;
		slot->valid = true;
		slot->vpid = vpid;
		return;
	}
	fake_fail("TLB model is full");
}

static bool walk(struct tlb_entry *e)
{
	hpa_t table = e->root;

	for (unsigned level = 0; level < EPT_LEVELS; level++) {
		unsigned shift = 39 - 9 * level;
		uint64_t entry = ((uint64_t *)phys_to_virt(table))[e->page >> shift & 511];

		e->table[level] = table;
		if (!(entry & 7))
			return false;
		if (level == EPT_LEVELS - 1 || (entry & 0x80)) {
			if (shift > 30)
				fake_fail("EPT: large leaf in the root");
			e->frame = (entry & CR3_ADDR_MASK & ~(BIT(shift) - 1)) |
				   (e->page & (BIT(shift) - 1));
			return true;
		}
		table = entry & CR3_ADDR_MASK;
	}
	return false;
}

hpa_t fake_guest_access(gpa_t gpa)
{
	uint16_t vpid = (uint16_t)fake_vmcs_get(VMCS_VPID);
	struct tlb_entry e = {.root = fake_vmcs_get(VMCS_EPT_POINTER) & CR3_ADDR_MASK,
		.page = align_down(gpa, PAGE_SIZE)};
	struct tlb_entry *hit = find(vpid, e.root, e.page);

	if (!hit)
		hit = find(0, e.root, e.page);
	if (hit)
		return hit->frame | (gpa & (PAGE_SIZE - 1));
	if (gpa >> 48 || !walk(&e))
		return 0;
	remember(e, 0);
	remember(e, vpid);
	return e.frame | (gpa & (PAGE_SIZE - 1));
}

unsigned fake_tlb_refers(hpa_t base, uint64_t size)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FAKE_CPUS * TLB_SIZE; i++) {
		const struct tlb_entry *e = &tlb[i / TLB_SIZE][i % TLB_SIZE];
		bool refers = e->frame - base < size;

		for (unsigned level = 0; level < EPT_LEVELS; level++)
			refers = refers || (e->table[level] && e->table[level] - base < size);
		n += e->valid && refers;
	}
	return n;
}

unsigned fake_tlb_entries(unsigned cpu)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TLB_SIZE; i++)
		n += tlb[cpu][i].valid;
	return n;
}

void invept(uint64_t type, uint64_t eptp)
{
	fake_record(FAKE_INVEPT, type, eptp);
	if (!fake_this->vmxon)
		fake_fail("INVEPT outside VMX operation: #UD");
	if (type != INVEPT_SINGLE && type != INVEPT_ALL)
		fake_fail("INVEPT type %lu", (unsigned long)type);
	if (type == INVEPT_SINGLE &&
		((eptp & 7) != EPTP_MEMTYPE_WB || (eptp & 0x38) != EPTP_WALK_4))
		fake_fail("INVEPT of 0x%lx, which is no EPT pointer", (unsigned long)eptp);
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		struct tlb_entry *e = &tlb[fake_cpu_index()][i];

		if (type == INVEPT_ALL || e->root == (eptp & CR3_ADDR_MASK))
			e->valid = false;
	}
}

void invvpid(uint64_t type, uint16_t vpid)
{
	fake_record(FAKE_INVVPID, type, vpid);
	if (!fake_this->vmxon)
		fake_fail("INVVPID outside VMX operation: #UD");
	if (type != INVVPID_SINGLE && type != INVVPID_ALL)
		fake_fail("INVVPID type %lu", (unsigned long)type);
	if (type == INVVPID_SINGLE && vpid == 0)
		fake_fail("INVVPID of VPID 0");
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		struct tlb_entry *e = &tlb[fake_cpu_index()][i];

		if (e->vpid != 0 && (type == INVVPID_ALL || e->vpid == vpid))
			e->valid = false;
	}
}
