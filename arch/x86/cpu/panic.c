/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/cpu/panic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/smp.h"
#include "arch/x86/cpu/trap.h"
#include "arch/x86/defs/cpuid.h"
#include "drivers/phys/framebuffer.h"
#include "drivers/phys/sink.h"
#include "hv/lib/fmt.h"

#define FRAMES_MAX 24u
#define LINE_MAX   200u
#define NOBODY     UINT32_MAX

/* From tools/symbols.py: parallel arrays, sorted by address. */
extern const uint64_t symbols_base;
extern const uint32_t symbols_count;
extern const uint32_t symbols_offsets[], symbols_name_offsets[];
extern const char symbols_names[];

static uint32_t panicking = NOBODY; /* initial APIC ID of the CPU that came first */
static unsigned depth;

bool panic_in_progress(void)
{
	return __atomic_load_n(&panicking, __ATOMIC_ACQUIRE) != NOBODY;
}

static NORETURN void stop(void)
{
	for (;;) {
		cli();
		hlt();
	}
}

static void put_line(const char *format, ...) PRINTF(1, 2);
static void put_vline(const char *intro, const char *format, va_list args)
{
	char line[LINE_MAX];
	size_t n = fmt_string(line, sizeof(line), "bulkhead | %s", intro);

	n += fmt_vstring(line + n, sizeof(line) - n, format, args);
	sink_panic_write(line, (unsigned)n);
	sink_panic_write("\r\n", 2);
}

static void put_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put_vline("", format, args);
	va_end(args);
}

size_t panic_symbol(char *buf, size_t size, uint64_t address)
{
	unsigned low = 0, high = symbols_count;

	if (!symbols_count || address < symbols_base || address >= (uint64_t)hv_text_end)
		return fmt_string(buf, size, "0x%lx", address);
	/* The last symbol at or below the address. */
	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;

		if (symbols_base + symbols_offsets[middle] <= address)
			low = middle;
		else
			high = middle;
	}
	/*
	 * Of several names for one address the first is the function's; the rest are section
	 * bounds.
	 */
	while (low && symbols_offsets[low - 1] == symbols_offsets[low])
		low--;
	return fmt_string(buf, size, "%s+0x%lx", &symbols_names[symbols_name_offsets[low]],
		address - symbols_base - symbols_offsets[low]);
}

static void put_address(uint64_t address)
{
	char name[80];

	panic_symbol(name, sizeof(name), address);
	put_line("  %s (0x%lx)", name, address);
}

/* May a frame's two quadwords be read? Also when the chain of frames is what broke. */
static bool readable(uint64_t at)
{
	uint64_t boot = (uint64_t)hv_boot_stacks;
	unsigned flags;
	hpa_t pa;

	if (at & 7 || at > UINT64_MAX - 15)
		return false;
	if (!host_map_cr3())
		return at >= boot && at + 16 <= boot + CPU_STACKS_SIZE;
	return !host_map_lookup(at, &pa, &flags) && !host_map_lookup(at + 15, &pa, &flags);
}

static void put_backtrace(uint64_t rip, uint64_t rbp)
{
	put_line("backtrace:");
	put_address(rip);
	for (unsigned i = 0; i < FRAMES_MAX && rbp; i++) {
		const uint64_t *frame = (const uint64_t *)rbp;

		if (!readable(rbp)) {
			put_line("  (the frame at 0x%lx is not readable)", rbp);
			return;
		}
		if (!frame[1])
			return;
		put_address(frame[1] -
			    1); /* in the call, which may be its function's last instruction */
		if (frame[0] && frame[0] <= rbp) /* stacks grow down: anything else may loop */
			return;
		rbp = frame[0];
	}
}

static void put_registers(const struct trap_frame *f)
{
	put_line("rip %016lx  rsp %016lx  rflags %08lx  cs %02lx  ss %02lx", f->rip, f->rsp,
		f->rflags, f->cs, f->ss);
	put_line("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	put_line("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
	put_line("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx", f->r9, f->r10, f->r11, f->r12);
	put_line("r13 %016lx  r14 %016lx  r15 %016lx", f->r13, f->r14, f->r15);
}

/* Decide who prints: one CPU, once; itself again, briefly. Others halt. */
static void claim(const char *format, va_list args)
{
	/* Not from the per-CPU area: that may be what is broken. Leaf Bh has all 32 bits. */
	uint32_t me = cpu_cpuid(CPUID_LEAF_TOPOLOGY, 0).edx, nobody = NOBODY;

	if (!cpu_cpuid(CPUID_LEAF_TOPOLOGY, 0).ebx)
		me = cpuid(CPUID_LEAF_FEATURES, 0).ebx >> 24;

	cli();
	if (__atomic_compare_exchange_n(
		    &panicking, &nobody, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	if (nobody != me || ++depth > 1)
		stop();
	put_vline("PANIC again: ", format, args);
	framebuffer_panic_draw();
	stop();
}

static NORETURN void die(const struct trap_frame *frame, uint64_t rip, uint64_t rbp,
	const char *format, va_list args)
{
	claim(format, args);
	framebuffer_panic();
	sink_panic_write("\r\n", 2);
	put_vline("PANIC: ", format, args);
	/* Nothing before this line may touch what could be broken. */
	smp_nmi_others();
	put_line("CPU %u (APIC ID %u) of %u, version " BULKHEAD_VERSION, this_cpu()->index,
		this_cpu()->apic_id, cpu_count());
	if (frame)
		put_registers(frame);
	put_line("cr0 %08lx  cr2 %016lx  cr3 %016lx  cr4 %08lx", read_cr0(), read_cr2(), read_cr3(),
		read_cr4());
	put_backtrace(rip, rbp);
	put_line("stopped: all CPUs are halted");
	/* Last: what is on the serial line by now cannot be lost any more. */
	framebuffer_panic_draw();
	stop();
}

void panic(const char *format, ...)
{
	const uint64_t *frame = __builtin_frame_address(0);
	va_list args;

	va_start(args, format);
	die(NULL, (uint64_t)__builtin_return_address(0), frame[0], format, args);
}

void panic_trap(const struct trap_frame *frame, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	die(frame, frame->rip, frame->rbp, format, args);
}
