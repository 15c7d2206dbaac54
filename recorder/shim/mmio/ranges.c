// SPDX-License-Identifier: Apache-2.0
/*
 * Which addresses are watched, and where their aliases are.
 *
 * A mapping gives one "run" for each stretch of pages that is closed to the driver, and inside it a recorded range for
 * each stretch of bytes that --watch asks for (all of it by default). In the chain, recorded ranges stand before the
 * run that they lie in, and what replaces a range before what it replaces.
 */
#include <errno.h>
#include <sys/mman.h>

#include "../sim/sim.h"
#include "internal.h"

#define FIRST_RANGES 512u
#define RESERVATIONS_MAX 1024u

static struct mmio_range first_ranges[FIRST_RANGES];
static struct mmio_range *fresh = first_ranges;
static uint32_t fresh_left = FIRST_RANGES;

static struct mmio_range everything = { .length = UINT64_MAX };
struct mmio_window mmio_window = { .low = UINT64_MAX, .span = 0, .first = &everything };

/* Aliases lie between guard pages, so that an access that runs over the end of a BAR faults as it would have. */
static struct { uint64_t start, end; } reservations[RESERVATIONS_MAX];

static struct mmio_range *new_range(void)
{
	if (!fresh_left) {
		void *more = raw_mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (raw_failed((long)more))
			return NULL;
		fresh = more;
		fresh_left = 65536 / sizeof(struct mmio_range);
	}
	fresh_left--;
	return fresh++;
}

const struct mmio_range *mmio_range_of(uint64_t address)
{
	const struct mmio_range *range = __atomic_load_n(&mmio_window.first, __ATOMIC_ACQUIRE);

	while (address - range->base >= range->length)
		range = __atomic_load_n(&range->next, __ATOMIC_ACQUIRE);
	return range == &everything ? NULL : range;
}

const struct mmio_range *mmio_range_of_alias(uint64_t address)
{
	const struct mmio_range *range = __atomic_load_n(&mmio_window.first, __ATOMIC_ACQUIRE);

	for (; range != &everything; range = __atomic_load_n(&range->next, __ATOMIC_ACQUIRE))
		if (address - (range->base + range->delta) < range->length)
			return range;
	return NULL;
}

/* Those that are recorded stand before those that are not: the first that an address is in counts. */
static bool add(const struct mmio_range *model, uint64_t base, uint64_t end)
{
	struct mmio_range *range = new_range(), **at = &mmio_window.first;
	uint64_t low = mmio_window.low, high = mmio_window.low == UINT64_MAX ? 0 : low + mmio_window.span;

	if (!range)
		return false;
	*range = *model;
	range->base = base;
	range->length = end - base;
	while (!range->recorded && (*at)->recorded)
		at = &(*at)->next;
	range->next = *at;
	__atomic_store_n(at, range, __ATOMIC_RELEASE);
	/* The window only grows. A thread that sees half of it takes the slow way round: it faults, and comes again. */
	if (base < low)
		low = base;
	if (end > high)
		high = end;
	__atomic_store_n(&mmio_window.low, low, __ATOMIC_RELEASE);
	__atomic_store_n(&mmio_window.span, high - low, __ATOMIC_RELEASE);
	return true;
}

static void take_out(struct mmio_range *range)
{
	struct mmio_range **at = &mmio_window.first;

	while (*at != range && *at != &everything)
		at = &(*at)->next;
	if (*at == range)
		__atomic_store_n(at, range->next, __ATOMIC_RELEASE);
}

static bool is_run(const struct mmio_range *range)
{
	return range->length != UINT64_MAX && !range->recorded;
}

/* The run that an address is in, or the next above it below `end`. */
static const struct mmio_range *run_from(uint64_t address, uint64_t end)
{
	const struct mmio_range *best = NULL;

	for (const struct mmio_range *range = mmio_window.first; range != &everything; range = range->next)
		if (is_run(range) && range->base < end && range->base + range->length > address &&
		    (!best || range->base < best->base))
			best = range;
	return best;
}

bool mmio_is_watched(uint64_t address, size_t length)
{
	uint64_t end = address + length;

	if (address >= mmio_window.low + mmio_window.span || end <= mmio_window.low)
		return false;
	for (const struct mmio_range *range = mmio_window.first; range != &everything;
	     range = __atomic_load_n(&range->next, __ATOMIC_ACQUIRE))
		if (range->base < end && range->base + range->length > address)
			return true;
	return false;
}

uint64_t mmio_translate(uint64_t address, size_t length)
{
	const struct mmio_range *range;

	if (address - mmio_window.low >= mmio_window.span)
		return address;
	range = mmio_range_of(address);
	(void)length; /* an alias is as contiguous as the mapping; what runs over its end gets EFAULT, as it would have */
	return range ? address + range->delta : address;
}

static bool within(const struct mmio_range *range, uint64_t start, uint64_t end)
{
	return range->base >= start && range->base + range->length <= end;
}

/* Does some of it lie in [start, end), and is it not to stay as it is? */
static bool to_divide(const struct mmio_range *range, uint64_t start, uint64_t end, bool keep)
{
	return range->base < end && range->base + range->length > start && !(keep && within(range, start, end));
}

/* Divides the ranges at `start` and `end`. What lies between is taken out unless it is to be kept; under the lock. */
static bool divide(uint64_t start, uint64_t end, bool keep)
{
	for (struct mmio_range *range = mmio_window.first; range != &everything; range = range->next) {
		uint64_t base = range->base, top = base + range->length;

		if (!to_divide(range, start, end, keep))
			continue;
		if ((base < start && !add(range, base, start)) || (top > end && !add(range, end, top)) ||
		    (keep && !add(range, base > start ? base : start, top < end ? top : end)))
			return false;
	}
	for (struct mmio_range *range = mmio_window.first, *next; range != &everything; range = next) {
		next = range->next;
		if (to_divide(range, start, end, keep))
			take_out(range);
	}
	return true;
}

static bool wants(const struct vfiotape_watch *watch, uint32_t region, uint64_t first, uint64_t last)
{
	return (watch->region == UINT32_MAX || watch->region == region) && watch->first <= last && watch->last >= first;
}

/* The stretch of pages from *at on, below `end`, that --watch wants closed. All are offsets in the region. */
static bool next_run(uint32_t region, uint64_t *at, uint64_t end, uint64_t *run_end)
{
	const struct vfiotape_control *control = shim_session.control;
	uint64_t start = UINT64_MAX, stop = 0;
	bool grown = true;

	if (!control->watches) {
		*run_end = end;
		return *at < end;
	}
	for (uint32_t i = 0; i < control->watches && i < VFIOTAPE_WATCHES_MAX; i++) {
		const struct vfiotape_watch *watch = &control->watch[i];
		uint64_t first = page_down(watch->first > *at ? watch->first : *at);

		if (*at < end && wants(watch, region, *at, end - 1) && first < start)
			start = first;
	}
	if (start == UINT64_MAX)
		return false;
	for (stop = start + PAGE; grown;) {
		grown = false;
		for (uint32_t i = 0; i < control->watches && i < VFIOTAPE_WATCHES_MAX; i++) {
			const struct vfiotape_watch *watch = &control->watch[i];
			uint64_t top = watch->last >= end ? end : page_up(watch->last + 1);

			if (wants(watch, region, start, stop < end ? stop : end - 1) && top > stop)
				stop = top, grown = true;
		}
	}
	*at = start;
	*run_end = stop < end ? stop : end;
	return true;
}

static bool add_recorded(const struct mmio_range *run, uint32_t region, uint64_t base, uint64_t end)
{
	const struct vfiotape_control *control = shim_session.control;
	struct mmio_range model = *run;
	uint64_t first = base + run->region_delta, last = end - 1 + run->region_delta;

	model.recorded = 1;
	if (!control->watches)
		return add(&model, base, end);
	for (uint32_t i = 0; i < control->watches && i < VFIOTAPE_WATCHES_MAX; i++) {
		const struct vfiotape_watch *watch = &control->watch[i];
		uint64_t from = watch->first > first ? watch->first : first;
		uint64_t to = watch->last < last ? watch->last : last;

		if (wants(watch, region, first, last) &&
		    !add(&model, from - run->region_delta, to + 1 - run->region_delta))
			return false;
	}
	return true;
}

/* With guard pages where there is room for them (after mlockall they count as locked memory until they are let off). */
static uint64_t make_alias(size_t length, int prot, int flags, int fd, uint64_t offset)
{
	uint64_t whole = length + 2 * PAGE, alias;
	long reserved = (long)raw_mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint32_t slot = 0;

	while (slot < RESERVATIONS_MAX && reservations[slot].start)
		slot++;
	if (slot == RESERVATIONS_MAX)
		return 0;
	if (raw_failed(reserved)) {
		alias = (uint64_t)raw_mmap(NULL, length, prot, flags & MAP_TYPE, fd, offset);
		if (raw_failed((long)alias))
			return 0;
		reservations[slot].start = alias;
		reservations[slot].end = alias + length;
		return alias;
	}
	raw3(SYS_munlock, reserved, (long)whole, 0);
	alias = (uint64_t)reserved + PAGE;
	if (raw_failed((long)raw_mmap((void *)alias, length, prot, (flags & MAP_TYPE) | MAP_FIXED, fd, offset))) {
		raw_munmap((void *)reserved, whole);
		return 0;
	}
	reservations[slot].start = (uint64_t)reserved;
	reservations[slot].end = (uint64_t)reserved + whole;
	return alias;
}

/* Part of an alias goes: its place stays taken until all of it is gone. */
static void drop_alias(uint64_t alias, uint64_t length)
{
	for (uint32_t i = 0; i < RESERVATIONS_MAX; i++) {
		bool used = false;

		if (alias < reservations[i].start || alias >= reservations[i].end)
			continue;
		for (const struct mmio_range *range = mmio_window.first; range != &everything; range = range->next)
			used |= is_run(range) && range->base + range->delta >= reservations[i].start &&
				range->base + range->delta < reservations[i].end;
		if (used) {
			raw_mmap((void *)alias, length, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
		} else {
			raw_munmap((void *)reservations[i].start, reservations[i].end - reservations[i].start);
			reservations[i].start = reservations[i].end = 0;
		}
		return;
	}
}

/* The range is forgotten, and its aliases go. */
static void forget(uint64_t start, uint64_t end)
{
	const struct mmio_range *run;

	while ((run = run_from(start, end))) {
		uint64_t from = run->base > start ? run->base : start;
		uint64_t to = run->base + run->length < end ? run->base + run->length : end;
		uint64_t alias = from + run->delta;

		bool simulated = run->mapping != 0;

		if (!divide(from, to, false))
			return; /* no memory for the remainders: stays watched, and faults on the alias as on the mapping */
		if (simulated)
			sim_unmapped(from, to - from);
		else
			drop_alias(alias, to - from);
	}
}

static bool watch_mapping(uint64_t base, size_t length, uint64_t alias, int prot, const struct mmio_region *region)
{
	struct mmio_range model = {
		.delta = alias - base,
		.region_delta = region->offset - base,
		.object_word = (uint64_t)region->object << 32,
		.op_word = (region->region & 0xffu) | 0xffffffff00000000ull,
		.prot = (uint32_t)prot,
	};
	uint64_t at = region->offset, end = region->offset + length, run_end;

	while (next_run(region->region, &at, end, &run_end)) {
		uint64_t from = at - model.region_delta, to = run_end - model.region_delta;

		if (!add(&model, from, to) || !add_recorded(&model, region->region, from, to))
			return false;
		if (raw_failed(raw3(SYS_mprotect, (long)from, (long)(to - from), PROT_NONE)))
			return false;
		at = run_end;
	}
	return true;
}

/* All of its pages are closed, whatever --watch asks for: they lead nowhere. */
bool mmio_simulated_watch(uint64_t base, size_t length, uint64_t mapping, int prot, const struct mmio_region *region)
{
	struct mmio_range model = {
		.region_delta = region->offset - base,
		.object_word = (uint64_t)region->object << 32,
		.op_word = (region->region & 0xffu) | 0xffffffff00000000ull,
		.mapping = mapping,
		.mapping_delta = -base,
		.prot = (uint32_t)prot,
	};
	bool recorded = shim_session.control && (mmio_mode == VFIOTAPE_MMIO_PATCH || mmio_mode == VFIOTAPE_MMIO_TRAP);
	bool done;

	mmio_lock();
	done = add(&model, base, base + length) &&
	       (!recorded || add_recorded(&model, region->region, base, base + length));
	if (!done)
		divide(base, base + length, false);
	mmio_unlock();
	return done;
}

/* The ranges in [start, end) get another protection: those across its edges are divided there. Under the lock. */
static bool protect(uint64_t start, uint64_t end, int prot)
{
	if (!divide(start, end, true))
		return false;
	for (struct mmio_range *range = mmio_window.first; range != &everything; range = range->next)
		if (within(range, start, end))
			__atomic_store_n(&range->prot, (uint32_t)prot, __ATOMIC_RELEASE);
	return true;
}

bool mmio_touches(uint64_t address, size_t length)
{
	return mmio_is_watched(address, length) || mmio_code_overlaps(address, length) ||
	       mmio_bytes_locked(address, length, NULL);
}

static void let_go(uint64_t address, size_t length)
{
	mmio_purge_range(address, length);
	mmio_code_maps_changed();
	mmio_code_forget(address, length);
	forget(page_down(address), page_up(address + length));
}

long mmio_mmap(uint64_t address, size_t length, int prot, int flags, int fd, uint64_t offset,
	       const struct mmio_region *region)
{
	size_t whole = page_up(length);
	uint64_t probe = region->offset, run_end, alias = 0;
	long mapped;

	if (flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE) && mmio_touches(address, length)) {
		mmio_lock();
		let_go(address, length);
		mmio_unlock();
	}
	/* A mapping of which nothing is watched is an ordinary one; so is a private one, which is not the device. */
	if (!mmio_watching() || (flags & MAP_TYPE) == MAP_PRIVATE || region->offset & (PAGE - 1) || !whole ||
	    !next_run(region->region, &probe, region->offset + whole, &run_end))
		return (long)raw_mmap((void *)address, length, prot, flags, fd, offset);
	mapped = (long)raw_mmap((void *)address, length, prot, flags, fd, offset);
	if (raw_failed(mapped))
		return mapped;
	mmio_lock();
	alias = make_alias(whole, prot, flags, fd, offset);
	if (!alias || !watch_mapping((uint64_t)mapped, whole, alias, prot, region)) {
		if (alias)
			forget((uint64_t)mapped, (uint64_t)mapped + whole);
		raw3(SYS_mprotect, mapped, (long)whole, prot);
		shim_count_loss(&shim_session.control->lost_other, 1);
	}
	mmio_unlock();
	return mapped;
}

long mmio_munmap(uint64_t address, size_t length)
{
	long result;

	if (address & (PAGE - 1) || !length)
		return raw_munmap((void *)address, length);
	mmio_lock();
	let_go(address, length);
	result = raw_munmap((void *)address, length);
	mmio_unlock();
	return result;
}

long mmio_mmap_over(uint64_t address, size_t length, int prot, int flags, int fd, uint64_t offset)
{
	long result;

	mmio_lock();
	let_go(address, length);
	result = (long)raw_mmap((void *)address, length, prot, flags, fd, offset);
	mmio_unlock();
	return result;
}

/* The watched stretches of a range stay closed, and their aliases get the protection; the others are the kernel's. */
long mmio_mprotect(uint64_t address, size_t length, int prot)
{
	uint64_t end = page_up(address + length);
	long result = 0;

	if (address & (PAGE - 1) || !mmio_is_watched(address, length)) {
		mmio_lock();
		if (prot & PROT_WRITE)
			mmio_unpatch_range(address, length);
		mmio_code_maps_changed();
		result = raw3(SYS_mprotect, (long)address, (long)length, prot);
		mmio_unlock();
		return result;
	}
	mmio_lock();
	while (address < end && !result) {
		const struct mmio_range *run = run_from(address, end);
		uint64_t open_end = run ? run->base > address ? run->base : address : end;

		if (open_end > address)
			result = raw3(SYS_mprotect, (long)address, (long)(open_end - address), prot);
		address = open_end;
		if (run && !result) {
			uint64_t to = run->base + run->length < end ? run->base + run->length : end;

			if (!run->mapping)
				result = raw3(SYS_mprotect, (long)(address + run->delta), (long)(to - address), prot);
			if (!result && !protect(address, to, prot))
				result = -ENOMEM;
			address = to;
		}
	}
	mmio_unlock();
	return result;
}

/* The ranges of [old, old + length) move with their mapping; the aliases stay where they are. */
static bool move(uint64_t old, size_t length, uint64_t to)
{
	uint64_t shift = to - old, old_end = old + length;

	for (struct mmio_range *range = mmio_window.first; range != &everything; range = range->next) {
		uint64_t base = range->base > old ? range->base : old;
		uint64_t end = range->base + range->length < old_end ? range->base + range->length : old_end;
		struct mmio_range model = *range;

		if (base >= end)
			continue;
		model.delta = range->mapping ? 0 : range->delta - shift;
		model.region_delta -= shift;
		model.mapping_delta -= shift;
		if (!add(&model, base + shift, end + shift))
			return false;
	}
	return divide(old, old_end, false);
}

long mmio_mremap(uint64_t old, size_t old_length, size_t new_length, int flags, uint64_t wanted)
{
	size_t kept = page_up(new_length < old_length ? new_length : old_length);
	long result;

	/* VFIO's mappings don't expand (VM_DONTEXPAND): mremap_to and vma_to_resize refuse with EFAULT. */
	if (new_length > old_length && mmio_is_watched(old, old_length))
		return -EFAULT;
	mmio_lock();
	if (flags & MREMAP_FIXED)
		let_go(wanted, new_length);
	result = raw6(SYS_mremap, (long)old, (long)old_length, (long)new_length, flags, (long)wanted, 0);
	if (!raw_failed(result)) {
		if (page_up(old_length) > kept)
			forget(old + kept, old + page_up(old_length));
		if ((uint64_t)result != old) {
			const struct mmio_range *run = run_from(old, old + kept);

			if (run && run->mapping)
				sim_moved(old, kept, (uint64_t)result);
			move(old, kept, (uint64_t)result);
		}
	}
	mmio_unlock();
	return result;
}

void mmio_advised(uint64_t address, size_t length, int advice)
{
	uint64_t end = address + length;

	if (advice != MADV_DONTFORK && advice != MADV_DOFORK && advice != MADV_DONTDUMP && advice != MADV_DODUMP)
		return;
	mmio_lock();
	for (const struct mmio_range *run; address < end && (run = run_from(address, end));) {
		uint64_t from = run->base > address ? run->base : address;
		uint64_t to = run->base + run->length < end ? run->base + run->length : end;

		raw_madvise((void *)(from + run->delta), to - from, advice);
		address = to;
	}
	mmio_unlock();
}
