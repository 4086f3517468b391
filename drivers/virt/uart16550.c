/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NS16550A after National's PC16550D data sheet. The transmitter is infinitely fast unless the
 * back-end holds it back; the receiver's time-out runs at the programmed speed. Must not know ports
 * or VMs. The owner serialises calls.
 */
#include "drivers/virt/uart16550.h"
#include "hv/lib/string.h"

/* Register offsets; DLL and DLM stand at 0 and 1 while DLAB is set. */
enum {
	REG_RBR_THR = 0,
	REG_IER = 1,
	REG_IIR_FCR = 2,
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

#define IER_ERBFI 0x01
#define IER_ETBEI 0x02
#define IER_ELSI  0x04
#define IER_EDSSI 0x08

#define IIR_NONE   0x01
#define IIR_MSI    0x00
#define IIR_THRI   0x02
#define IIR_RDI    0x04
#define IIR_RLSI   0x06
#define IIR_CTI    0x0c
#define IIR_FIFOEN 0xc0

#define FCR_ENABLE 0x01
#define FCR_RCVR   0x02
#define FCR_XMIT   0x04
#define FCR_STORED 0xc9

#define LCR_WLS  0x03
#define LCR_STB  0x04
#define LCR_PEN  0x08
#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DR     0x01
#define LSR_OE     0x02
#define LSR_ERRORS 0x1e
#define LSR_THRE   0x20
#define LSR_TEMT   0x40

#define MSR_TERI   0x04
#define MSR_INPUTS 0xf0

#define BAUD_BASE       115200u /* 1.8432 MHz / 16 */
#define TIMEOUT_CHARS   4
#define CONNECTED_CABLE (UART16550_MSR_CTS | UART16550_MSR_DSR | UART16550_MSR_DCD)

static bool fifo_enabled(const struct uart16550 *u)
{
	return u->fcr & FCR_ENABLE;
}

static unsigned fifo_depth(const struct uart16550 *u)
{
	return fifo_enabled(u) ? UART16550_FIFO_SIZE : 1;
}

static void fifo_clear(struct uart16550_fifo *f)
{
	f->head = 0;
	f->count = 0;
}

static void fifo_push(struct uart16550_fifo *f, uint8_t byte)
{
	f->data[(f->head + f->count) % UART16550_FIFO_SIZE] = byte;
	f->count++;
}

static uint8_t fifo_pop(struct uart16550_fifo *f)
{
	uint8_t byte = f->data[f->head];

	f->head = (f->head + 1) % UART16550_FIFO_SIZE;
	f->count--;
	return byte;
}

static unsigned rx_trigger(const struct uart16550 *u)
{
	static const uint8_t level[] = {1, 4, 8, 14};

	return fifo_enabled(u) ? level[u->fcr >> 6] : 1;
}

/* The identification code of the highest-priority interrupt that is enabled and pending. */
static unsigned pending_source(const struct uart16550 *u)
{
	if ((u->ier & IER_ELSI) && u->lsr_errors)
		return IIR_RLSI;
	if ((u->ier & IER_ERBFI) && u->rx.count >= rx_trigger(u))
		return IIR_RDI;
	if ((u->ier & IER_ERBFI) && u->timeout_pending)
		return IIR_CTI;
	if ((u->ier & IER_ETBEI) && u->thre_pending)
		return IIR_THRI;
	if ((u->ier & IER_EDSSI) && u->msr_delta)
		return IIR_MSI;
	return IIR_NONE;
}

/* OUT2 drives the buffer between INTR and the bus; loopback mode forces OUT2 inactive. */
static void update_irq(struct uart16550 *u)
{
	bool connected = (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
	bool level = connected && pending_source(u) != IIR_NONE;

	if (level == u->irq_level)
		return;
	u->irq_level = level;
	irq_line_set(&u->irq, level);
}

static void timeout_restart(struct uart16550 *u, ns_t now)
{
	u->timeout_pending = false;
	u->timeout_at = NS_NEVER;
	if (fifo_enabled(u) && u->rx.count)
		u->timeout_at = now + TIMEOUT_CHARS * u->char_ns;
}

static void timeout_check(struct uart16550 *u, ns_t now)
{
	if (now < u->timeout_at)
		return;
	u->timeout_at = NS_NEVER;
	u->timeout_pending = true;
}

static void update_char_time(struct uart16550 *u)
{
	unsigned divisor = u->dlm << 8 | u->dll;
	unsigned bits = 1 + 5 + (u->lcr & LCR_WLS) + 1;

	if (u->lcr & LCR_PEN)
		bits++;
	if (u->lcr & LCR_STB)
		bits++;
	if (!divisor)
		divisor = 0x10000;
	u->char_ns = (uint64_t)bits * divisor * NS_PER_SEC / BAUD_BASE;
}

static uint8_t modem_status(const struct uart16550 *u)
{
	uint8_t msr = 0;

	if (!(u->mcr & MCR_LOOP))
		return u->modem_in;
	if (u->mcr & MCR_RTS)
		msr |= UART16550_MSR_CTS;
	if (u->mcr & MCR_DTR)
		msr |= UART16550_MSR_DSR;
	if (u->mcr & MCR_OUT1)
		msr |= UART16550_MSR_RI;
	if (u->mcr & MCR_OUT2)
		msr |= UART16550_MSR_DCD;
	return msr;
}

/* DCTS, DDSR and DDCD note any change, TERI only the trailing edge of RI. */
static void note_modem_change(struct uart16550 *u, uint8_t before)
{
	uint8_t after = modem_status(u);
	uint8_t delta = (before ^ after) >> 4;

	if (!(before & UART16550_MSR_RI))
		delta &= ~MSR_TERI;
	u->msr_delta |= delta;
}

/*
 * A full FIFO keeps what it has; without FIFO the new character overwrites the old one. A time-out
 * indication once given stays until the CPU reads.
 */
static void receive(struct uart16550 *u, uint8_t byte, ns_t now)
{
	if (u->rx.count < fifo_depth(u)) {
		fifo_push(&u->rx, byte);
	} else {
		u->lsr_errors |= LSR_OE;
		if (!fifo_enabled(u))
			u->rx.data[u->rx.head] = byte;
	}
	if (!u->timeout_pending)
		timeout_restart(u, now);
}

static void write_thr(struct uart16550 *u, uint8_t byte, ns_t now)
{
	u->thre_pending = false;
	if (u->ier & IER_ETBEI)
		update_irq(u);
	if (u->mcr & MCR_LOOP) {
		receive(u, byte, now);
		u->thre_pending = u->tx.count == 0;
		update_irq(u);
		return;
	}
	if (!u->tx.count && u->env.tx(u->env.ctx, byte)) {
		u->thre_pending = true;
	} else if (u->tx.count < fifo_depth(u)) {
		fifo_push(&u->tx, byte);
	} else if (!fifo_enabled(u)) {
		u->tx.data[u->tx.head] = byte;
	}
}

static void write_ier(struct uart16550 *u, uint8_t value)
{
	bool enabled = value & ~u->ier & IER_ETBEI;

	u->ier = value & 0x0f;
	if (enabled && !u->tx.count)
		u->thre_pending = true;
}

/* Changing the enable bit empties both FIFOs; the other bits count only together with it. */
static void write_fcr(struct uart16550 *u, uint8_t value, ns_t now)
{
	bool toggled = (value ^ u->fcr) & FCR_ENABLE;

	if (toggled)
		value |= FCR_RCVR | FCR_XMIT;
	if (!toggled && !(value & FCR_ENABLE))
		return;
	u->fcr = value & FCR_ENABLE ? value & FCR_STORED : 0;
	if (value & FCR_RCVR)
		fifo_clear(&u->rx);
	if ((value & FCR_XMIT) && u->tx.count) {
		fifo_clear(&u->tx);
		u->thre_pending = true;
	}
	if (value & FCR_RCVR)
		timeout_restart(u, now);
}

static void write_mcr(struct uart16550 *u, uint8_t value)
{
	uint8_t before = modem_status(u);

	u->mcr = value & MCR_MASK;
	note_modem_change(u, before);
}

static uint8_t read_rbr(struct uart16550 *u, ns_t now)
{
	uint8_t byte = u->rx.data[u->rx.head];

	if (u->rx.count)
		byte = fifo_pop(&u->rx);
	timeout_restart(u, now);
	update_irq(u);
	return byte;
}

static uint8_t read_iir(struct uart16550 *u)
{
	unsigned source = pending_source(u);

	if (source == IIR_THRI) {
		u->thre_pending = false;
		update_irq(u);
	}
	return source | (fifo_enabled(u) ? IIR_FIFOEN : 0);
}

static uint8_t read_lsr(struct uart16550 *u)
{
	uint8_t lsr = u->lsr_errors;

	if (u->rx.count)
		lsr |= LSR_DR;
	if (!u->tx.count)
		lsr |= LSR_THRE | LSR_TEMT;
	if (u->lsr_errors) {
		u->lsr_errors = 0;
		update_irq(u);
	}
	return lsr;
}

static uint8_t read_msr(struct uart16550 *u)
{
	uint8_t msr = modem_status(u) | u->msr_delta;

	if (u->msr_delta) {
		u->msr_delta = 0;
		update_irq(u);
	}
	return msr;
}

static uint8_t read_byte(struct uart16550 *u, unsigned offset, ns_t now)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (offset) {
	case REG_RBR_THR: return dlab ? u->dll : read_rbr(u, now);
	case REG_IER: return dlab ? u->dlm : u->ier;
	case REG_IIR_FCR: return read_iir(u);
	case REG_LCR: return u->lcr;
	case REG_MCR: return u->mcr;
	case REG_LSR: return read_lsr(u);
	case REG_MSR: return read_msr(u);
	case REG_SCR: return u->scr;
	default: return 0xff;
	}
}

/* DLL and DLM, reached through offsets 0 and 1. */
static void write_divisor(struct uart16550 *u, unsigned offset, uint8_t value)
{
	if (offset == REG_RBR_THR)
		u->dll = value;
	else
		u->dlm = value;
	update_char_time(u);
}

static NOINLINE void write_byte(struct uart16550 *u, unsigned offset, uint8_t value, ns_t now)
{
	if ((u->lcr & LCR_DLAB) && offset <= REG_IER) {
		write_divisor(u, offset, value);
		return;
	}
	switch (offset) {
	case REG_RBR_THR:
		write_thr(u, value, now);
		if (!(u->ier & IER_ETBEI)) /* most of the time: and then nothing has changed */
			return;
		break;
	case REG_IER: write_ier(u, value); break;
	case REG_IIR_FCR: write_fcr(u, value, now); break;
	case REG_LCR:
		u->lcr = value;
		update_char_time(u);
		break;
	case REG_MCR: write_mcr(u, value); break;
	case REG_SCR: u->scr = value; break;
	default: break; /* LSR and MSR are for the factory's tests only */
	}
	update_irq(u);
}

void uart16550_init(struct uart16550 *u, const struct uart16550_env *env, struct irq_line irq)
{
	memset(u, 0, sizeof(*u));
	u->env = *env;
	u->irq = irq;
	u->modem_in = CONNECTED_CABLE;
	u->dll = 1;
	uart16550_reset(u, 0);
}

/* Master reset: everything but RBR, THR, SCR and the divisor latch. */
void uart16550_reset(struct uart16550 *u, ns_t now)
{
	u->ier = 0;
	u->fcr = 0;
	u->lcr = 0;
	u->mcr = 0;
	u->lsr_errors = 0;
	u->msr_delta = 0;
	u->thre_pending = false;
	fifo_clear(&u->rx);
	fifo_clear(&u->tx);
	timeout_restart(u, now);
	update_char_time(u);
	update_irq(u);
}

uint32_t uart16550_read(struct uart16550 *u, unsigned offset, unsigned size, ns_t now)
{
	uint32_t value = 0;

	timeout_check(u, now);
	for (unsigned i = 0; i < size && i < sizeof(value); i++)
		value |= (uint32_t)read_byte(u, offset + i, now) << (8 * i);
	return value;
}

static NOINLINE void write_bytes(
	struct uart16550 *u, unsigned offset, unsigned size, uint32_t value, ns_t now)
{
	for (unsigned i = 0; i < size && i < sizeof(value); i++)
		write_byte(u, offset + i, value >> (8 * i), now);
}

/*
 * A byte for THR that goes out and leaves nothing else behind: as consoles are written, polled and
 * with the transmitter's interrupt off.
 */
static inline bool sends_at_once(const struct uart16550 *u)
{
	return !(u->lcr & LCR_DLAB) && !(u->mcr & MCR_LOOP) && !(u->ier & IER_ETBEI) &&
	       u->tx.count == 0;
}

static NOINLINE void send_byte(struct uart16550 *u, uint8_t byte)
{
	u->thre_pending = u->env.tx(u->env.ctx, byte);
	if (UNLIKELY(!u->thre_pending))
		fifo_push(&u->tx, byte);
}

void uart16550_write(struct uart16550 *u, unsigned offset, unsigned size, uint32_t value, ns_t now)
{
	timeout_check(u, now);
	if (LIKELY(size == 1 && offset == REG_RBR_THR && sends_at_once(u)))
		send_byte(u, (uint8_t)value);
	else if (size == 1)
		write_byte(u, offset, (uint8_t)value, now);
	else
		write_bytes(u, offset, size, value, now);
}

ns_t uart16550_deadline(const struct uart16550 *u)
{
	return u->ier & IER_ERBFI ? u->timeout_at : NS_NEVER;
}

void uart16550_tick(struct uart16550 *u, ns_t now)
{
	timeout_check(u, now);
	update_irq(u);
}

void uart16550_tx_poll(struct uart16550 *u, ns_t now)
{
	(void)now;
	if (!u->tx.count)
		return;
	while (u->tx.count && u->env.tx(u->env.ctx, u->tx.data[u->tx.head]))
		fifo_pop(&u->tx);
	if (u->tx.count)
		return;
	u->thre_pending = true;
	update_irq(u);
}

bool uart16550_tx_waiting(const struct uart16550 *u)
{
	return u->tx.count != 0;
}

unsigned uart16550_rx_room(const struct uart16550 *u)
{
	if (u->mcr & MCR_LOOP)
		return 0;
	return fifo_depth(u) - u->rx.count;
}

/* In loopback mode the receiver is disconnected from the line. */
void uart16550_rx(struct uart16550 *u, uint8_t byte, ns_t now)
{
	if (u->mcr & MCR_LOOP)
		return;
	timeout_check(u, now);
	receive(u, byte, now);
	update_irq(u);
}

void uart16550_set_modem(struct uart16550 *u, uint8_t inputs, ns_t now)
{
	uint8_t before = modem_status(u);

	(void)now;
	u->modem_in = inputs & MSR_INPUTS;
	note_modem_change(u, before);
	update_irq(u);
}
