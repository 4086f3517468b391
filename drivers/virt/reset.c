/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port 92h and the ICH9's Reset Control register (CF9h). Must not know what a reset involves. The
 * owner serialises calls.
 */
#include "drivers/virt/reset.h"
#include "hv/lib/string.h"

#define PORT92_INIT_NOW 0x01
#define PORT92_A20      0x02 /* stored: addresses are never masked */

#define RST_CNT_SYS_RST  0x02
#define RST_CNT_RST_CPU  0x04 /* a 0-to-1 transition resets */
#define RST_CNT_FULL_RST 0x08
#define RST_CNT_WRITABLE (RST_CNT_SYS_RST | RST_CNT_RST_CPU | RST_CNT_FULL_RST)

void reset_init(struct reset *r, const struct reset_env *env)
{
	memset(r, 0, sizeof(*r));
	r->env = *env;
	reset_reset(r, 0);
}

void reset_reset(struct reset *r, ns_t now UNUSED)
{
	r->port92 = PORT92_A20;
	r->rst_cnt = 0;
}

uint32_t reset_read(struct reset *r, unsigned offset, unsigned size, ns_t now UNUSED)
{
	uint32_t value = mask_bytes(size);

	if (offset == RESET_PORT92)
		return (value & ~0xffu) | r->port92;
	if (offset == RESET_CF9)
		return (value & ~0xffu) | r->rst_cnt;
	return value;
}

/* Only the register at `offset` is reached: the two are not neighbours on the bus. */
void reset_write(
	struct reset *r, unsigned offset, unsigned size UNUSED, uint32_t value, ns_t now UNUSED)
{
	uint8_t before;
	bool fire = false;

	if (offset == RESET_PORT92) {
		before = r->port92;
		r->port92 = value & (PORT92_INIT_NOW | PORT92_A20);
		fire = r->port92 & ~before & PORT92_INIT_NOW;
	} else if (offset == RESET_CF9) {
		before = r->rst_cnt;
		r->rst_cnt = value & RST_CNT_WRITABLE;
		fire = r->rst_cnt & ~before & RST_CNT_RST_CPU;
	}
	if (fire)
		r->env.reset(r->env.ctx);
}
