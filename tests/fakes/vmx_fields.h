/* SPDX-License-Identifier: Apache-2.0 */
/* Names, widths and kinds of VMCS fields, for the fake only. */
#ifndef TESTS_FAKES_VMX_FIELDS_H
#define TESTS_FAKES_VMX_FIELDS_H

#include "hv/lib/types.h"

#define VMX_FIELD_END 0x6c18u

bool vmx_field_exists(uint64_t field);
bool vmx_field_read_only(uint64_t field);
bool vmx_field_guest(uint64_t field);
uint64_t vmx_field_mask(uint64_t field);
/* The field after this one; 0 (VPID) is the first. */
unsigned vmx_field_next(unsigned field);

#endif
