/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/core/guests.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "hv/core/cpus.h"
#include "hv/core/housekeeping.h"
#include "hv/core/log.h"
#include "hv/core/machine.h"
#include "hv/core/measure.h"
#include "hv/core/view.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"

#define CONFIG_NAME     "bulkhead.toml"
#define OUT_RING_PAGES  16u
#define IN_RING_PAGES   1u
/* What guests cost beside RAM and the last level of tables. Kept back when memory is checked. */
#define OVERHEAD_CHUNKS 4u

/* A guest that ends again at once is restarted after 100 ms, 200 ms, ... at most 10 s. */
#define RESTART_DELAY_NS     (100 * NS_PER_MS)
#define RESTART_DELAY_MAX_NS (10 * NS_PER_SEC)
#define RESTART_SETTLED_NS   (10 * NS_PER_SEC)

/* A reboot is no failure: so many in a row are not delayed. */
#define RESTART_FREE_RESETS 4u

#define OUTPUT_WAIT_NS NS_PER_SEC

#define CPUS_TEXT 64u
_Static_assert(CONFIG_GUESTS_MAX <= FRAME_CLAIMS_MAX, "all guests may wait for memory at once");
_Static_assert(CONFIG_CPUS_MAX == VM_CPUS_MAX, "what a config can name, a guest can have");

static struct config config;
static struct config_errors errors;
static struct config_verdict verdict;
static struct guest guests[CONFIG_GUESTS_MAX];
static unsigned count;

static uint32_t state_of(const struct guest *g)
{
	return __atomic_load_n(&g->state, __ATOMIC_ACQUIRE);
}

static void set_state(struct guest *g, enum guest_state state)
{
	__atomic_store_n(&g->state, (uint32_t)state, __ATOMIC_RELEASE);
}

unsigned guests_count(void)
{
	return count;
}

struct guest *guests_get(unsigned index)
{
	return index < count ? &guests[index] : NULL;
}

const struct config_machine *guests_machine(void)
{
	return &config.machine;
}

unsigned guests_housekeeping(void)
{
	return verdict.housekeeping;
}

/* ---- The config ---- */

static int file_size(void *context, const char *path, uint64_t *size)
{
	const struct bootinfo_file *f = machine_find_file(path);

	(void)context;
	if (!f || f->status == -1)
		return E_NOENT;
	*size = f->size;
	return f->status == 0 ? OK : E_FAULT;
}

static const char *cpu_problem(void *context, unsigned cpu)
{
	(void)context;
	return cpus_problem(cpu);
}

/*
 * What guests can have: the rest is for their tables, which are many where all leaves are small,
 * and devices.
 */
static uint64_t memory_for_guests(void)
{
	uint64_t chunks = frame_free_chunks(&host_frames), kept = OVERHEAD_CHUNKS;

	if (!(vm_host.page_sizes & PT_2M))
		kept += chunks / 512 + 1;
	return (chunks - MIN(chunks, kept)) * CHUNK_SIZE;
}

static void read_config(void)
{
	const struct config_machine_facts facts = {
		.cpu_count = cpus_count(),
		.cpu_problem = cpu_problem,
		.memory_bytes = memory_for_guests(),
		.file_size = file_size,
	};
	int status = config_parse(&config, CONFIG_NAME, phys_to_virt(machine.bi.config),
		machine.bi.config_size, &errors);
	char text[256];

	if (status == OK)
		config_check(&config, &facts, &verdict, &errors);
	for (unsigned i = 0; i < errors.count; i++) {
		config_errors_format(&errors, i, text, sizeof(text));
		log_line("%s", text);
	}
	if (errors.dropped)
		log_line("%s: %u more mistakes", CONFIG_NAME, errors.dropped);
}

static void set_file(const struct config_string *path, const void **data, uint64_t *size)
{
	const struct bootinfo_file *f = path->text ? machine_find_file(path->text) : NULL;

	*data = f && f->status == 0 ? phys_to_virt(f->base) : NULL;
	*size = *data ? f->size : 0;
}

static void set_params(struct guest *g)
{
	const struct config_guest *c = g->config;
	const struct config_image *image = config_guest_image(&config, c);
	struct vm_params *p = &g->params;

	p->name = g->name;
	p->owner = (uint16_t)(FRAME_OWNER_VM + g->index);
	p->vpid = 1 + g->index * VM_CPUS_MAX;
	p->cpu_count = c->cpus.count;
	for (unsigned i = 0; i < p->cpu_count; i++)
		p->cpus[i] = c->cpus.cpu[i].number;
	p->memory = c->memory.value;
	p->exit_port = (uint16_t)c->exit_port.value;
	p->debug_mmio = c->debug_mmio;
	p->cmdline = config_guest_cmdline(&config, c);
	p->console_out = &g->out;
	p->console_in = &g->in;
	p->console_dropped = &g->dropped;
	set_file(&image->kernel, &p->kernel, &p->kernel_size);
	set_file(&image->initrd, &p->initrd, &p->initrd_size);
}

static void make_guest(unsigned index)
{
	struct guest *g = &guests[index];
	void *out = memory_alloc(FRAME_OWNER_HV, OUT_RING_PAGES);
	void *in = memory_alloc(FRAME_OWNER_HV, IN_RING_PAGES);

	g->config = &config.guests[index];
	g->name = g->config->name;
	g->index = index;
	if (!out || !in) {
		log_line("%s: no memory for its console", g->name);
		return;
	}
	ring_init(&g->out, out, OUT_RING_PAGES * PAGE_SIZE);
	ring_init(&g->in, in, IN_RING_PAGES * PAGE_SIZE);
	if (!cpus_virt)
		return; /* the reason has been said, for all of them */
	if (verdict.guest_bad[index]) {
		log_line("%s is not started: its config has a mistake", g->name);
		return;
	}
	set_params(g);
	set_state(g, g->config->after_index >= 0 ? GUEST_WAITING : GUEST_DUE);
}

/* Config and CPU together say what the CPU does of the guests' LAPICs. */
static void choose_apic_virtualization(void)
{
	static const struct {
		unsigned bit;
		const char *name;
	} parts[] = {
		{VCPU_APIC_TPR, "TPR shadow"},
		{VCPU_APIC_PAGE, "page"},
		{VCPU_APIC_MSRS, "x2APIC"},
		{VCPU_APIC_REGISTERS, "registers"},
		{VCPU_APIC_DELIVERY, "delivery"},
	};
	char text[128];
	size_t used = 0;

	switch (guests_machine()->apic_virtualization) {
	case CONFIG_SWITCH_OFF: vm_host.caps.apic = 0; break;
	case CONFIG_SWITCH_AUTO: vm_host.caps.apic &= ~vm_host.caps.apic_doubtful; break;
	default: break;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		if (vm_host.caps.apic & parts[i].bit)
			used += fmt_string(text + used, sizeof(text) - used, used ? ", %s" : "%s",
				parts[i].name);
	}
	log_line("APIC virtualization: %s", used ? text : "none");
}

void guests_init(void)
{
	read_config();
	choose_apic_virtualization();
	count = config.guest_count;
	for (unsigned i = 0; i < count; i++)
		make_guest(i);
}

/* ---- On the guest's own CPU ---- */

/*
 * All clean memory may be out for a moment: scrub some and try again, while there is any to scrub.
 */
static int build(struct guest *g, struct vm **vm)
{
	bool said = false;
	uint64_t start;
	int status;

	for (;;) {
		g->params.unix_time = machine.bi.unix_time + tsc_now_ns() / NS_PER_SEC;
		start = rdtsc();
		status = vm_create(vm, &g->params, cpus_virt, g->error);
		g->start_ticks = rdtsc() - start;
		if (status != E_BUSY)
			return status;
		if (__atomic_load_n(&g->stop.kind, __ATOMIC_ACQUIRE)) {
			frame_release_owner(&host_frames, g->params.owner);
			return status;
		}
		if (!said)
			log_line("%s waits for memory to be scrubbed", g->name);
		said = true;
		frame_scrub_step(&host_frames);
		irq_window();
		vm_host.poll();
	}
}

/* "1", "1,2" */
static const char *cpu_numbers(const struct config_cpus *cpus, char text[CPUS_TEXT])
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < cpus->count; i++) {
		used += fmt_string(
			text + used, CPUS_TEXT - used, i ? ",%u" : "%u", cpus->cpu[i].number);
	}
	return text;
}

/* The others wait for g->built: with it set they may look at g->vm. */
static void make(struct guest *g)
{
	char text[CPUS_TEXT];
	struct vm *vm;

	if (build(g, &vm) == OK) {
		g->vm = vm;
		set_state(g, GUEST_RUNNING);
		log_line("%s started: %lu MiB, CPU %s, built in %lu us", g->name,
			(unsigned long)(vm->ram_size >> 20), cpu_numbers(&g->config->cpus, text),
			(unsigned long)(tsc_to_ns(g->start_ticks) / NS_PER_US));
		measure_built(g);
	}
	__atomic_store_n(&g->built, 1, __ATOMIC_RELEASE);
	for (unsigned i = 1; i < g->params.cpu_count; i++)
		cpus_kick(g->params.cpus[i]);
}

static unsigned my_vcpu(const struct guest *g)
{
	unsigned cpu = vm_host.this_cpu(), i = 0;

	while (i + 1 < g->params.cpu_count && g->params.cpus[i] != cpu)
		i++;
	return i;
}

void guests_run(struct guest *g)
{
	unsigned id = my_vcpu(g);

	if (id == 0)
		make(g);
	while (!__atomic_load_n(&g->built, __ATOMIC_ACQUIRE))
		vm_host.idle(&g->built);
	if (g->vm) {
		vm_cpu_run(g->vm->cpu[id]);
		if (id == 0)
			measure_ended(g);
	}
	if (__atomic_sub_fetch(&g->inside, 1, __ATOMIC_ACQ_REL) == 0)
		set_state(g, GUEST_ENDED);
}

/* ---- Decisions ---- */

static bool failed(const struct guest *g)
{
	return g->stop.kind == STOP_FAILED || (g->stop.kind == STOP_EXIT && g->stop.exit_value);
}

static bool wants_restart(const struct guest *g)
{
	if (g->restart_wanted || g->stop.kind == STOP_RESET)
		return true;
	if (g->stop.kind == STOP_KILLED)
		return false;
	switch (g->config->restart) {
	case CONFIG_RESTART_ALWAYS: return true;
	case CONFIG_RESTART_ON_FAILURE: return failed(g);
	default: return false;
	}
}

/*
 * A guest that ends soon after each start, however it does that, must not keep housekeeping and
 * console busy.
 */
static ns_t restart_delay(struct guest *g, ns_t now)
{
	unsigned ends;

	if (now - g->started >= RESTART_SETTLED_NS)
		g->fast_ends = 0;
	ends = g->fast_ends++;
	if (g->restart_wanted)
		return 0;
	if (g->stop.kind == STOP_RESET) {
		if (ends < RESTART_FREE_RESETS)
			return 0;
		ends -= RESTART_FREE_RESETS;
	}
	ends = MIN(ends, 10u);
	return MIN(RESTART_DELAY_NS << ends, RESTART_DELAY_MAX_NS);
}

/* Clear away what a run left, and say how it ended. */
static void end_run(struct guest *g, ns_t now)
{
	struct vm *vm = g->vm;

	if (vm) {
		g->stop = vm->stop;
		if (failed(g))
			view_print(g, NULL);
		g->vm = NULL;
		vm_destroy(vm);
	} else if (g->stop.kind == STOP_NONE) {
		g->stop.kind = STOP_FAILED;
		fmt_string(
			g->stop.text, sizeof(g->stop.text), "could not be started: %s", g->error);
	}
	if (wants_restart(g)) {
		log_line("%s stopped: %s; it is started again", g->name, g->stop.text);
		g->start_at = now + restart_delay(g, now);
		g->restart_wanted = false;
		set_state(g, GUEST_DUE);
		return;
	}
	log_line("%s stopped: %s", g->name, g->stop.text);
	set_state(g, GUEST_STOPPED);
}

/*
 * What the guest said last comes before the line that says how it ended; but it does not wait for
 * ever.
 */
static bool output_shown(struct guest *g, ns_t now)
{
	if (g->ended_at == 0) {
		g->ended_at = now;
		housekeeping_end_output(g->index);
	}
	if (!housekeeping_output_done(g->index) && now - g->ended_at < OUTPUT_WAIT_NS)
		return false;
	g->ended_at = 0;
	return true;
}

/* A guest that has one of this one's CPUs, or NULL; it may be this one on its way out. */
static const struct guest *on_its_cpus(const struct guest *g)
{
	const struct guest *other = NULL;

	for (unsigned i = 0; i < g->params.cpu_count && !other; i++)
		other = cpus_guest(g->params.cpus[i]);
	return other;
}

/* Some of its CPUs may still be on the way out of guests_run(). */
static bool has_left(const struct guest *g)
{
	for (unsigned i = 0; i < g->params.cpu_count; i++) {
		if (cpus_guest(g->params.cpus[i]) == g)
			return false;
	}
	return true;
}

static void start_if_possible(struct guest *g, ns_t now)
{
	if (now < g->start_at || on_its_cpus(g))
		return;
	g->stop = (struct vm_stop){0};
	g->error[0] = '\0';
	g->vm = NULL;
	g->started = now;
	g->in.tail = g->in.head; /* what was typed for its last life */
	g->starts++;
	g->built = 0;
	g->inside = g->params.cpu_count;
	set_state(g, GUEST_STARTING);
	for (unsigned i = 0; i < g->params.cpu_count; i++)
		cpus_assign(g->params.cpus[i], g);
}

/*
 * A guest with `after`: its turn comes when the other has stopped, or never when that one cannot
 * run.
 */
static void follow(struct guest *g)
{
	const struct guest *other = &guests[g->config->after_index];

	if (state_of(other) == GUEST_STOPPED) {
		set_state(g, GUEST_DUE);
	} else if (state_of(other) == GUEST_REFUSED) {
		log_line("%s is not started: it waits for %s, which cannot run", g->name,
			other->name);
		set_state(g, GUEST_REFUSED);
	}
}

void guests_step(ns_t now)
{
	for (unsigned i = 0; i < count; i++) {
		struct guest *g = &guests[i];

		switch (state_of(g)) {
		case GUEST_WAITING: follow(g); break;
		case GUEST_DUE: start_if_possible(g, now); break;
		case GUEST_ENDED:
			if (has_left(g) && output_shown(g, now))
				end_run(g, now);
			break;
		default: break;
		}
	}
}

static bool any_in(uint32_t states)
{
	for (unsigned i = 0; i < count; i++) {
		if (states & 1u << state_of(&guests[i]))
			return true;
	}
	return false;
}

bool guests_all_stopped(void)
{
	return !any_in(1u << GUEST_WAITING | 1u << GUEST_DUE | 1u << GUEST_STARTING |
		       1u << GUEST_RUNNING | 1u << GUEST_ENDED);
}

bool guests_changing(void)
{
	return any_in(1u << GUEST_DUE | 1u << GUEST_STARTING | 1u << GUEST_ENDED);
}

/* ---- From the keyboard ---- */

void guests_list(void)
{
	static const char *const names[] = {
		"refused", "waiting", "due", "starting", "running", "ended", "stopped"};
	char cpus[CPUS_TEXT];

	log_line("%-20s %-9s %7s %9s %7s  %s", "NAME", "STATE", "CPU", "MEMORY", "STARTS", "LAST");
	for (unsigned i = 0; i < count; i++) {
		const struct guest *g = &guests[i];

		log_line("%-20s %-9s %7s %8luM %7lu  %s", g->name, names[state_of(g)],
			cpu_numbers(&g->config->cpus, cpus),
			(unsigned long)(g->config->memory.value >> 20), (unsigned long)g->starts,
			g->stop.text);
	}
}

void guests_kill(struct guest *g)
{
	switch (state_of(g)) {
	case GUEST_RUNNING:
		g->restart_wanted = false;
		vm_stop(g->vm, STOP_KILLED, "killed");
		break;
	case GUEST_STARTING: log_line("%s is being started: try again", g->name); break;
	case GUEST_WAITING:
	case GUEST_DUE:
		g->stop.kind = STOP_KILLED;
		fmt_string(g->stop.text, sizeof(g->stop.text), "killed before it ran");
		log_line("%s stopped: %s", g->name, g->stop.text);
		set_state(g, GUEST_STOPPED);
		break;
	default: log_line("%s is not running", g->name); break;
	}
}

void guests_power_button(struct guest *g)
{
	if (state_of(g) != GUEST_RUNNING) {
		log_line("%s is not running", g->name);
		return;
	}
	log_line("%s: power button pressed", g->name);
	vm_cpu_post(g->vm->cpu[0], POST_POWER);
}

void guests_restart(struct guest *g)
{
	const struct guest *other;

	switch (state_of(g)) {
	case GUEST_RUNNING:
		g->restart_wanted = true;
		vm_stop(g->vm, STOP_KILLED, "restart asked for");
		break;
	case GUEST_STOPPED:
		other = on_its_cpus(g);
		if (other) {
			log_line("%s cannot be started: %s has its CPU", g->name, other->name);
			break;
		}
		g->start_at = 0;
		set_state(g, GUEST_DUE);
		break;
	case GUEST_REFUSED:
		log_line("%s cannot be started: %s", g->name,
			cpus_virt ? "its config has a mistake" : "this machine can run no guest");
		break;
	default: log_line("%s is being started", g->name); break;
	}
}
