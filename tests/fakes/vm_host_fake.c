/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The surroundings of a guest, for programs that do not link hv/core; weak, so that a real one
 * wins.
 */
#include "hv/vm/vm.h"

__attribute__((weak)) struct vm_host vm_host;
