/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An AT-compatible 8042 after IBM's PS/2 Technical Reference, answering at once. The keyboard
 * behind it acknowledges commands; nobody types. The auxiliary interface fails its test and times
 * out, so that an OS finds no mouse without waiting. Must not know who is reset. The owner
 * serialises calls.
 */
#include "drivers/virt/i8042.h"
#include "hv/lib/string.h"

#define STATUS_OBF     0x01
#define STATUS_SYS     0x04
#define STATUS_COMMAND 0x08
#define STATUS_UNLOCK  0x10 /* keyboard lock switch is open */
#define STATUS_AUX_OBF 0x20
#define STATUS_TIMEOUT 0x40

#define CCB_KIE      0x01
#define CCB_SYS      0x04
#define CCB_KDIS     0x10
#define CCB_ADIS     0x20
#define CCB_XLATE    0x40
/* As firmware leaves it: interrupt, translation, no auxiliary device. */
#define CCB_POWER_ON (CCB_KIE | CCB_SYS | CCB_ADIS | CCB_XLATE)

#define OUTPUT_PORT_NO_RESET 0x01
#define OUTPUT_PORT_A20      0x02 /* stored: addresses are never masked */
#define OUTPUT_PORT_OBF      0x10

/* Controller commands. */
enum {
	CMD_READ_RAM = 0x20,  /* to 3Fh */
	CMD_WRITE_RAM = 0x60, /* to 7Fh */
	CMD_PASSWORD_TEST = 0xa4,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KEY_TEST = 0xab,
	CMD_KEY_DISABLE = 0xad,
	CMD_KEY_ENABLE = 0xae,
	CMD_READ_INPUT = 0xc0,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_WRITE_KEY_OBF = 0xd2,
	CMD_WRITE_AUX_OBF = 0xd3,
	CMD_WRITE_AUX = 0xd4,
	CMD_A20_OFF = 0xdd, /* many controllers', shorter than D1h */
	CMD_A20_ON = 0xdf,
	CMD_PULSE = 0xf0,
};

#define PASSWORD_NONE   0xf1
#define SELF_TEST_OK    0x55
#define KEY_TEST_OK     0x00
#define AUX_TEST_FAILED 0x01 /* clock line stuck low */
#define INPUT_PORT      0x80 /* keyboard not locked */

/* Keyboard commands and answers. */
enum {
	KEY_SET_LEDS = 0xed,
	KEY_ECHO = 0xee,
	KEY_SCAN_SET = 0xf0,
	KEY_IDENTIFY = 0xf2,
	KEY_TYPEMATIC = 0xf3,
	KEY_ENABLE = 0xf4,
	KEY_DISABLE = 0xf5,
	KEY_DEFAULTS = 0xf6,
	KEY_SET_ONE_FIRST = 0xfb, /* how single keys report, in scan set 3 */
	KEY_SET_ONE_LAST = 0xfd,
	KEY_RESEND = 0xfe,
	KEY_RESET = 0xff,
};

#define ANSWER_ACK     0xfa
#define ANSWER_RESEND  0xfe
#define ANSWER_BAT_OK  0xaa
#define ANSWER_TIMEOUT 0xfe
#define ID_FIRST       0xab
#define ID_SECOND      0x83

/* The line follows OBF: a keyboard's and a controller's byte both raise IRQ1. */
static void update_irq(struct i8042 *k)
{
	bool full = (k->status & (STATUS_OBF | STATUS_AUX_OBF)) == STATUS_OBF;

	irq_line_set(&k->irq, full && (k->ram[0] & CCB_KIE));
}

static void put_output(struct i8042 *k, uint8_t byte, uint8_t status)
{
	k->output = byte;
	k->status &= ~(STATUS_AUX_OBF | STATUS_TIMEOUT);
	k->status |= STATUS_OBF | status;
	update_irq(k);
}

static void reply(struct i8042 *k, uint8_t byte)
{
	put_output(k, byte, 0);
}

/* Scan set 2 to 1, for the few bytes below 80h that this keyboard sends. */
static uint8_t translate(uint8_t byte)
{
	switch (byte) {
	case 0x01: return 0x43;
	case 0x02: return 0x41;
	case 0x03: return 0x3f;
	case ID_SECOND: return 0x41;
	default: return byte;
	}
}

/* The keyboard's next byte moves into the free output buffer unless its clock is held. */
static void pull_key(struct i8042 *k)
{
	uint8_t byte;

	if (!k->queue_count || (k->status & STATUS_OBF) || (k->ram[0] & CCB_KDIS))
		return;
	byte = k->queue[k->queue_head];
	k->queue_head = (k->queue_head + 1) % I8042_QUEUE;
	k->queue_count--;
	put_output(k, k->ram[0] & CCB_XLATE ? translate(byte) : byte, 0);
}

/* What does not fit is lost, as on a keyboard whose buffer overran. */
static void key_send(struct i8042 *k, uint8_t byte)
{
	if (k->queue_count == I8042_QUEUE)
		return;
	k->queue[(k->queue_head + k->queue_count) % I8042_QUEUE] = byte;
	k->queue_count++;
	if (byte != ANSWER_RESEND)
		k->key_last = byte;
}

static bool sets_single_keys(uint8_t command)
{
	return command >= KEY_SET_ONE_FIRST && command <= KEY_SET_ONE_LAST;
}

/* The byte that follows ED, F0 or F3, or one of the keys after FB to FD: those go on and on. */
static void key_argument(struct i8042 *k, uint8_t value)
{
	uint8_t command = k->key_command;

	if (!sets_single_keys(command))
		k->key_command = 0;
	key_send(k, ANSWER_ACK);
	if (command != KEY_SCAN_SET)
		return;
	if (!value)
		key_send(k, k->scan_set);
	else if (value <= 3)
		k->scan_set = value;
}

static void key_command(struct i8042 *k, uint8_t value)
{
	if (value == KEY_ECHO) {
		key_send(k, KEY_ECHO);
		return;
	}
	if (value == KEY_RESEND) {
		key_send(k, k->key_last);
		return;
	}
	if (value < KEY_SET_LEDS || value == 0xef || value == 0xf1) {
		key_send(k, ANSWER_RESEND);
		return;
	}
	key_send(k, ANSWER_ACK);
	switch (value) {
	case KEY_SET_LEDS:
	case KEY_SCAN_SET:
	case KEY_TYPEMATIC:
	case KEY_SET_ONE_FIRST:
	case KEY_SET_ONE_FIRST + 1:
	case KEY_SET_ONE_LAST: k->key_command = value; break;
	case KEY_IDENTIFY:
		key_send(k, ID_FIRST);
		key_send(k, ID_SECOND);
		break;
	case KEY_DEFAULTS: k->scan_set = 2; break;
	case KEY_RESET:
		k->scan_set = 2;
		key_send(k, ANSWER_BAT_OK);
		break;
	default: break; /* enable, disable, typematic modes: nobody types */
	}
}

/* A command byte that is no argument ends the wait for one, as on the keyboard itself. */
static void key_write(struct i8042 *k, uint8_t value)
{
	k->ram[0] &= ~CCB_KDIS; /* sending to the keyboard releases its clock */
	if (k->key_command && value < KEY_SET_LEDS) {
		key_argument(k, value);
	} else {
		k->key_command = 0;
		k->queue_count = 0; /* a command cancels what was still to be sent */
		key_command(k, value);
	}
	pull_key(k);
}

static void write_output_port(struct i8042 *k, uint8_t value)
{
	k->output_port = value & ~OUTPUT_PORT_OBF;
	if (!(value & OUTPUT_PORT_NO_RESET))
		k->env.reset(k->env.ctx);
}

static void write_ram(struct i8042 *k, unsigned index, uint8_t value)
{
	k->ram[index] = value;
	if (index)
		return;
	k->status &= ~STATUS_SYS;
	if (value & CCB_SYS)
		k->status |= STATUS_SYS;
	update_irq(k);
	pull_key(k);
}

/* The data byte of a controller command. */
static void command_argument(struct i8042 *k, uint8_t value)
{
	uint8_t command = k->command;

	k->command = 0;
	switch (command) {
	case CMD_WRITE_OUTPUT: write_output_port(k, value); break;
	case CMD_WRITE_KEY_OBF: reply(k, value); break;
	/* The loop through the auxiliary interface ends in the keyboard's buffer: there is none. */
	case CMD_WRITE_AUX_OBF: reply(k, value); break;
	case CMD_WRITE_AUX: put_output(k, ANSWER_TIMEOUT, STATUS_AUX_OBF | STATUS_TIMEOUT); break;
	default: write_ram(k, command % I8042_RAM, value); break;
	}
}

static void self_test(struct i8042 *k)
{
	k->ram[0] |= CCB_KDIS | CCB_ADIS | CCB_SYS;
	k->status |= STATUS_SYS;
	k->queue_count = 0;
	reply(k, SELF_TEST_OK);
}

/* One of the 32 commands that name a byte of the controller's RAM. */
static bool in_range(uint8_t command, uint8_t first)
{
	return command >= first && command < first + I8042_RAM;
}

/* Commands whose answer never changes. */
static bool fixed_answer(struct i8042 *k, uint8_t command)
{
	static const struct {
		uint8_t command, answer;
	} answers[] = {
		{CMD_PASSWORD_TEST, PASSWORD_NONE},
		{CMD_AUX_TEST, AUX_TEST_FAILED},
		{CMD_KEY_TEST, KEY_TEST_OK},
		{CMD_READ_INPUT, INPUT_PORT},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
		if (answers[i].command != command)
			continue;
		reply(k, answers[i].answer);
		return true;
	}
	return false;
}

static void other_command(struct i8042 *k, uint8_t value)
{
	switch (value) {
	case CMD_AUX_DISABLE: k->ram[0] |= CCB_ADIS; break;
	case CMD_AUX_ENABLE: k->ram[0] &= ~CCB_ADIS; break;
	case CMD_SELF_TEST: self_test(k); break;
	case CMD_KEY_DISABLE: k->ram[0] |= CCB_KDIS; break;
	case CMD_KEY_ENABLE:
		k->ram[0] &= ~CCB_KDIS;
		pull_key(k);
		break;
	case CMD_READ_OUTPUT:
		reply(k, k->output_port | (k->status & STATUS_OBF ? OUTPUT_PORT_OBF : 0));
		break;
	case CMD_A20_OFF: k->output_port &= ~OUTPUT_PORT_A20; break;
	case CMD_A20_ON: k->output_port |= OUTPUT_PORT_A20; break;
	case CMD_WRITE_OUTPUT:
	case CMD_WRITE_KEY_OBF:
	case CMD_WRITE_AUX_OBF:
	case CMD_WRITE_AUX: k->command = value; break;
	default: break; /* unknown commands have no answer */
	}
}

static void write_command(struct i8042 *k, uint8_t value)
{
	k->command = 0;
	if (value >= CMD_PULSE) { /* a 0 in bits 3:0 pulses that line; bit 0 is the CPU's reset */
		if (!(value & OUTPUT_PORT_NO_RESET))
			k->env.reset(k->env.ctx);
	} else if (in_range(value, CMD_READ_RAM)) {
		reply(k, k->ram[value - CMD_READ_RAM]);
	} else if (in_range(value, CMD_WRITE_RAM)) {
		k->command = value; /* the value comes as data */
	} else if (!fixed_answer(k, value)) {
		other_command(k, value);
	}
}

static uint8_t read_data(struct i8042 *k)
{
	uint8_t byte = k->output;

	k->status &= ~(STATUS_OBF | STATUS_AUX_OBF | STATUS_TIMEOUT);
	update_irq(k);
	pull_key(k);
	return byte;
}

static void write_data(struct i8042 *k, uint8_t value)
{
	k->status &= ~STATUS_COMMAND;
	if (k->command)
		command_argument(k, value);
	else
		key_write(k, value);
}

void i8042_init(struct i8042 *k, const struct i8042_env *env, struct irq_line irq)
{
	memset(k, 0, sizeof(*k));
	k->env = *env;
	k->irq = irq;
	i8042_reset(k, 0);
}

void i8042_reset(struct i8042 *k, ns_t now UNUSED)
{
	struct i8042_env env = k->env;
	struct irq_line irq = k->irq;

	memset(k, 0, sizeof(*k));
	k->env = env;
	k->irq = irq;
	k->status = STATUS_UNLOCK | STATUS_SYS;
	k->ram[0] = CCB_POWER_ON;
	k->output_port = OUTPUT_PORT_NO_RESET | OUTPUT_PORT_A20;
	k->scan_set = 2;
	update_irq(k);
}

/* The two ports are not neighbours: only the one at `offset` is reached. */
uint32_t i8042_read(struct i8042 *k, unsigned offset, unsigned size, ns_t now UNUSED)
{
	uint32_t value = mask_bytes(size) & ~0xffull;

	if (offset == I8042_DATA)
		return value | read_data(k);
	if (offset == I8042_STATUS)
		return value | k->status;
	return value | 0xff;
}

void i8042_write(
	struct i8042 *k, unsigned offset, unsigned size UNUSED, uint32_t value, ns_t now UNUSED)
{
	if (offset == I8042_DATA) {
		write_data(k, value);
	} else if (offset == I8042_STATUS) {
		k->status |= STATUS_COMMAND;
		write_command(k, value);
	}
}
