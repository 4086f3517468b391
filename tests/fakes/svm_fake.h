/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arch/x86/svm/svm_insn.h is on the host: the same functions, answered by svm_fake.c. Included
 * by svm_insn.h only; tests use tests/fakes/fake.h.
 */
#ifndef TESTS_FAKES_SVM_FAKE_H
#define TESTS_FAKES_SVM_FAKE_H

#include "hv/lib/types.h"

void vmsave(hpa_t area);

#endif
