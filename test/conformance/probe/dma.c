// SPDX-License-Identifier: Apache-2.0
/* DMA maps of type 1: what overlaps, what is aligned, what is out of range, what may be locked. */
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ VFIO_DMA_MAP_FLAG_READ
#define WRITE VFIO_DMA_MAP_FLAG_WRITE
#define UNMAP_FLAG_ALL 2u
#define NOBODY 65534

static const char *map_flags(const struct probe *probe, const void *vaddr, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .vaddr = (uintptr_t)vaddr, .iova = iova, .size = size
	};

	return answer(ioctl(probe->container, VFIO_IOMMU_MAP_DMA, &map));
}

static const char *map(const struct probe *probe, const void *vaddr, uint64_t iova, uint64_t size)
{
	return map_flags(probe, vaddr, iova, size, READ | WRITE);
}

static const char *map_short(const struct probe *probe, const void *vaddr, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map argument = {
		.argsz = 16, .flags = READ | WRITE, .vaddr = (uintptr_t)vaddr, .iova = iova, .size = PAGE
	};

	return answer(ioctl(probe->container, VFIO_IOMMU_MAP_DMA, &argument));
}

/* The size that was unmapped. */
static const char *unmap(const struct probe *probe, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap argument = {
		.argsz = sizeof(argument), .flags = flags, .iova = iova, .size = size
	};

	if (ioctl(probe->container, VFIO_IOMMU_UNMAP_DMA, &argument) < 0)
		return answer(-1);
	return answer((long)argument.size);
}

/* The highest address that can be mapped. */
static uint64_t ask_iommu(const struct probe *probe)
{
	static union {
		struct vfio_iommu_type1_info info;
		uint8_t bytes[8192];
	} buffer;
	uint64_t highest = 0;
	uint32_t next;

	buffer.info.argsz = sizeof(struct vfio_iommu_type1_info) + 4096;
	ioctl(probe->container, VFIO_IOMMU_GET_INFO, &buffer);
	report("IOMMU_GET_INFO", "flags=0x%x pgsizes=0x%llx", buffer.info.flags, buffer.info.iova_pgsizes);
	for (next = buffer.info.cap_offset; next != 0 && next < 4096;) {
		const struct vfio_info_cap_header *header = (void *)(buffer.bytes + next);
		const struct vfio_iommu_type1_info_dma_avail *available = (void *)header;
		const struct vfio_iommu_type1_info_cap_iova_range *ranges = (void *)header;

		if (header->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
			report("IOMMU_GET_INFO: dma_avail", "%u", available->avail);
		else if (header->id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			report("IOMMU_GET_INFO: cap", "id %u", header->id);
		else
			for (uint32_t i = 0; i < ranges->nr_iovas; i++) {
				char action[64];

				highest = ranges->iova_ranges[i].end;
				snprintf(action, sizeof(action), i == 0 ? "IOMMU_GET_INFO: iova range" :
									  "IOMMU_GET_INFO: iova range %u", i + 1);
				report(action, "0x%llx-0x%llx", ranges->iova_ranges[i].start, ranges->iova_ranges[i].end);
			}
		next = header->next;
	}
	return highest;
}

/* A child that has the container, may lock 64 KiB and has no capability. */
static void probe_limit(const struct probe *probe)
{
	const struct rlimit limit = { 65536, 65536 };
	int status;

	if (fork() == 0) {
		void *memory = new_memory(1 << 20);

		setrlimit(RLIMIT_MEMLOCK, &limit);
		if (geteuid() == 0 && setuid(NOBODY) != 0)
			_exit(1);
		report("MAP_DMA 1M with RLIMIT_MEMLOCK=64K, no CAP_IPC_LOCK", "%s", map(probe, memory, 0x1000000, 1 << 20));
		report("MAP_DMA 32K in the same process", "%s", map(probe, memory, 0x1000000, 0x8000));
		_exit(0);
	}
	wait(&status);
}

void probe_dma(const struct probe *probe)
{
	const uint64_t highest = ask_iommu(probe);
	uint8_t *memory = new_memory(1 << 20), *read_only = new_memory(PAGE);
	void *bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, probe->device,
			 (off_t)probe->regions[probe->bar].offset);

	mprotect(read_only, PAGE, PROT_READ);
	report("MAP_DMA 64K @0x100000", "%s", map(probe, memory, 0x100000, 0x10000));
	report("MAP_DMA same again (overlap, identical)", "%s", map(probe, memory, 0x100000, 0x10000));
	report("MAP_DMA partial overlap", "%s", map(probe, memory, 0x108000, 0x10000));
	report("MAP_DMA same vaddr at a second iova (alias)", "%s", map(probe, memory, 0x110000, 0x10000));
	report("MAP_DMA vaddr unaligned", "%s", map(probe, memory + 4, 0x200000, PAGE));
	report("MAP_DMA iova unaligned", "%s", map(probe, memory, 0x200004, PAGE));
	report("MAP_DMA size unaligned (100)", "%s", map(probe, memory, 0x200000, 100));
	report("MAP_DMA size 0", "%s", map(probe, memory, 0x200000, 0));
	report("MAP_DMA flags 0", "%s", map_flags(probe, memory, 0x200000, PAGE, 0));
	report("MAP_DMA flags READ only", "%s", map_flags(probe, memory, 0x200000, PAGE, READ));
	report("MAP_DMA unknown flag bit 8", "%s", map_flags(probe, memory, 0x300000, PAGE, READ | WRITE | 8));
	report("MAP_DMA vaddr NULL/unmapped", "%s", map(probe, NULL, 0x300000, PAGE));
	report("MAP_DMA of a PROT_READ mapping with WRITE flag", "%s", map(probe, read_only, 0x300000, PAGE));
	report("MAP_DMA iova in MSI window 0xfee00000", "%s", map(probe, memory, 0xfee00000, PAGE));
	report("MAP_DMA iova in MSI window 0xfee00000: (hi = highest iova)", "0x%llx", (unsigned long long)highest);
	report("MAP_DMA iova just above the aperture", "%s", map(probe, memory, highest + 1, PAGE));
	report("MAP_DMA iova wrap", "%s", map(probe, memory, -(uint64_t)PAGE, 2 * PAGE));
	report("MAP_DMA argsz 16", "%s", map_short(probe, memory, 0x300000));
	report("MAP_DMA of the device's own BAR mapping (P2P)", "%s", map(probe, bar, 0x400000, PAGE));
	report("UNMAP_DMA part of a mapping (v2)", "%s", unmap(probe, 0x100000, PAGE, 0));
	report("UNMAP_DMA nothing there (returned size)", "%s", unmap(probe, 0x500000, PAGE, 0));
	report("UNMAP_DMA spanning two mappings (returned size)", "%s", unmap(probe, 0x100000, 0x20000, 0));
	report("UNMAP_DMA size unaligned", "%s", unmap(probe, 0x200000, 100, 0));
	report("UNMAP_DMA FLAG_ALL (returned size)", "%s", unmap(probe, 0, 0, UNMAP_FLAG_ALL));
	report("UNMAP_DMA FLAG_ALL with nonzero size", "%s", unmap(probe, 0, PAGE, UNMAP_FLAG_ALL));
	probe_limit(probe);
	munmap(bar, PAGE);
	munmap(memory, 1 << 20);
	munmap(read_only, PAGE);
}
