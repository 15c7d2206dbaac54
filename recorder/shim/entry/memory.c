// SPDX-License-Identifier: Apache-2.0
/*
 * mmap, munmap, mremap, mprotect, madvise: mappings of device regions, and what happens to memory that was DMA-mapped
 * (an IOMMU mapping outlives the virtual one: the device goes on writing to the old pages).
 */
#include <stdarg.h>

#include "../core/ranges.h"
#include "../core/regions.h"
#include "calls.h"

static void record_memory(struct ring_event *event, long result, struct ring_segment *segment)
{
	struct ring_thread *ring = ring_enter();

	event->left = shim_clock();
	event->result = (uint64_t)result;
	if (raw_failed(result)) {
		event->result = (uint64_t)-1;
		event->error = (int)-result;
	}
	if (!ring)
		return;
	if (segment)
		ring_write_with(ring, event, segment, 1);
	else
		ring_write(ring, event);
}

#define MEMORY_EVENT(kind_, address_, length_, op_, how_)                                                              \
	{                                                                                                              \
		.entered = shim_clock(), .site = (how_).site, .offset = (uint64_t)(address_), .value = (length_),      \
		.op = (uint32_t)(op_), .fd = -1, .kind = (kind_), .flags = (how_).flags                                \
	}

/* Only a device's own regions can be watched: a dma-buf and a hardware queue have no registers that we know of. */
static bool has_regions(union object_entry entry)
{
	return entry.fd.kind == VFIOTAPE_OBJECT_DEVICE || entry.fd.kind == VFIOTAPE_OBJECT_CDEV ||
	       entry.fd.kind == VFIOTAPE_OBJECT_LYON_DEVICE;
}

/* `record` promised its loads and stores, and the watcher didn't come up in this process. */
static bool goes_unwatched(union object_entry entry)
{
	return shim_session.mode == SHIM_RECORDING && !watcher_watching() && has_regions(entry) &&
	       (shim_session.control->mmio_mode == VFIOTAPE_MMIO_PATCH ||
		shim_session.control->mmio_mode == VFIOTAPE_MMIO_TRAP);
}

static long perform_mmap(union object_entry entry, void *address, size_t length, int prot, int flags, int fd,
			 off64_t offset)
{
	if (unlikely(entry.fd.flags & OBJECT_SIMULATED))
		return mmio_simulated_mmap((uint64_t)address, length, prot, flags, sim_inode(fd), (uint64_t)offset,
					   entry.fd.object);
	if (watcher_watching() && has_regions(entry) && mmio_watching()) {
		struct region_place place = regions_find(entry, (uint64_t)offset);
		struct mmio_region region = { entry.fd.object, place.index, place.offset };

		return mmio_mmap((uint64_t)address, length, prot, flags, fd, (uint64_t)offset, &region);
	}
	if (unlikely(goes_unwatched(entry)))
		shim_count_loss(&shim_session.control->lost_other, 1);
	if (watcher_watching() && (flags & MAP_FIXED) && mmio_touches((uint64_t)address, length))
		return mmio_mmap_over((uint64_t)address, length, prot, flags, fd, (uint64_t)offset);
	return (long)raw_mmap(address, length, prot, flags, fd, (uint64_t)offset);
}

static bool maps_device(union object_entry entry)
{
	switch ((enum vfiotape_object_kind)entry.fd.kind) {
	case VFIOTAPE_OBJECT_DEVICE:
	case VFIOTAPE_OBJECT_CDEV:
	case VFIOTAPE_OBJECT_LYON_DEVICE:
	case VFIOTAPE_OBJECT_DMABUF:
	case VFIOTAPE_OBJECT_IOMMUFD: /* hardware queues, through their mmap offsets */
		return true;
	default:
		return entry.fd.flags & OBJECT_SIMULATED; /* ENODEV is the simulated kernel's to say */
	}
}

static void *map(void *address, size_t length, int prot, int flags, int fd, off64_t offset, struct call_origin how)
{
	union object_entry entry = { .word = 0 };
	bool device;
	long result;

	if (unlikely(!(flags & MAP_ANONYMOUS)))
		entry = object_of(fd);
	device = maps_device(entry);
	/* Another file's or anonymous memory matters where it takes the place of what does. */
	if (likely(!device && (!(flags & MAP_FIXED) || !ranges_touch((uint64_t)address, length)))) {
		/* Over a patched site, or the watcher's own memory. */
		if (unlikely(flags & MAP_FIXED) && watcher_watching() && mmio_touches((uint64_t)address, length))
			return (void *)LIBC_RESULT(perform_mmap(entry, address, length, prot, flags, fd, offset));
		if (IS_RAW(how))
			return (void *)LIBC_RESULT(
				raw6(SYS_mmap, (long)address, (long)length, prot, flags, fd, (long)offset));
		return REAL(mmap64)(address, length, prot, flags, fd, offset);
	}
	if (dma_comparing() && flags & MAP_FIXED)
		dma_memory_goes((uint64_t)address, length);
	{
		uint64_t wanted = (uint64_t)address;
		struct ring_segment segment = { .role = VFIOTAPE_ROLE_IN, .length = sizeof(wanted), .bytes = &wanted };
		struct ring_event event = MEMORY_EVENT(VFIOTAPE_MMAP, offset, length,
						       (uint32_t)prot | (uint32_t)flags << 8, how);

		event.object = device ? entry.fd.object : 0;
		event.fd = flags & MAP_ANONYMOUS ? -1 : fd;
		result = perform_mmap(entry, address, length, prot, flags, fd, offset);
		if (device && !raw_failed(result))
			ranges_add((uint64_t)result, length);
		record_memory(&event, result, &segment);
	}
	return (void *)LIBC_RESULT(result);
}

void *any_mmap(void *address, size_t length, int prot, int flags, int fd, off64_t offset, struct call_origin how)
{
	union object_entry entry = { .word = 0 };
	void *result = map(address, length, prot, flags, fd, offset, how);

	if (likely(!sim_watches_memory || !(flags & MAP_FIXED) || result == MAP_FAILED))
		return result;
	/* What lay there is gone; a device's region has been told of already. */
	if (!(flags & MAP_ANONYMOUS))
		entry = object_of(fd);
	if (!(entry.fd.flags & OBJECT_SIMULATED))
		sim_memory_gone(address, length);
	return result;
}

EXPORT void *mmap64(void *address, size_t length, int prot, int flags, int fd, off64_t offset)
{
	return any_mmap(address, length, prot, flags, fd, offset, ORIGIN);
}

EXPORT void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("mmap64")));

static int unmap(void *address, size_t length, struct call_origin how)
{
	long result;

	bool watched = watcher_watching() && mmio_touches((uint64_t)address, length);

	if (likely(!ranges_touch((uint64_t)address, length))) {
		if (watched)
			return (int)LIBC_RESULT(mmio_munmap((uint64_t)address, length));
		return PERFORM(how, munmap, SYS_munmap, address, length);
	}
	if (dma_comparing())
		dma_memory_goes((uint64_t)address, length);
	{
		struct ring_event event = MEMORY_EVENT(VFIOTAPE_MUNMAP, address, length, 0, how);

		result = watched ? mmio_munmap((uint64_t)address, length) : raw_munmap(address, length);
		record_memory(&event, result, NULL);
	}
	return (int)LIBC_RESULT(result);
}

int any_munmap(void *address, size_t length, struct call_origin how)
{
	int result = unmap(address, length, how);

	if (!result)
		sim_memory_gone(address, length);
	return result;
}

EXPORT int munmap(void *address, size_t length)
{
	return any_munmap(address, length, ORIGIN);
}

static void *remap(void *address, size_t length, size_t new_length, int flags, void *wanted, struct call_origin how)
{
	bool fixed = flags & MREMAP_FIXED;
	bool watched = watcher_watching() && (mmio_touches((uint64_t)address, length ? length : 1) ||
					      (fixed && mmio_touches((uint64_t)wanted, new_length)));
	long result;

	if (likely(!ranges_touch((uint64_t)address, length ? length : 1) &&
		   !(fixed && ranges_touch((uint64_t)wanted, new_length)))) {
		if (watched)
			return (void *)LIBC_RESULT(
				mmio_mremap((uint64_t)address, length, new_length, flags, (uint64_t)wanted));
		return PERFORM(how, mremap, SYS_mremap, address, length, new_length, flags, wanted);
	}
	if (dma_comparing()) {
		dma_memory_goes((uint64_t)address, length);
		if (fixed)
			dma_memory_goes((uint64_t)wanted, new_length);
	}
	{
		uint64_t numbers[2] = { new_length, (uint64_t)wanted };
		struct ring_segment segment = { .role = VFIOTAPE_ROLE_IN, .length = sizeof(numbers), .bytes = numbers };
		struct ring_event event = MEMORY_EVENT(VFIOTAPE_MREMAP, address, length, flags, how);

		result = watched ? mmio_mremap((uint64_t)address, length, new_length, flags, (uint64_t)wanted) :
				   raw6(SYS_mremap, (long)address, (long)length, (long)new_length, flags, (long)wanted, 0);
		/* What moved keeps mattering where it is now. */
		if (!raw_failed(result) && ranges_touch((uint64_t)address, length ? length : 1))
			ranges_add((uint64_t)result, new_length);
		record_memory(&event, result, &segment);
	}
	return (void *)LIBC_RESULT(result);
}

void *any_mremap(void *address, size_t length, size_t new_length, int flags, void *wanted, struct call_origin how)
{
	void *result = remap(address, length, new_length, flags, wanted, how);

	/* A device's region was told of already. */
	if (likely(!sim_watches_memory || result == MAP_FAILED || mmio_touches((uint64_t)result, 1)))
		return result;
	if (result != address) {
		sim_memory_gone(address, length);
		if (flags & MREMAP_FIXED)
			sim_memory_gone(wanted, new_length);
	} else if (new_length < length) {
		sim_memory_gone((char *)address + new_length, length - new_length);
	}
	return result;
}

EXPORT void *mremap(void *address, size_t length, size_t new_length, int flags, ...)
{
	void *wanted = NULL;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list list;

		va_start(list, flags);
		wanted = va_arg(list, void *);
		va_end(list);
	}
	return any_mremap(address, length, new_length, flags, wanted, ORIGIN);
}

int any_mprotect(void *address, size_t length, int prot, struct call_origin how)
{
	bool watched = watcher_watching() && mmio_touches((uint64_t)address, length);
	long result;

	sim_memory_changes(address, length, (uint32_t)prot);

	if (likely(!ranges_touch((uint64_t)address, length))) {
		if (watched)
			return (int)LIBC_RESULT(mmio_mprotect((uint64_t)address, length, prot));
		return PERFORM(how, mprotect, SYS_mprotect, address, length, prot);
	}
	if (dma_comparing() && !(prot & PROT_READ))
		dma_memory_goes((uint64_t)address, length);
	{
		struct ring_event event = MEMORY_EVENT(VFIOTAPE_MPROTECT, address, length, prot, how);

		result = watched ? mmio_mprotect((uint64_t)address, length, prot) :
				   raw3(SYS_mprotect, (long)address, (long)length, prot);
		record_memory(&event, result, NULL);
	}
	return (int)LIBC_RESULT(result);
}

EXPORT int mprotect(void *address, size_t length, int prot)
{
	return any_mprotect(address, length, prot, ORIGIN);
}

/* Pages that are there no more, or not for long. */
static bool takes_pages(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_REMOVE || advice == MADV_FREE;
}

static int advise(void *address, size_t length, int advice, struct call_origin how)
{
	long result;

	if (likely(!ranges_touch((uint64_t)address, length)))
		return PERFORM(how, madvise, SYS_madvise, address, length, advice);
	if (dma_comparing() && (advice == MADV_DONTNEED || advice == MADV_REMOVE || advice == MADV_FREE))
		dma_memory_goes((uint64_t)address, length);
	{
		struct ring_event event = MEMORY_EVENT(VFIOTAPE_MADVISE, address, length, advice, how);

		result = raw_madvise(address, length, advice);
		if (result == 0 && watcher_watching())
			mmio_advised((uint64_t)address, length, advice);
		record_memory(&event, result, NULL);
	}
	return (int)LIBC_RESULT(result);
}

int any_madvise(void *address, size_t length, int advice, struct call_origin how)
{
	int result = advise(address, length, advice, how);

	if (!result && takes_pages(advice))
		sim_memory_changes(address, length, SIM_PAGES_GONE);
	return result;
}

EXPORT int madvise(void *address, size_t length, int advice)
{
	return any_madvise(address, length, advice, ORIGIN);
}

/* As glibc's: the error is the result, and POSIX_MADV_DONTNEED does nothing there. */
EXPORT int posix_madvise(void *address, size_t length, int advice)
{
	int saved = errno, result;

	if (advice == POSIX_MADV_DONTNEED)
		return 0;
	result = any_madvise(address, length, advice, ORIGIN);
	if (result < 0) {
		result = errno;
		errno = saved;
	}
	return result;
}
