/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the fake machine; nobody else includes it. */
#ifndef TESTS_FAKES_FAKE_PRIV_H
#define TESTS_FAKES_FAKE_PRIV_H

#include "hv/lib/types.h"

void fake_vmx_reset(void);
void fake_svm_reset(void);
void fake_svm_tlb_reset(void);
/* These frames get another content: what CPUs still know of them must never be used. */
void fake_svm_frames_reused(hpa_t base, uint64_t size);
void fake_svm_tlb_frames_reused(hpa_t base, uint64_t size);
void fake_memory_reset(void);
bool fake_canonical(uint64_t address);
bool fake_pat_valid(uint64_t value);
/* Bits fixed by MSRs `fixed0` and `fixed0 + 1`, but for those in `free`. */
bool fake_fixed_valid(uint64_t value, uint32_t fixed0, uint64_t free);

#endif
