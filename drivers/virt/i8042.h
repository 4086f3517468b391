/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8042 keyboard controller with a keyboard that answers commands and has no keys pressed, and
 * no auxiliary device. Offset 0 is port 60h, offset 4 is port 64h. Serialised by its owner.
 */
#ifndef DRIVERS_VIRT_I8042_H
#define DRIVERS_VIRT_I8042_H

#include "drivers/virt/model.h"

#define I8042_DATA   0
#define I8042_STATUS 4

#define I8042_QUEUE 8
#define I8042_RAM   32

struct i8042_env {
	void (*reset)(void *ctx); /* the CPU reset line was pulsed */
	void *ctx;
};

struct i8042 {
	struct i8042_env env;
	struct irq_line irq; /* IRQ1 */
	uint8_t status;
	uint8_t output;         /* the output buffer, valid while OBF is set */
	uint8_t ram[I8042_RAM]; /* ram[0] is the command byte */
	uint8_t output_port;
	uint8_t command;     /* controller command waiting for its data byte, or 0 */
	uint8_t key_command; /* keyboard command waiting for its data byte, or 0 */
	uint8_t key_last;    /* last byte the keyboard sent, for RESEND */
	uint8_t scan_set;
	uint8_t queue[I8042_QUEUE]; /* keyboard to controller */
	uint8_t queue_head;
	uint8_t queue_count;
};

void i8042_init(struct i8042 *k, const struct i8042_env *env, struct irq_line irq);
void i8042_reset(struct i8042 *k, ns_t now);
uint32_t i8042_read(struct i8042 *k, unsigned offset, unsigned size, ns_t now);
void i8042_write(struct i8042 *k, unsigned offset, unsigned size, uint32_t value, ns_t now);

#endif
