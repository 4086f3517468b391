/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x constants with the SDM's names (vol. 3, "VMX capability reporting", "Field encoding in
 * VMCS", "VMX basic exit reasons"). Constants only.
 */
#ifndef ARCH_X86_DEFS_VMX_H
#define ARCH_X86_DEFS_VMX_H

#define MSR_IA32_VMX_BASIC           0x480
#define MSR_IA32_VMX_PINBASED_CTLS   0x481
#define MSR_IA32_VMX_PROCBASED_CTLS  0x482
#define MSR_IA32_VMX_EXIT_CTLS       0x483
#define MSR_IA32_VMX_ENTRY_CTLS      0x484
#define MSR_IA32_VMX_MISC            0x485
#define MSR_IA32_VMX_CR0_FIXED0      0x486
#define MSR_IA32_VMX_CR0_FIXED1      0x487
#define MSR_IA32_VMX_CR4_FIXED0      0x488
#define MSR_IA32_VMX_CR4_FIXED1      0x489
#define MSR_IA32_VMX_PROCBASED_CTLS2 0x48b
#define MSR_IA32_VMX_EPT_VPID_CAP    0x48c
#define MSR_IA32_VMX_TRUE_PINBASED   0x48d
#define MSR_IA32_VMX_TRUE_PROCBASED  0x48e
#define MSR_IA32_VMX_TRUE_EXIT       0x48f
#define MSR_IA32_VMX_TRUE_ENTRY      0x490

/* IA32_VMX_MISC: the preemption timer counts once in 2^this ticks of the TSC */
#define VMX_MISC_TIMER_RATE 0x1full

/* IA32_VMX_BASIC */
#define VMX_BASIC_REVISION_MASK 0x7fffffffull
#define VMX_BASIC_SIZE_SHIFT    32
#define VMX_BASIC_SIZE_MASK     0x1fffull
#define VMX_BASIC_32BIT_ADDR    (1ull << 48)
#define VMX_BASIC_MEMTYPE_SHIFT 50
#define VMX_BASIC_MEMTYPE_MASK  0xfull
#define VMX_BASIC_TRUE_CTLS     (1ull << 55)

/* IA32_VMX_EPT_VPID_CAP */
#define EPT_CAP_WALK_4          (1ull << 6)
#define EPT_CAP_WB              (1ull << 14)
#define EPT_CAP_2M              (1ull << 16)
#define EPT_CAP_1G              (1ull << 17)
#define EPT_CAP_INVEPT          (1ull << 20)
#define EPT_CAP_AD              (1ull << 21)
#define EPT_CAP_INVEPT_SINGLE   (1ull << 25)
#define EPT_CAP_INVEPT_ALL      (1ull << 26)
#define VPID_CAP_INVVPID        (1ull << 32)
#define VPID_CAP_INVVPID_SINGLE (1ull << 41)
#define VPID_CAP_INVVPID_ALL    (1ull << 42)

/* EPT pointer */
#define EPTP_MEMTYPE_WB 6ull
#define EPTP_WALK_4     (3ull << 3)
#define EPTP_AD         (1ull << 6)

#define INVEPT_SINGLE  1ull
#define INVEPT_ALL     2ull
#define INVVPID_SINGLE 1ull
#define INVVPID_ALL    2ull

/* Pin-based controls */
#define PIN_EXTERNAL_INTERRUPT_EXITING (1u << 0)
#define PIN_NMI_EXITING                (1u << 3)
#define PIN_VIRTUAL_NMIS               (1u << 5)

/* Primary processor-based controls */
#define PROC_INTERRUPT_WINDOW_EXITING (1u << 2)
#define PROC_USE_TSC_OFFSETTING       (1u << 3)
#define PROC_HLT_EXITING              (1u << 7)
#define PROC_INVLPG_EXITING           (1u << 9)
#define PROC_MWAIT_EXITING            (1u << 10)
#define PROC_RDPMC_EXITING            (1u << 11)
#define PROC_RDTSC_EXITING            (1u << 12)
#define PROC_CR3_LOAD_EXITING         (1u << 15)
#define PROC_CR3_STORE_EXITING        (1u << 16)
#define PROC_CR8_LOAD_EXITING         (1u << 19)
#define PROC_CR8_STORE_EXITING        (1u << 20)
#define PROC_USE_TPR_SHADOW           (1u << 21)
#define PROC_NMI_WINDOW_EXITING       (1u << 22)
#define PROC_MOV_DR_EXITING           (1u << 23)
#define PROC_UNCONDITIONAL_IO_EXITING (1u << 24)
#define PROC_USE_IO_BITMAPS           (1u << 25)
#define PROC_USE_MSR_BITMAPS          (1u << 28)
#define PROC_MONITOR_EXITING          (1u << 29)
#define PROC_PAUSE_EXITING            (1u << 30)
#define PROC_ACTIVATE_SECONDARY       (1u << 31)

/* Secondary processor-based controls */
#define PROC2_VIRTUALIZE_APIC    (1u << 0) /* accesses of the page */
#define PROC2_ENABLE_EPT         (1u << 1)
#define PROC2_ENABLE_RDTSCP      (1u << 3)
#define PROC2_VIRTUALIZE_X2APIC  (1u << 4)
#define PROC2_ENABLE_VPID        (1u << 5)
#define PROC2_WBINVD_EXITING     (1u << 6)
#define PROC2_UNRESTRICTED_GUEST (1u << 7)
#define PROC2_APIC_REGISTERS     (1u << 8)
#define PROC2_VIRTUAL_INTERRUPTS (1u << 9)
#define PROC2_ENABLE_INVPCID     (1u << 12)
#define PROC2_ENABLE_XSAVES      (1u << 20)

/* VM-exit controls */
#define EXIT_SAVE_DEBUG_CONTROLS (1u << 2)
#define EXIT_HOST_64BIT          (1u << 9)
#define EXIT_SAVE_PAT            (1u << 18)
#define EXIT_LOAD_PAT            (1u << 19)
#define EXIT_SAVE_EFER           (1u << 20)
#define EXIT_LOAD_EFER           (1u << 21)

/* VM-entry controls */
#define ENTRY_LOAD_DEBUG_CONTROLS (1u << 2)
#define ENTRY_IA32E_MODE_GUEST    (1u << 9)
#define ENTRY_LOAD_PAT            (1u << 14)
#define ENTRY_LOAD_EFER           (1u << 15)

/* VMCS fields: 16-bit */
#define VMCS_VPID              0x0000
#define VMCS_GUEST_ES_SELECTOR 0x0800 /* then CS SS DS FS GS LDTR TR, two apart */
#define VMCS_GUEST_INTR_STATUS 0x0810 /* RVI, and SVI in the upper byte */
#define VMCS_HOST_ES_SELECTOR  0x0c00
#define VMCS_HOST_CS_SELECTOR  0x0c02
#define VMCS_HOST_SS_SELECTOR  0x0c04
#define VMCS_HOST_DS_SELECTOR  0x0c06
#define VMCS_HOST_FS_SELECTOR  0x0c08
#define VMCS_HOST_GS_SELECTOR  0x0c0a
#define VMCS_HOST_TR_SELECTOR  0x0c0c

/* 64-bit */
#define VMCS_IO_BITMAP_A        0x2000
#define VMCS_IO_BITMAP_B        0x2002
#define VMCS_MSR_BITMAP         0x2004
#define VMCS_TSC_OFFSET         0x2010
#define VMCS_VIRTUAL_APIC       0x2012
#define VMCS_APIC_ACCESS        0x2014
#define VMCS_EPT_POINTER        0x201a
#define VMCS_EOI_EXIT0          0x201c /* then three more, two apart */
#define VMCS_XSS_EXITING_BITMAP 0x202c
#define VMCS_GUEST_PHYSICAL     0x2400
#define VMCS_LINK_POINTER       0x2800
#define VMCS_GUEST_DEBUGCTL     0x2802
#define VMCS_GUEST_PAT          0x2804
#define VMCS_GUEST_EFER         0x2806
#define VMCS_GUEST_PDPTE0       0x280a /* then three more, two apart */
#define VMCS_HOST_PAT           0x2c00
#define VMCS_HOST_EFER          0x2c02

/* 32-bit */
#define VMCS_PIN_CONTROLS           0x4000
#define VMCS_PROC_CONTROLS          0x4002
#define VMCS_EXCEPTION_BITMAP       0x4004
#define VMCS_PF_ERROR_MASK          0x4006
#define VMCS_PF_ERROR_MATCH         0x4008
#define VMCS_CR3_TARGET_COUNT       0x400a
#define VMCS_EXIT_CONTROLS          0x400c
#define VMCS_EXIT_MSR_STORE_COUNT   0x400e
#define VMCS_EXIT_MSR_LOAD_COUNT    0x4010
#define VMCS_ENTRY_CONTROLS         0x4012
#define VMCS_ENTRY_MSR_LOAD_COUNT   0x4014
#define VMCS_ENTRY_INTR_INFO        0x4016
#define VMCS_ENTRY_ERROR_CODE       0x4018
#define VMCS_ENTRY_INSN_LENGTH      0x401a
#define VMCS_TPR_THRESHOLD          0x401c
#define VMCS_PROC2_CONTROLS         0x401e
#define VMCS_INSN_ERROR             0x4400
#define VMCS_EXIT_REASON            0x4402
#define VMCS_EXIT_INTR_INFO         0x4404
#define VMCS_EXIT_INTR_ERROR        0x4406
#define VMCS_IDT_VECTORING_INFO     0x4408
#define VMCS_IDT_VECTORING_ERROR    0x440a
#define VMCS_EXIT_INSN_LENGTH       0x440c
#define VMCS_EXIT_INSN_INFO         0x440e
#define VMCS_GUEST_ES_LIMIT         0x4800
#define VMCS_GUEST_GDTR_LIMIT       0x4810
#define VMCS_GUEST_IDTR_LIMIT       0x4812
#define VMCS_GUEST_ES_RIGHTS        0x4814
#define VMCS_GUEST_INTERRUPTIBILITY 0x4824
#define VMCS_GUEST_ACTIVITY         0x4826
#define VMCS_GUEST_SYSENTER_CS      0x482a
#define VMCS_HOST_SYSENTER_CS       0x4c00

/* natural width */
#define VMCS_CR0_MASK            0x6000
#define VMCS_CR4_MASK            0x6002
#define VMCS_CR0_SHADOW          0x6004
#define VMCS_CR4_SHADOW          0x6006
#define VMCS_EXIT_QUALIFICATION  0x6400
#define VMCS_GUEST_LINEAR        0x640a
#define VMCS_GUEST_CR0           0x6800
#define VMCS_GUEST_CR3           0x6802
#define VMCS_GUEST_CR4           0x6804
#define VMCS_GUEST_ES_BASE       0x6806
#define VMCS_GUEST_GDTR_BASE     0x6816
#define VMCS_GUEST_IDTR_BASE     0x6818
#define VMCS_GUEST_DR7           0x681a
#define VMCS_GUEST_RSP           0x681c
#define VMCS_GUEST_RIP           0x681e
#define VMCS_GUEST_RFLAGS        0x6820
#define VMCS_GUEST_PENDING_DEBUG 0x6822
#define VMCS_GUEST_SYSENTER_ESP  0x6824
#define VMCS_GUEST_SYSENTER_EIP  0x6826
#define VMCS_HOST_CR0            0x6c00
#define VMCS_HOST_CR3            0x6c02
#define VMCS_HOST_CR4            0x6c04
#define VMCS_HOST_FS_BASE        0x6c06
#define VMCS_HOST_GS_BASE        0x6c08
#define VMCS_HOST_TR_BASE        0x6c0a
#define VMCS_HOST_GDTR_BASE      0x6c0c
#define VMCS_HOST_IDTR_BASE      0x6c0e
#define VMCS_HOST_SYSENTER_ESP   0x6c10
#define VMCS_HOST_SYSENTER_EIP   0x6c12
#define VMCS_HOST_RSP            0x6c14
#define VMCS_HOST_RIP            0x6c16

/* Basic exit reasons */
#define VMX_EXIT_EXCEPTION_NMI       0
#define VMX_EXIT_EXTERNAL_INTERRUPT  1
#define VMX_EXIT_TRIPLE_FAULT        2
#define VMX_EXIT_INIT                3
#define VMX_EXIT_SIPI                4
#define VMX_EXIT_INTERRUPT_WINDOW    7
#define VMX_EXIT_NMI_WINDOW          8
#define VMX_EXIT_TASK_SWITCH         9
#define VMX_EXIT_CPUID               10
#define VMX_EXIT_GETSEC              11
#define VMX_EXIT_HLT                 12
#define VMX_EXIT_INVD                13
#define VMX_EXIT_INVLPG              14
#define VMX_EXIT_RDPMC               15
#define VMX_EXIT_RDTSC               16
#define VMX_EXIT_VMCALL              18
#define VMX_EXIT_VMCLEAR             19
#define VMX_EXIT_VMXON               27
#define VMX_EXIT_CR_ACCESS           28
#define VMX_EXIT_DR_ACCESS           29
#define VMX_EXIT_IO                  30
#define VMX_EXIT_RDMSR               31
#define VMX_EXIT_WRMSR               32
#define VMX_EXIT_ENTRY_GUEST_STATE   33
#define VMX_EXIT_ENTRY_MSR_LOAD      34
#define VMX_EXIT_MWAIT               36
#define VMX_EXIT_MONITOR             39
#define VMX_EXIT_PAUSE               40
#define VMX_EXIT_ENTRY_MACHINE_CHECK 41
#define VMX_EXIT_TPR_THRESHOLD       43
#define VMX_EXIT_APIC_ACCESS         44
#define VMX_EXIT_VIRTUALIZED_EOI     45
#define VMX_EXIT_EPT_VIOLATION       48
#define VMX_EXIT_EPT_MISCONFIG       49
#define VMX_EXIT_INVEPT              50
#define VMX_EXIT_RDTSCP              51
#define VMX_EXIT_INVVPID             53
#define VMX_EXIT_WBINVD              54
#define VMX_EXIT_XSETBV              55
#define VMX_EXIT_APIC_WRITE          56
#define VMX_EXIT_INVPCID             58
#define VMX_EXIT_VMFUNC              59
#define VMX_EXIT_SEAMCALL            76
#define VMX_EXIT_TDCALL              77
#define VMX_EXIT_COUNT               78
#define VMX_EXIT_ENTRY_FAILURE       (1u << 31)

/* Interruption information (exit, entry and IDT-vectoring share the layout) */
#define INTR_INFO_VECTOR      0xffu
#define INTR_INFO_TYPE_SHIFT  8
#define INTR_INFO_TYPE_MASK   7u
#define INTR_INFO_ERROR_VALID (1u << 11)
#define INTR_INFO_NMI_UNBLOCK (1u << 12)
#define INTR_INFO_VALID       (1u << 31)

/* Interruptibility state */
#define INTERRUPTIBILITY_STI    1u
#define INTERRUPTIBILITY_MOV_SS 2u
#define INTERRUPTIBILITY_SMI    4u
#define INTERRUPTIBILITY_NMI    8u

#define PENDING_DEBUG_BS (1ull << 14)

/* Exit qualification of an APIC access */
#define APIC_ACCESS_OFFSET     0xfffu
#define APIC_ACCESS_TYPE_SHIFT 12
#define APIC_ACCESS_TYPE_MASK  15u
#define APIC_ACCESS_READ       0u /* by a linear address, as the next three */
#define APIC_ACCESS_WRITE      1u
#define APIC_ACCESS_FETCH      2u
#define APIC_ACCESS_DELIVERY   3u /* of an event */

/* Segment access rights: as in a descriptor, bit 16 = unusable */
#define RIGHTS_UNUSABLE (1u << 16)

#endif
