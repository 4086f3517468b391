/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD-V constants and the VMCB with the APM's names (vol. 2, "Secure Virtual Machine" and appendix
 * B, "Layout of VMCB"; appendix C, "SVM Intercept Exit Codes"). Layout only, no code.
 */
#ifndef ARCH_X86_DEFS_SVM_H
#define ARCH_X86_DEFS_SVM_H

/* VM_CR */
#define MSR_VM_CR       0xc0010114u
#define VM_CR_R_INIT    (1ull << 1) /* INIT becomes #SX */
#define VM_CR_LOCK      (1ull << 3)
#define VM_CR_SVMDIS    (1ull << 4)
#define MSR_VM_HSAVE_PA 0xc0010117u

/* CPUID 8000_000Ah */
#define CPUID_SVM_EBX_ASIDS      (~0u)
#define CPUID_SVM_EDX_NP         (1u << 0)
#define CPUID_SVM_EDX_SVML       (1u << 2)
#define CPUID_SVM_EDX_NRIPS      (1u << 3)
#define CPUID_SVM_EDX_CLEAN_BITS (1u << 5)
#define CPUID_SVM_EDX_FLUSH_ASID (1u << 6)
#define CPUID_SVM_EDX_DECODE     (1u << 7)
#define CPUID_SVM_EDX_VGIF       (1u << 16)

/* Permission maps: one bit a port and a little more; two bits an MSR */
#define SVM_IOPM_FRAMES  3u
#define SVM_MSRPM_FRAMES 2u
#define SVM_MSRPM_RANGE  0x800u /* bytes per range of 2000h MSRs */

/* Intercept words: vmcb.intercept[] at 000h, 004h, ... */
enum svm_intercept_word {
	SVM_INTERCEPT_CR, /* reads 15:0, writes 31:16 */
	SVM_INTERCEPT_DR,
	SVM_INTERCEPT_EXCEPTION,
	SVM_INTERCEPT_3,
	SVM_INTERCEPT_4,
	SVM_INTERCEPT_5,
	SVM_INTERCEPT_WORDS
};
#define SVM_CR_READ(n)  (1u << (n))
#define SVM_CR_WRITE(n) (1u << (16 + (n)))

#define SVM_3_INTR          (1u << 0)
#define SVM_3_NMI           (1u << 1)
#define SVM_3_INIT          (1u << 3)
#define SVM_3_VINTR         (1u << 4)
#define SVM_3_CR0_SEL_WRITE (1u << 5)
#define SVM_3_RDPMC         (1u << 15)
#define SVM_3_CPUID         (1u << 18)
#define SVM_3_IRET          (1u << 20)
#define SVM_3_INVD          (1u << 22)
#define SVM_3_HLT           (1u << 24)
#define SVM_3_INVLPGA       (1u << 26)
#define SVM_3_IOIO          (1u << 27)
#define SVM_3_MSR           (1u << 28)
#define SVM_3_TASK_SWITCH   (1u << 29)
#define SVM_3_SHUTDOWN      (1u << 31)

#define SVM_4_VMRUN       (1u << 0)
#define SVM_4_VMMCALL     (1u << 1)
#define SVM_4_VMLOAD      (1u << 2)
#define SVM_4_VMSAVE      (1u << 3)
#define SVM_4_STGI        (1u << 4)
#define SVM_4_CLGI        (1u << 5)
#define SVM_4_SKINIT      (1u << 6)
#define SVM_4_RDTSCP      (1u << 7)
#define SVM_4_ICEBP       (1u << 8)
#define SVM_4_WBINVD      (1u << 9)
#define SVM_4_MONITOR     (1u << 10)
#define SVM_4_MWAIT       (1u << 11)
#define SVM_4_MWAIT_ARMED (1u << 12)
#define SVM_4_XSETBV      (1u << 13)
#define SVM_4_RDPRU       (1u << 14)

#define SVM_5_INVPCID (1u << 2)

/* vmcb.tlb_control */
#define SVM_TLB_NOTHING    0u
#define SVM_TLB_FLUSH_ALL  1u
#define SVM_TLB_FLUSH_ASID 3u

/* vmcb.v_intr */
#define SVM_V_TPR          15ull
#define SVM_V_IRQ          (1ull << 8)
#define SVM_V_GIF          (1ull << 9)
#define SVM_V_INTR_PRIO    (15ull << 16)
#define SVM_V_IGN_TPR      (1ull << 20)
#define SVM_V_VECTOR_SHIFT 32
#define SVM_V_INTR_MASKING (1ull << 24)
#define SVM_V_GIF_ENABLE   (1ull << 25)

#define SVM_INT_SHADOW (1ull << 0)
#define SVM_NP_ENABLE  (1ull << 0)

/* vmcb.clean: set bits are groups of fields that have not changed since the last VMRUN */
#define SVM_CLEAN_I    (1u << 0) /* intercepts, TSC offset */
#define SVM_CLEAN_IOPM (1u << 1)
#define SVM_CLEAN_ASID (1u << 2)
#define SVM_CLEAN_TPR  (1u << 3) /* v_intr */
#define SVM_CLEAN_NP   (1u << 4) /* ncr3, g_pat */
#define SVM_CLEAN_CRX  (1u << 5) /* CR0, CR3, CR4, EFER */
#define SVM_CLEAN_DRX  (1u << 6) /* DR6, DR7 */
#define SVM_CLEAN_DT   (1u << 7) /* GDTR, IDTR */
#define SVM_CLEAN_SEG  (1u << 8) /* ES, CS, SS, DS, CPL */
#define SVM_CLEAN_CR2  (1u << 9)
#define SVM_CLEAN_ALL  0x3ffu

/* EVENTINJ and EXITINTINFO */
#define SVM_EVENT_VECTOR      0xffu
#define SVM_EVENT_TYPE_SHIFT  8
#define SVM_EVENT_TYPE_MASK   7u
#define SVM_EVENT_ERROR_VALID (1ull << 11)
#define SVM_EVENT_VALID       (1ull << 31)
#define SVM_EVENT_ERROR_SHIFT 32
#define SVM_TYPE_INTR         0u
#define SVM_TYPE_NMI          2u
#define SVM_TYPE_EXCEPTION    3u
#define SVM_TYPE_SOFT         4u

/* Exit codes */
#define SVM_EXIT_CR_READ     0x000u
#define SVM_EXIT_CR_WRITE    0x010u
#define SVM_EXIT_EXCEPTION   0x040u
#define SVM_EXIT_INTR        0x060u
#define SVM_EXIT_NMI         0x061u
#define SVM_EXIT_SMI         0x062u
#define SVM_EXIT_INIT        0x063u
#define SVM_EXIT_VINTR       0x064u
#define SVM_EXIT_CR0_SEL     0x065u
#define SVM_EXIT_RDPMC       0x06fu
#define SVM_EXIT_CPUID       0x072u
#define SVM_EXIT_IRET        0x074u
#define SVM_EXIT_INVD        0x076u
#define SVM_EXIT_HLT         0x078u
#define SVM_EXIT_INVLPGA     0x07au
#define SVM_EXIT_IOIO        0x07bu
#define SVM_EXIT_MSR         0x07cu
#define SVM_EXIT_TASK_SWITCH 0x07du
#define SVM_EXIT_SHUTDOWN    0x07fu
#define SVM_EXIT_VMRUN       0x080u
#define SVM_EXIT_VMMCALL     0x081u
#define SVM_EXIT_VMLOAD      0x082u
#define SVM_EXIT_VMSAVE      0x083u
#define SVM_EXIT_STGI        0x084u
#define SVM_EXIT_CLGI        0x085u
#define SVM_EXIT_SKINIT      0x086u
#define SVM_EXIT_RDTSCP      0x087u
#define SVM_EXIT_ICEBP       0x088u
#define SVM_EXIT_WBINVD      0x089u
#define SVM_EXIT_MONITOR     0x08au
#define SVM_EXIT_MWAIT       0x08bu
#define SVM_EXIT_MWAIT_ARMED 0x08cu
#define SVM_EXIT_XSETBV      0x08du
#define SVM_EXIT_RDPRU       0x08eu
#define SVM_EXIT_INVPCID     0x0a2u
#define SVM_EXIT_COUNT       0x0a3u
#define SVM_EXIT_NPF         0x400u
/* 64 bits of ones; QEMU stores 32. The upper half tells nothing more. */
#define SVM_EXIT_INVALID     0xffffffffu

/* EXITINFO1 of IOIO */
#define SVM_IOIO_IN         (1u << 0)
#define SVM_IOIO_STRING     (1u << 2)
#define SVM_IOIO_REP        (1u << 3)
#define SVM_IOIO_SIZE_SHIFT 4 /* one-hot: 1, 2, 4 bytes */
#define SVM_IOIO_PORT_SHIFT 16

/* EXITINFO1 of CR accesses, with decode assists */
#define SVM_CR_INFO_MOV (1ull << 63)
#define SVM_CR_INFO_GPR 0xfu

/* EXITINFO1 of NPF: a page-fault error code, and */
#define SVM_NPF_PRESENT (1ull << 0)
#define SVM_NPF_WRITE   (1ull << 1)
#define SVM_NPF_FETCH   (1ull << 4)
#define SVM_NPF_WALKING (1ull << 33)

#ifndef __ASSEMBLY__

#include "hv/lib/types.h"

struct svm_segment {
	uint16_t selector;
	uint16_t attr; /* descriptor bits 47:40 and 55:52 */
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	/* Control area */
	uint32_t intercept[SVM_INTERCEPT_WORDS];
	uint8_t reserved_018[0x40 - 0x18];
	uint64_t iopm_base;
	uint64_t msrpm_base;
	uint64_t tsc_offset;
	uint32_t asid;
	uint32_t tlb_control;
	uint64_t v_intr;
	uint64_t int_shadow;
	uint64_t exit_code;
	uint64_t exit_info1;
	uint64_t exit_info2;
	uint64_t exit_int_info;
	uint64_t np_control;
	uint8_t reserved_098[0xa8 - 0x98];
	uint64_t event_inj;
	uint64_t ncr3;
	uint64_t lbr_control;
	uint32_t clean;
	uint32_t reserved_0c4;
	uint64_t next_rip;
	uint8_t insn_count; /* decode assists: bytes fetched at a data nested page fault */
	uint8_t insn_bytes[15];
	uint8_t reserved_0e0[0x400 - 0xe0];
	/* State-save area; ES .. GS in the numbering of instruction encodings */
	struct svm_segment seg[6];
	struct svm_segment gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved_4cc;
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t reserved_5e0[0x5f8 - 0x5e0];
	uint64_t rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t g_pat;
	uint8_t reserved_670[0x1000 - 0x670];
};

_Static_assert(sizeof(struct vmcb) == 0x1000, "VMCB, APM vol. 2 appendix B");
_Static_assert(offsetof(struct vmcb, iopm_base) == 0x40, "VMCB");
_Static_assert(offsetof(struct vmcb, asid) == 0x58, "VMCB");
_Static_assert(offsetof(struct vmcb, v_intr) == 0x60, "VMCB");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "VMCB");
_Static_assert(offsetof(struct vmcb, np_control) == 0x90, "VMCB");
_Static_assert(offsetof(struct vmcb, event_inj) == 0xa8, "VMCB");
_Static_assert(offsetof(struct vmcb, clean) == 0xc0, "VMCB");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "VMCB");
_Static_assert(offsetof(struct vmcb, insn_bytes) == 0xd1, "VMCB");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "VMCB");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "VMCB");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "VMCB");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "VMCB");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "VMCB");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "VMCB");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "VMCB");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "VMCB");

#endif
#endif
