/* SPDX-License-Identifier: Apache-2.0 */
/* arch/x86/cpu/tsc.h on the host: the selected CPU's TSC at 2 GHz, time 0 at TSC 0. */
#include "arch/x86/cpu/tsc.h"
#include "tests/fakes/fake.h"

#define TICKS_PER_NS (FAKE_TSC_HZ / NS_PER_SEC)

uint64_t tsc_hz(void)
{
	return FAKE_TSC_HZ;
}

const char *tsc_source(void)
{
	return "fake";
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return ticks / TICKS_PER_NS;
}

uint64_t tsc_from_ns(uint64_t ns)
{
	return ns > UINT64_MAX / TICKS_PER_NS ? UINT64_MAX : ns * TICKS_PER_NS;
}

ns_t tsc_now_ns(void)
{
	return tsc_to_ns(rdtsc());
}

uint64_t tsc_at_ns(ns_t when)
{
	return tsc_from_ns(when);
}

void tsc_delay_us(unsigned us)
{
	fake_this->tsc += tsc_from_ns(us * NS_PER_US);
}
