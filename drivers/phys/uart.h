/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The physical 16550 the hypervisor's console uses: one of them. Knows bytes only, no lines or
 * prefixes. Locking: the housekeeping CPU owns it; the polled write is for panic and for early
 * boot.
 */
#ifndef DRIVERS_PHYS_UART_H
#define DRIVERS_PHYS_UART_H

#include "hv/lib/types.h"

#define UART_COM1 0x3f8u
#define UART_COM2 0x2f8u
#define UART_COM3 0x3e8u
#define UART_COM4 0x2e8u

/*
 * 115200 8n1, FIFOs on, interrupts off. E_NOENT if nothing answers at the port: all else is a no-
 * op then.
 */
int uart_init(uint16_t port) MUST_CHECK;
bool uart_present(void);

/*
 * Hand over as many bytes as fit without waiting; returns how many were taken (all, without a
 * UART).
 */
unsigned uart_tx(const char *bytes, unsigned count);
/* A received byte, or -1. */
int uart_rx(void);

/* Write all of it, waiting a bounded time for each byte; gives up on a UART that stops. */
void uart_write_polled(const char *bytes, unsigned count);

#endif
