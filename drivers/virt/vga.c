/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VGA registers after IBM's "VGA Technical Reference": stored and read back, with the index
 * registers, the attribute controller's flip-flop and the DAC's counters behaving as software
 * expects; the status register follows a 70 Hz raster. Must not know who looks at the screen. The
 * owner serialises calls.
 */
#include "drivers/virt/vga.h"
#include "hv/lib/string.h"

/* Offsets from 3B0h. The CRTC and its status lie at 3Bxh or 3Dxh, as MISC_COLOR says. */
enum {
	CRTC_INDEX_MONO = 0x04,
	CRTC_DATA_MONO = 0x05,
	STATUS1_MONO = 0x0a,
	ATTRIBUTE = 0x10,
	ATTRIBUTE_READ = 0x11,
	STATUS0_MISC = 0x12, /* read: status 0, write: miscellaneous output */
	SEQUENCER_INDEX = 0x14,
	SEQUENCER_DATA = 0x15,
	DAC_MASK = 0x16,
	DAC_READ_INDEX = 0x17, /* read: state */
	DAC_WRITE_INDEX = 0x18,
	DAC_DATA = 0x19,
	FEATURE_READ = 0x1a,
	MISC_READ = 0x1c,
	GRAPHICS_INDEX = 0x1e,
	GRAPHICS_DATA = 0x1f,
	COLOR_BLOCK = 0x20, /* 3D0h: what is at 3B0h in monochrome modes */
};

#define MISC_COLOR         0x01
#define MISC_POWER_ON      0x67 /* colour, RAM enabled, 28 MHz, 400 lines */
#define STATUS0_SENSE      0x10 /* a monitor is connected */
#define STATUS1_OFF        0x01 /* display disabled: horizontal or vertical blank */
#define STATUS1_RETRACE    0x08
#define DAC_STATE_READ     3
#define DAC_COMPONENT      0x3f
#define ATTRIBUTE_INDEX    0x1f
#define ATTRIBUTE_PAS      0x20 /* the palette is the display's: the screen is on */
#define CRTC_START_HIGH    0x0c
#define CRTC_START_LOW     0x0d
#define CRTC_PROTECT_BY    0x11
#define CRTC_PROTECT       0x80 /* registers 0 to 7 are read-only */
#define CRTC_OVERFLOW      0x07
#define CRTC_LINE_COMPARE8 0x10 /* in the overflow register, never protected */
#define CRTC_OFFSET        0x13
#define GRAPHICS_MISC      0x06
#define GRAPHICS_MODE      0x01

/* 720x400 at 70 Hz: 449 lines of 31.8 us, the first 400 shown, a fifth of each line blank. */
#define LINE_NS      31778u
#define LINES        449u
#define LINES_SHOWN  400u
#define RETRACE_LINE 412u
#define LINE_SHOWN   25422u

/* What firmware programs for mode 3. */
static const uint8_t crtc_mode3[VGA_CRTC_REGS] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,
	0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
static const uint8_t sequencer_mode3[VGA_SEQUENCER_REGS] = {3, 0, 3, 0, 2};
static const uint8_t graphics_mode3[VGA_GRAPHICS_REGS] = {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff};
static const uint8_t attribute_mode3[VGA_ATTRIBUTE_REGS] = {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39,
	0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0, 0x0f, 8, 0};

/* Bits that exist; the others read as 0. The CRTC's exist all. */
static const uint8_t sequencer_bits[VGA_SEQUENCER_REGS] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t graphics_bits[VGA_GRAPHICS_REGS] = {
	0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
static const uint8_t attribute_bits[VGA_ATTRIBUTE_REGS] = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
	0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f};

/* A register behind an index; there is nothing behind the last one. */
static uint8_t indexed(const uint8_t *reg, unsigned count, unsigned index)
{
	return index < count ? reg[index] : 0;
}

static void set_indexed(
	uint8_t *reg, const uint8_t *bits, unsigned count, unsigned index, uint8_t value)
{
	if (index < count)
		reg[index] = value & bits[index];
}

static void write_crtc(struct vga *v, uint8_t value)
{
	unsigned index = v->crtc_index;

	if (index >= VGA_CRTC_REGS)
		return;
	if (index <= CRTC_OVERFLOW && (v->crtc[CRTC_PROTECT_BY] & CRTC_PROTECT)) {
		if (index != CRTC_OVERFLOW)
			return;
		value = (v->crtc[index] & ~CRTC_LINE_COMPARE8) | (value & CRTC_LINE_COMPARE8);
	}
	v->crtc[index] = value;
}

/* Index and data take turns. */
static void write_attribute(struct vga *v, uint8_t value)
{
	if (v->attribute_data)
		set_indexed(v->attribute, attribute_bits, VGA_ATTRIBUTE_REGS,
			v->attribute_index & ATTRIBUTE_INDEX, value);
	else
		v->attribute_index = value & (ATTRIBUTE_INDEX | ATTRIBUTE_PAS);
	v->attribute_data = !v->attribute_data;
}

/* Red, green, blue, then the next colour's. */
static uint8_t read_dac(struct vga *v)
{
	uint8_t value = v->dac[v->dac_read];

	v->dac_read = (v->dac_read + 1) % VGA_DAC_SIZE;
	return value;
}

static void write_dac(struct vga *v, uint8_t value)
{
	v->dac[v->dac_write] = value & DAC_COMPONENT;
	v->dac_write = (v->dac_write + 1) % VGA_DAC_SIZE;
}

static uint8_t status1(struct vga *v, ns_t now)
{
	unsigned line = now / LINE_NS % LINES;
	uint8_t status = 0;

	v->attribute_data = false;
	if (line >= LINES_SHOWN || now % LINE_NS >= LINE_SHOWN)
		status |= STATUS1_OFF;
	if (line >= RETRACE_LINE)
		status |= STATUS1_RETRACE;
	return status;
}

/* True, and the offset as of the monochrome block, if the CRTC answers there now. */
static bool in_crtc_block(const struct vga *v, unsigned *offset)
{
	bool color = *offset >= COLOR_BLOCK;

	if (!color && *offset >= ATTRIBUTE)
		return false;
	if (color != !!(v->misc & MISC_COLOR))
		return false;
	*offset %= ATTRIBUTE;
	return true;
}

static uint8_t read_crtc_block(struct vga *v, unsigned offset, ns_t now)
{
	switch (offset) {
	case CRTC_INDEX_MONO: return v->crtc_index;
	case CRTC_DATA_MONO: return indexed(v->crtc, VGA_CRTC_REGS, v->crtc_index);
	case STATUS1_MONO: return status1(v, now);
	default: return 0xff;
	}
}

static void write_crtc_block(struct vga *v, unsigned offset, uint8_t value)
{
	switch (offset) {
	case CRTC_INDEX_MONO: v->crtc_index = value; break;
	case CRTC_DATA_MONO: write_crtc(v, value); break;
	case STATUS1_MONO: v->feature = value; break;
	default: break;
	}
}

static uint8_t read_byte(struct vga *v, unsigned offset, ns_t now)
{
	if (in_crtc_block(v, &offset))
		return read_crtc_block(v, offset, now);
	switch (offset) {
	case ATTRIBUTE: return v->attribute_index;
	case ATTRIBUTE_READ:
		return indexed(
			v->attribute, VGA_ATTRIBUTE_REGS, v->attribute_index & ATTRIBUTE_INDEX);
	case STATUS0_MISC: return STATUS0_SENSE;
	case SEQUENCER_INDEX: return v->sequencer_index;
	case SEQUENCER_DATA: return indexed(v->sequencer, VGA_SEQUENCER_REGS, v->sequencer_index);
	case DAC_MASK: return v->dac_mask;
	case DAC_READ_INDEX: return v->dac_reading ? DAC_STATE_READ : 0;
	case DAC_WRITE_INDEX: return (uint8_t)(v->dac_write / 3);
	case DAC_DATA: return read_dac(v);
	case FEATURE_READ: return v->feature;
	case MISC_READ: return v->misc;
	case GRAPHICS_INDEX: return v->graphics_index;
	case GRAPHICS_DATA: return indexed(v->graphics, VGA_GRAPHICS_REGS, v->graphics_index);
	default: return 0xff;
	}
}

static void write_byte(struct vga *v, unsigned offset, uint8_t value)
{
	if (in_crtc_block(v, &offset)) {
		write_crtc_block(v, offset, value);
		return;
	}
	switch (offset) {
	case ATTRIBUTE: write_attribute(v, value); break;
	case STATUS0_MISC: v->misc = value; break;
	case SEQUENCER_INDEX: v->sequencer_index = value; break;
	case SEQUENCER_DATA:
		set_indexed(v->sequencer, sequencer_bits, VGA_SEQUENCER_REGS, v->sequencer_index,
			value);
		break;
	case DAC_MASK: v->dac_mask = value; break;
	case DAC_READ_INDEX:
		v->dac_read = value * 3;
		v->dac_reading = true;
		break;
	case DAC_WRITE_INDEX:
		v->dac_write = value * 3;
		v->dac_reading = false;
		break;
	case DAC_DATA: write_dac(v, value); break;
	case GRAPHICS_INDEX: v->graphics_index = value; break;
	case GRAPHICS_DATA:
		set_indexed(
			v->graphics, graphics_bits, VGA_GRAPHICS_REGS, v->graphics_index, value);
		break;
	default: break;
	}
}

void vga_init(struct vga *v)
{
	vga_reset(v, 0);
}

/* Firmware's palette: the 6-bit RGB colours that the attribute controller's entries name. */
static void fill_dac(struct vga *v)
{
	for (unsigned i = 0; i < 64; i++) {
		for (unsigned c = 0; c < 3; c++) { /* bits 2 and 5 are red's, 0 and 3 blue's */
			unsigned full = i >> (2 - c) & 1, third = i >> (5 - c) & 1;

			v->dac[3 * i + c] = (uint8_t)(full * 0x2a + third * 0x15);
		}
	}
}

void vga_reset(struct vga *v, ns_t now UNUSED)
{
	memset(v, 0, sizeof(*v));
	v->misc = MISC_POWER_ON;
	v->attribute_index = ATTRIBUTE_PAS;
	v->dac_mask = 0xff;
	memcpy(v->crtc, crtc_mode3, sizeof(crtc_mode3));
	memcpy(v->sequencer, sequencer_mode3, sizeof(sequencer_mode3));
	memcpy(v->graphics, graphics_mode3, sizeof(graphics_mode3));
	memcpy(v->attribute, attribute_mode3, sizeof(attribute_mode3));
	fill_dac(v);
}

uint32_t vga_read(struct vga *v, unsigned offset, unsigned size, ns_t now)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && i < sizeof(value); i++) {
		uint8_t byte = offset + i < VGA_REGS ? read_byte(v, offset + i, now) : 0xff;

		value |= (uint32_t)byte << (8 * i);
	}
	return value;
}

/* A word to an index register is index and data, as on every VGA. */
void vga_write(struct vga *v, unsigned offset, unsigned size, uint32_t value, ns_t now UNUSED)
{
	for (unsigned i = 0; i < size && i < sizeof(value) && offset + i < VGA_REGS; i++)
		write_byte(v, offset + i, value >> (8 * i));
}

bool vga_text_row(const struct vga *v, const uint8_t text[VGA_TEXT_SIZE], unsigned row,
	char chars[VGA_COLUMNS])
{
	unsigned start = v->crtc[CRTC_START_HIGH] << 8 | v->crtc[CRTC_START_LOW];
	unsigned at = start + row * v->crtc[CRTC_OFFSET] * 2;
	bool shown = row < VGA_ROWS && !(v->graphics[GRAPHICS_MISC] & GRAPHICS_MODE);
	bool blank = true;

	for (unsigned column = 0; column < VGA_COLUMNS; column++) {
		/* Each character is followed by its attribute. */
		uint8_t c = shown ? text[(at + column) * 2 % VGA_TEXT_SIZE] : ' ';

		if (c == 0)
			c = ' '; /* as memory begins */
		chars[column] = c >= ' ' && c <= '~' ? (char)c : '.';
		blank &= c == ' ';
	}
	return !blank;
}
