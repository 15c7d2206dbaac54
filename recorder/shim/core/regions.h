/* SPDX-License-Identifier: Apache-2.0 */
/* Where a device's regions are in its file: what VFIO_DEVICE_GET_REGION_INFO said, else vfio-pci's own layout. */
#ifndef VFIOTAPE_REGIONS_H
#define VFIOTAPE_REGIONS_H

#include "objects.h"

struct region_place {
	uint32_t index;
	uint64_t offset; /* in the region */
};

void regions_learn(uint32_t object, uint32_t index, uint64_t offset, uint64_t size);
struct region_place regions_find(union object_entry entry, uint64_t file_offset);

#endif
