// SPDX-License-Identifier: Apache-2.0
/* Records that are written in C: of the handler's accesses, of sites, and what trampolines leave to the slow path. */
#include "../dma/dma.h"
#include "internal.h"

/* Where a trampoline writes when there is nothing to record into. Never read. */
static struct vfiotape_record sink;

static void fill(struct vfiotape_record *record, const struct mmio_range *range, uint64_t address, uint64_t site,
		 uint64_t op_word, uint64_t time)
{
	record->entered = time;
	record->site_errno = site & VFIOTAPE_SITE_MASK;
	record->offset = address + range->region_delta;
	record->result = 0;
	record->duration = 0;
	record->object = (uint32_t)(range->object_word >> 32);
	record->op = (uint32_t)(op_word | range->op_word);
	record->fd = -1;
}

static uint32_t write_data(struct ring_thread *ring, uint64_t address, const void *bytes, uint32_t length, uint8_t *flags)
{
	struct ring_segment data = { .role = VFIOTAPE_ROLE_DATA, .length = length, .address = address, .bytes = bytes };
	uint32_t payload = 0;

	if (ring_write_chain(ring, &data, 1, &payload))
		*flags |= VFIOTAPE_FLAG_PAYLOAD;
	return payload;
}

static struct ring_thread *reserve(struct ring_slot *slot, uint64_t time)
{
	struct ring_thread *ring = ring_enter();

	if (!ring)
		return NULL;
	if (time >= ring->next_clock)
		ring_write_clock(ring);
	return ring_reserve(ring, slot) ? ring : NULL;
}

void mmio_record_begin(const struct mmio_access *access, struct ring_slot *slot)
{
	uint64_t time = shim_clock();
	uint8_t flags = access->flags | VFIOTAPE_FLAG_INTENT;
	uint32_t payload = 0;
	struct ring_thread *ring;

	slot->record = NULL;
	if (!access->range->recorded)
		return;
	ring = reserve(slot, time);
	if (!ring) {
		slot->record = NULL;
		return;
	}
	fill(slot->record, access->range, access->address, access->site,
	     VFIOTAPE_ACCESS(0, access->width, access->tier, access->form), time);
	slot->record->value = access->value;
	if (access->wide && access->kind == VFIOTAPE_STORE)
		payload = write_data(ring, access->address, access->wide, access->width, &flags);
	ring_commit(slot, access->kind, flags, payload);
}

/* `error` says that the device refused the access: it stays in the trace, with that errno. */
void mmio_record_end(const struct mmio_access *access, const struct ring_slot *slot, int error)
{
	uint8_t flags = access->flags;
	uint32_t payload = 0;

	if (!slot->record)
		return;
	if (access->kind == VFIOTAPE_STORE) {
		flags |= slot->record->flags & VFIOTAPE_FLAG_PAYLOAD;
		payload = slot->record->payload;
	} else if (access->wide && !error) {
		payload = write_data(ring_tls, access->address, access->wide, access->width, &flags);
	}
	slot->record->value = access->value;
	slot->record->result = access->result;
	if (error) {
		slot->record->site_errno |= (uint64_t)(uint16_t)error << 48;
		flags |= VFIOTAPE_FLAG_UNKNOWN;
	}
	ring_commit(slot, access->kind, flags, payload);
}

void mmio_record_site(const struct mmio_site *site)
{
	struct ring_thread *ring = ring_enter();
	struct ring_segment bytes = { .role = VFIOTAPE_ROLE_IN, .length = site->insn.length, .address = site->address,
				      .bytes = site->insn.bytes };
	struct ring_event event = { .entered = shim_clock(), .site = site->address, .offset = site->address,
				    .value = site->tier, .op = site->reason, .fd = -1, .kind = VFIOTAPE_SITE };

	if (ring)
		ring_write_with(ring, &event, &bytes, 1);
}

/* --- called by trampolines ------------------------------------------------------------------------------------------ */

void mmio_slow_begin(struct mmio_frame *frame, struct mmio_site *site)
{
	union ring_commit_word commit = { .kind = site->kind, .flags = VFIOTAPE_FLAG_INTENT };
	struct ring_thread *ring;
	struct ring_slot slot;
	uint8_t flags = 0;
	uint64_t time;

	if (site->kind != VFIOTAPE_LOAD)
		dma_at(DMA_STORE);
	time = shim_clock();
	ring = reserve(&slot, time);

	if (!ring) {
		frame->slot = &sink;
		frame->commit = frame->after = 0;
		return;
	}
	fill(slot.record, frame->range, frame->true_address, site->address, site->op_word, time);
	commit.lap = slot.lap;
	if (site->insn.width > 8) {
		slot.record->value = 0;
		if (site->kind == VFIOTAPE_STORE) {
			copy_bytes(&slot.record->value, (const void *)frame->vector, 8);
			commit.payload = write_data(ring, frame->true_address, (const void *)frame->vector,
						    site->insn.width, &flags);
		}
		commit.flags = VFIOTAPE_FLAG_INTENT | flags;
		__atomic_store_n((uint64_t *)&slot.record->kind, commit.word, __ATOMIC_RELEASE);
	}
	frame->slot = slot.record;
	frame->commit = commit.word;
	commit.flags = flags;
	frame->after = commit.word;
}

void mmio_slow_load_done(struct mmio_frame *frame, struct mmio_site *site)
{
	union ring_commit_word commit = { .word = frame->after };

	if (frame->slot == &sink)
		return;
	copy_bytes(&frame->slot->value, (const void *)frame->vector, 8);
	commit.payload = write_data(ring_tls, frame->true_address, (const void *)frame->vector, site->insn.width,
				    &commit.flags);
	__atomic_store_n((uint64_t *)&frame->slot->kind, commit.word, __ATOMIC_RELEASE);
}

/* A clock pair is due. It goes into the slot after the one that is being filled. */
void mmio_slow_clock(struct mmio_frame *frame, struct mmio_site *site)
{
	(void)frame;
	(void)site;
	ring_write_clock(ring_tls);
}
