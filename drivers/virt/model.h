/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all device models share. A model is registers and callbacks: it knows no VM, no exit, no
 * lock and no other model. Whoever owns it serialises all calls on one model (one lock per model,
 * taken by the bus).
 *
 * Time is an argument: `now` in nanoseconds of guest time, never going back. A model with timed
 * behaviour offers `ns_t X_deadline(const struct X *)`, the next moment at which it wants `void
 * X_tick(struct X *, ns_t now)` (NS_NEVER if none); its owner asks again after every call.
 */
#ifndef DRIVERS_VIRT_MODEL_H
#define DRIVERS_VIRT_MODEL_H

#include "hv/lib/types.h"

/* A wire from a model to whatever it is connected to. Calls with an unchanged level are allowed. */
struct irq_line {
	void (*set)(void *ctx, unsigned pin, bool level);
	void *ctx;
	unsigned pin;
};

static inline void irq_line_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->ctx, line->pin, level);
}

#endif
