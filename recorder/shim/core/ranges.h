/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of the address space matter: device mappings, exactly, and memory that was ever DMA-mapped, roughly. What
 * touches neither is not recorded. An address that is taken for DMA memory and isn't costs an event; one that is missed
 * would be a hole in the trace: so bits are set and never cleared.
 */
#ifndef VFIOTAPE_RANGES_H
#define VFIOTAPE_RANGES_H

#include "compiler.h"
#include <stdbool.h>
#include <stdint.h>

extern uint64_t ranges_lowest, ranges_highest; /* of all that was ever added */

void ranges_add(uint64_t address, uint64_t length);
bool ranges_touch_filter(uint64_t address, uint64_t length);

ALWAYS_INLINE bool ranges_touch(uint64_t address, uint64_t length)
{
	/* The first test alone is passed by nearly every munmap of a process that has mapped nothing for DMA yet. */
	if (likely(address > ranges_highest || (address < ranges_lowest && length <= ranges_lowest - address)))
		return false;
	return ranges_touch_filter(address, length);
}

#endif
