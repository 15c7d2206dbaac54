// SPDX-License-Identifier: Apache-2.0
#include "../../dma/dma.h"
#include "rig.h"

#include <sys/mman.h>
#include <unistd.h>

#include "../../sim/sim.h"

#define SIDE_BYTES (64u << 20)
#define THREADS 64

unsigned int rig_records_log2 = 16;
struct vfiotape_control rig_control = { .magic = VFIOTAPE_CONTROL_MAGIC };
struct shim_session shim_session;
struct shim_process shim_process;
uint32_t ring_shared;
__thread struct ring_thread *ring_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));

static uint32_t used;
static int bar_fd = -1;

void shim_count_loss(uint64_t *counter, uint64_t amount)
{
	__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

struct ring_thread *ring_claim(void)
{
	struct ring_thread *ring = ring_tls;
	size_t bytes = VFIOTAPE_RING_HEADER_BYTES + (sizeof(struct vfiotape_record) << rig_records_log2);
	unsigned char *memory;

	if (rig_control.state != VFIOTAPE_RECORDING || used == THREADS)
		return NULL;
	if (ring && ring->header)
		return ring;
	ring = &shim_process.threads[__atomic_fetch_add(&used, 1, __ATOMIC_RELAXED)];
	memory = raw_mmap(NULL, bytes + SIDE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ring->records = (struct vfiotape_record *)(memory + VFIOTAPE_RING_HEADER_BYTES);
	ring->side = memory + bytes;
	ring->record_mask = (1ull << rig_records_log2) - 1;
	ring->records_log2 = rig_records_log2;
	ring->limit = ring->record_mask + 1 - RING_MARGIN;
	ring->side_mask = SIDE_BYTES - 1;
	ring->header = (struct vfiotape_ring_header *)memory;
	ring_tls = ring;
	return ring;
}

bool ring_make_room(struct ring_thread *ring)
{
	ring->header->lost++;
	return false;
}

void ring_write_clock(struct ring_thread *ring)
{
	struct ring_slot slot;

	if (!ring_reserve(ring, &slot))
		return;
	ring->next_clock = shim_clock() + (1ull << 28);
	ring_commit(&slot, VFIOTAPE_CLOCK, 0, 0);
}

bool ring_write_chain(struct ring_thread *ring, struct ring_segment *segments, unsigned int count, uint32_t *payload)
{
	uint64_t at = ring->header->side_head;
	struct vfiotape_segment *segment = (struct vfiotape_segment *)(ring->side + at);

	(void)count;
	if (at + sizeof(*segment) + segments->length + 8 > SIDE_BYTES)
		return false;
	segment->length = segments->length;
	segment->role = segments->role;
	segment->address = segments->address;
	memcpy(segment + 1, segments->bytes, segments->length);
	ring->header->side_head += sizeof(*segment) + ((segments->length + 7u) & ~7u);
	*payload = (uint32_t)(at / 8);
	return true;
}

void ring_write_with(struct ring_thread *ring, const struct ring_event *event, struct ring_segment *segments,
		     unsigned int count)
{
	struct ring_slot slot;
	uint32_t payload = 0;
	uint8_t flags;

	if (!ring_write_slot(ring, event, &slot, &flags))
		return;
	if (ring_write_chain(ring, segments, count, &payload))
		flags |= VFIOTAPE_FLAG_PAYLOAD;
	ring_commit(&slot, event->kind, flags, payload);
}

void rig_start(uint32_t mode)
{
	const char *trouble;

	rig_control.records_log2 = rig_records_log2;
	shim_session.control = &rig_control;
	shim_session.mode = SHIM_RECORDING;
	shim_process.pid = (uint32_t)getpid();
	trouble = mmio_start(mode);
	if (trouble) {
		fprintf(stderr, "rig: %s\n", trouble);
		exit(77);
	}
}

/* --- in place of the simulated kernel's backend ---------------------------------------------------------------------- */

/* Nothing is mapped for DMA here. */
void dma_compare(enum dma_moment moment)
{
	(void)moment;
}

bool dma_entered(void)
{
	return false;
}

uint32_t sim_active;
static uint8_t *registers;

void rig_simulate(void)
{
	sim_active = 1;
}

long sim_mmap(uint64_t inode, uint64_t address, size_t length, uint64_t offset, int prot, int flags, uint32_t *region,
	      uint64_t *region_offset)
{
	RIG_CHECK(inode == 1 && address && length && !offset && prot && flags & MAP_SHARED);
	*region = 2;
	*region_offset = 0;
	return 1;
}

void sim_unmapped(uint64_t address, size_t length)
{
	(void)address, (void)length;
}

void sim_moved(uint64_t address, size_t length, uint64_t to)
{
	(void)address, (void)length, (void)to;
}

bool sim_load(uint64_t mapping, uint64_t offset, unsigned int width, uint64_t site, uint64_t *value)
{
	(void)site;
	*value = 0;
	RIG_CHECK(mapping == 1 && width && width <= 8 && !(width & (width - 1)) && (offset & 7) + width <= 8);
	copy_bytes(value, registers + offset, width);
	return true;
}

bool sim_store(uint64_t mapping, uint64_t offset, unsigned int width, uint64_t site, uint64_t value)
{
	(void)site;
	RIG_CHECK(mapping == 1 && width && width <= 8 && !(width & (width - 1)) && (offset & 7) + width <= 8);
	copy_bytes(registers + offset, &value, width);
	return true;
}

int rig_bar_fd(void)
{
	return bar_fd;
}

uint8_t *rig_bar(size_t length, uint8_t **plain, void *wanted)
{
	struct mmio_region region = { .object = 7, .region = 2, .offset = 0 };
	long bar;

	bar_fd = (int)syscall(SYS_memfd_create, "bar", 0);
	RIG_CHECK(bar_fd >= 0 && ftruncate(bar_fd, (off_t)length) == 0);
	*plain = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, bar_fd, 0);
	RIG_CHECK(*plain != MAP_FAILED);
	registers = *plain;
	if (sim_active) {
		bar = mmio_simulated_mmap((uint64_t)wanted, length, PROT_READ | PROT_WRITE,
					  MAP_SHARED | (wanted ? MAP_FIXED : 0), 1, 0, region.object);
		RIG_CHECK(!raw_failed(bar));
		return (uint8_t *)bar;
	}
	bar = mmio_mmap((uint64_t)wanted, length, PROT_READ | PROT_WRITE, MAP_SHARED | (wanted ? MAP_FIXED : 0), bar_fd,
			0, &region);
	RIG_CHECK(!raw_failed(bar));
	return (uint8_t *)bar;
}

uint64_t rig_position(void)
{
	return ring_tls ? ring_tls->header->head : 0;
}

struct vfiotape_record *rig_record(uint64_t position)
{
	return &ring_tls->records[position & ring_tls->record_mask];
}

bool rig_is_access(const struct vfiotape_record *record)
{
	return record->kind >= VFIOTAPE_LOAD && record->kind <= VFIOTAPE_UPDATE;
}

const uint8_t *rig_payload(const struct vfiotape_record *record, uint32_t *length)
{
	const struct vfiotape_segment *segment;

	if (!(record->flags & VFIOTAPE_FLAG_PAYLOAD))
		return NULL;
	segment = (const struct vfiotape_segment *)(ring_tls->side + (uint64_t)record->payload * 8);
	*length = segment->length;
	return (const uint8_t *)(segment + 1);
}

void rig_forget(void)
{
	if (!ring_tls)
		return;
	ring_tls->header->head = 0;
	ring_tls->header->side_head = 0;
}

uint64_t rig_lost(void)
{
	return ring_tls ? ring_tls->header->lost : 0;
}
