/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page-table entry layouts: ordinary paging (SDM vol. 3, "4-Level Paging and 5-Level Paging") and
 * EPT (SDM vol. 3, "EPT Translation Mechanism"). Constants only.
 */
#ifndef ARCH_X86_DEFS_PAGING_H
#define ARCH_X86_DEFS_PAGING_H

#define PAGING_ENTRIES   512u
#define PAGING_ADDR_MASK 0x000ffffffffff000ull

#define PTE_P         (1ull << 0)
#define PTE_W         (1ull << 1)
#define PTE_U         (1ull << 2)
#define PTE_PWT       (1ull << 3)
#define PTE_PCD       (1ull << 4)
#define PTE_A         (1ull << 5)
#define PTE_D         (1ull << 6)
#define PTE_PS        (1ull << 7) /* above the last level: a leaf */
#define PTE_PAT_4K    (1ull << 7) /* in the last level */
#define PTE_G         (1ull << 8)
#define PTE_PAT_LARGE (1ull << 12) /* in a large leaf */
#define PTE_NX        (1ull << 63)

#define EPT_R             (1ull << 0)
#define EPT_W             (1ull << 1)
#define EPT_X             (1ull << 2)
#define EPT_MEMTYPE_SHIFT 3
#define EPT_MEMTYPE_MASK  (7ull << EPT_MEMTYPE_SHIFT)
#define EPT_IPAT          (1ull << 6)
#define EPT_PS            (1ull << 7)
#define EPT_A             (1ull << 8)
#define EPT_D             (1ull << 9)

#endif
