/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor's own lines. Before the console runs they go straight to UART and screen;
 * afterwards into a ring that the housekeeping CPU drains. Any CPU, any time outside NMI context.
 */
#ifndef HV_CORE_LOG_H
#define HV_CORE_LOG_H

#include "hv/lib/ring.h"
#include "hv/lib/types.h"

/* One line, without its end and without the "bulkhead | " that will stand before it. */
void log_line(const char *format, ...) PRINTF(1, 2);

/* From now on lines go into the ring; returns it, for the console. */
struct ring *log_start_ring(void);
/* Lines that found the ring full. */
extern uint64_t log_dropped;

#endif
