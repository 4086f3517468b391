/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arch/x86/vmx/vmx_insn.h is on the host: the same functions, answered by vmx_fake.c. Included
 * by vmx_insn.h only; tests use tests/fakes/fake.h.
 */
#ifndef TESTS_FAKES_VMX_FAKE_H
#define TESTS_FAKES_VMX_FAKE_H

#include "hv/lib/types.h"

uint64_t vmread(uint64_t field);
void vmwrite(uint64_t field, uint64_t value);
bool vmxon(hpa_t region);
void vmxoff(void);
bool vmclear(hpa_t vmcs);
bool vmptrld(hpa_t vmcs);
void invept(uint64_t type, uint64_t eptp);
void invvpid(uint64_t type, uint16_t vpid);

#endif
