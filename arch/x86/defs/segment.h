/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors, gates, selectors and exception vectors. Constants only. */
#ifndef ARCH_X86_DEFS_SEGMENT_H
#define ARCH_X86_DEFS_SEGMENT_H

/* Selectors of the hypervisor's own GDT. */
#define SEL_NULL   0x00
#define SEL_CODE64 0x08
#define SEL_DATA   0x10
#define SEL_TSS    0x18 /* two slots */
#define GDT_SLOTS  5

/* Descriptor type field (bits 43:40) */
#define DESC_TYPE_DATA_RW    0x3u /* accessed */
#define DESC_TYPE_CODE_RX    0xbu /* accessed */
#define DESC_TYPE_LDT        0x2u
#define DESC_TYPE_TSS32      0x9u
#define DESC_TYPE_TSS16_BUSY 0x3u
#define DESC_TYPE_TSS_AVAIL  0x9u
#define DESC_TYPE_TSS_BUSY   0xbu
#define DESC_TYPE_INT_GATE   0xeu
#define DESC_TYPE_TRAP_GATE  0xfu

#define DESC_TYPE_SHIFT 40
#define DESC_S          (1ull << 44) /* code or data */
#define DESC_DPL_SHIFT  45
#define DESC_P          (1ull << 47)
#define DESC_L          (1ull << 53)
#define DESC_DB         (1ull << 54)
#define DESC_G          (1ull << 55)
#define DESC_LIMIT_MAX  0x000f00000000ffffull /* limit field all ones */

/* Exception vectors */
#define EXC_DE    0u
#define EXC_DB    1u
#define EXC_NMI   2u
#define EXC_BP    3u
#define EXC_OF    4u
#define EXC_BR    5u
#define EXC_UD    6u
#define EXC_NM    7u
#define EXC_DF    8u
#define EXC_TS    10u
#define EXC_NP    11u
#define EXC_SS    12u
#define EXC_GP    13u
#define EXC_PF    14u
#define EXC_MF    16u
#define EXC_AC    17u
#define EXC_MC    18u
#define EXC_XM    19u
#define EXC_VE    20u
#define EXC_CP    21u
#define EXC_HV    28u
#define EXC_VC    29u
#define EXC_SX    30u
#define SX_INIT   1u /* error code: APM vol. 2, "#SX - Security Exception" */
#define EXC_COUNT 32u

/* Vectors that push an error code: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX */
#define EXC_HAS_ERROR_MASK 0x60227d00u

/* Page-fault error code */
#define PF_ERR_P    (1u << 0)
#define PF_ERR_W    (1u << 1)
#define PF_ERR_U    (1u << 2)
#define PF_ERR_RSVD (1u << 3)
#define PF_ERR_I    (1u << 4)
#define PF_ERR_PK   (1u << 5)
#define PF_ERR_SS   (1u << 6)

#endif
