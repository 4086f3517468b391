/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do registers keep their values while the guest is out of the CPU? Quadwords 0 - 14 are GPRs, 16
 * - 47 XMMs.
 */
#include "arch/x86/defs/cr.h"
#include "guests/runtime/guest.h"

#define QUADS 48

extern uint64_t regs_pattern[QUADS], regs_seen[QUADS];
void regs_hold(uint32_t sleep);

void regs_init(uint64_t seed)
{
	write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_MP);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	for (unsigned i = 0; i < QUADS; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		regs_pattern[i] = i == 15 ? 0 : seed;
	}
}

int regs_changed(bool sleep)
{
	regs_hold(sleep);
	for (unsigned i = 0; i < QUADS; i++) {
		if (regs_seen[i] != regs_pattern[i] && i != 15)
			return (int)i;
	}
	return -1;
}
