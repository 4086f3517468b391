/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/core/log.h"
#include "drivers/phys/sink.h"
#include "hv/lib/fmt.h"
#include "hv/lib/lock.h"
#include "hv/lib/string.h"

#define LOG_LINE_MAX 256
#define LOG_RING     KIB(64)

static const char prefix[] = "bulkhead | ";
static uint8_t ring_data[LOG_RING];
static struct ring ring;
static struct spinlock lock;
static bool ring_started;
uint64_t log_dropped;

static void put_ring(const char *text, size_t n)
{
	if (ring_room(&ring) < n + 1) {
		log_dropped += n + 1;
		return;
	}
	for (size_t i = 0; i < n; i++)
		ring_put(&ring, (uint8_t)text[i]);
	ring_put(&ring, '\n');
}

void log_line(const char *format, ...)
{
	char text[LOG_LINE_MAX];
	va_list args;
	size_t n;

	va_start(args, format);
	n = fmt_vstring(text, sizeof(text), format, args);
	va_end(args);
	spin_lock(&lock);
	if (ring_started) {
		put_ring(text, n);
	} else {
		sink_write(prefix, sizeof(prefix) - 1);
		sink_write(text, (unsigned)n);
		sink_write("\r\n", 2);
	}
	spin_unlock(&lock);
}

struct ring *log_start_ring(void)
{
	spin_lock(&lock);
	ring_init(&ring, ring_data, sizeof(ring_data));
	ring_started = true;
	spin_unlock(&lock);
	return &ring;
}
