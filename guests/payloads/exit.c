/* SPDX-License-Identifier: Apache-2.0 */
/* Ends with the status that its command line names. */
#include "guests/runtime/guest.h"

PAYLOAD("exit");

void payload_run(void)
{
	guest_exit((uint32_t)guest_number(0));
}
