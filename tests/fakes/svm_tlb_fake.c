/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CPU of AMD's remembers of translations (APM vol. 2, "TLB Control"): from guest-linear,
 * here guest-physical, to host-physical addresses, by ASID. Entries go only when VMRUN's
 * TLB_CONTROL says so. They may outlive their guest, as long as nobody can use them: VMRUN with an
 * ASID that still has some of another guest, or of frames that are somebody else's now, fails the
 * test.
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/paging.h"
#include "hv/lib/string.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/fake_priv.h"
#include "tests/fakes/svm_fake_priv.h"

#define TLB_SIZE   256u
#define NPT_LEVELS 4u

struct asid_entry {
	bool valid, reused; /* reused: its frame or tables are somebody else's */
	uint32_t asid;
	hpa_t root;
	gpa_t page;
	hpa_t frame;
	hpa_t table[NPT_LEVELS];
};

static struct asid_entry tlb[FAKE_CPUS][TLB_SIZE];

void fake_svm_tlb_reset(void)
{
	memset(tlb, 0, sizeof(tlb));
}

static struct asid_entry *my_tlb(void)
{
	return tlb[fake_cpu_index()];
}

static bool refers(const struct asid_entry *e, hpa_t base, uint64_t size)
{
	if (e->frame - base < size)
		return true;
	for (unsigned level = 0; level < NPT_LEVELS; level++) {
		if (e->table[level] && e->table[level] - base < size)
			return true;
	}
	return false;
}

void fake_svm_tlb_frames_reused(hpa_t base, uint64_t size)
{
	for (unsigned i = 0; i < FAKE_CPUS * TLB_SIZE; i++) {
		struct asid_entry *e = &tlb[i / TLB_SIZE][i % TLB_SIZE];

		e->reused = e->reused || (e->valid && refers(e, base, size));
	}
}

void svm_tlb_enter(const struct vmcb *b)
{
	if (b->tlb_control)
		fake_record(FAKE_TLB_FLUSH, b->tlb_control, b->asid);
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		struct asid_entry *e = &my_tlb()[i];

		if (b->tlb_control == SVM_TLB_FLUSH_ALL ||
			(b->tlb_control == SVM_TLB_FLUSH_ASID && e->asid == b->asid))
			memset(e, 0, sizeof(*e));
		if (!e->valid || e->asid != b->asid)
			continue;
		if (e->root != b->ncr3)
			fake_fail("ASID %u still has translations of another guest", b->asid);
		if (e->reused)
			fake_fail("ASID %u still leads to frames that are somebody else's now",
				b->asid);
	}
}

static bool walk(struct asid_entry *e)
{
	hpa_t table = e->root;

	for (unsigned level = 0; level < NPT_LEVELS; level++) {
		unsigned shift = 39 - 9 * level;
		uint64_t entry = ((uint64_t *)phys_to_virt(table))[e->page >> shift & 511];

		e->table[level] = table;
		if (!(entry & PTE_P))
			return false;
		if (!(entry & PTE_U))
			fake_fail("NPT: a guest's access is a user access");
		if (level == NPT_LEVELS - 1 || (entry & PTE_PS)) {
			if (shift > 30)
				fake_fail("NPT: large leaf in the root");
			e->frame = (entry & CR3_ADDR_MASK & ~(BIT(shift) - 1)) |
				   (e->page & (BIT(shift) - 1));
			return true;
		}
		table = entry & CR3_ADDR_MASK;
	}
	return false;
}

static struct asid_entry *find(uint32_t asid, gpa_t page)
{
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		struct asid_entry *e = &my_tlb()[i];

		if (e->valid && e->asid == asid && e->page == page)
			return e;
	}
	return NULL;
}

static void remember(const struct asid_entry *e)
{
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		if (my_tlb()[i].valid)
			continue;
		my_tlb()[i] = *e;
		return;
	}
	fake_fail("TLB model is full");
}

hpa_t fake_svm_access(gpa_t gpa)
{
	const struct vmcb *b = fake_vmcb();
	struct asid_entry now = {.valid = true,
		.asid = b->asid,
		.root = b->ncr3,
		.page = align_down(gpa, PAGE_SIZE)};
	const struct asid_entry *hit = find(now.asid, now.page);
	bool mapped = gpa >> 48 == 0 && walk(&now);

	if (hit && (!mapped || hit->frame != now.frame))
		fake_fail("stale translation of 0x%lx used", (unsigned long)gpa);
	if (!mapped)
		return 0;
	if (!hit)
		remember(&now);
	return now.frame | (gpa & (PAGE_SIZE - 1));
}

unsigned fake_svm_tlb_entries(unsigned cpu)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TLB_SIZE; i++)
		n += tlb[cpu][i].valid;
	return n;
}
