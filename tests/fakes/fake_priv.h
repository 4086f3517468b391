/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the fake machine; nobody else includes it. */
#ifndef TESTS_FAKES_FAKE_PRIV_H
#define TESTS_FAKES_FAKE_PRIV_H

#include "hv/lib/types.h"

void fake_vmx_reset(void);
void fake_memory_reset(void);
bool fake_canonical(uint64_t address);
bool fake_pat_valid(uint64_t value);
/* Bits fixed by MSRs `fixed0` and `fixed0 + 1`, but for those in `free`. */
bool fake_fixed_valid(uint64_t value, uint32_t fixed0, uint64_t free);

#endif
