/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/core/housekeeping.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/panic.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/virt/switch.h"
#include "drivers/phys/framebuffer.h"
#include "drivers/phys/power.h"
#include "drivers/phys/sink.h"
#include "drivers/phys/uart.h"
#include "hv/core/cpus.h"
#include "hv/core/guests.h"
#include "hv/core/log.h"
#include "hv/core/machine.h"
#include "hv/core/view.h"
#include "hv/io/console.h"

/* The UART takes 16 bytes in 1.4 ms; a person does not notice 10 ms. */
#define TICK_BUSY_NS      NS_PER_MS
#define TICK_IDLE_NS      (10 * NS_PER_MS)
#define INPUT_MAX         16u /* bytes per slice */
#define OUTPUT_PIECE      64u
#define OUTPUT_PIECES_MAX 64u /* per slice */
#define FLUSH_MAX_NS      (2 * NS_PER_SEC)
/* Of the screen: as much as that time allows, in pieces of so many characters. */
#define DRAW_NS           (200 * NS_PER_US)
#define DRAW_PIECE        32u

static struct console console;
static struct timer tick;
static bool due;
static unsigned my_cpu;
static char pending[OUTPUT_PIECE];
static size_t pending_used, pending_sent;
static bool all_stopped_said;

static void on_tick(struct timer *t, uint64_t now)
{
	(void)t;
	(void)now;
	due = true;
}

/* Bounded: a UART that is always ready, or none at all, must not keep us here while guests talk. */
static void send_output(ns_t now)
{
	for (unsigned i = 0; i < OUTPUT_PIECES_MAX; i++) {
		unsigned taken;

		if (pending_sent == pending_used) {
			pending_used = console_output(&console, pending, sizeof(pending), now);
			pending_sent = 0;
		}
		if (pending_used == 0)
			return;
		taken = sink_tx(pending + pending_sent, (unsigned)(pending_used - pending_sent));
		pending_sent += taken;
		if (taken == 0)
			return;
	}
}

/* Pixels take their time, and how long depends on the machine. */
static void draw_screen(void)
{
	ns_t end = tsc_now_ns() + DRAW_NS;

	while (framebuffer_waits() && tsc_now_ns() < end)
		framebuffer_draw(DRAW_PIECE);
}

static bool output_waits(void)
{
	return pending_sent < pending_used || console_has_output(&console, tsc_now_ns());
}

/* Source 0 is the hypervisor; guest i is source i + 1. */
static struct guest *source_guest(unsigned source)
{
	return source ? guests_get(source - 1) : NULL;
}

static void act(const struct console_action *action)
{
	struct guest *g = source_guest(action->source);

	switch (action->kind) {
	case CONSOLE_SEND:
		if (g && ring_put(&g->in, action->byte) && g->state == GUEST_RUNNING)
			vm_cpu_post(g->vm->cpu[0], POST_CONSOLE);
		break;
	case CONSOLE_NEXT:
		if (g) {
			log_line("focus: %s", g->name);
			view_follow(g);
		}
		break;
	case CONSOLE_LIST: guests_list(); break;
	case CONSOLE_KILL:
		if (g)
			guests_kill(g);
		break;
	case CONSOLE_RESTART:
		if (g)
			guests_restart(g);
		break;
	case CONSOLE_POWER:
		if (g)
			guests_power_button(g);
		break;
	case CONSOLE_VIEW:
		if (g)
			view_toggle(g);
		break;
	case CONSOLE_PANIC: panic("asked for by the debug key");
	case CONSOLE_HELP: log_line("%s", console_help()); break;
	default: break;
	}
}

static void read_input(void)
{
	for (unsigned i = 0; i < INPUT_MAX; i++) {
		int byte = uart_rx();
		struct console_action action;

		if (byte < 0)
			return;
		action = console_input(&console, (uint8_t)byte);
		act(&action);
	}
}

/* Let the last lines reach the wire; a UART that has stopped does not hold us up. */
static void flush(void)
{
	ns_t end = tsc_now_ns() + FLUSH_MAX_NS;

	while ((output_waits() || framebuffer_waits()) && tsc_now_ns() < end) {
		send_output(tsc_now_ns());
		draw_screen();
		cpu_relax();
	}
	/* What is in the UART's own FIFO needs 1.4 ms more. */
	tsc_delay_us(3000);
}

static void all_stopped(void)
{
	switch (guests_machine()->when_all_stopped) {
	case CONFIG_ALL_STOPPED_POWEROFF:
		log_line("all guests have stopped: powering off");
		flush();
		if (power_off(machine_power()) != OK)
			log_line("this machine cannot be powered off by software: switch it off");
		break;
	case CONFIG_ALL_STOPPED_REBOOT:
		log_line("all guests have stopped: restarting the machine");
		flush();
		power_reset(machine_power());
	default: log_line("all guests have stopped"); break;
	}
}

static void slice(void)
{
	ns_t now = tsc_now_ns();

	read_input();
	guests_step(now);
	view_step(now);
	if (guests_all_stopped() && !all_stopped_said)
		all_stopped();
	all_stopped_said = guests_all_stopped();
	send_output(now);
}

void housekeeping_poll(void)
{
	bool busy;

	if (!__atomic_load_n(&due, __ATOMIC_ACQUIRE) || this_cpu()->index != my_cpu)
		return;
	due = false;
	slice();
	busy = output_waits() || framebuffer_waits() || guests_changing();
	vm_host.timer_arm(&tick, tsc_at_ns(tsc_now_ns() + (busy ? TICK_BUSY_NS : TICK_IDLE_NS)));
	draw_screen(); /* behind the arming: the UART's next turn does not wait for it */
	if (cpus_guest(my_cpu))
		switch_flush(); /* other guests' bytes have been here, and this one goes on now */
}

void housekeeping_wake(void)
{
	__atomic_store_n(&due, true, __ATOMIC_RELEASE);
	cpus_kick(my_cpu);
}

void housekeeping_end_output(unsigned guest)
{
	console_end_source(&console, guest + 1);
}

bool housekeeping_output_done(unsigned guest)
{
	const struct console_source *s = &console.source[guest + 1];

	return ring_used(s->ring) == 0 && s->used == 0;
}

void housekeeping_init(void)
{
	my_cpu = guests_housekeeping();
	timer_init(&tick, on_tick);
	console_init(&console, log_start_ring(), &log_dropped, guests_machine()->color);
	for (unsigned i = 0; i < guests_count(); i++) {
		struct guest *g = guests_get(i);

		if (console_add_source(&console, g->name, &g->out, &g->dropped) != (int)i + 1)
			panic("console sources and guests are numbered differently");
	}
	/* Its CPU may have been in its loop for long, with nothing to do yet. */
	housekeeping_wake();
}
