/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Basic types used everywhere: fixed-width integers, the three address spaces, status values and
 * small helpers. Knows nothing of the hypervisor; includes only compiler-provided headers.
 */
#ifndef HV_LIB_TYPES_H
#define HV_LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t hpa_t; /* host-physical address */
typedef uint64_t gpa_t; /* guest-physical address */
typedef uint64_t gva_t; /* guest-virtual (linear) address */

typedef uint64_t ns_t; /* nanoseconds on a monotonic clock that starts at 0 */
#define NS_NEVER   UINT64_MAX
#define NS_PER_SEC 1000000000ull
#define NS_PER_MS  1000000ull
#define NS_PER_US  1000ull

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull

/* Functions return 0 or one of these; bool is for predicates only. */
enum status {
	OK = 0,
	E_INVAL = -1,   /* the caller's value makes no sense */
	E_NOMEM = -2,   /* no frames, no slot */
	E_RANGE = -3,   /* address or index outside what exists */
	E_BUSY = -4,    /* taken, overlapping, or not yet possible */
	E_NOENT = -5,   /* no such thing */
	E_UNSUP = -6,   /* this machine or this version cannot do it */
	E_TIMEOUT = -7, /* a bounded wait ended */
	E_FAULT = -8,   /* a guarded access faulted */
};

#define MUST_CHECK                    __attribute__((warn_unused_result))
#define PRINTF(f, a)                  __attribute__((format(printf, f, a)))
#define NORETURN                      __attribute__((noreturn))
#define ALIGNED(n)                    __attribute__((aligned(n)))
#define PACKED                        __attribute__((packed))
#define UNUSED                        __attribute__((unused))
#define NOINLINE                      __attribute__((noinline))
#define LIKELY(x)                     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)                   __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)                 (sizeof(a) / sizeof((a)[0]))
#define BIT(n)                        (1ull << (n))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) _min_a = (a);                                                        \
		__typeof__(b) _min_b = (b);                                                        \
		_min_a < _min_b ? _min_a : _min_b;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) _max_a = (a);                                                        \
		__typeof__(b) _max_b = (b);                                                        \
		_max_a > _max_b ? _max_a : _max_b;                                                 \
	})

static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

/* True when [base, base + size) lies inside [0, limit) without wrapping. */
static inline bool range_within(uint64_t base, uint64_t size, uint64_t limit)
{
	return size <= limit && base <= limit - size;
}

/* All-ones in the low `bytes` bytes; bytes is 1, 2, 4 or 8. */
static inline uint64_t mask_bytes(unsigned bytes)
{
	return bytes < 8 ? (1ull << 8 * bytes) - 1 : UINT64_MAX;
}

/* a * b / c with a 128-bit intermediate; the caller ensures the quotient fits and c is not 0. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t hi, lo, rem;

	__asm__("mulq %3" : "=a"(lo), "=d"(hi) : "a"(a), "r"(b) : "cc");
	__asm__("divq %4" : "=a"(lo), "=d"(rem) : "a"(lo), "d"(hi), "r"(c) : "cc");
	return lo;
}

#endif
