/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/cpu/smp.h"
#include "arch/x86/cpu/host_lapic.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/panic.h"
#include "arch/x86/cpu/trampoline.h"
#include "arch/x86/cpu/tsc.h"
#include "hv/lib/string.h"

#define INIT_DELAY_US  10000u
#define SIPI_DELAY_US  200u
#define START_WAIT_US  2000000u /* an emulator on a busy host lets a CPU wait for long */
#define CPU_AREA_PAGES ((sizeof(struct cpu) + PAGE_SIZE - 1) / PAGE_SIZE)

/*
 * The CPU being started sets this to its area's address, and goes on when its area says that it is
 * counted. Nothing shared tells it so: the next one may be starting before it looks.
 */
static struct cpu *arrived;

static NORETURN void ap_entry(struct cpu *cpu)
{
	write_cr3(host_map_cr3());
	cpu_load(cpu);
	cpu_set_control();
	tsc_join();
	if (host_lapic_init())
		panic("CPU %u: the local APIC of the boot CPU's mode is not usable", cpu->index);
	__atomic_store_n(&arrived, cpu, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&cpu->counted, __ATOMIC_ACQUIRE))
		cpu_relax();
	hv_ap_main(cpu);
}

/* A flat segment's descriptor; type bits as in arch/x86/defs/segment.h. */
static uint64_t flat_segment(unsigned type, uint64_t size_bit)
{
	return DESC_LIMIT_MAX | DESC_G | DESC_P | DESC_S | size_bit |
	       (uint64_t)type << DESC_TYPE_SHIFT;
}

static void fill_trampoline(hpa_t page, uint32_t cr3, const struct cpu *cpu)
{
	char *copy = phys_to_virt(page);
	size_t data_at = (size_t)(trampoline_data_at - trampoline_start);
	struct trampoline_data data = {
		.gdt = {0, flat_segment(DESC_TYPE_CODE_RX, DESC_DB),
			flat_segment(DESC_TYPE_DATA_RW, DESC_DB),
			flat_segment(DESC_TYPE_CODE_RX, DESC_L)},
		.gdtr_limit = sizeof(data.gdt) - 1,
		.gdtr_base = (uint32_t)(page + data_at),
		.far32_offset = (uint32_t)(page + (size_t)(trampoline_code32 - trampoline_start)),
		.far32_selector = TRAMPOLINE_SEL_CODE32,
		.far64_offset = (uint32_t)(page + (size_t)(trampoline_code64 - trampoline_start)),
		.far64_selector = TRAMPOLINE_SEL_CODE64,
		.cr3 = cr3,
		.stack = cpu->stack_top,
		.entry = (uint64_t)ap_entry,
		.cpu = (uint64_t)cpu,
	};

	memcpy(copy, trampoline_start, data_at);
	memcpy(copy + data_at, &data, sizeof(data));
}

static bool wait_for(const struct cpu *cpu, unsigned us)
{
	uint64_t start = rdtsc(), ticks = tsc_from_ns(us * NS_PER_US);

	while (rdtsc() - start < ticks) {
		if (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) == cpu)
			return true;
		cpu_relax();
	}
	/* This CPU may have stood still for all that time, under another hypervisor. */
	return __atomic_load_n(&arrived, __ATOMIC_ACQUIRE) == cpu;
}

static bool start_one(hpa_t page, const struct cpu *cpu)
{
	__atomic_store_n(&arrived, NULL, __ATOMIC_RELEASE);
	host_lapic_send_init(cpu->apic_id);
	tsc_delay_us(INIT_DELAY_US);
	host_lapic_send_sipi(cpu->apic_id, page);
	if (wait_for(cpu, SIPI_DELAY_US))
		return true;
	host_lapic_send_sipi(cpu->apic_id, page);
	if (wait_for(cpu, START_WAIT_US))
		return true;
	/*
	 * Never late: it would run with the next CPU's stack. Should it have arrived at this very
	 * moment, the INIT has stopped it again.
	 */
	host_lapic_send_init(cpu->apic_id);
	tsc_delay_us(INIT_DELAY_US);
	return false;
}

/* NULL when memory is short. */
static struct cpu *make_cpu(unsigned index, uint32_t apic_id)
{
	hpa_t area = frame_alloc_hv(CPU_AREA_PAGES);
	uintptr_t stacks = area ? host_map_stacks(index) : 0;
	struct cpu *cpu;

	if (!stacks)
		return NULL;
	cpu = phys_to_virt(area);
	cpu_prepare(cpu, index, apic_id, stacks);
	return cpu;
}

/*
 * Start the CPU with this APIC ID; false if no other can be started either. A CPU that fails leaves
 * its area to the next.
 */
static bool start_cpu(
	hpa_t page, unsigned index, uint32_t apic_id, struct cpu **spare, smp_say *say)
{
	struct cpu *cpu = *spare ? *spare : make_cpu(index, apic_id);
	uint32_t cr3;

	if (!cpu) {
		say("no memory for CPU %u and later ones", index);
		return false;
	}
	if (host_map_start_cr3(&cr3)) {
		say("the image lies above 4 GiB: other CPUs cannot be started");
		return false;
	}
	cpu->index = index;
	cpu->apic_id = apic_id;
	*spare = cpu;
	fill_trampoline(page, cr3, cpu);
	if (!start_one(page, cpu)) {
		say("CPU %u (APIC ID %u) did not start: going on without it", index, apic_id);
		return true;
	}
	*spare = NULL;
	cpu_add(cpu);
	say("CPU %u: APIC ID %u", index, apic_id);
	return true;
}

unsigned smp_start(const struct bootinfo *bi, smp_say *say, unsigned *enabled)
{
	const struct bootinfo_cpu *cpus = phys_to_virt(bi->cpus);
	uint32_t id_limit = host_lapic_is_x2apic() ? UINT32_MAX : 255;
	unsigned index = 1, running = 1;
	bool possible = bi->trampoline != 0;
	struct cpu *spare = NULL;

	if (!possible)
		say("no memory below 1 MiB: other CPUs cannot be started");
	for (unsigned i = 0; i < bi->cpu_count; i++) {
		uint32_t id = cpus[i].apic_id;

		if (!(cpus[i].flags & BOOT_CPU_ENABLED) || id == this_cpu()->apic_id)
			continue;
		if (index >= CPUS_MAX || id >= id_limit)
			say("CPU %u (APIC ID %u) cannot be used", index, id);
		else if (possible)
			possible = start_cpu(bi->trampoline, index, id, &spare, say);
		running += cpu_get(index) != NULL;
		index++;
	}
	host_map_start_done();
	if (bi->trampoline)
		memset(phys_to_virt(bi->trampoline), 0, PAGE_SIZE);
	*enabled = index;
	return running;
}

void smp_nmi_others(void)
{
	for (unsigned i = 0; i < cpu_count(); i++) {
		if (cpu_get(i) && cpu_get(i) != this_cpu())
			host_lapic_send_nmi(cpu_get(i)->apic_id);
	}
}
