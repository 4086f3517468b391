/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's local APIC (xAPIC and x2APIC). Its storage is the architectural 4 KiB register page,
 * which the owner supplies, so that hardware APIC virtualisation can later work on the same page.
 * The model knows neither vCPUs nor other APICs nor the IOAPIC; what INIT and SIPI do to a CPU is
 * the owner's.
 *
 * Locking: none. Only the CPU that runs the vCPU calls in here; others post to the owner, who then
 * calls lapic_accept(). The exception is lapic_matches(), which any CPU may ask about any target.
 *
 * Time: `tsc` is the guest's time-stamp counter at the moment of the call.
 */
#ifndef DRIVERS_VIRT_LAPIC_H
#define DRIVERS_VIRT_LAPIC_H

#include "hv/lib/types.h"

/* IA32_APIC_BASE */
#define LAPIC_BASE_DEFAULT 0xfee00000ull
#define LAPIC_BASE_BSP     BIT(8)
#define LAPIC_BASE_EXTD    BIT(10)
#define LAPIC_BASE_EN      BIT(11)
#define LAPIC_BASE_ADDR(v) ((v) & ~0xfffull)

/* Offsets in the register page; the x2APIC MSR is LAPIC_MSR_FIRST + (offset >> 4). */
#define LAPIC_ID        0x020u
#define LAPIC_VERSION   0x030u
#define LAPIC_TPR       0x080u
#define LAPIC_APR       0x090u
#define LAPIC_PPR       0x0a0u
#define LAPIC_EOI       0x0b0u
#define LAPIC_RRD       0x0c0u
#define LAPIC_LDR       0x0d0u
#define LAPIC_DFR       0x0e0u
#define LAPIC_SVR       0x0f0u
#define LAPIC_ISR       0x100u
#define LAPIC_TMR       0x180u
#define LAPIC_IRR       0x200u
#define LAPIC_ESR       0x280u
#define LAPIC_ICR_LOW   0x300u
#define LAPIC_ICR_HIGH  0x310u
#define LAPIC_LVT_TIMER 0x320u
#define LAPIC_LVT_THERM 0x330u
#define LAPIC_LVT_PERF  0x340u
#define LAPIC_LVT_LINT0 0x350u
#define LAPIC_LVT_LINT1 0x360u
#define LAPIC_LVT_ERROR 0x370u
#define LAPIC_TIMER_ICT 0x380u
#define LAPIC_TIMER_CCT 0x390u
#define LAPIC_TIMER_DCR 0x3e0u
#define LAPIC_SELF_IPI  0x3f0u

#define LAPIC_MSR_FIRST 0x800u
#define LAPIC_MSR_LAST  0x8ffu

#define LAPIC_SVR_ENABLE         (1u << 8)
#define LAPIC_LVT_REMOTE_IRR     (1u << 14)
#define LAPIC_LVT_LEVEL          (1u << 15)
#define LAPIC_LVT_MASKED         (1u << 16)
#define LAPIC_TIMER_MODE         (3u << 17)
#define LAPIC_TIMER_ONE_SHOT     (0u << 17)
#define LAPIC_TIMER_PERIODIC     (1u << 17)
#define LAPIC_TIMER_TSC_DEADLINE (2u << 17)

#define LAPIC_ESR_SEND_ILLEGAL_VECTOR (1u << 5)
#define LAPIC_ESR_RECV_ILLEGAL_VECTOR (1u << 6)
#define LAPIC_ESR_ILLEGAL_REGISTER    (1u << 7)

/* Delivery modes as encoded in the ICR, LVTs, MSI data and IOAPIC redirection entries. */
enum lapic_delivery {
	LAPIC_DM_FIXED = 0,
	LAPIC_DM_LOWEST = 1,
	LAPIC_DM_SMI = 2,
	LAPIC_DM_RESERVED = 3,
	LAPIC_DM_NMI = 4,
	LAPIC_DM_INIT = 5,
	LAPIC_DM_STARTUP = 6,
	LAPIC_DM_EXTINT = 7,
};

enum lapic_shorthand {
	LAPIC_SH_NONE = 0,
	LAPIC_SH_SELF = 1,
	LAPIC_SH_ALL = 2,
	LAPIC_SH_OTHERS = 3,
};

enum lapic_mode {
	LAPIC_DISABLED,
	LAPIC_XAPIC,
	LAPIC_X2APIC,
};

/*
 * An interrupt message on its way: an IPI, or an MSI or IOAPIC message (sender unused, shorthand
 * none).
 */
struct lapic_ipi {
	uint32_t dest;
	uint32_t sender; /* the sender's x2APIC ID */
	uint8_t vector;
	uint8_t delivery;  /* enum lapic_delivery */
	uint8_t shorthand; /* enum lapic_shorthand */
	bool logical;      /* destination mode */
	bool wide;         /* dest has 32 bits (x2APIC sender) instead of 8 */
	bool level;        /* level-triggered: pass to lapic_accept(); false in every IPI */
};

/* All three are set. They may call lapic_accept() for the same model, nothing else. */
struct lapic_env {
	/*
	 * Deliver to every APIC that lapic_matches() (one of them for LOWEST). Delivery is FIXED,
	 * LOWEST, SMI, NMI, INIT (assert) or STARTUP. A fixed IPI to self by shorthand is accepted
	 * without this call.
	 */
	void (*send_ipi)(void *ctx, const struct lapic_ipi *ipi);
	/* A level-triggered interrupt has ended: tell the IOAPICs. */
	void (*eoi_broadcast)(void *ctx, uint8_t vector);
	/* A LINT pin programmed as NMI, SMI or INIT became active. */
	void (*lint_event)(void *ctx, enum lapic_delivery delivery);
	void *ctx;
};

struct lapic {
	uint32_t *page;     /* 4 KiB, indexed by offset / 4 */
	uint32_t kept[64];  /* what the model put into each register, see lapic_page_written() */
	uint64_t apic_base; /* IA32_APIC_BASE as the guest reads it */
	uint32_t id;        /* x2APIC ID; the xAPIC ID is its low byte */
	enum lapic_mode mode;
	int irr_max;     /* highest vector in IRR, -1 if none */
	int isr_max;     /* likewise ISR */
	uint32_t errors; /* detected since the last write to ESR */
	bool lint[2];    /* asserted pins */
	struct {
		uint64_t deadline; /* guest TSC, meaningful while armed */
		unsigned shift;    /* input clock = guest TSC >> shift */
		bool armed;
	} timer;
	struct lapic_env env;
};

/*
 * `page` is 4 KiB, 4-byte aligned, owned by the caller; timer_shift above 16 counts as 16. Resets
 * as at power-up.
 */
void lapic_init(struct lapic *l, void *page, uint32_t id, bool bsp, unsigned timer_shift,
	const struct lapic_env *env);

/*
 * Power-up: everything, back to xAPIC at the default base. INIT: registers only, mode and base
 * stay.
 */
void lapic_reset_power_up(struct lapic *l);
void lapic_reset_init(struct lapic *l);

/* Read the page again after hardware or the owner has changed IRR, ISR or TPR in it. */
void lapic_rescan(struct lapic *l);
/* The same, when it can only have been the TPR. */
void lapic_update_ppr(struct lapic *l);

/* WRMSR IA32_APIC_BASE (RDMSR is l->apic_base). E_INVAL: #GP. */
bool lapic_apic_base_valid(const struct lapic *l, uint64_t value, unsigned maxphyaddr);
int lapic_apic_base_write(struct lapic *l, uint64_t value, unsigned maxphyaddr) MUST_CHECK;

/*
 * xAPIC page. `offset` is inside the page, `size` 1, 2, 4 or 8. Outside xAPIC mode nothing is
 * there: reads give all ones, writes go nowhere (the owner may prefer to show what lies beneath).
 */
uint64_t lapic_mmio_read(struct lapic *l, uint32_t offset, unsigned size, uint64_t tsc);
void lapic_mmio_write(
	struct lapic *l, uint32_t offset, unsigned size, uint64_t value, uint64_t tsc);

/*
 * Hardware has let the guest write the register at `offset` of the page, and nothing more. As
 * lapic_mmio_write() or lapic_msr_write() of what is there now, the value before that write being
 * the model's last one.
 */
void lapic_page_written(struct lapic *l, uint32_t offset, uint64_t tsc);

/* MSRs LAPIC_MSR_FIRST to LAPIC_MSR_LAST. E_INVAL: #GP. */
int lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t tsc, uint64_t *value) MUST_CHECK;
int lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value, uint64_t tsc) MUST_CHECK;

/* An interrupt message has arrived. Ignored while the APIC is disabled by software or hardware. */
void lapic_accept(struct lapic *l, uint8_t vector, bool level);

/* The vector to deliver now, or -1. The caller still checks RFLAGS.IF and blocking. */
static inline int lapic_pending(const struct lapic *l)
{
	if (l->irr_max < 0 || (l->irr_max & 0xf0) <= (int)(l->page[LAPIC_PPR / 4] & 0xf0))
		return -1;
	return l->irr_max;
}

/* The CPU takes `vector`, as returned by lapic_pending(): IRR to ISR. */
void lapic_ack(struct lapic *l, uint8_t vector);
void lapic_eoi(struct lapic *l);
/* Hardware has taken `vector` out of ISR; what else an EOI of it means. */
void lapic_eoi_done(struct lapic *l, uint8_t vector);

/*
 * The lowest TPR class (CR8) that would hold back what is now in IRR, 0 if nothing waits for the
 * TPR alone. For the VMX TPR threshold: exit when the guest lowers CR8 below this.
 */
unsigned lapic_tpr_threshold(const struct lapic *l);

static inline uint64_t lapic_cr8(const struct lapic *l)
{
	return l->page[LAPIC_TPR / 4] >> 4 & 0xf;
}

/* MOV to CR8; E_INVAL (#GP) when bits above 3 are set. */
int lapic_cr8_write(struct lapic *l, uint64_t value) MUST_CHECK;

/*
 * True when the PIC's INTR output reaches the CPU: LINT0 is an unmasked ExtINT, or there is no
 * APIC.
 */
bool lapic_accepts_pic(const struct lapic *l);

/* Level of the local pins LINT0 (PIC) and LINT1 (NMI). */
void lapic_lint(struct lapic *l, unsigned pin, bool level);

/*
 * Whether `target` takes this message. Reads single words only, so any CPU may call it for any
 * target.
 */
bool lapic_matches(const struct lapic *target, const struct lapic_ipi *ipi);

/*
 * The processor priority, for the arbitration of LOWEST; any CPU may ask. From TPR and ISR: where
 * hardware changes those, the register is not always up to date.
 */
uint32_t lapic_priority(const struct lapic *l);

/* Decode an MSI write. False when the address is not in FEEx_xxxxh. */
bool lapic_ipi_from_msi(uint64_t address, uint32_t data, struct lapic_ipi *ipi) MUST_CHECK;

/* The guest TSC at which the timer wants lapic_timer_tick(), UINT64_MAX if never. */
uint64_t lapic_timer_deadline(const struct lapic *l);
/* Accepts at most one interrupt however late it comes; a periodic timer keeps its phase. */
void lapic_timer_tick(struct lapic *l, uint64_t tsc);
/*
 * The guest moved its TSC by delta: counts go on undisturbed, a TSC deadline stays the value it is.
 */
void lapic_timer_tsc_moved(struct lapic *l, uint64_t delta);

/* MSR 6E0h. A write in other timer modes is ignored. */
uint64_t lapic_tsc_deadline_read(struct lapic *l, uint64_t tsc);
void lapic_tsc_deadline_write(struct lapic *l, uint64_t value, uint64_t tsc);

#endif
