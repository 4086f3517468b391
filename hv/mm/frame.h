/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns which frame of host RAM. Every 4 KiB frame is reserved (not ours to give), dirty (must
 * be scrubbed), clean, or owned by exactly one owner. Guest RAM is given in whole 2 MiB chunks,
 * everything else in runs of frames inside a chunk. Only clean frames are given out, so that nobody
 * ever sees what somebody else left; release makes frames dirty and idle CPUs scrub them.
 *
 * Pure: the pool is told how to clear memory. Locking: one lock inside the pool, taken here, never
 * held while memory is cleared (but for the small runs that frame_alloc clears itself). Who scrubs
 * or waits for scrubbing takes it last.
 */
#ifndef HV_MM_FRAME_H
#define HV_MM_FRAME_H

#include "hv/lib/lock.h"
#include "hv/lib/types.h"

#define CHUNK_SIZE   MIB(2)
#define CHUNK_FRAMES (CHUNK_SIZE / PAGE_SIZE)

/* Frame states; owners begin at FRAME_OWNER_FIRST. */
#define FRAME_RESERVED     0u
#define FRAME_DIRTY        1u
#define FRAME_CLEAN        2u
#define FRAME_SCRUBBING    3u
#define FRAME_OWNER_FIRST  16u
#define FRAME_OWNER_HV     16u /* the hypervisor itself */
#define FRAME_OWNER_FILES  17u /* files of the config */
#define FRAME_OWNER_LOADER 18u /* until its hand-over has been copied */
#define FRAME_OWNER_VM     32u /* then one per live guest */

/* Owners that have a place in the queue for whole chunks at the same time. */
#define FRAME_CLAIMS_MAX 128u

struct frame_claim {
	uint16_t owner;
	uint64_t chunks; /* claimed and not taken yet */
};

struct frame_pool {
	struct spinlock lock;
	uint64_t frame_count; /* frames from address 0 */
	uint64_t chunk_count;
	uint16_t *frame; /* state or owner of each frame; stale while chunk[i] is not CHUNK_MIXED */
	uint16_t *chunk; /* state or owner of a whole chunk, or CHUNK_MIXED */
	uint16_t *chunk_clean; /* mixed chunks: how many frames are clean ... */
	uint16_t *chunk_dirty; /* ... and dirty */
	void (*clear)(void *ctx, hpa_t base, uint64_t size);
	void *ctx;
	uint64_t clean_chunks; /* whole chunks that can be given out now */
	uint64_t free_chunks;  /* ... and those that become so by scrubbing */
	uint64_t dirty_frames; /* all frames that wait for scrubbing */
	uint64_t scrub_at;     /* where the scrubber looks next */
	uint64_t chunk_at;     /* no whole chunk below this one is clean */
	uint64_t alloc_at;     /* small runs: chunk that last had room ... */
	uint64_t alloc_from;   /* ... no frame of that chunk below this one is free */
	struct frame_claim claim[FRAME_CLAIMS_MAX]; /* in the order they came in */
	unsigned claim_count;
};
#define CHUNK_MIXED 0xffffu

/* Bytes of bookkeeping that frame_pool_init needs for RAM ending at `top`. */
uint64_t frame_pool_size(hpa_t top);
/* storage: frame_pool_size(top) bytes. Everything starts reserved. */
void frame_pool_init(struct frame_pool *pool, void *storage, hpa_t top,
	void (*clear)(void *ctx, hpa_t base, uint64_t size), void *ctx);
/* Set the state or owner of whole frames in [base, base + size): during start-up only. */
void frame_pool_mark(struct frame_pool *pool, hpa_t base, uint64_t size, uint16_t what);
/* After all marks: fold uniform chunks together. */
void frame_pool_seal(struct frame_pool *pool);

/*
 * `count` contiguous cleared frames (count <= 512) for owner, aligned to `align` frames (a power of
 * two). Clean frames are preferred; dirty ones are cleared on the spot. 0 when there are none.
 */
hpa_t frame_alloc(
	struct frame_pool *pool, uint16_t owner, unsigned count, unsigned align) MUST_CHECK;
/* Give back what frame_alloc gave. */
void frame_free(struct frame_pool *pool, uint16_t owner, hpa_t base, unsigned count);

/*
 * Whole chunks are claimed all together before the first one is taken: owners that took them one
 * by one against each other could all run short, and what they gave back would be dirty.
 *
 * First come, first served: a claim is met as soon as the clean chunks suffice for it and all
 * claims before it, and then stays met. A large one is overtaken by nobody; small ones wait behind
 * it, even if there is enough for them, for as long as scrubbing its chunks takes.
 *
 * OK: `count` chunks are set aside for owner, until they are taken. E_BUSY: not yet; owner has its
 * place in the queue and must ask again. E_NOMEM: more than scrubbing can bring, or too many
 * claims; there is no claim. An owner has one claim at a time, and frame_release_owner() drops it.
 */
int frame_claim_chunks(struct frame_pool *pool, uint16_t owner, uint64_t count) MUST_CHECK;

/*
 * `least` to `most` contiguous clean chunks of owner's claim, the first aligned to `align` chunks.
 * Returns how many. 0: its claim is not met or has fewer left, or not so many lie in a row (with
 * least == align == 1 that cannot be).
 */
uint64_t frame_alloc_chunks(struct frame_pool *pool, uint16_t owner, uint64_t least, uint64_t most,
	uint64_t align, hpa_t *base) MUST_CHECK;

/* Everything of `owner` becomes dirty, its claim is dropped. Returns the number of frames. */
uint64_t frame_release_owner(struct frame_pool *pool, uint16_t owner);

/*
 * Scrub one piece: a whole dirty chunk, or the dirty frames of a mixed one. False: nothing was
 * dirty. Any number of CPUs may call it at once.
 */
bool frame_scrub_step(struct frame_pool *pool);

uint64_t frame_owned_bytes(struct frame_pool *pool, uint16_t owner);

/* Chunks that are, or by scrubbing will become, whole and clean. */
uint64_t frame_free_chunks(const struct frame_pool *pool);

#endif
