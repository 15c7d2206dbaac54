// SPDX-License-Identifier: Apache-2.0
/* The instructions that were seen to touch a BAR: found by address without a lock, added under it, never removed. */
#include <sys/mman.h>

#include "internal.h"

#define TABLE_LOG2 16u
#define TABLE (1u << TABLE_LOG2)
#define YIELDS 16u

/* Address space only: what is not used stays unmapped zero pages. */
static struct mmio_site sites[SITES_MAX];
static uint32_t site_count;
static uint32_t table[TABLE]; /* index + 1 */
/* All trampolines that were ever made: a thread may still be in one that its site no longer uses. */
static struct { uint64_t start; uint32_t site; uint32_t length; } trampolines[SITES_MAX * 2];
static uint32_t trampoline_count;

/* Which pages have sites, hashed: every munmap of the driver asks. */
static uint64_t site_pages[64];

static uint32_t page_bit(uint64_t address)
{
	return (uint32_t)((address >> 12) * 0x9e3779b97f4a7c15ull >> 52);
}

bool mmio_site_pages_touch(uint64_t address, size_t length)
{
	uint64_t last = address + length - 1;

	if (last - address >= sizeof(site_pages) * 8 * PAGE)
		return site_count != 0;
	for (uint64_t page = page_down(address); page <= last; page += PAGE)
		if (site_pages[page_bit(page) / 64] & 1ull << (page_bit(page) % 64))
			return true;
	return false;
}

static uint32_t hash(uint64_t address)
{
	return (uint32_t)(address * 0x9e3779b97f4a7c15ull >> (64 - TABLE_LOG2));
}

struct mmio_site *mmio_site_find(uint64_t address)
{
	for (uint32_t at = hash(address), index; (index = __atomic_load_n(&table[at], __ATOMIC_ACQUIRE));
	     at = (at + 1) & (TABLE - 1))
		if (sites[index - 1].address == address)
			return &sites[index - 1];
	return NULL;
}

struct mmio_site *mmio_site_add(uint64_t address)
{
	struct mmio_site *site = mmio_site_find(address);
	uint32_t at = hash(address);

	if (site || site_count == SITES_MAX)
		return site;
	site = &sites[site_count++];
	site->address = address;
	/* A jump may reach into the next page. */
	site_pages[page_bit(address) / 64] |= 1ull << (page_bit(address) % 64);
	site_pages[page_bit(address + 16) / 64] |= 1ull << (page_bit(address + 16) % 64);
	while (table[at])
		at = (at + 1) & (TABLE - 1);
	__atomic_store_n(&table[at], site_count, __ATOMIC_RELEASE);
	mmio_counters.sites++;
	return site;
}

struct mmio_site *mmio_site_next(uint32_t *cursor)
{
	return *cursor < site_count ? &sites[(*cursor)++] : NULL;
}

bool mmio_site_index_trampoline(const struct mmio_site *site, uint64_t start, uint32_t length)
{
	uint32_t at = trampoline_count;

	if (at == SITES_MAX * 2)
		return false;
	trampolines[at].site = (uint32_t)(site - sites);
	trampolines[at].length = length;
	trampolines[at].start = start;
	__atomic_store_n(&trampoline_count, at + 1, __ATOMIC_RELEASE);
	return true;
}

/* Only asked when something faulted outside any known instruction: a walk through some thousands is nothing. */
struct mmio_site *mmio_site_of_trampoline(uint64_t address)
{
	uint32_t count = __atomic_load_n(&trampoline_count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < count; i++)
		if (address - trampolines[i].start < trampolines[i].length)
			return &sites[trampolines[i].site];
	return NULL;
}

/* --- the lock ------------------------------------------------------------------------------------------------------- */

struct mmio_wiped mmio_wiped;

void mmio_lock_reset(void)
{
	raw_madvise(&mmio_wiped, sizeof(mmio_wiped), MADV_WIPEONFORK);
}

bool mmio_lock_is_mine(void)
{
	return mmio_wiped.held && mmio_wiped.tid == (uint32_t)raw_gettid();
}

void mmio_lock(void)
{
	uint64_t all = SIGNALS_THAT_WAIT, mask = 0;

	raw4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&mask, 8);
	/* Who has it may be of a lower real-time priority, and on this processor: yielding alone would wait for ever. */
	for (unsigned int tries = 0; __atomic_exchange_n(&mmio_wiped.held, 1, __ATOMIC_ACQUIRE); tries++)
		if (tries < YIELDS)
			raw3(SYS_sched_yield, 0, 0, 0);
		else
			raw_nanosleep(20000);
	mmio_wiped.tid = (uint32_t)raw_gettid();
	mmio_wiped.mask = mask;
}

void mmio_unlock(void)
{
	uint64_t mask = mmio_wiped.mask;

	mmio_wiped.tid = 0;
	__atomic_store_n(&mmio_wiped.held, 0, __ATOMIC_RELEASE);
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, 8);
	mmio_send_pending();
}
