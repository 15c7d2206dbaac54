// SPDX-License-Identifier: Apache-2.0
#include "regions.h"

#define REGIONS_MAX 512u
#define PCI_OFFSET_SHIFT 40  /* VFIO_PCI_OFFSET_SHIFT */
#define LYON_SPACE_SHIFT 32  /* VFIO_PCI_SPACE_SHIFT of 2010 */

static struct {
	uint32_t object; /* stored last: an entry with it is whole */
	uint32_t index;
	uint64_t offset;
	uint64_t size;
} regions[REGIONS_MAX];
static uint32_t count;

void regions_learn(uint32_t object, uint32_t index, uint64_t offset, uint64_t size)
{
	uint32_t known = __atomic_load_n(&count, __ATOMIC_ACQUIRE), slot;

	for (uint32_t i = 0; i < known && i < REGIONS_MAX; i++) {
		if (regions[i].object == object && regions[i].index == index)
			return; /* a region doesn't move */
	}
	slot = __atomic_fetch_add(&count, 1, __ATOMIC_ACQ_REL);
	if (slot >= REGIONS_MAX) {
		__atomic_store_n(&count, REGIONS_MAX, __ATOMIC_RELEASE);
		return;
	}
	regions[slot].index = index;
	regions[slot].offset = offset;
	regions[slot].size = size;
	__atomic_store_n(&regions[slot].object, object, __ATOMIC_RELEASE);
}

struct region_place regions_find(union object_entry entry, uint64_t file_offset)
{
	uint32_t known = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < known && i < REGIONS_MAX; i++) {
		if (__atomic_load_n(&regions[i].object, __ATOMIC_ACQUIRE) == entry.fd.object &&
		    file_offset - regions[i].offset < regions[i].size)
			return (struct region_place){ regions[i].index, file_offset - regions[i].offset };
	}
	if (entry.fd.kind == VFIOTAPE_OBJECT_LYON_DEVICE)
		return (struct region_place){ (uint32_t)(file_offset >> LYON_SPACE_SHIFT) & 0xf,
					      file_offset & 0xffffffffu };
	return (struct region_place){ (uint32_t)(file_offset >> PCI_OFFSET_SHIFT),
				      file_offset & ((1ull << PCI_OFFSET_SHIFT) - 1) };
}
