/* SPDX-License-Identifier: Apache-2.0 */
/* Serial port and exit port for 32-bit payloads. */
#ifndef GUESTS_MULTIBOOT_CONSOLE_H
#define GUESTS_MULTIBOOT_CONSOLE_H

#include <stdint.h>

#define CONSOLE_PORT  0x3f8
#define CONSOLE_LSR   0x3fd
#define LSR_THR_EMPTY 0x20
#define LSR_IDLE      0x40
#define EXIT_PORT     0xf4

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %w1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %w1" : : "a"(v), "Nd"(port));
}

static inline void put(const char *text)
{
	for (; *text; text++) {
		while (!(inb(CONSOLE_LSR) & LSR_THR_EMPTY))
			;
		outb(CONSOLE_PORT, (uint8_t)*text);
	}
}

static inline void finish(uint32_t value)
{
	while (!(inb(CONSOLE_LSR) & LSR_IDLE))
		;
	__asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"((uint16_t)EXIT_PORT));
}

#endif
