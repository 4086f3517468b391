/* SPDX-License-Identifier: Apache-2.0 */
/* Start and end of a payload, its console and its checks. */
#include "guests/runtime/guest.h"
#include "arch/x86/defs/cpuid.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

#define UART         0x3f8
#define UART_IER     (UART + 1)
#define UART_FCR     (UART + 2)
#define UART_LCR     (UART + 3)
#define UART_MCR     (UART + 4)
#define UART_LSR     (UART + 5)
#define UART_THRE    0x20
#define UART_FIFO    16
#define LINE_MAX     256
#define LOCK_ROUNDS  1000000u
#define FAILURES_MAX 20 /* printed; the rest is counted */

/* Linker script */
extern const char guest_image_start[], guest_image_end[];

const struct payload_info *guest_info;
static unsigned failures;
static uint32_t console_lock;

void guest_start(const struct payload_info *info);

void console_init(void)
{
	outb(UART_LCR, 0x80);
	outb(UART, 1); /* 115200 baud */
	outb(UART + 1, 0);
	outb(UART_LCR, 3);
	outb(UART_IER, 0);
	outb(UART_FCR, 7);
	outb(UART_MCR, 3);
}

static void console_write(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (i % UART_FIFO == 0) {
			while (!(inb(UART_LSR) & UART_THRE))
				cpu_relax();
		}
		outb(UART, (uint8_t)text[i]);
	}
}

void print(const char *format, ...)
{
	char line[LINE_MAX];
	va_list args;
	size_t n;

	va_start(args, format);
	n = fmt_vstring(line, sizeof(line) - 1, format, args);
	va_end(args);
	line[n++] = '\n';
	/* Bounded: whoever has it may have been reset. */
	for (unsigned i = 0; i < LOCK_ROUNDS; i++) {
		if (!__atomic_exchange_n(&console_lock, 1, __ATOMIC_ACQUIRE))
			break;
		cpu_relax();
	}
	console_write(line, n);
	__atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
}

bool check(bool holds, const char *format, ...)
{
	char line[LINE_MAX];
	va_list args;

	if (holds)
		return true;
	if (__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED) > FAILURES_MAX)
		return false;
	va_start(args, format);
	fmt_vstring(line, sizeof(line), format, args);
	va_end(args);
	print("FAIL %s", line);
	return false;
}

unsigned check_failures(void)
{
	return failures;
}

void guest_exit(uint32_t value)
{
	while (!(inb(UART_LSR) & 0x40))
		cpu_relax();
	outl(GUEST_EXIT_PORT, value);
	for (;;) {
		cli();
		hlt();
	}
}

const char *guest_cmdline(void)
{
	return (const char *)guest_info->cmdline;
}

uint64_t guest_number(uint64_t otherwise)
{
	const char *s = guest_cmdline();
	uint64_t n = 0;

	while (*s && (*s < '0' || *s > '9'))
		s++;
	if (!*s)
		return otherwise;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	return n;
}

static const struct payload_mem *map(void)
{
	return (const struct payload_mem *)guest_info->map;
}

uint64_t guest_ram_end(void)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < guest_info->map_count; i++) {
		const struct payload_mem *m = &map()[i];

		if (m->type != PAYLOAD_MEM_RESERVED && m->base < GIB(4))
			end = m->base + m->size;
	}
	return end;
}

bool on_bulkhead(void)
{
	struct cpuid_regs r = cpuid(0x40000100, 0);

	return r.ebx == 0x6b6c7542; /* "Bulk" */
}

bool on_qemu_cpu(void)
{
	struct cpuid_regs r = cpuid(CPUID_LEAF_BRAND, 0);

	return r.eax == 0x554d4551; /* "QEMU" */
}

/* Call fn for what is left of [base, end) without what is left alone. */
void guest_free_ram(void (*fn)(uint64_t base, uint64_t end))
{
	const struct {
		uint64_t base, end;
	} keep[] = {
		{0, 0x1000}, /* the BIOS data area */
		{PAYLOAD_LOW_BASE, PAYLOAD_LOW_END},
		{(uint64_t)guest_image_start, (uint64_t)guest_image_end},
	};

	for (unsigned i = 0; i < guest_info->map_count; i++) {
		uint64_t base = align_up(map()[i].base, PAGE_SIZE);
		uint64_t end = align_down(map()[i].base + map()[i].size, PAGE_SIZE);

		if (map()[i].type != PAYLOAD_MEM_USABLE || base >= GIB(4))
			continue;
		for (unsigned k = 0; k < ARRAY_SIZE(keep); k++) {
			if (keep[k].end <= base || keep[k].base >= end)
				continue;
			if (base < keep[k].base)
				fn(base, keep[k].base);
			base = keep[k].end;
		}
		if (base < end)
			fn(base, end);
	}
}

/* Called by start.S. */
void guest_start(const struct payload_info *info)
{
	guest_info = info;
	console_init();
	if (info->magic != PAYLOAD_MAGIC || info->version != PAYLOAD_VERSION) {
		print("FAIL %s: no payload information at entry", guest_name);
		guest_exit(2);
	}
	trap_init();
	apic_init();
	time_init();
	payload_run();
	if (failures == 0)
		print("PASS %s", guest_name);
	else
		print("FAIL %s (%u)", guest_name, failures);
	guest_exit(failures != 0);
}
