/* SPDX-License-Identifier: Apache-2.0 */
/* The hypervisor's start, from the loader's jump to the loops of all CPUs, as a list of calls. */
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_lapic.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/panic.h"
#include "arch/x86/cpu/tsc.h"
#include "drivers/phys/framebuffer.h"
#include "drivers/phys/uart.h"
#include "hv/core/cpus.h"
#include "hv/core/guests.h"
#include "hv/core/housekeeping.h"
#include "hv/core/log.h"
#include "hv/core/machine.h"
#include "hv/core/main.h"
#include "hv/mm/memory.h"

static void start_clocks(void)
{
	const struct tsc_reference clocks = {machine.bi.acpi.hpet, machine.bi.acpi.pm_timer};

	if (tsc_init(&clocks) != OK)
		panic("no clock to measure the TSC with: neither HPET, PM timer nor PIT answers");
	if (host_lapic_init() != OK)
		panic("the local APIC cannot be used");
	if (host_lapic_timer_calibrate() != OK)
		panic("the local APIC's timer does not count");
	log_line("TSC %lu.%03lu MHz (%s), LAPIC in %s mode", (unsigned long)(tsc_hz() / 1000000),
		(unsigned long)(tsc_hz() / 1000 % 1000), tsc_source(),
		host_lapic_is_x2apic() ? "x2APIC" : "xAPIC");
}

static void start_screen(void)
{
	static const char failed[] = "there is no console on the screen: ";

	switch (framebuffer_map()) {
	case OK:
		log_line("screen: %u lines of %u characters", framebuffer_rows(),
			framebuffer_columns());
		break;
	case E_NOENT: break;
	case E_RANGE: log_line("%sit is too small for text", failed); break;
	case E_INVAL:
		log_line("%swhat the firmware says of the framebuffer contradicts itself", failed);
		break;
	default: log_line("%sthe framebuffer cannot be mapped", failed); break;
	}
}

void hv_main(const struct bootinfo *phys_bi)
{
	host_map_init_early(((const struct bootinfo *)phys_to_virt((hpa_t)phys_bi))->hv_phys);
	cpu_init_boot();
	(void)!uart_init(UART_COM1);
	log_line("Bulkhead " BULKHEAD_VERSION);
	machine_init(phys_to_virt((hpa_t)phys_bi));
	framebuffer_init(&machine.bi.framebuffer);
	machine_init_frames();
	if (host_map_init(&machine.bi) != OK)
		panic("the hypervisor's page tables cannot be built");
	start_screen();
	start_clocks();
	if (cpus_init() == OK)
		log_line("%s with %s", cpus_virt->name, cpus_virt->stage2_format->name);
	cpus_start();
	log_line("%u CPUs, %lu MiB for guests", cpus_usable(),
		(unsigned long)(frame_free_chunks(&host_frames) * CHUNK_SIZE >> 20));
	guests_init();
	machine_release_loader();
	housekeeping_init();
	cpus_loop();
}
