/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual PC of one guest: its device models, connected to each other, to the buses and to the
 * console rings. Timers of models run on the CPU of vCPU 0.
 */
#ifndef HV_VM_PC_H
#define HV_VM_PC_H

#include "hv/vm/vm.h"

/* Frames that pc_create needs, charged to the VM. */
unsigned pc_frames(void);
int pc_create(struct vm *vm, void *storage, const struct vm_params *params) MUST_CHECK;
/* Stop all timers; on the CPU of vCPU 0. */
void pc_stop(struct vm *vm);
/* pc_bios.c: the devices as a BIOS leaves them, before the first vCPU runs. */
void pc_bios_leave(struct vm *vm);

/* The PIC: is an interrupt waiting, and the INTA cycle; -1: nothing waits any more. */
bool pc_pic_pending(const struct vm *vm);
int pc_pic_ack(struct vm *vm);
void pc_eoi(struct vm *vm, uint8_t vector);

/* Some model's deadline has changed on another CPU. On the CPU of vCPU 0. */
void pc_timers_rearm(struct vm *vm);

#define PC_SCREEN_COLUMNS 80u
#define PC_SCREEN_ROWS    25u

/*
 * A row of the guest's text screen, printable ASCII without an end; false: it is blank. Any CPU
 * while the VM exists: what the guest changes meanwhile may be seen half.
 */
bool pc_screen_row(const struct vm *vm, unsigned row, char chars[PC_SCREEN_COLUMNS]);

/* Somebody presses the guest's power button. On the CPU of vCPU 0. */
void pc_power_button(struct vm *vm);

/* Bytes wait in console_in, or console_out has room again. On the CPU of vCPU 0. */
void pc_console_poll(struct vm *vm);

#endif
