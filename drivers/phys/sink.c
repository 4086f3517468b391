/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/phys/sink.h"
#include "drivers/phys/framebuffer.h"
#include "drivers/phys/uart.h"

void sink_write(const char *bytes, unsigned count)
{
	uart_write_polled(bytes, count);
	framebuffer_write(bytes, count);
	framebuffer_draw(FRAMEBUFFER_ALL);
}

unsigned sink_tx(const char *bytes, unsigned count)
{
	unsigned taken = uart_tx(bytes, count);

	framebuffer_write(bytes, taken);
	return taken;
}

void sink_panic_write(const char *bytes, unsigned count)
{
	uart_write_polled(bytes, count);
	framebuffer_panic_write(bytes, count);
}
