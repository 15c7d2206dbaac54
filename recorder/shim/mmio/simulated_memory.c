// SPDX-License-Identifier: Apache-2.0
/* How BARs of simulated devices are mapped, and how system calls reach them. */
#include <errno.h>
#include <sys/mman.h>

#include "../sim/sim.h"
#include "internal.h"

/* --- mappings ------------------------------------------------------------------------------------------------------------------ */

long mmio_simulated_mmap(uint64_t address, size_t length, int prot, int flags, uint64_t inode, uint64_t offset,
			 uint32_t object)
{
	int kept = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT);
	size_t whole = page_up(length);
	struct mmio_region region = { .object = object };
	uint64_t start = 0;
	long mapped, id;

	if (!mmio_watching())
		return -ENODEV;
	if (!whole || offset & (PAGE - 1))
		return -EINVAL;
	if (flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE) && mmio_touches(address, length))
		mapped = mmio_mmap_over(address, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | kept, -1, 0);
	else
		mapped = (long)raw_mmap((void *)address, whole, PROT_NONE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | kept, -1, 0);
	if (raw_failed(mapped))
		return mapped;
	raw3(SYS_munlock, mapped, (long)whole, 0);
	id = sim_mmap(inode, (uint64_t)mapped, whole, offset, prot, flags, &region.region, &start);
	region.offset = start;
	if (id <= 0 || !mmio_simulated_watch((uint64_t)mapped, whole, (uint64_t)id, prot, &region)) {
		if (id > 0)
			sim_unmapped((uint64_t)mapped, whole);
		raw_munmap((void *)mapped, whole);
		return id < 0 ? id : -ENOMEM;
	}
	return mapped;
}

/* --- buffers of system calls ------------------------------------------------------------------------------------------------- */

#define BOUNCE_MAX (1u << 20)

bool mmio_is_simulated(uint64_t address, size_t length)
{
	return simulating() && mmio_is_watched(address, length);
}

static bool bounce_load(void *to, uint64_t from, size_t length)
{
	struct mmio_fault fault;

	return mmio_simulated_load(from, to, length, 0, &fault);
}

static bool bounce_store(uint64_t to, const void *from, size_t length)
{
	struct mmio_fault fault;

	return mmio_simulated_store(to, from, length, 0, &fault);
}

long mmio_simulated_io(long number, int fd, uint64_t buffer, size_t count, int64_t offset)
{
	bool writes = number == SYS_write || number == SYS_pwrite64;
	size_t length = count < BOUNCE_MAX ? count : BOUNCE_MAX;
	void *bounce = raw_mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long result = -EFAULT;

	if (raw_failed((long)bounce))
		return (long)bounce;
	if (!writes || bounce_load(bounce, buffer, length)) {
		result = raw4(number, fd, (long)bounce, (long)length, offset);
		if (!writes && result > 0 && !bounce_store(buffer, bounce, (size_t)result))
			result = -EFAULT;
	}
	raw_munmap(bounce, length);
	return result;
}
