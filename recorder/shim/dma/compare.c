// SPDX-License-Identifier: Apache-2.0
/* One comparison: what of the mapped memory is otherwise than it was, who wrote it, and the events that say so. */
#include <string.h>

#include "../core/fault_safe.h"
#include "../core/watcher.h"
#include "internal.h"

#define WORD 8u
#define WORDS (DMA_PAGE / WORD)
/* Bytes that did not change between two that the device wrote are written again with them: fewer, longer events. */
#define DEVICE_GAP 64u
/* Addresses of a process on x86-64, but for those of a program that is linked to a fixed place. */
#define POINTERS_FROM 0x550000000000ull
#define POINTERS_TO 0x800000000000ull

enum writer { BY_DRIVER, BY_DEVICE };

struct verdict {
	enum writer writer;
	bool certain;
};

/* --- reading memory that may not be there --------------------------------------------------------------------------- */

#ifdef VFIOTAPE_WITHOUT_MMIO
#define mmio_guarded_compare(address, copy, length) ((void)(address), (void)(copy), (size_t)(length))
#define mmio_guarded_copy(to, from, length) ((void)(to), (void)(from), (size_t)0)
#endif

/* Into dma_state->now. */
static bool read_page(const struct dma_map *map, uint64_t offset)
{
	return mmio_watching() ? mmio_guarded_copy(dma_state->now, map->address + offset, DMA_PAGE) == DMA_PAGE :
				 fault_safe_copy(dma_state->now, map->address + offset, DMA_PAGE) == DMA_PAGE;
}

/*
 * The offset of the page from `from` on that is otherwise than its copy, `map->size` when there is none; *lost when memory
 * can't be read. The page is in dma_state->now.
 */
static uint64_t next_changed(const struct dma_map *map, uint64_t from, bool *lost)
{
	uint64_t at;

	if (mmio_watching()) { /* a fault of ours is caught */
		size_t length = map->size - from, same = mmio_guarded_compare(map->address + from, map->copy + from, length);

		*lost = same > length;
		if (same >= length)
			return map->size;
		at = (from + same) & ~(uint64_t)(DMA_PAGE - 1);
		*lost = !read_page(map, at);
		return at;
	}
	for (at = from; at < map->size; at += DMA_PAGE) {
		uint64_t rest = map->size - at, in_bounce = (at - from) % DMA_BOUNCE;

		if (!in_bounce) {
			uint64_t length = rest < DMA_BOUNCE ? rest : DMA_BOUNCE;

			*lost = fault_safe_copy(dma_state->bounce, map->address + at, length) != length;
			if (*lost)
				return at;
		}
		if (!memcmp(dma_state->bounce + in_bounce, map->copy + at, DMA_PAGE))
			continue;
		memcpy(dma_state->now, dma_state->bounce + in_bounce, DMA_PAGE);
		return at;
	}
	return map->size;
}

/* --- who wrote it ---------------------------------------------------------------------------------------------------- */

/* Not a small number that happens to be one. */
static bool is_mapped_iova(uint64_t value)
{
	if (value & (DMA_PAGE - 1) && value <= UINT32_MAX)
		return false;
	for (uint32_t i = 0; i < dma_state->count; i++)
		if (value - dma_state->maps[i].iova < dma_state->maps[i].size)
			return true;
	return false;
}

static bool is_pointer(uint64_t value)
{
	return value >= POINTERS_FROM && value < POINTERS_TO;
}

/*
 * What a device does not write of its own accord: a program's own pointers, the IOVAs of commands and descriptors (but they
 * may come back to where it has written), and nothing but zeroes.
 */
static bool looks_like_drivers(const struct dma_map *map, uint64_t offset)
{
	const uint64_t *now = (const uint64_t *)dma_state->now, *before = (const uint64_t *)(map->copy + offset);
	bool is_devices = map->pages[offset / DMA_PAGE] & PAGE_BY_DEVICE, cleared = true;

	for (unsigned int i = 0; i < WORDS; i++) {
		if (now[i] == before[i])
			continue;
		cleared = cleared && !now[i];
		if (is_pointer(now[i]) || (!is_devices && now[i] >= DMA_PAGE && is_mapped_iova(now[i])))
			return true;
	}
	return cleared;
}

/*
 * Without the kernel's word: the likelier one. `active`: where the device has completed things something has changed, or in
 * a mapping where it has not yet: a device that writes data tells of it, too. In doubt it is the driver's: that can be found
 * out when it is played, by a driver that waits for it.
 */
static enum writer guess(const struct dma_map *map, uint64_t offset, bool active)
{
	uint8_t page = map->pages[offset / DMA_PAGE] & (PAGE_BY_DEVICE | PAGE_BY_DRIVER);

	return page == PAGE_BY_DRIVER || !active || looks_like_drivers(map, offset) ? BY_DRIVER : BY_DEVICE;
}

/* Of a huge page in which the driver wrote somewhere, the kernel says nothing that would help. */
static bool kernel_tells(const struct dma_map *map, uint64_t offset)
{
	return map->tracked && !(map->pages[offset / DMA_PAGE] & PAGE_HUGE);
}

/* `alone`: from before the last comparison until now, when the page has been read, nothing of this process ran. */
static struct verdict judge(const struct dma_map *map, uint64_t offset, bool alone, bool active)
{
	bool told = kernel_tells(map, offset);
	bool written = told && (map->pages[offset / DMA_PAGE] & PAGE_WRITTEN || dma_just_written(map, offset));

	if (!map->device_writes)
		return (struct verdict){ BY_DRIVER, true };
	if (alone && !written)
		return (struct verdict){ BY_DEVICE, true };
	/* The device has been told nothing since this memory was mapped: it doesn't know of it. */
	if (map->stores == dma_state->stores)
		return (struct verdict){ BY_DRIVER, true };
	/*
	 * Where the driver wrote, nobody knows whether the device did, too. The driver it is: what was the device's is found out
	 * when it is played, by a driver that waits for it; the reverse would be written over what the driver keeps there.
	 */
	if (told)
		return (struct verdict){ written ? BY_DRIVER : BY_DEVICE, !written };
	return (struct verdict){ guess(map, offset, active), false };
}

/* --- events ------------------------------------------------------------------------------------------------------------ */

static void write_event(struct ring_thread *ring, const struct dma_map *map, uint64_t offset, const uint8_t *bytes, uint32_t length,
			uint32_t op)
{
	uint64_t now = shim_clock();
	struct ring_segment data = { .role = VFIOTAPE_ROLE_DATA, .length = length, .address = map->address + offset,
				     .bytes = bytes };
	struct ring_event event = {
		.entered = now,
		.left = now,
		.offset = map->iova + offset,
		.result = length,
		.object = map->object,
		.op = op,
		.fd = -1,
		.kind = VFIOTAPE_DMA,
	};

	memcpy(&event.value, bytes, length < sizeof(event.value) ? length : sizeof(event.value));
	if (length > sizeof(event.value))
		ring_write_with(ring, &event, &data, 1);
	else
		ring_write(ring, &event);
}

/* The words of dma_state->now that are not as in the copy, each run of them an event. */
static void record_page(const struct dma_map *map, uint64_t offset, struct verdict verdict)
{
	const uint64_t *now = (const uint64_t *)dma_state->now, *before = (const uint64_t *)(map->copy + offset);
	uint32_t how = verdict.certain ? VFIOTAPE_DMA_FOUND : VFIOTAPE_DMA_AMBIGUOUS;
	uint32_t op = (verdict.writer == BY_DEVICE ? VFIOTAPE_DMA_WRITE : VFIOTAPE_DMA_FILL) | how << 8;
	unsigned int gap = verdict.writer == BY_DEVICE && verdict.certain ? DEVICE_GAP / WORD : 0;
	struct ring_thread *ring = ring_enter();

	for (unsigned int first = 0, end; ring && first < WORDS; first = end) {
		end = first + 1;
		if (now[first] == before[first])
			continue;
		for (unsigned int at = end; at < WORDS && at - end <= gap; at++)
			if (now[at] != before[at])
				end = at + 1;
		write_event(ring, map, offset + first * WORD, dma_state->now + first * WORD, (end - first) * WORD, op);
	}
}

void dma_record_held(const struct dma_map *map)
{
	struct ring_thread *ring = ring_enter();
	uint32_t op = VFIOTAPE_DMA_HELD | VFIOTAPE_DMA_FOUND << 8;

	for (uint64_t page = 0; ring && page < map->size; page += DMA_PAGE) {
		const uint64_t *words = (const uint64_t *)(map->copy + page);
		unsigned int first = 0, end = WORDS;

		while (first < end && !words[first])
			first++;
		while (end > first && !words[end - 1])
			end--;
		if (first < end)
			write_event(ring, map, page + first * WORD, map->copy + page + first * WORD, (end - first) * WORD, op);
	}
}

static void take_page(struct dma_map *map, uint64_t offset, bool alone, bool active)
{
	struct verdict verdict = judge(map, offset, alone, active);

	record_page(map, offset, verdict);
	map->pages[offset / DMA_PAGE] |= verdict.writer == BY_DEVICE ? PAGE_BY_DEVICE : PAGE_BY_DRIVER;
	map->by_device |= verdict.writer == BY_DEVICE;
	memcpy(map->copy + offset, dma_state->now, DMA_PAGE);
}

/* --- the comparison ------------------------------------------------------------------------------------------------------- */

/* Which pages changed. False: memory is gone that was there. */
static bool find_changed(uint32_t index, const struct dma_threads *since)
{
	struct dma_map *map = &dma_state->maps[index];
	bool lost = false;

	if (map->tracked && !dma_ask_written(map))
		dma_give_up_tracking(map);
	for (uint64_t at = 0; at < map->size; at += DMA_PAGE) {
		at = next_changed(map, at, &lost);
		if (lost)
			return false;
		if (at >= map->size)
			break;
		if (dma_state->changed_count < DMA_CHANGED_MAX)
			dma_state->changed[dma_state->changed_count++] = (struct dma_page){
				.map = index,
				.drivers = kernel_tells(map, at) ? map->pages[at / DMA_PAGE] & PAGE_WRITTEN :
								   looks_like_drivers(map, at),
				.offset = at,
			};
		else
			take_page(map, at, since && since->count == 1, true);
	}
	shim_count_loss(&shim_session.control->dma_pages, map->size / DMA_PAGE);
	return true;
}

static uint8_t history(const struct dma_page *page)
{
	return dma_state->maps[page->map].pages[page->offset / DMA_PAGE] & (PAGE_BY_DEVICE | PAGE_BY_DRIVER);
}

static bool is_active(void)
{
	bool active = false;

	for (uint32_t i = 0; i < dma_state->changed_count && !active; i++) {
		const struct dma_page *page = &dma_state->changed[i];

		active = !page->drivers && (history(page) == PAGE_BY_DEVICE ||
					    (!history(page) && !dma_state->maps[page->map].by_device));
	}
	return active;
}

/* One that has no other thread gets none while it sleeps. */
static bool nothing_ran(const struct dma_threads *since)
{
	struct dma_threads now;

	if (!since || since->count <= 1)
		return since && since->count;
	dma_look_at_threads(&now);
	return now.count == since->count && now.state == since->state;
}

/* From *next on, as many as there is room for: all of them are read before anybody looks who ran until then. */
static void take_some(uint32_t *next, bool again, const struct dma_threads *since, bool active)
{
	const struct dma_page *some[DMA_READ_MAX];
	uint32_t count = 0;
	bool alone;

	for (; *next < dma_state->changed_count && count < DMA_READ_MAX; ++*next) {
		struct dma_page *page = &dma_state->changed[*next];

		if (page->taken || (!again && history(page) & PAGE_BY_DEVICE))
			continue;
		page->taken = true;
		dma_state->now = dma_state->read[count];
		if (read_page(&dma_state->maps[page->map], page->offset))
			some[count++] = page;
	}
	alone = count && nothing_ran(since);
	for (uint32_t i = 0; i < count; i++) {
		dma_state->now = dma_state->read[i];
		take_page(&dma_state->maps[some[i]->map], some[i]->offset, alone, active);
	}
	dma_state->now = dma_state->read[0];
}

/* What a device writes again and again tells that the rest is there: it comes last. */
static void take_changed(const struct dma_threads *since)
{
	bool active = is_active();

	for (int again = 0; again < 2; again++)
		for (uint32_t next = 0; next < dma_state->changed_count;)
			take_some(&next, again, since, active);
	dma_state->changed_count = 0;
}

static void forget_written(void)
{
	for (uint32_t i = 0; i < dma_state->count; i++) {
		struct dma_map *map = &dma_state->maps[i];

		for (uint64_t page = 0; map->tracked && page < map->size / DMA_PAGE; page++)
			map->pages[page] &= (uint8_t)~(PAGE_WRITTEN | PAGE_HUGE);
	}
}

void dma_compare_all(enum dma_moment moment, const struct dma_threads *since)
{
	uint64_t began = shim_clock(), gone = 0;

	/* The newest first: buffers are mapped when the queues that tell of them long are. */
	for (uint32_t i = dma_state->count; i-- > 0;)
		if (!find_changed(i, since))
			dma_state->maps[i].size |= 1, gone++;
	take_changed(since);
	for (uint32_t i = dma_state->count; gone && i-- > 0;) {
		if (!(dma_state->maps[i].size & 1))
			continue;
		dma_state->maps[i].size &= ~1ull;
		dma_leave_out(VFIOTAPE_LEFT_OUT_GONE, dma_state->maps[i].size);
		dma_drop(i);
	}
	forget_written();
	if (moment == DMA_STORE)
		dma_state->stores++;
	shim_count_loss(&shim_session.control->dma_comparisons, 1);
	shim_count_loss(&shim_session.control->dma_ticks, shim_clock() - began);
}

void dma_compare(enum dma_moment moment)
{
	uint64_t mask;

	if (!dma_state->count || !dma_enter(&mask))
		return;
	dma_compare_all(moment, NULL);
	dma_leave(mask);
}

void dma_before_sleep(struct dma_threads *threads)
{
	uint64_t mask;

	threads->count = 0;
	if (!dma_state->count || !dma_enter(&mask))
		return;
	dma_look_at_threads(threads);
	dma_compare_all(DMA_SLEEP, NULL);
	dma_leave(mask);
}

void dma_after_sleep(const struct dma_threads *threads)
{
	uint64_t mask;

	if (!dma_state->count || !dma_enter(&mask))
		return;
	dma_compare_all(DMA_WAKE, threads);
	dma_leave(mask);
}
