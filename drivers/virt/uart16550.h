/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NS16550A UART of a PC's serial port: eight byte registers at offsets 0-7. Knows no port
 * number and no back-end. Serialised by its owner (model.h).
 */
#ifndef DRIVERS_VIRT_UART16550_H
#define DRIVERS_VIRT_UART16550_H

#include "drivers/virt/model.h"

#define UART16550_REGS      8
#define UART16550_FIFO_SIZE 16

/* Modem inputs as MSR shows them. */
#define UART16550_MSR_CTS 0x10
#define UART16550_MSR_DSR 0x20
#define UART16550_MSR_RI  0x40
#define UART16550_MSR_DCD 0x80

/* Where transmitted bytes go. False: no room; the byte waits for uart16550_tx_poll(). */
struct uart16550_env {
	bool (*tx)(void *ctx, uint8_t byte);
	void *ctx;
};

struct uart16550_fifo {
	uint8_t data[UART16550_FIFO_SIZE];
	uint8_t head;
	uint8_t count;
};

struct uart16550 {
	struct uart16550_env env;
	struct irq_line irq;
	struct uart16550_fifo rx;
	struct uart16550_fifo tx;
	uint8_t ier;
	uint8_t fcr;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t scr;
	uint8_t dll;
	uint8_t dlm;
	uint8_t lsr_errors;   /* OE and friends, until LSR is read */
	uint8_t msr_delta;    /* MSR bits 3:0, until MSR is read */
	uint8_t modem_in;     /* the pins, as MSR bits 7:4 */
	bool thre_pending;    /* THRE interrupt, until IIR is read or THR written */
	bool timeout_pending; /* character time-out indication */
	bool irq_level;
	ns_t char_ns;    /* time of one character at the present divisor and format */
	ns_t timeout_at; /* when the time-out indication is due */
};

/* Powers the UART up with CTS, DSR and DCD active (a cable and a listener). */
void uart16550_init(struct uart16550 *u, const struct uart16550_env *env, struct irq_line irq);
void uart16550_reset(struct uart16550 *u, ns_t now);
uint32_t uart16550_read(struct uart16550 *u, unsigned offset, unsigned size, ns_t now);
void uart16550_write(struct uart16550 *u, unsigned offset, unsigned size, uint32_t value, ns_t now);
ns_t uart16550_deadline(const struct uart16550 *u);
void uart16550_tick(struct uart16550 *u, ns_t now);

/* The back-end has room again: pass on what waits. Cheap when nothing does. */
void uart16550_tx_poll(struct uart16550 *u, ns_t now);
/* True while bytes wait for the back-end. */
bool uart16550_tx_waiting(const struct uart16550 *u);

/* How many bytes the receiver takes without overrun; 0 in loopback mode. */
unsigned uart16550_rx_room(const struct uart16550 *u);
/* A byte arrives on the line; without room it is an overrun, as on the wire. */
void uart16550_rx(struct uart16550 *u, uint8_t byte, ns_t now);
/* New state of the modem inputs, a set of UART16550_MSR_*. */
void uart16550_set_modem(struct uart16550 *u, uint8_t inputs, ns_t now);

#endif
