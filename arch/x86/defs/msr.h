/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers by the manual's names. Constants only; VMX and SVM ones live elsewhere.
 */
#ifndef ARCH_X86_DEFS_MSR_H
#define ARCH_X86_DEFS_MSR_H

#define MSR_IA32_P5_MC_ADDR        0x00000000u
#define MSR_IA32_P5_MC_TYPE        0x00000001u
#define MSR_IA32_TSC               0x00000010u
#define MSR_IA32_PLATFORM_ID       0x00000017u
#define MSR_IA32_APIC_BASE         0x0000001bu
#define MSR_IA32_FEATURE_CONTROL   0x0000003au
#define MSR_IA32_TSC_ADJUST        0x0000003bu
#define MSR_IA32_SPEC_CTRL         0x00000048u
#define MSR_IA32_PRED_CMD          0x00000049u
#define MSR_IA32_BIOS_UPDT_TRIG    0x00000079u
#define MSR_IA32_BIOS_SIGN_ID      0x0000008bu
#define MSR_IA32_XAPIC_DISABLE     0x000000bdu /* IA32_XAPIC_DISABLE_STATUS */
#define MSR_PLATFORM_INFO          0x000000ceu
#define MSR_IA32_MTRRCAP           0x000000feu
#define MSR_IA32_ARCH_CAPABILITIES 0x0000010au
#define MSR_IA32_FLUSH_CMD         0x0000010bu
#define MSR_IA32_TSX_CTRL          0x00000122u
#define MSR_MISC_FEATURES_ENABLES  0x00000140u
#define MSR_IA32_SYSENTER_CS       0x00000174u
#define MSR_IA32_SYSENTER_ESP      0x00000175u
#define MSR_IA32_SYSENTER_EIP      0x00000176u
#define MSR_IA32_MCG_CAP           0x00000179u
#define MSR_IA32_MCG_STATUS        0x0000017au
#define MSR_IA32_MCG_CTL           0x0000017bu
#define MSR_IA32_PERF_STATUS       0x00000198u
#define MSR_IA32_PERF_CTL          0x00000199u
#define MSR_IA32_THERM_STATUS      0x0000019cu
#define MSR_IA32_MISC_ENABLE       0x000001a0u
#define MSR_IA32_DEBUGCTL          0x000001d9u
#define MSR_IA32_MTRR_PHYSBASE0    0x00000200u
#define MSR_IA32_MTRR_PHYSMASK0    0x00000201u
#define MSR_IA32_MTRR_FIX64K_00000 0x00000250u
#define MSR_IA32_MTRR_FIX16K_80000 0x00000258u
#define MSR_IA32_MTRR_FIX16K_A0000 0x00000259u
#define MSR_IA32_MTRR_FIX4K_C0000  0x00000268u
#define MSR_IA32_MTRR_FIX4K_F8000  0x0000026fu
#define MSR_IA32_PAT               0x00000277u
#define MSR_IA32_MTRR_DEF_TYPE     0x000002ffu
#define MSR_IA32_PERF_CAPABILITIES 0x00000345u
#define MSR_IA32_PERF_GLOBAL_CTRL  0x0000038fu
#define MSR_IA32_MC0_CTL           0x00000400u
#define MSR_IA32_TSC_DEADLINE      0x000006e0u
#define MSR_IA32_X2APIC_BASE       0x00000800u /* register at xAPIC offset o: base + o / 16 */
#define MSR_IA32_PKRS              0x000006e1u
#define MSR_IA32_XSS               0x00000da0u

#define MSR_IA32_EFER           0xc0000080u
#define MSR_IA32_STAR           0xc0000081u
#define MSR_IA32_LSTAR          0xc0000082u
#define MSR_IA32_CSTAR          0xc0000083u
#define MSR_IA32_FMASK          0xc0000084u
#define MSR_IA32_FS_BASE        0xc0000100u
#define MSR_IA32_GS_BASE        0xc0000101u
#define MSR_IA32_KERNEL_GS_BASE 0xc0000102u
#define MSR_IA32_TSC_AUX        0xc0000103u

/* AMD (APM vol. 2, appendix A; the rest from the BKDGs and PPRs of the families that have them) */
#define MSR_AMD_PATCH_LEVEL  0x0000008bu
#define MSR_AMD_BR_FROM      0x000001dbu /* last branch, last exception: to 1DEh */
#define MSR_AMD_INT_TO       0x000001deu
#define MSR_PERF_EVT_SEL0    0xc0010000u /* four selectors, then four counters */
#define MSR_PERF_CTR3        0xc0010007u
#define MSR_F15H_PERF_CTL0   0xc0010200u /* then CTR0, CTL1, ... */
#define MSR_F15H_PERF_CTR5   0xc001020bu
#define MSR_SYSCFG           0xc0010010u
#define MSR_HWCR             0xc0010015u
#define MSR_IORR_BASE0       0xc0010016u /* two pairs */
#define MSR_IORR_MASK1       0xc0010019u
#define MSR_TOP_MEM          0xc001001au
#define MSR_TOP_MEM2         0xc001001du
#define MSR_NB_CFG           0xc001001fu
#define MSR_PATCH_LOADER     0xc0010020u
#define MSR_INT_PENDING      0xc0010055u
#define MSR_MMIO_CONF_BASE   0xc0010058u
#define MSR_PSTATE_CUR_LIMIT 0xc0010061u
#define MSR_PSTATE_DEF7      0xc001006bu
#define MSR_SMM_ADDR         0xc0010112u
#define MSR_SMM_MASK         0xc0010113u
#define MSR_OSVW_ID_LENGTH   0xc0010140u
#define MSR_AMD_LS_CFG       0xc0011020u
#define MSR_AMD_DC_CFG       0xc0011022u
#define MSR_AMD_TW_CFG       0xc0011023u
#define MSR_AMD_DE_CFG       0xc0011029u
#define MSR_AMD_BU_CFG2      0xc001102au
#define MSR_AMD_EX_CFG       0xc001102cu

/* HWCR */
#define HWCR_TLB_CACHE_DIS   (1ull << 3)
#define HWCR_INVD_WBINVD     (1ull << 4)
#define HWCR_FF_DIS          (1ull << 6)
#define HWCR_IGNNE_EM        (1ull << 8)
#define HWCR_MC_STATUS_WR_EN (1ull << 18)
#define HWCR_TSC_FREQ_SEL    (1ull << 24)
#define HWCR_CPB_DIS         (1ull << 25)

/* DE_CFG */
#define DE_CFG_LFENCE_SERIALIZES (1ull << 1)

/* SYSCFG */
#define SYSCFG_TOM2_EN       (1ull << 21)
#define SYSCFG_TOM2_FORCE_WB (1ull << 22)

/* IA32_APIC_BASE */
#define APIC_BASE_BSP       (1ull << 8)
#define APIC_BASE_EXTD      (1ull << 10)
#define APIC_BASE_EN        (1ull << 11)
#define APIC_BASE_ADDR_MASK 0x000ffffffffff000ull

/* IA32_FEATURE_CONTROL */
#define FEATURE_CONTROL_LOCK            (1ull << 0)
#define FEATURE_CONTROL_VMX_INSIDE_SMX  (1ull << 1)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX (1ull << 2)

/* IA32_EFER */
#define EFER_SCE   (1ull << 0)
#define EFER_LME   (1ull << 8)
#define EFER_LMA   (1ull << 10)
#define EFER_NXE   (1ull << 11)
#define EFER_SVME  (1ull << 12)
#define EFER_LMSLE (1ull << 13)
#define EFER_FFXSR (1ull << 14)
#define EFER_TCE   (1ull << 15)

/* IA32_ARCH_CAPABILITIES */
#define ARCH_CAP_RDCL_NO            (1ull << 0)
#define ARCH_CAP_IBRS_ALL           (1ull << 1)
#define ARCH_CAP_RSBA               (1ull << 2)
#define ARCH_CAP_SKIP_L1DFL_VMENTRY (1ull << 3)
#define ARCH_CAP_SSB_NO             (1ull << 4)
#define ARCH_CAP_MDS_NO             (1ull << 5)
#define ARCH_CAP_IF_PSCHANGE_MC_NO  (1ull << 6)
#define ARCH_CAP_TSX_CTRL           (1ull << 7)
#define ARCH_CAP_TAA_NO             (1ull << 8)
#define ARCH_CAP_XAPIC_DISABLE      (1ull << 21)

/* IA32_XAPIC_DISABLE_STATUS */
#define XAPIC_DISABLE_LOCKED (1ull << 0)

/* IA32_MISC_ENABLE */
#define MISC_ENABLE_FAST_STRINGS (1ull << 0)
#define MISC_ENABLE_TCC          (1ull << 3) /* thermal control */
#define MISC_ENABLE_EMON         (1ull << 7) /* performance monitoring available */
#define MISC_ENABLE_BTS_UNAVAIL  (1ull << 11)
#define MISC_ENABLE_PEBS_UNAVAIL (1ull << 12)
#define MISC_ENABLE_EIST         (1ull << 16)
#define MISC_ENABLE_MONITOR      (1ull << 18)
#define MISC_ENABLE_LIMIT_CPUID  (1ull << 22)
#define MISC_ENABLE_XTPR_DISABLE (1ull << 23)
#define MISC_ENABLE_XD_DISABLE   (1ull << 34)

/* IA32_MCG_CAP, IA32_MCG_STATUS */
#define MCG_CAP_CTL_P   (1u << 8)
#define MCG_STATUS_BITS 7u

/* MTRRs */
#define MTRRCAP_VCNT_MASK       0xffull
#define MTRRCAP_FIX             (1ull << 8)
#define MTRRCAP_WC              (1ull << 10)
#define MTRR_DEF_TYPE_MASK      0xffull
#define MTRR_DEF_TYPE_FE        (1ull << 10)
#define MTRR_DEF_TYPE_E         (1ull << 11)
#define MTRR_PHYSMASK_V         (1ull << 11)
#define MTRR_PHYSBASE_TYPE_MASK 0xffull

/* Memory types, as MTRRs, PAT and EPT encode them */
#define MEMTYPE_UC       0u
#define MEMTYPE_WC       1u
#define MEMTYPE_WT       4u
#define MEMTYPE_WP       5u
#define MEMTYPE_WB       6u
#define MEMTYPE_UC_MINUS 7u /* PAT only */

#define PAT_RESET_VALUE 0x0007040600070406ull

#endif
