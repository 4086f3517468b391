/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/mm/frame.h"
#include "hv/lib/string.h"

static uint64_t frames_in_chunk(const struct frame_pool *pool, uint64_t c)
{
	return MIN(CHUNK_FRAMES, pool->frame_count - c * CHUNK_FRAMES);
}

uint64_t frame_pool_size(hpa_t top)
{
	uint64_t frames = align_up(top, CHUNK_SIZE) / PAGE_SIZE;

	return (frames + 3 * (frames / CHUNK_FRAMES)) * sizeof(uint16_t);
}

void frame_pool_init(struct frame_pool *pool, void *storage, hpa_t top,
	void (*clear)(void *ctx, hpa_t base, uint64_t size), void *ctx)
{
	memset(pool, 0, sizeof(*pool));
	pool->frame_count = align_up(top, CHUNK_SIZE) / PAGE_SIZE;
	pool->chunk_count = pool->frame_count / CHUNK_FRAMES;
	pool->frame = storage;
	pool->chunk = pool->frame + pool->frame_count;
	pool->chunk_clean = pool->chunk + pool->chunk_count;
	pool->chunk_dirty = pool->chunk_clean + pool->chunk_count;
	pool->clear = clear;
	pool->ctx = ctx;
	memset(storage, 0, frame_pool_size(top));
	for (uint64_t c = 0; c < pool->chunk_count; c++)
		pool->chunk[c] = CHUNK_MIXED;
}

void frame_pool_mark(struct frame_pool *pool, hpa_t base, uint64_t size, uint16_t what)
{
	uint64_t first = base / PAGE_SIZE, end = (base + size) / PAGE_SIZE;

	for (uint64_t f = first; f < MIN(end, pool->frame_count); f++)
		pool->frame[f] = what;
}

static void chunk_is_clean(struct frame_pool *pool, uint64_t c)
{
	pool->chunk[c] = FRAME_CLEAN;
	pool->clean_chunks++;
	pool->chunk_at = MIN(pool->chunk_at, c);
}

/* A mixed chunk whose frames are all in one state becomes a whole one. */
static void chunk_fold(struct frame_pool *pool, uint64_t c)
{
	if (pool->chunk_clean[c] == CHUNK_FRAMES)
		chunk_is_clean(pool, c);
	else if (pool->chunk_dirty[c] == CHUNK_FRAMES)
		pool->chunk[c] = FRAME_DIRTY;
	else
		return;
	pool->free_chunks++;
}

/* Frames from f on in its chunk are free. */
static void alloc_move_back(struct frame_pool *pool, uint64_t f)
{
	if (f / CHUNK_FRAMES == pool->alloc_at)
		pool->alloc_from = MIN(pool->alloc_from, f);
}

/* A whole clean or dirty chunk becomes mixed, so that its frames can be given out one by one. */
static void chunk_split(struct frame_pool *pool, uint64_t c)
{
	uint16_t state = pool->chunk[c];

	for (uint64_t f = c * CHUNK_FRAMES; f < (c + 1) * CHUNK_FRAMES; f++)
		pool->frame[f] = state;
	pool->chunk[c] = CHUNK_MIXED;
	pool->chunk_clean[c] = state == FRAME_CLEAN ? CHUNK_FRAMES : 0;
	pool->chunk_dirty[c] = state == FRAME_DIRTY ? CHUNK_FRAMES : 0;
	pool->clean_chunks -= state == FRAME_CLEAN;
	pool->free_chunks--;
	alloc_move_back(pool, c * CHUNK_FRAMES);
}

void frame_pool_seal(struct frame_pool *pool)
{
	for (uint64_t c = 0; c < pool->chunk_count; c++) {
		for (uint64_t i = 0; i < frames_in_chunk(pool, c); i++) {
			uint16_t what = pool->frame[c * CHUNK_FRAMES + i];

			pool->chunk_clean[c] += what == FRAME_CLEAN;
			pool->chunk_dirty[c] += what == FRAME_DIRTY;
		}
		pool->dirty_frames += pool->chunk_dirty[c];
		chunk_fold(pool, c);
	}
}

/* ---- Claims ---- */

/* Where owner's claim is, or claim_count; *sum: chunks of all claims up to and with that one. */
static unsigned find_claim(const struct frame_pool *pool, uint16_t owner, uint64_t *sum)
{
	unsigned i;

	*sum = 0;
	for (i = 0; i < pool->claim_count; i++) {
		*sum += pool->claim[i].chunks;
		if (pool->claim[i].owner == owner)
			break;
	}
	return i;
}

/* Those behind it keep their order. */
static void remove_claim(struct frame_pool *pool, unsigned i)
{
	if (i >= pool->claim_count)
		return;
	pool->claim_count--;
	memmove(&pool->claim[i], &pool->claim[i + 1],
		(pool->claim_count - i) * sizeof(pool->claim[0]));
}

/*
 * Clean chunks that belong to claims which are met. Who takes clean chunks without a claim leaves
 * so many; who takes its own makes this and clean_chunks less by the same number: so a claim that
 * is met stays met.
 */
static uint64_t set_aside(const struct frame_pool *pool)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < pool->claim_count; i++) {
		if (sum + pool->claim[i].chunks > pool->clean_chunks)
			break;
		sum += pool->claim[i].chunks;
	}
	return sum;
}

int frame_claim_chunks(struct frame_pool *pool, uint16_t owner, uint64_t count)
{
	int status = E_NOMEM;
	uint64_t sum;
	unsigned i;

	if (count == 0 || count > pool->chunk_count)
		return E_NOMEM;
	spin_lock_last(&pool->lock);
	i = find_claim(pool, owner, &sum);
	if (i == pool->claim_count && i < FRAME_CLAIMS_MAX) {
		pool->claim[pool->claim_count++] = (struct frame_claim){owner, count};
		sum += count;
	}
	if (i < pool->claim_count && sum <= pool->free_chunks)
		status = sum <= pool->clean_chunks ? OK : E_BUSY;
	else
		remove_claim(pool, i);
	spin_unlock(&pool->lock);
	return status;
}

/* ---- Small runs ---- */

static bool frame_is_free(uint16_t what)
{
	return what == FRAME_CLEAN || what == FRAME_DIRTY;
}

/* First run of `count` free frames in mixed chunk c, or -1. */
static int64_t find_run(const struct frame_pool *pool, uint64_t c, unsigned count, unsigned align)
{
	uint64_t first = c * CHUNK_FRAMES, end = first + frames_in_chunk(pool, c);

	if (c == pool->alloc_at)
		first = MAX(first, pool->alloc_from);
	for (uint64_t f = align_up(first, align); f + count <= end; f += align) {
		unsigned n = 0;

		while (n < count && frame_is_free(pool->frame[f + n]))
			n++;
		if (n == count)
			return (int64_t)f;
	}
	return -1;
}

/* Small runs come from here next. */
static void alloc_move(struct frame_pool *pool, uint64_t f, unsigned count, unsigned align)
{
	uint64_t c = f / CHUNK_FRAMES;

	if (c != pool->alloc_at) {
		pool->alloc_at = c;
		pool->alloc_from = c * CHUNK_FRAMES;
	}
	/* Larger runs may have skipped a free frame. */
	if (f == pool->alloc_from || (count == 1 && align == 1))
		pool->alloc_from = f + count;
}

/* Owner takes free frames [f, f + count) of a mixed chunk; dirty ones are cleared. */
static void take_run(struct frame_pool *pool, uint16_t owner, uint64_t f, unsigned count)
{
	uint64_t c = f / CHUNK_FRAMES;

	for (unsigned i = 0; i < count; i++) {
		uint16_t *what = &pool->frame[f + i];

		if (*what == FRAME_DIRTY) {
			pool->clear(pool->ctx, (f + i) * PAGE_SIZE, PAGE_SIZE);
			pool->chunk_dirty[c]--;
			pool->dirty_frames--;
		} else {
			pool->chunk_clean[c]--;
		}
		*what = owner;
	}
}

/*
 * A chunk to carve small runs from: mixed with room first, then a clean one that nobody claims,
 * then a dirty one.
 */
static int64_t find_chunk_with_run(struct frame_pool *pool, unsigned count, unsigned align)
{
	int64_t dirty = -1, clean = -1, run;

	for (uint64_t i = 0; i < pool->chunk_count; i++) {
		uint64_t c = (pool->alloc_at + i) % pool->chunk_count;

		if (pool->chunk[c] == FRAME_DIRTY && dirty < 0)
			dirty = (int64_t)c;
		if (pool->chunk[c] == FRAME_CLEAN && clean < 0)
			clean = (int64_t)c;
		if (pool->chunk[c] != CHUNK_MIXED ||
			pool->chunk_clean[c] + pool->chunk_dirty[c] < count)
			continue;
		run = find_run(pool, c, count, align);
		if (run >= 0)
			return run;
	}
	if (clean < 0 || pool->clean_chunks == set_aside(pool))
		clean = dirty;
	if (clean < 0)
		return -1;
	chunk_split(pool, (uint64_t)clean);
	return clean * (int64_t)CHUNK_FRAMES;
}

hpa_t frame_alloc(struct frame_pool *pool, uint16_t owner, unsigned count, unsigned align)
{
	int64_t f;

	if (count == 0 || count > CHUNK_FRAMES || align == 0 || align > CHUNK_FRAMES)
		return 0;
	spin_lock(&pool->lock);
	f = find_chunk_with_run(pool, count, align);
	if (f >= 0) {
		alloc_move(pool, (uint64_t)f, count, align);
		take_run(pool, owner, (uint64_t)f, count);
	}
	spin_unlock(&pool->lock);
	return f < 0 ? 0 : (hpa_t)f * PAGE_SIZE;
}

void frame_free(struct frame_pool *pool, uint16_t owner, hpa_t base, unsigned count)
{
	uint64_t f = base / PAGE_SIZE, c = f / CHUNK_FRAMES;

	spin_lock(&pool->lock);
	for (unsigned i = 0; i < count && f + i < pool->frame_count; i++) {
		if (pool->chunk[c] != CHUNK_MIXED || pool->frame[f + i] != owner)
			continue;
		pool->frame[f + i] = FRAME_DIRTY;
		pool->chunk_dirty[c]++;
		pool->dirty_frames++;
	}
	alloc_move_back(pool, f);
	if (pool->chunk[c] == CHUNK_MIXED)
		chunk_fold(pool, c);
	spin_unlock(&pool->lock);
}

/* ---- Whole chunks ---- */

static uint64_t clean_run(const struct frame_pool *pool, uint64_t c, uint64_t most)
{
	uint64_t n = 0;

	while (n < most && c + n < pool->chunk_count && pool->chunk[c + n] == FRAME_CLEAN)
		n++;
	return n;
}

/* Owner takes clean chunks [c, c + n), as part of claim i. */
static void take_chunks(struct frame_pool *pool, uint64_t c, uint64_t n, unsigned i)
{
	for (uint64_t k = c; k < c + n; k++)
		pool->chunk[k] = pool->claim[i].owner;
	pool->clean_chunks -= n;
	pool->free_chunks -= n;
	pool->claim[i].chunks -= n;
	if (pool->claim[i].chunks == 0)
		remove_claim(pool, i);
}

uint64_t frame_alloc_chunks(struct frame_pool *pool, uint16_t owner, uint64_t least, uint64_t most,
	uint64_t align, hpa_t *base)
{
	uint64_t n = 0, c, sum;
	unsigned i;

	if (least == 0 || align == 0)
		return 0;
	spin_lock(&pool->lock);
	i = find_claim(pool, owner, &sum);
	if (i == pool->claim_count || sum > pool->clean_chunks)
		goto out;
	most = MIN(most, pool->claim[i].chunks);
	if (most < least)
		goto out;
	for (c = align_up(pool->chunk_at, align); c + least <= pool->chunk_count;
		c = align_up(c + n + 1, align)) {
		n = clean_run(pool, c, most);
		if (n < least)
			continue;
		take_chunks(pool, c, n, i);
		if (align == 1 && least == 1)
			pool->chunk_at = c + n;
		*base = c * CHUNK_SIZE;
		goto out;
	}
	n = 0;
out:
	spin_unlock(&pool->lock);
	return n;
}

static uint64_t release_frames(struct frame_pool *pool, uint64_t c, uint16_t owner)
{
	uint64_t released = 0, first = c * CHUNK_FRAMES;

	for (uint64_t f = first; f < first + frames_in_chunk(pool, c); f++) {
		if (pool->frame[f] != owner)
			continue;
		pool->frame[f] = FRAME_DIRTY;
		released++;
	}
	pool->chunk_dirty[c] += (uint16_t)released;
	if (released) {
		alloc_move_back(pool, first);
		chunk_fold(pool, c);
	}
	return released;
}

uint64_t frame_release_owner(struct frame_pool *pool, uint16_t owner)
{
	uint64_t released = 0, sum;

	spin_lock(&pool->lock);
	remove_claim(pool, find_claim(pool, owner, &sum));
	for (uint64_t c = 0; c < pool->chunk_count; c++) {
		if (pool->chunk[c] == owner) {
			pool->chunk[c] = FRAME_DIRTY;
			pool->free_chunks++;
			released += CHUNK_FRAMES;
		} else if (pool->chunk[c] == CHUNK_MIXED) {
			released += release_frames(pool, c, owner);
		}
	}
	pool->dirty_frames += released;
	spin_unlock(&pool->lock);
	return released;
}

/*
 * Claim something to scrub, under the lock: a whole chunk, or the first run of dirty frames in a
 * mixed one. Claimed frames are in state SCRUBBING: nobody else takes them.
 */
static bool claim_dirty(struct frame_pool *pool, uint64_t *frame, uint64_t *count)
{
	for (uint64_t i = 0; pool->dirty_frames && i < pool->chunk_count; i++) {
		uint64_t c = (pool->scrub_at + i) % pool->chunk_count, f = c * CHUNK_FRAMES;

		if (pool->chunk[c] == FRAME_DIRTY) {
			pool->chunk[c] = FRAME_SCRUBBING;
			*frame = f;
			*count = CHUNK_FRAMES;
		} else if (pool->chunk[c] == CHUNK_MIXED && pool->chunk_dirty[c]) {
			uint64_t end = f + frames_in_chunk(pool, c);

			while (pool->frame[f] != FRAME_DIRTY)
				f++;
			for (*frame = f; f < end && pool->frame[f] == FRAME_DIRTY; f++)
				pool->frame[f] = FRAME_SCRUBBING;
			*count = f - *frame;
			pool->chunk_dirty[c] -= (uint16_t)*count;
		} else {
			continue;
		}
		pool->dirty_frames -= *count;
		pool->scrub_at = c;
		return true;
	}
	return false;
}

bool frame_scrub_step(struct frame_pool *pool)
{
	uint64_t frame, count, c;
	bool found;

	if (__atomic_load_n(&pool->dirty_frames, __ATOMIC_RELAXED) == 0)
		return false;
	spin_lock_last(&pool->lock);
	found = claim_dirty(pool, &frame, &count);
	spin_unlock(&pool->lock);
	if (!found)
		return false;
	pool->clear(pool->ctx, frame * PAGE_SIZE, count * PAGE_SIZE);
	c = frame / CHUNK_FRAMES;
	spin_lock_last(&pool->lock);
	if (pool->chunk[c] == FRAME_SCRUBBING) {
		chunk_is_clean(pool, c);
	} else {
		for (uint64_t f = frame; f < frame + count; f++)
			pool->frame[f] = FRAME_CLEAN;
		pool->chunk_clean[c] += (uint16_t)count;
		alloc_move_back(pool, frame);
		chunk_fold(pool, c);
	}
	spin_unlock(&pool->lock);
	return true;
}

static uint64_t count_frames(const struct frame_pool *pool, uint64_t c, uint16_t owner)
{
	uint64_t n = 0, first = c * CHUNK_FRAMES;

	for (uint64_t f = first; f < first + frames_in_chunk(pool, c); f++)
		n += pool->frame[f] == owner;
	return n;
}

uint64_t frame_owned_bytes(struct frame_pool *pool, uint16_t owner)
{
	uint64_t frames = 0;

	spin_lock(&pool->lock);
	for (uint64_t c = 0; c < pool->chunk_count; c++) {
		if (pool->chunk[c] == owner)
			frames += CHUNK_FRAMES;
		else if (pool->chunk[c] == CHUNK_MIXED)
			frames += count_frames(pool, c, owner);
	}
	spin_unlock(&pool->lock);
	return frames * PAGE_SIZE;
}

uint64_t frame_free_chunks(const struct frame_pool *pool)
{
	return __atomic_load_n(&pool->free_chunks, __ATOMIC_RELAXED);
}
