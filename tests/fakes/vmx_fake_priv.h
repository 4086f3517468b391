/* SPDX-License-Identifier: Apache-2.0 */
/* Entry checks: NULL, or what is wrong. */
#ifndef TESTS_FAKES_VMX_FAKE_PRIV_H
#define TESTS_FAKES_VMX_FAKE_PRIV_H

const char *vmx_check_controls(void);
const char *vmx_check_host(void);
const char *vmx_check_guest(void);

/* Bits 7:4 of the TPR in the virtual-APIC page. */
unsigned vmx_vtpr_class(void);

#endif
