/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest guest: prints its command line. */
#include "guests/runtime/guest.h"

PAYLOAD("hello");

void payload_run(void)
{
	print("hello: %s", guest_cmdline());
}
