/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this CPU's XSAVEC does what the manual says: guests are shown it only then. */
#ifndef ARCH_X86_VIRT_XSAVE_H
#define ARCH_X86_VIRT_XSAVE_H

#include "hv/lib/types.h"

/*
 * Saves the upper halves of the YMM registers in the compacted form and looks where they are, then
 * restores them from it. CR4.OSXSAVE must be set; vector registers are lost. False without XSAVEC.
 */
bool xsave_compact_works(void);

#endif
