/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/phys/uart.h"
#include "arch/x86/cpu/insn.h"

/* 16550 registers: offset from the base port */
#define UART_RBR 0u /* read */
#define UART_THR 0u /* write */
#define UART_IER 1u
#define UART_IIR 2u /* read */
#define UART_FCR 2u /* write */
#define UART_LCR 3u
#define UART_MCR 4u
#define UART_LSR 5u
#define UART_MSR 6u
#define UART_SCR 7u
#define UART_DLL 0u /* with LCR_DLAB */
#define UART_DLM 1u

#define LCR_8N1        0x03u
#define LCR_DLAB       0x80u
#define FCR_ENABLE     0x07u /* FIFOs on and cleared */
#define IIR_FIFO       0xc0u
#define MCR_RTS        0x02u
#define MCR_DTR_RTS    0x03u
#define MCR_OUT2       0x08u
#define MCR_LOOP       0x10u
#define LSR_DR         0x01u
#define LSR_THRE       0x20u
#define MSR_LOOPED     0x90u /* DCD and CTS, which loop back OUT2 and RTS */
#define DIVISOR_115200 1u
#define FIFO_DEPTH     16u

/* At 115200 baud a byte takes 87 us and a port read about 1 us. */
#define POLLS_PER_BYTE 100000u

static struct {
	uint16_t port;
	bool present;
	unsigned depth; /* bytes that fit when THR is empty */
} uart;

static uint8_t reg_read(unsigned reg)
{
	return inb((uint16_t)(uart.port + reg));
}

static void reg_write(unsigned reg, unsigned value)
{
	outb((uint16_t)(uart.port + reg), (uint8_t)value);
}

/* The modem lines loop back: unlike the scratch register every 8250 has this. */
static bool answers(void)
{
	bool looped;

	if (reg_read(UART_LSR) == 0xff)
		return false;
	reg_write(UART_MCR, MCR_LOOP | MCR_OUT2 | MCR_RTS);
	looped = (reg_read(UART_MSR) & 0xf0) == MSR_LOOPED;
	reg_write(UART_MCR, MCR_DTR_RTS);
	return looped;
}

int uart_init(uint16_t port)
{
	uart.port = port;
	uart.present = false;
	reg_write(UART_IER, 0);
	if (!answers())
		return E_NOENT;
	reg_write(UART_LCR, LCR_DLAB | LCR_8N1);
	reg_write(UART_DLL, DIVISOR_115200);
	reg_write(UART_DLM, 0);
	reg_write(UART_LCR, LCR_8N1);
	reg_write(UART_FCR, FCR_ENABLE);
	reg_write(UART_MCR, MCR_DTR_RTS);
	uart.depth = (reg_read(UART_IIR) & IIR_FIFO) == IIR_FIFO ? FIFO_DEPTH : 1;
	uart.present = true;
	return 0;
}

bool uart_present(void)
{
	return uart.present;
}

unsigned uart_tx(const char *bytes, unsigned count)
{
	unsigned room = MIN(count, uart.depth);

	if (!uart.present)
		return count;
	/* THRE means that the whole FIFO is empty. */
	if (!count || !(reg_read(UART_LSR) & LSR_THRE))
		return 0;
	for (unsigned i = 0; i < room; i++)
		reg_write(UART_THR, (uint8_t)bytes[i]);
	return room;
}

int uart_rx(void)
{
	if (!uart.present || !(reg_read(UART_LSR) & LSR_DR))
		return -1;
	return reg_read(UART_RBR);
}

void uart_write_polled(const char *bytes, unsigned count)
{
	unsigned polls = 0;

	while (count && uart.present) {
		unsigned taken = uart_tx(bytes, count);

		bytes += taken;
		count -= taken;
		polls = taken ? 0 : polls + 1;
		if (polls > POLLS_PER_BYTE * FIFO_DEPTH)
			return;
		if (!taken)
			cpu_relax();
	}
}
