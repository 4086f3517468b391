/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC registers (SDM vol. 3, "Advanced Programmable Interrupt Controller"). Constants only.
 */
#ifndef ARCH_X86_DEFS_APIC_H
#define ARCH_X86_DEFS_APIC_H

#define APIC_DEFAULT_BASE 0xfee00000ull

/* Offsets in the xAPIC page; the x2APIC MSR is MSR_IA32_X2APIC_BASE + offset / 16 */
#define APIC_ID        0x020u
#define APIC_VERSION   0x030u
#define APIC_TPR       0x080u
#define APIC_PPR       0x0a0u
#define APIC_EOI       0x0b0u
#define APIC_LDR       0x0d0u
#define APIC_DFR       0x0e0u
#define APIC_SVR       0x0f0u
#define APIC_ISR       0x100u
#define APIC_TMR       0x180u
#define APIC_IRR       0x200u
#define APIC_ESR       0x280u
#define APIC_LVT_CMCI  0x2f0u
#define APIC_ICR       0x300u
#define APIC_ICR_HIGH  0x310u
#define APIC_LVT_TIMER 0x320u
#define APIC_LVT_THERM 0x330u
#define APIC_LVT_PERF  0x340u
#define APIC_LVT_LINT0 0x350u
#define APIC_LVT_LINT1 0x360u
#define APIC_LVT_ERROR 0x370u
#define APIC_TIMER_ICT 0x380u
#define APIC_TIMER_CCT 0x390u
#define APIC_TIMER_DCR 0x3e0u
#define APIC_SELF_IPI  0x3f0u

#define APIC_SVR_ENABLE (1u << 8)

#define APIC_LVT_MASKED       (1u << 16)
#define APIC_LVT_ONE_SHOT     (0u << 17)
#define APIC_LVT_PERIODIC     (1u << 17)
#define APIC_LVT_TSC_DEADLINE (2u << 17)

#define APIC_DM_FIXED   (0u << 8)
#define APIC_DM_LOWEST  (1u << 8)
#define APIC_DM_SMI     (2u << 8)
#define APIC_DM_NMI     (4u << 8)
#define APIC_DM_INIT    (5u << 8)
#define APIC_DM_STARTUP (6u << 8)
#define APIC_DM_EXTINT  (7u << 8)

#define APIC_ICR_LOGICAL (1u << 11)
#define APIC_ICR_PENDING (1u << 12)
#define APIC_ICR_ASSERT  (1u << 14)
#define APIC_ICR_LEVEL   (1u << 15)
#define APIC_ICR_SELF    (1u << 18)
#define APIC_ICR_ALL     (2u << 18)
#define APIC_ICR_OTHERS  (3u << 18)

#define APIC_TIMER_DIV_1 0xbu

#endif
