/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controllers and the timer as a PC's BIOS leaves them, for kernels that Multiboot
 * starts: some work with the BIOS's vectors and its tick before they set up their own. Others find
 * the devices as after reset. Memory is load_bios.c's part.
 */
#include "hv/vm/pc_priv.h"

/*
 * 8254: the 18.2 Hz tick, whose output rises at once; ICW1 forgets that. 8259: ICW1 to ICW4, then
 * the mask: IRQ 0 and the cascade are open.
 */
static const struct {
	uint8_t port, value;
} writes[] = {
	/* counter 0, mode 2, 65536 */
	{0x43, 0x34},
	{0x40, 0x00},
	{0x40, 0x00},
	/* vectors 08h to 0Fh, the cascade on input 2 */
	{0x20, 0x11},
	{0x21, 0x08},
	{0x21, 0x04},
	{0x21, 0x01},
	{0x21, 0xfa},
	/* vectors 70h to 77h */
	{0xa0, 0x11},
	{0xa1, 0x70},
	{0xa1, 0x02},
	{0xa1, 0x01},
	{0xa1, 0xff},
};

void pc_bios_leave(struct vm *vm)
{
	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
		bus_write(&vm->ports, writes[i].port, 1, writes[i].value);
}
