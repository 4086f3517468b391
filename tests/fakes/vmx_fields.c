/* SPDX-License-Identifier: Apache-2.0 */
/* Which VMCS fields exist: exactly those that arch/x86/defs/vmx.h names. */
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vmx_fields.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct field_range {
	uint16_t first, count; /* two apart */
} ranges[] = {
	{VMCS_VPID, 1},
	{VMCS_GUEST_ES_SELECTOR, 9},
	{VMCS_HOST_ES_SELECTOR, 7},
	{VMCS_IO_BITMAP_A, 3},
	{VMCS_TSC_OFFSET, 3},
	{VMCS_EPT_POINTER, 5},
	{VMCS_XSS_EXITING_BITMAP, 1},
	{VMCS_GUEST_PHYSICAL, 1},
	{VMCS_LINK_POINTER, 4},
	{VMCS_GUEST_PDPTE0, 4},
	{VMCS_HOST_PAT, 2},
	{VMCS_PIN_CONTROLS, 14},
	{VMCS_TPR_THRESHOLD, 2},
	{VMCS_INSN_ERROR, 8},
	{VMCS_GUEST_ES_LIMIT, 20},
	{VMCS_GUEST_SYSENTER_CS, 1},
	{VMCS_HOST_SYSENTER_CS, 1},
	{VMCS_CR0_MASK, 4},
	{VMCS_EXIT_QUALIFICATION, 1},
	{VMCS_GUEST_LINEAR, 1},
	{VMCS_GUEST_CR0, 20},
	{VMCS_HOST_CR0, 12},
};

bool vmx_field_exists(uint64_t field)
{
	for (unsigned i = 0; i < COUNT(ranges); i++) {
		if (field >= ranges[i].first && field < ranges[i].first + 2u * ranges[i].count)
			return (field & 1) == 0;
	}
	return false;
}

/* Encoding, SDM vol. 3 "VMCS Component Encoding": type in bits 11:10, width in bits 14:13. */
bool vmx_field_read_only(uint64_t field)
{
	return (field >> 10 & 3) == 1;
}

bool vmx_field_guest(uint64_t field)
{
	return (field >> 10 & 3) == 2;
}

uint64_t vmx_field_mask(uint64_t field)
{
	switch (field >> 13 & 3) {
	case 0: return 0xffff;
	case 2: return 0xffffffff;
	default: return UINT64_MAX;
	}
}

unsigned vmx_field_next(unsigned field)
{
	for (field += 2; field < VMX_FIELD_END; field += 2) {
		if (vmx_field_exists(field))
			return field;
	}
	return VMX_FIELD_END;
}
