// SPDX-License-Identifier: Apache-2.0
/*
 * Which pages the process itself wrote. The kernel tells since 6.7: userfaultfd's asynchronous write protection with
 * PAGEMAP_SCAN (fs/proc/task_mmu.c: do_pagemap_scan, make_uffd_wp_pte). A device's writes don't go by the page table, and
 * are not in it. Soft-dirty bits, which older kernels have, don't tell: clear_soft_dirty passes over pages that are pinned
 * in a private mapping (pte_is_pinned, since 5.11), which is what VFIO does to them, and hugetlbfs has none.
 *
 * And whether other threads ran at all: none of them did, when each sleeps as it slept.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/stat.h>

#include "../sim/sim.h"
#include "internal.h"

#define WP_ASYNC (1ull << 15)       /* UFFD_FEATURE_WP_ASYNC */
#define WP_UNPOPULATED (1ull << 13) /* UFFD_FEATURE_WP_UNPOPULATED */
#define WP_SHARED (1ull << 12)      /* UFFD_FEATURE_WP_HUGETLBFS_SHMEM */
#define USER_MODE_ONLY 1            /* enough: such faults are never waited for */

#define PAGEMAP_SCAN 0xc0606610u /* _IOWR('f', 16, struct scan) */
#define SCAN_PROTECT 1u          /* PM_SCAN_WP_MATCHING */
#define SCAN_CHECK 2u            /* PM_SCAN_CHECK_WPASYNC: fails where memory is not tracked any more */
#define IS_WRITTEN 2u            /* PAGE_IS_WRITTEN */
#define IS_HUGE 64u              /* PAGE_IS_HUGE */

struct scan { /* struct pm_scan_arg of linux/fs.h */
	uint64_t size, flags, start, end, walk_end, regions, regions_count, pages_most;
	uint64_t inverted, all_of, any_of, answer;
};

/* Kept: a driver may have no number left for it later. */
static int open_pagemap(void)
{
	if (!dma_state->pagemap) {
		int fd = raw_openat(AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
		long hidden = fd < 0 ? -1 : sim_hide(fd);

		if (fd >= 0)
			raw_close(fd);
		dma_state->pagemap = hidden < 0 ? 0 : (int32_t)hidden + 1;
	}
	return dma_state->pagemap - 1;
}

/* Regions of [start, end) that were written, at most DMA_REGIONS_MAX; *walked is how far it came. Negative: errno. */
static long scan(int pagemap, uint64_t start, uint64_t end, uint64_t flags, struct dma_region *regions, uint64_t count,
		 uint64_t *walked)
{
	struct scan scan = {
		.size = sizeof(scan),
		.flags = flags | SCAN_CHECK,
		.start = start,
		.end = end,
		.regions = (uint64_t)regions,
		.regions_count = count,
		.all_of = IS_WRITTEN,
		.answer = IS_WRITTEN | IS_HUGE,
	};
	long found = raw3(SYS_ioctl, pagemap, PAGEMAP_SCAN, (long)&scan);

	*walked = scan.walk_end;
	return found;
}

static bool start(void)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = WP_ASYNC | WP_UNPOPULATED | WP_SHARED | UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	long fd;

	if (dma_state->userfaultfd)
		return dma_state->userfaultfd > 0;
	dma_state->userfaultfd = -1;
	fd = raw3(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY, 0, 0);
	if (fd < 0)
		return false;
	if (!raw3(SYS_ioctl, fd, (long)UFFDIO_API, (long)&api)) {
		long hidden = sim_hide((int)fd);

		if (hidden >= 0)
			dma_state->userfaultfd = (int32_t)hidden + 1;
	}
	raw_close((int)fd);
	return dma_state->userfaultfd > 0;
}

void dma_track(struct dma_map *map)
{
	struct uffdio_register range = { .range = { map->address, map->size }, .mode = UFFDIO_REGISTER_MODE_WP };

	map->tracked = start() && !raw3(SYS_ioctl, dma_state->userfaultfd - 1, (long)UFFDIO_REGISTER, (long)&range);
	if (!map->tracked)
		return;
	/* From here on. */
	if (!dma_ask_written(map)) {
		dma_untrack(map);
		map->tracked = false;
		return;
	}
	for (uint64_t page = 0; page < map->size / DMA_PAGE; page++)
		map->pages[page] = 0;
}

/* Not where another mapping leads to the same memory. */
void dma_untrack(const struct dma_map *map)
{
	struct uffdio_range range = { map->address, map->size };

	for (uint32_t i = 0; i < dma_state->count; i++) {
		const struct dma_map *other = &dma_state->maps[i];

		if (other != map && other->tracked && other->address < map->address + map->size &&
		    map->address < other->address + other->size)
			return;
	}
	raw3(SYS_ioctl, dma_state->userfaultfd - 1, (long)UFFDIO_UNREGISTER, (long)&range);
}

/* Of all mappings that the memory is in: asking sets it back. */
static void mark_written(uint64_t start, uint64_t end, bool huge, struct dma_map *also)
{
	for (uint32_t i = 0; i <= dma_state->count; i++) {
		struct dma_map *map = i < dma_state->count ? &dma_state->maps[i] : also;
		uint64_t from = start > map->address ? start - map->address : 0, to = end - map->address;

		if (!map->tracked || end <= map->address || from >= map->size)
			continue;
		for (uint64_t at = from; at < to && at < map->size; at += DMA_PAGE)
			map->pages[at / DMA_PAGE] |= huge ? PAGE_WRITTEN | PAGE_HUGE : PAGE_WRITTEN;
	}
}

void dma_give_up_tracking(struct dma_map *map)
{
	dma_untrack(map);
	map->tracked = false;
	shim_count_loss(&shim_session.control->dma_tracked, UINT64_MAX); /* one less */
}

bool dma_ask_written(struct dma_map *map)
{
	uint64_t at = map->address, end = at + map->size, walked;
	int pagemap = open_pagemap();
	long found = 0;

	while (pagemap >= 0 && at < end) {
		found = scan(pagemap, at, end, SCAN_PROTECT, dma_state->regions, DMA_REGIONS_MAX, &walked);
		if (found < 0 || walked <= at)
			break;
		for (long i = 0; i < found; i++) {
			const struct dma_region *region = &dma_state->regions[i];

			mark_written(region->start, region->end, region->categories & IS_HUGE, map);
		}
		at = walked;
	}
	if (at >= end)
		return true;
	if (found == -EPERM || found == -EINVAL) /* the driver has put memory there that is not tracked */
		return false;
	/* This time the kernel says nothing. */
	mark_written(at, end, true, map);
	if (found == -EBADF || found == -ENOTTY) /* it is closed, and perhaps another file's number */
		dma_state->pagemap = 0;
	return true;
}

bool dma_just_written(const struct dma_map *map, uint64_t offset)
{
	uint64_t at = map->address + offset, walked;
	struct dma_region region;
	int pagemap = open_pagemap();
	long found = pagemap < 0 ? -1 : scan(pagemap, at, at + DMA_PAGE, 0, &region, 1, &walked);

	return found != 0;
}

/* --- threads ------------------------------------------------------------------------------------------------------------ */

#define THREADS_MOST 16u
#define STATUS_ROOM 2048u

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* "State:\tS" and all from "voluntary_ctxt_switches:" on, into the sum. False: it runs, or can't be read. */
static bool look_at_thread(int tasks, const char *tid, uint64_t *sum)
{
	char path[32], *text = (char *)dma_state->bounce + DMA_BOUNCE - STATUS_ROOM;
	size_t length = strlen(tid);
	const char *from;
	long got;
	int fd;

	if (length > 16)
		return false;
	memcpy(path, tid, length);
	memcpy(path + length, "/status", sizeof("/status"));
	fd = raw_openat(tasks, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	got = raw_read(fd, text, STATUS_ROOM - 1);
	raw_close(fd);
	if (got <= 0)
		return false;
	text[got] = 0;
	from = strstr(text, "\nState:\t");
	if (!from || (from[8] != 'S' && from[8] != 'D'))
		return false;
	from = strstr(text, "\nvoluntary_ctxt_switches:");
	for (const char *at = from; at && *at; at++)
		*sum = (*sum ^ (uint8_t)*at) * 0x100000001b3ull;
	return from != NULL;
}

void dma_look_at_threads(struct dma_threads *threads)
{
	struct stat status;
	uint64_t sum = 0xcbf29ce484222325ull;
	uint32_t seen = 1;
	char *entries = (char *)dma_state->bounce;
	long self = raw_gettid(), got;
	int tasks;

	threads->count = 0;
	tasks = raw_openat(AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (tasks < 0)
		return;
	/* proc_task_getattr: two links, and one for each thread */
	if (!raw3(SYS_fstat, tasks, (long)&status, 0) && status.st_nlink == 3) {
		threads->state = sum;
		threads->count = 1;
	}
	while (!threads->count && (got = raw3(SYS_getdents64, tasks, (long)entries, DMA_BOUNCE - STATUS_ROOM)) > 0) {
		for (long at = 0; at < got;) {
			const struct directory_entry *entry = (const struct directory_entry *)(entries + at);
			long tid = 0;

			at += entry->length;
			for (const char *digit = entry->name; *digit >= '0' && *digit <= '9'; digit++)
				tid = tid * 10 + (*digit - '0');
			if (!tid || tid == self)
				continue;
			if (++seen > THREADS_MOST || !look_at_thread(tasks, entry->name, &sum))
				goto out;
			sum ^= (uint64_t)tid << 32;
		}
	}
	if (!threads->count) {
		threads->state = sum;
		threads->count = seen;
	}
out:
	raw_close(tasks);
}
