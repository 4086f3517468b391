/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reset registers outside the keyboard controller: port 92h (offset 0) and RST_CNT, CF9h
 * (offset 1). CF9h lies inside the PCI address port's dword: only byte accesses there belong here.
 * Serialised by its owner.
 */
#ifndef DRIVERS_VIRT_RESET_H
#define DRIVERS_VIRT_RESET_H

#include "drivers/virt/model.h"

#define RESET_PORT92 0
#define RESET_CF9    1
#define RESET_REGS   2

struct reset_env {
	void (*reset)(void *ctx);
	void *ctx;
};

struct reset {
	struct reset_env env;
	uint8_t port92;
	uint8_t rst_cnt;
};

void reset_init(struct reset *r, const struct reset_env *env);
void reset_reset(struct reset *r, ns_t now);
uint32_t reset_read(struct reset *r, unsigned offset, unsigned size, ns_t now);
void reset_write(struct reset *r, unsigned offset, unsigned size, uint32_t value, ns_t now);

#endif
