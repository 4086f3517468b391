/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arch/x86/cpu/insn.h is on the host: the same functions, answered by the CPU model of
 * insn_fake.c. Included by insn.h only; tests use tests/fakes/fake.h.
 */
#ifndef TESTS_FAKES_INSN_FAKE_H
#define TESTS_FAKES_INSN_FAKE_H

uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t value);
int rdmsr_safe(uint32_t msr, uint64_t *value) MUST_CHECK;
int wrmsr_safe(uint32_t msr, uint64_t value) MUST_CHECK;

uint8_t inb(uint16_t port);
uint16_t inw(uint16_t port);
uint32_t inl(uint16_t port);
void outb(uint16_t port, uint8_t v);
void outw(uint16_t port, uint16_t v);
void outl(uint16_t port, uint32_t v);

#define FAKE_REGISTER(reg)                                                                         \
	uint64_t read_##reg(void);                                                                 \
	void write_##reg(uint64_t v);
FAKE_REGISTER(cr0)
FAKE_REGISTER(cr2)
FAKE_REGISTER(cr3)
FAKE_REGISTER(cr4)
FAKE_REGISTER(cr8)
FAKE_REGISTER(dr0)
FAKE_REGISTER(dr1)
FAKE_REGISTER(dr2)
FAKE_REGISTER(dr3)
FAKE_REGISTER(dr6)
FAKE_REGISTER(dr7)
FAKE_REGISTER(rflags)
#undef FAKE_REGISTER

uint64_t xgetbv(uint32_t index);
void xsetbv(uint32_t index, uint64_t value);
int xsetbv_safe(uint32_t index, uint64_t value) MUST_CHECK;
void xsave(void *area, uint64_t mask);
uint32_t rdpkru(void);
int xsavec_safe(void *area, uint64_t mask) MUST_CHECK;
int xrstor_safe(const void *area, uint64_t mask) MUST_CHECK;
void fxsave(void *area);
int fxrstor_safe(const void *area) MUST_CHECK;

/* Vector registers: of this CPU, all of them as wide as they get. */
int mmx_read_safe(unsigned reg, void *buf) MUST_CHECK;
int mmx_write_safe(unsigned reg, const void *buf) MUST_CHECK;
int xmm_read_safe(unsigned reg, void *buf) MUST_CHECK;
int xmm_write_safe(unsigned reg, const void *buf) MUST_CHECK;
int xmm_write_zero_safe(unsigned reg, const void *buf) MUST_CHECK;
int ymm_read_safe(unsigned reg, void *buf) MUST_CHECK;
int ymm_write_safe(unsigned reg, const void *buf) MUST_CHECK;
uint32_t mxcsr_read(void);
int mxcsr_write_safe(uint32_t value) MUST_CHECK;

struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t rdtsc(void);
uint64_t rdtscp(uint32_t *aux);

void lgdt(const struct desc_ptr *p);
void lidt(const struct desc_ptr *p);
void lldt(uint16_t selector);
void ltr(uint16_t selector);
struct desc_ptr sgdt(void);
struct desc_ptr sidt(void);
uint16_t str_selector(void);
void load_segments(uint16_t code, uint16_t data);
void *gs_self(void);

void invlpg(uint64_t va);
void wbinvd(void);
void clflush(const void *p);
void mfence(void);
void lfence(void);
void verw(uint16_t data_selector);
void stac(void);
void clac(void);

void cli(void);
void sti(void);
void irq_window(void);

static inline bool atomic_set(const uint32_t *bits)
{
	return __atomic_load_n(bits, __ATOMIC_ACQUIRE) != 0;
}
void host_nmi(void);
void host_machine_check(void);
void sti_hlt_cli(void);
void hlt(void);
void cpu_relax(void);
uint64_t irq_save(void);
void irq_restore(uint64_t flags);

#endif
