/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests of the config, and what becomes of them: waiting for another, starting, running,
 * stopped, started again. A guest outlives the VMs made for it; its console rings and counters are
 * here.
 *
 * Locking: the housekeeping CPU decides everything. It gives a guest all its CPUs at once: the
 * first builds the VM and moves the guest from STARTING to RUNNING, the last one out moves it to
 * ENDED, with release stores of its state.
 */
#ifndef HV_CORE_GUESTS_H
#define HV_CORE_GUESTS_H

#include "hv/config/check.h"
#include "hv/vm/vm.h"

enum guest_state {
	GUEST_REFUSED,  /* its config has a mistake, or no guest can run here */
	GUEST_WAITING,  /* for the guest named by `after` */
	GUEST_DUE,      /* to be started at start_at */
	GUEST_STARTING, /* its CPU builds it */
	GUEST_RUNNING,
	GUEST_ENDED, /* its CPU is done with it; to be cleared away */
	GUEST_STOPPED,
};

struct guest {
	const struct config_guest *config;
	const char *name;
	uint32_t state; /* enum guest_state, atomic */
	unsigned index;
	struct vm *vm; /* STARTING to ENDED; valid for others while RUNNING */
	struct vm_params params;
	uint32_t built;          /* atomic: vCPU 0's CPU has made the VM, or failed to */
	uint32_t inside;         /* atomic: CPUs that have not left guests_run() */
	struct vm_stop stop;     /* how the last run ended */
	char error[VM_TEXT_MAX]; /* why it could not be built */
	struct ring out, in;     /* console */
	uint64_t dropped;
	ns_t start_at, started, ended_at; /* by the clock of the housekeeping CPU */
	unsigned fast_ends;               /* in a row, for the restart delay */
	uint64_t starts;
	bool restart_wanted;  /* from the keyboard */
	uint64_t start_ticks; /* TSC ticks from the decision to the first entry */
};

/* Read the config, say what is wrong with it, make the guests. */
void guests_init(void);
/* One step of all decisions; housekeeping only. */
void guests_step(ns_t now);
unsigned guests_count(void);
struct guest *guests_get(unsigned index);
const struct config_machine *guests_machine(void);
unsigned guests_housekeeping(void); /* the CPU that does housekeeping */
/* Nothing runs or will run by itself. */
bool guests_all_stopped(void);
/* Some guest is between two states: look often. */
bool guests_changing(void);

/* From the keyboard. */
void guests_list(void);
void guests_kill(struct guest *g);
void guests_restart(struct guest *g);
void guests_power_button(struct guest *g);

/* On each of the guest's CPUs: build it, or wait until it is built, and run it to its end. */
void guests_run(struct guest *g);

#endif
