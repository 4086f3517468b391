/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID leaves and feature bits, named CPUID_<leaf>_<register>_<feature>. Constants only. */
#ifndef ARCH_X86_DEFS_CPUID_H
#define ARCH_X86_DEFS_CPUID_H

#define CPUID_LEAF_VENDOR     0x00u
#define CPUID_LEAF_FEATURES   0x01u
#define CPUID_LEAF_CACHE      0x04u
#define CPUID_LEAF_MWAIT      0x05u
#define CPUID_LEAF_THERMAL    0x06u
#define CPUID_LEAF_EXTENDED   0x07u
#define CPUID_LEAF_PERFMON    0x0au
#define CPUID_LEAF_TOPOLOGY   0x0bu
#define CPUID_LEAF_XSAVE      0x0du
#define CPUID_LEAF_TSC        0x15u
#define CPUID_LEAF_FREQUENCY  0x16u
#define CPUID_LEAF_TOPOLOGY2  0x1fu
#define CPUID_LEAF_HYPERVISOR 0x40000000u
#define CPUID_LEAF_EXT_MAX    0x80000000u
#define CPUID_LEAF_EXT_FEAT   0x80000001u
#define CPUID_LEAF_SVM        0x8000000au
#define CPUID_LEAF_BRAND      0x80000002u /* to 80000004h */
#define CPUID_LEAF_POWER      0x80000007u
#define CPUID_LEAF_ADDRESS    0x80000008u

/* AMD's own (APM vol. 3, appendix E) */
#define CPUID_LEAF_AMD_SVM      0x8000000au
#define CPUID_LEAF_AMD_TLB1G    0x80000019u
#define CPUID_LEAF_AMD_PERF     0x8000001au
#define CPUID_LEAF_AMD_CACHE    0x8000001du
#define CPUID_LEAF_AMD_TOPOLOGY 0x8000001eu
#define CPUID_LEAF_AMD_EXT2     0x80000021u

#define CPUID_VENDOR_INTEL_ECX 0x6c65746eu /* "ntel" */
#define CPUID_VENDOR_AMD_ECX   0x444d4163u /* "cAMD" */
#define CPUID_VENDOR_HYGON_EBX 0x6f677948u /* "Hygo" */
#define CPUID_VENDOR_HYGON_ECX 0x656e6975u /* "uine" */

#define CPUID_1_ECX_SSE3         (1u << 0)
#define CPUID_1_ECX_PCLMULQDQ    (1u << 1)
#define CPUID_1_ECX_DTES64       (1u << 2)
#define CPUID_1_ECX_MONITOR      (1u << 3)
#define CPUID_1_ECX_DS_CPL       (1u << 4)
#define CPUID_1_ECX_VMX          (1u << 5)
#define CPUID_1_ECX_SMX          (1u << 6)
#define CPUID_1_ECX_EIST         (1u << 7)
#define CPUID_1_ECX_TM2          (1u << 8)
#define CPUID_1_ECX_SSSE3        (1u << 9)
#define CPUID_1_ECX_SDBG         (1u << 11)
#define CPUID_1_ECX_FMA          (1u << 12)
#define CPUID_1_ECX_CMPXCHG16B   (1u << 13)
#define CPUID_1_ECX_XTPR         (1u << 14)
#define CPUID_1_ECX_PDCM         (1u << 15)
#define CPUID_1_ECX_PCID         (1u << 17)
#define CPUID_1_ECX_DCA          (1u << 18)
#define CPUID_1_ECX_SSE4_1       (1u << 19)
#define CPUID_1_ECX_SSE4_2       (1u << 20)
#define CPUID_1_ECX_X2APIC       (1u << 21)
#define CPUID_1_ECX_MOVBE        (1u << 22)
#define CPUID_1_ECX_POPCNT       (1u << 23)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_ECX_AES          (1u << 25)
#define CPUID_1_ECX_XSAVE        (1u << 26)
#define CPUID_1_ECX_OSXSAVE      (1u << 27)
#define CPUID_1_ECX_AVX          (1u << 28)
#define CPUID_1_ECX_F16C         (1u << 29)
#define CPUID_1_ECX_RDRAND       (1u << 30)
#define CPUID_1_ECX_HYPERVISOR   (1u << 31)

#define CPUID_1_EDX_FPU   (1u << 0)
#define CPUID_1_EDX_VME   (1u << 1)
#define CPUID_1_EDX_DE    (1u << 2)
#define CPUID_1_EDX_PSE   (1u << 3)
#define CPUID_1_EDX_TSC   (1u << 4)
#define CPUID_1_EDX_MSR   (1u << 5)
#define CPUID_1_EDX_PAE   (1u << 6)
#define CPUID_1_EDX_MCE   (1u << 7)
#define CPUID_1_EDX_CX8   (1u << 8)
#define CPUID_1_EDX_APIC  (1u << 9)
#define CPUID_1_EDX_SEP   (1u << 11)
#define CPUID_1_EDX_MTRR  (1u << 12)
#define CPUID_1_EDX_PGE   (1u << 13)
#define CPUID_1_EDX_MCA   (1u << 14)
#define CPUID_1_EDX_CMOV  (1u << 15)
#define CPUID_1_EDX_PAT   (1u << 16)
#define CPUID_1_EDX_PSE36 (1u << 17)
#define CPUID_1_EDX_PSN   (1u << 18)
#define CPUID_1_EDX_CLFSH (1u << 19)
#define CPUID_1_EDX_DS    (1u << 21)
#define CPUID_1_EDX_ACPI  (1u << 22)
#define CPUID_1_EDX_MMX   (1u << 23)
#define CPUID_1_EDX_FXSR  (1u << 24)
#define CPUID_1_EDX_SSE   (1u << 25)
#define CPUID_1_EDX_SSE2  (1u << 26)
#define CPUID_1_EDX_SS    (1u << 27)
#define CPUID_1_EDX_HTT   (1u << 28)
#define CPUID_1_EDX_TM    (1u << 29)
#define CPUID_1_EDX_PBE   (1u << 31)

#define CPUID_7_EBX_FSGSBASE   (1u << 0)
#define CPUID_7_EBX_TSC_ADJUST (1u << 1)
#define CPUID_7_EBX_SGX        (1u << 2)
#define CPUID_7_EBX_BMI1       (1u << 3)
#define CPUID_7_EBX_HLE        (1u << 4)
#define CPUID_7_EBX_AVX2       (1u << 5)
#define CPUID_7_EBX_FDP_EXCPTN (1u << 6)
#define CPUID_7_EBX_SMEP       (1u << 7)
#define CPUID_7_EBX_BMI2       (1u << 8)
#define CPUID_7_EBX_ERMS       (1u << 9)
#define CPUID_7_EBX_INVPCID    (1u << 10)
#define CPUID_7_EBX_RTM        (1u << 11)
#define CPUID_7_EBX_PQM        (1u << 12)
#define CPUID_7_EBX_FPU_CS_DS  (1u << 13)
#define CPUID_7_EBX_MPX        (1u << 14)
#define CPUID_7_EBX_PQE        (1u << 15)
#define CPUID_7_EBX_AVX512F    (1u << 16)
#define CPUID_7_EBX_AVX512DQ   (1u << 17)
#define CPUID_7_EBX_RDSEED     (1u << 18)
#define CPUID_7_EBX_ADX        (1u << 19)
#define CPUID_7_EBX_SMAP       (1u << 20)
#define CPUID_7_EBX_CLFLUSHOPT (1u << 23)
#define CPUID_7_EBX_CLWB       (1u << 24)
#define CPUID_7_EBX_PT         (1u << 25)
#define CPUID_7_EBX_AVX512CD   (1u << 28)
#define CPUID_7_EBX_SHA        (1u << 29)
#define CPUID_7_EBX_AVX512BW   (1u << 30)
#define CPUID_7_EBX_AVX512VL   (1u << 31)

#define CPUID_7_ECX_UMIP     (1u << 2)
#define CPUID_7_ECX_PKU      (1u << 3)
#define CPUID_7_ECX_OSPKE    (1u << 4)
#define CPUID_7_ECX_WAITPKG  (1u << 5)
#define CPUID_7_ECX_CET_SS   (1u << 7)
#define CPUID_7_ECX_TME      (1u << 13)
#define CPUID_7_ECX_LA57     (1u << 16)
#define CPUID_7_ECX_RDPID    (1u << 22)
#define CPUID_7_ECX_KL       (1u << 23)
#define CPUID_7_ECX_BUS_LOCK (1u << 24)
#define CPUID_7_ECX_ENQCMD   (1u << 29)
#define CPUID_7_ECX_PKS      (1u << 31)

#define CPUID_7_EDX_UINTR     (1u << 5)
#define CPUID_7_EDX_MD_CLEAR  (1u << 10)
#define CPUID_7_EDX_HYBRID    (1u << 15)
#define CPUID_7_EDX_PCONFIG   (1u << 18)
#define CPUID_7_EDX_ARCH_LBR  (1u << 19)
#define CPUID_7_EDX_CET_IBT   (1u << 20)
#define CPUID_7_EDX_AMX_BF16  (1u << 22)
#define CPUID_7_EDX_AMX_TILE  (1u << 24)
#define CPUID_7_EDX_AMX_INT8  (1u << 25)
#define CPUID_7_EDX_IBRS_IBPB (1u << 26)
#define CPUID_7_EDX_STIBP     (1u << 27)
#define CPUID_7_EDX_L1D_FLUSH (1u << 28)
#define CPUID_7_EDX_ARCH_CAPS (1u << 29)
#define CPUID_7_EDX_CORE_CAPS (1u << 30)
#define CPUID_7_EDX_SSBD      (1u << 31)

#define CPUID_D_1_EAX_XSAVEOPT (1u << 0)
#define CPUID_D_1_EAX_XSAVEC   (1u << 1)
#define CPUID_D_1_EAX_XGETBV1  (1u << 2)
#define CPUID_D_1_EAX_XSAVES   (1u << 3)
#define CPUID_D_N_ECX_ALIGNED  (1u << 1) /* subleaves from 2 on */
#define CPUID_D_1_EAX_XFD      (1u << 4)

#define CPUID_EXT1_ECX_LAHF          (1u << 0)
#define CPUID_EXT1_ECX_CMP_LEGACY    (1u << 1)
#define CPUID_EXT1_ECX_SVM           (1u << 2)
#define CPUID_EXT1_ECX_EXTAPIC       (1u << 3)
#define CPUID_EXT1_ECX_CR8_LEGACY    (1u << 4)
#define CPUID_EXT1_ECX_ABM           (1u << 5)
#define CPUID_EXT1_ECX_OSVW          (1u << 9)
#define CPUID_EXT1_ECX_IBS           (1u << 10)
#define CPUID_EXT1_ECX_SKINIT        (1u << 12)
#define CPUID_EXT1_ECX_WDT           (1u << 13)
#define CPUID_EXT1_ECX_LWP           (1u << 15)
#define CPUID_EXT1_ECX_TCE           (1u << 17)
#define CPUID_EXT1_ECX_NODEID        (1u << 19)
#define CPUID_EXT1_ECX_TOPOEXT       (1u << 22)
#define CPUID_EXT1_ECX_PERFCTR_CORE  (1u << 23)
#define CPUID_EXT1_ECX_PERFCTR_NB    (1u << 24)
#define CPUID_EXT1_ECX_DATA_BP       (1u << 26)
#define CPUID_EXT1_ECX_PERF_TSC      (1u << 27)
#define CPUID_EXT1_ECX_PERFCTR_LLC   (1u << 28)
#define CPUID_EXT1_ECX_MONITORX      (1u << 29)
#define CPUID_EXT1_ECX_ADDR_MASK_EXT (1u << 30)

#define CPUID_EXT1_EDX_SYSCALL (1u << 11)
#define CPUID_EXT1_EDX_NX      (1u << 20)
#define CPUID_EXT1_EDX_FFXSR   (1u << 25)
#define CPUID_EXT1_EDX_PAGE1GB (1u << 26)
#define CPUID_EXT1_EDX_RDTSCP  (1u << 27)
#define CPUID_EXT1_EDX_LM      (1u << 29)
/* AMD repeats these bits of leaf 1 here */
#define CPUID_EXT1_EDX_ALIASES 0x0183f3ffu

#define CPUID_EXT7_EDX_INVARIANT_TSC (1u << 8)

#define CPUID_EXT8_EBX_CLZERO     (1u << 0)
#define CPUID_EXT8_EBX_IRPERF     (1u << 1)
#define CPUID_EXT8_EBX_XSAVEERPTR (1u << 2)
#define CPUID_EXT8_EBX_INVLPGB    (1u << 3)
#define CPUID_EXT8_EBX_RDPRU      (1u << 4)
#define CPUID_EXT8_EBX_MCOMMIT    (1u << 8)
#define CPUID_EXT8_EBX_WBNOINVD   (1u << 9)
#define CPUID_EXT8_EBX_IBPB       (1u << 12)
#define CPUID_EXT8_EBX_IBRS       (1u << 14)
#define CPUID_EXT8_EBX_STIBP      (1u << 15)
#define CPUID_EXT8_EBX_NO_LMSLE   (1u << 20)
#define CPUID_EXT8_EBX_PPIN       (1u << 23)
#define CPUID_EXT8_EBX_SSBD       (1u << 24)
#define CPUID_EXT8_EBX_VIRT_SSBD  (1u << 25)
#define CPUID_EXT8_EBX_SSB_NO     (1u << 26)
#define CPUID_EXT8_EBX_CPPC       (1u << 27)
#define CPUID_EXT8_EBX_BTC_NO     (1u << 29)
#define CPUID_EXT8_ECX_COUNT_MASK 0xffu
#define CPUID_EXT8_ECX_BITS_SHIFT 12

#define CPUID_EXT21_EAX_NO_NESTED_DATA_BP (1u << 0)
#define CPUID_EXT21_EAX_BASE_WRITE_NS     (1u << 1)
#define CPUID_EXT21_EAX_LFENCE_SERIALIZES (1u << 2)
#define CPUID_EXT21_EAX_SMM_PGCFG_LOCK    (1u << 3)
#define CPUID_EXT21_EAX_VERW_CLEAR        (1u << 5)
#define CPUID_EXT21_EAX_NULL_CLEARS_BASE  (1u << 6)
#define CPUID_EXT21_EAX_UAI               (1u << 7)
#define CPUID_EXT21_EAX_AUTO_IBRS         (1u << 8)
#define CPUID_EXT21_EAX_NO_SMM_CTL        (1u << 9)
#define CPUID_EXT21_EAX_FSRS              (1u << 10)
#define CPUID_EXT21_EAX_FSRC              (1u << 11)
#define CPUID_EXT21_EAX_PREFETCH_CTL      (1u << 13)
#define CPUID_EXT21_EAX_CPUID_USER_DIS    (1u << 17)
#define CPUID_EXT21_EAX_SRSO_NO           (1u << 29)
#define CPUID_EXT21_EAX_SRSO_UK_NO        (1u << 30)

/* Leaf 4000_0000h of QEMU without KVM: "TCGTCGTCGTCG" */
#define CPUID_HYPERVISOR_TCG_EBX 0x54474354u
#define CPUID_HYPERVISOR_TCG_ECX 0x43544743u
#define CPUID_HYPERVISOR_TCG_EDX 0x47435447u

#endif
