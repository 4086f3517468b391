/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VGA's registers in 80x25 text mode: ports 3B0h-3DFh. Its text memory is 32 KiB of plain RAM at
 * B8000h that belongs to the owner: a guest writes text without an exit, and who wants to see it
 * asks vga_text_row(). Nothing is drawn here, and graphics modes show nothing. Serialised by its
 * owner, except vga_text_row().
 */
#ifndef DRIVERS_VIRT_VGA_H
#define DRIVERS_VIRT_VGA_H

#include "drivers/virt/model.h"

#define VGA_PORT_BASE 0x3b0 /* offset 0 */
#define VGA_REGS      0x30

#define VGA_TEXT_BASE 0xb8000u /* where the guest sees its text memory */
#define VGA_TEXT_SIZE 0x8000u
#define VGA_COLUMNS   80u
#define VGA_ROWS      25u

#define VGA_CRTC_REGS      25
#define VGA_SEQUENCER_REGS 5
#define VGA_GRAPHICS_REGS  9
#define VGA_ATTRIBUTE_REGS 21
#define VGA_DAC_SIZE       (256 * 3)

struct vga {
	uint8_t misc;    /* written at 3C2h, read at 3CCh */
	uint8_t feature; /* written at 3DAh, read at 3CAh */
	uint8_t crtc_index, crtc[VGA_CRTC_REGS];
	uint8_t sequencer_index, sequencer[VGA_SEQUENCER_REGS];
	uint8_t graphics_index, graphics[VGA_GRAPHICS_REGS];
	uint8_t attribute_index; /* with PAS in bit 5 */
	uint8_t attribute[VGA_ATTRIBUTE_REGS];
	bool attribute_data; /* the flip-flop: 3C0h takes data next */
	uint8_t dac_mask;
	bool dac_reading;
	uint16_t dac_write, dac_read; /* the next component's place in dac */
	uint8_t dac[VGA_DAC_SIZE];
};

/* As firmware leaves it: text mode 3. */
void vga_init(struct vga *v);
void vga_reset(struct vga *v, ns_t now);
uint32_t vga_read(struct vga *v, unsigned offset, unsigned size, ns_t now);
void vga_write(struct vga *v, unsigned offset, unsigned size, uint32_t value, ns_t now);

/*
 * The characters of one row of the screen, printable ASCII, as the start address and the row offset
 * say; blanks where nothing is shown. `text` is the text memory. May be called while the guest
 * changes both: what it sees then is a moment's mixture, never outside of `text`. False: the row
 * is blank.
 */
bool vga_text_row(const struct vga *v, const uint8_t text[VGA_TEXT_SIZE], unsigned row,
	char chars[VGA_COLUMNS]);

#endif
