/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole guest (hv/vm with its virtual PC) on a backend of the fake machine: the fixture of the
 * tests of hv/vm. vCPU i belongs to CPU i. The surroundings (struct vm_host) record what is
 * asked of them.
 */
#ifndef TESTS_FAKES_VM_WORLD_H
#define TESTS_FAKES_VM_WORLD_H

#include "hv/vm/vm.h"
#include "tests/fakes/fake.h"

#define VM_WORLD_OWNER  (FRAME_OWNER_VM + 3)
#define VM_WORLD_MEMORY MIB(8)
#define VM_WORLD_ENTRY  0x200000ull

struct vm_world {
	struct vm *vm;
	struct vm_cpu *c; /* vCPU 0 */
	struct ring console_out, console_in;
	uint8_t out[4096], in[64];
	char error[VM_TEXT_MAX];
	unsigned kicks[FAKE_CPUS];
	unsigned polls, idles, said;
	uint64_t dropped; /* bytes for the console */
	unsigned timers_armed;
	/*
	 * What happens while the CPU is idle; NULL: the test fails, as the guest would sleep for
	 * ever.
	 */
	void (*idle)(void);
	void (*kicked)(unsigned cpu);
	void (*timer_was_armed)(void);
};
extern struct vm_world vmw;
/* VT-x, unless a test chooses AMD-V before vm_world_machine(). */
extern const struct virt_ops *vm_world_ops;
/* Config keys of the guest that vm_world_create() makes; vm_world_machine() resets them. */
extern struct vm_world_config {
	uint16_t exit_port;
	bool debug_mmio;
} vm_world_config;
/* VCPU_APIC_* that guests use, if the CPU has them; none unless a test says so. */
extern unsigned vm_world_apic;
/* Takes something away from each CPU before bring-up; NULL: nothing. */
extern void (*vm_world_trim)(void);

/*
 * A guest with `cpus` vCPUs, each loaded on its CPU, in 64-bit mode at VM_WORLD_ENTRY. CPU 0 is
 * selected.
 */
void vm_world_init(unsigned cpus);
void vm_world_fini(void);
/* The machine only, without a guest; then one. vm_world_create returns vm_create's status. */
void vm_world_machine(void);
int vm_world_create(unsigned cpus);
void vm_world_load(void);
/* RFLAGS and interruptibility of vCPU 0, VT-x only. */
void vm_world_flags(uint64_t rflags, uint32_t interruptibility);

#endif
