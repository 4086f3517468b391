/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMX instructions. VMREAD and VMWRITE of a field that exists cannot fail while a VMCS is current,
 * so their flags are only looked at where they mean something. Host tests replace this with a
 * counting fake.
 */
#ifndef ARCH_X86_VMX_VMX_INSN_H
#define ARCH_X86_VMX_VMX_INSN_H

#ifdef HOST_BUILD
#include "tests/fakes/vmx_fake.h"
#else
#include "hv/lib/types.h"

static inline uint64_t vmread(uint64_t field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
	return value;
}

static inline void vmwrite(uint64_t field, uint64_t value)
{
	__asm__ volatile("vmwrite %1, %0" : : "r"(field), "r"(value) : "cc");
}

/* True on success (neither VMfailInvalid nor VMfailValid: CF = ZF = 0). */
static inline bool vmxon(hpa_t region)
{
	bool good;

	__asm__ volatile("vmxon %1" : "=@cca"(good) : "m"(region) : "memory");
	return good;
}

static inline void vmxoff(void)
{
	__asm__ volatile("vmxoff" : : : "cc", "memory");
}

static inline bool vmclear(hpa_t vmcs)
{
	bool good;

	__asm__ volatile("vmclear %1" : "=@cca"(good) : "m"(vmcs) : "memory");
	return good;
}

static inline bool vmptrld(hpa_t vmcs)
{
	bool good;

	__asm__ volatile("vmptrld %1" : "=@cca"(good) : "m"(vmcs) : "memory");
	return good;
}

static inline void invept(uint64_t type, uint64_t eptp)
{
	struct {
		uint64_t eptp, reserved;
	} descriptor = {eptp, 0};

	__asm__ volatile("invept %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}

static inline void invvpid(uint64_t type, uint16_t vpid)
{
	struct {
		uint64_t vpid, linear;
	} descriptor = {vpid, 0};

	__asm__ volatile("invvpid %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}
#endif

#endif
