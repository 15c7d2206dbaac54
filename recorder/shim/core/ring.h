/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing records into this thread's ring. Signal-safe throughout: no lock, no allocation, no errno, no libc function
 * that the shim wraps. A signal handler that interrupts a writer reserves the slots after it: a reservation is one
 * instruction. Threads that share their TLS, and with it a ring, are told by ring_shared.
 *
 *	struct ring_thread *ring = ring_enter();
 *	struct ring_slot slot;
 *	if (ring && ring_reserve(ring, &slot)) {
 *		slot.record->… = …;
 *		ring_commit(&slot, VFIOTAPE_LOAD, flags, 0);
 *	}
 */
#ifndef VFIOTAPE_RING_H
#define VFIOTAPE_RING_H

#include <sched.h>
#include <string.h>

#include "state.h"

/* Slots that are kept free for signal handlers: the check for room and the reservation are two steps. */
#define RING_MARGIN 64u
/*
 * A quarter of the side ring is kept behind side_tail: a handler that comes between an event's slot and its payload
 * makes the payloads' order differ from the records', and the collector gives back by records.
 */
#define RING_SIDE_MARGIN(bytes) ((bytes) / 4u)

extern __thread struct ring_thread *ring_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));

/*
 * Some thread uses the ring of another: clone(2) with CLONE_VM and without CLONE_SETTLS gave it the other's TLS. Set before
 * the first such child exists, and for good. Until then a ring has one writer, and its handlers: no `lock`, which would
 * wait for all stores before it.
 */
extern uint32_t ring_shared __attribute__((visibility("hidden")));

struct ring_slot {
	struct vfiotape_record *record;
	uint16_t lap;
};

/* A piece of payload: bytes of our own, or (foreign) of the driver, which are copied without ever faulting. */
struct ring_segment {
	uint8_t role;
	uint8_t flags;    /* VFIOTAPE_SEGMENT_*, RING_FOREIGN */
	uint16_t index;
	uint32_t length;
	uint64_t address; /* as recorded */
	const void *bytes;
};

#define RING_FOREIGN 0x80u /* not on the wire */

/* Before a clone(2) with these flags. A vfork's parent stands still meanwhile. */
ALWAYS_INLINE void ring_child_begins(uint64_t flags)
{
	if ((flags & (CLONE_VM | CLONE_SETTLS | CLONE_VFORK)) == CLONE_VM)
		__atomic_store_n(&ring_shared, 1, __ATOMIC_SEQ_CST);
}

/* Cold halves, in ring.c. */
struct ring_thread *ring_claim(void);
bool ring_make_room(struct ring_thread *ring);
void ring_write_clock(struct ring_thread *ring);
/* Writes a chain and returns true with its position / 8; false when it had to be dropped (and was counted). */
bool ring_write_chain(struct ring_thread *ring, struct ring_segment *segments, unsigned int count, uint32_t *payload);
void ring_leave(struct ring_thread *ring);
void ring_release_former_image(uint32_t pid);
/* Attaches this process, a forked child that has not recorded yet, ahead of its first event. */
void ring_attach_process(void);

/* This thread's ring, or NULL: nothing is recorded. */
ALWAYS_INLINE struct ring_thread *ring_enter(void)
{
	struct ring_thread *ring = ring_tls;

	if (unlikely(!ring || !ring->header || shim_session.memory_sharers ||
		     shim_session.control->state != VFIOTAPE_RECORDING))
		return ring_claim();
	return ring;
}

/* Adds one and returns what was there. */
ALWAYS_INLINE uint64_t ring_take_position(struct ring_thread *ring)
{
	uint64_t *head = &ring->header->head, position = 1;

	if (unlikely(__atomic_load_n(&ring_shared, __ATOMIC_RELAXED)))
		return __atomic_fetch_add(head, 1, __ATOMIC_RELAXED);
	__asm__ volatile("xaddq %0, %1" : "+r"(position), "+m"(*head) : : "cc");
	return position;
}

ALWAYS_INLINE bool ring_reserve(struct ring_thread *ring, struct ring_slot *slot)
{
	uint64_t position;

	if (unlikely(__atomic_load_n(&ring->header->head, __ATOMIC_RELAXED) >= ring->limit) && !ring_make_room(ring))
		return false;
	position = ring_take_position(ring);
	slot->record = &ring->records[position & ring->record_mask];
	/* The collector has read it since the last lap: its cache line comes while the driver does something else. */
	__asm__ volatile("prefetchw %0" : : "m"(slot->record[1]));
	slot->lap = (uint16_t)((position >> ring->records_log2) + 1);
	return true;
}

union ring_commit_word {
	struct {
		uint8_t kind;
		uint8_t flags;
		uint16_t lap;
		uint32_t payload;
	};
	uint64_t word;
};

/* The record is complete from here on. May be called again for the same slot (an intent that became an event). */
ALWAYS_INLINE void ring_commit(const struct ring_slot *slot, uint8_t kind, uint8_t flags, uint32_t payload)
{
	union ring_commit_word commit = { .kind = kind, .flags = flags, .lap = slot->lap, .payload = payload };

	__atomic_store_n((uint64_t *)&slot->record->kind, commit.word, __ATOMIC_RELEASE);
}

/* An event as a caller has it; `left` is when the call returned (0: the event has no duration). */
struct ring_event {
	uint64_t entered;
	uint64_t left;
	uint64_t site;
	uint64_t offset;
	uint64_t value;
	uint64_t result;
	uint32_t object;
	uint32_t op;
	int32_t fd;
	int error;
	uint8_t kind;
	uint8_t flags;
};

ALWAYS_INLINE bool ring_write_slot(struct ring_thread *ring, const struct ring_event *event, struct ring_slot *slot,
				   uint8_t *flags)
{
	struct vfiotape_record *record;
	uint64_t duration = event->left ? event->left - event->entered : 0;

	if (unlikely(event->entered >= ring->next_clock))
		ring_write_clock(ring);
	if (unlikely(!ring_reserve(ring, slot)))
		return false;
	record = slot->record;
	*flags = event->flags;
	if (unlikely(duration >> 32)) {
		duration >>= 16;
		*flags |= VFIOTAPE_FLAG_LONG;
	}
	record->entered = event->entered;
	record->site_errno = (event->site & VFIOTAPE_SITE_MASK) | (uint64_t)(uint16_t)event->error << 48;
	record->offset = event->offset;
	record->value = event->value;
	record->result = event->result;
	record->duration = (uint32_t)duration;
	record->object = event->object;
	record->op = event->op;
	record->fd = event->fd;
	return true;
}

ALWAYS_INLINE void ring_write(struct ring_thread *ring, const struct ring_event *event)
{
	struct ring_slot slot;
	uint8_t flags;

	if (likely(ring_write_slot(ring, event, &slot, &flags)))
		ring_commit(&slot, event->kind, flags, 0);
}

/* The same with payload; the record is kept when its payload can't be. */
void ring_write_with(struct ring_thread *ring, const struct ring_event *event, struct ring_segment *segments,
		     unsigned int count);

/*
 * The call that a thread is in, so that the one it dies in is known. A signal handler's calls nest: what was in
 * flight is put back.
 */
struct ring_inflight {
	bool nested;
	struct vfiotape_record outer;
	uint64_t frame;
};

ALWAYS_INLINE void ring_inflight_begin(struct ring_thread *ring, struct ring_inflight *saved,
				       const struct ring_event *event)
{
	struct vfiotape_record *inflight = &ring->header->inflight;
	uint64_t frame = (uint64_t)__builtin_frame_address(0);

	saved->nested = inflight->kind != VFIOTAPE_NONE;
	if (unlikely(saved->nested)) {
		saved->outer = *inflight;
		saved->frame = ring->inflight_frame;
		/* A call that a handler jumped out of (siglongjmp) is over: what it left is not below us on the stack. */
		saved->nested = saved->frame > frame;
		inflight->kind = VFIOTAPE_NONE;
	}
	ring->inflight_frame = frame;
	__asm__ volatile("" : : : "memory");
	inflight->entered = event->entered;
	inflight->site_errno = event->site & VFIOTAPE_SITE_MASK;
	inflight->offset = event->offset;
	inflight->value = event->value;
	inflight->object = event->object;
	inflight->op = event->op;
	inflight->fd = event->fd;
	__asm__ volatile("" : : : "memory");
	inflight->kind = event->kind;
}

ALWAYS_INLINE void ring_inflight_end(struct ring_thread *ring, const struct ring_inflight *saved)
{
	struct vfiotape_record *inflight = &ring->header->inflight;

	inflight->kind = VFIOTAPE_NONE;
	if (unlikely(saved->nested)) {
		ring->inflight_frame = saved->frame;
		*inflight = saved->outer;
	}
}

#endif
