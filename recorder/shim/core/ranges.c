// SPDX-License-Identifier: Apache-2.0
#include "ranges.h"

/*
 * Two filters of hashed granules: pages for small ranges, 2 MiB for large ones (hugepage heaps, a VM's memory), so that
 * marking 64 GiB is not sixteen million steps. A hash of one granule is its number times an odd constant, high bits.
 */
#define PAGE_SHIFT 12
#define LARGE_SHIFT 21
#define LARGE_FROM (64ull << 20)
#define BITS_LOG2 17
#define BITS (1u << BITS_LOG2)
#define STEPS_MAX 65536ull

uint64_t ranges_lowest = UINT64_MAX, ranges_highest;

static uint64_t small[BITS / 64], large[BITS / 64];
static uint32_t small_used, large_used, everything;

static uint32_t bit_of(uint64_t granule)
{
	return (uint32_t)((granule * 0x9e3779b97f4a7c15ull) >> (64 - BITS_LOG2));
}

static void mark(uint64_t *filter, uint64_t first, uint64_t last)
{
	for (uint64_t granule = first; granule <= last; granule++) {
		uint32_t bit = bit_of(granule);

		__atomic_fetch_or(&filter[bit / 64], 1ull << (bit % 64), __ATOMIC_RELAXED);
	}
}

static bool marked(const uint64_t *filter, uint64_t first, uint64_t last)
{
	for (uint64_t granule = first; granule <= last; granule++) {
		uint32_t bit = bit_of(granule);

		if (__atomic_load_n(&filter[bit / 64], __ATOMIC_RELAXED) & 1ull << (bit % 64))
			return true;
	}
	return false;
}

static void lower(uint64_t *word, uint64_t value)
{
	uint64_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);

	while (value < seen &&
	       !__atomic_compare_exchange_n(word, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static void raise_to(uint64_t *word, uint64_t value)
{
	uint64_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);

	while (value > seen &&
	       !__atomic_compare_exchange_n(word, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static uint64_t last_of(uint64_t address, uint64_t length)
{
	uint64_t last = address + length - 1;

	return last < address ? UINT64_MAX : last;
}

void ranges_add(uint64_t address, uint64_t length)
{
	uint64_t last = last_of(address, length);

	if (!length)
		return;
	if (length < LARGE_FROM) {
		mark(small, address >> PAGE_SHIFT, last >> PAGE_SHIFT);
		__atomic_store_n(&small_used, 1, __ATOMIC_RELAXED);
	} else if ((last >> LARGE_SHIFT) - (address >> LARGE_SHIFT) < STEPS_MAX) {
		mark(large, address >> LARGE_SHIFT, last >> LARGE_SHIFT);
		__atomic_store_n(&large_used, 1, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n(&everything, 1, __ATOMIC_RELAXED);
	}
	lower(&ranges_lowest, address);
	raise_to(&ranges_highest, last);
}

bool ranges_touch_filter(uint64_t address, uint64_t length)
{
	uint64_t last = last_of(address, length);

	if (!length || address > ranges_highest || last < ranges_lowest)
		return false;
	if (everything || (last >> PAGE_SHIFT) - (address >> PAGE_SHIFT) >= STEPS_MAX)
		return true;
	return (small_used && marked(small, address >> PAGE_SHIFT, last >> PAGE_SHIFT)) ||
	       (large_used && marked(large, address >> LARGE_SHIFT, last >> LARGE_SHIFT));
}
