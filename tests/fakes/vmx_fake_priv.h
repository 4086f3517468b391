/* SPDX-License-Identifier: Apache-2.0 */
/* Entry checks: NULL, or what is wrong. */
#ifndef TESTS_FAKES_VMX_FAKE_PRIV_H
#define TESTS_FAKES_VMX_FAKE_PRIV_H

#include "hv/lib/types.h"

struct vmx_rule {
	bool broken;
	const char *text;
};

const char *vmx_first_broken(const struct vmx_rule *rules, unsigned count);
bool vmx_is_frame(uint64_t address);

const char *vmx_check_controls(void);
const char *vmx_check_host(void);
const char *vmx_check_guest(void);

/* Their part about APIC virtualization, and what the guest's MSR bitmap lets through. */
const char *vmx_check_apic(void);
/* The entry is made: true if it ends at once, before the guest executes anything. */
bool vmx_apic_entered(void);
/* No window has ended it either. */
void vmx_apic_deliver(void);

/* Bits 7:4 of the TPR in the virtual-APIC page. */
unsigned vmx_vtpr_class(void);

#endif
