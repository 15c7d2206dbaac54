/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in DMA-mapped memory, on real hardware: nobody sees a device's accesses, so memory is compared with what it was,
 * at the moments at which the driver and its device speak to each other. What changed goes into the trace before the
 * store, the wake-up or the call, and says who wrote it, as far as that can be told (written.c).
 *
 *	before a store or write to registers    what the driver has written for its device; what the device did until then
 *	before a sleep, and after it            in between only the device writes, when no other thread ran
 *	before map, unmap, reset, close         the last look
 *
 * The cost is bounded: a process compares `dma_compared` bytes at most, the mappings beyond that are left out and counted.
 */
#ifndef VFIOTAPE_DMA_H
#define VFIOTAPE_DMA_H

#include "../core/ioctl_arguments.h"

enum dma_moment {
	DMA_STORE, /* the device will be told something */
	DMA_CALL,  /* a call that concerns it */
	DMA_SLEEP,
	DMA_WAKE,
};

/* From one look to the next: whether another thread of this process ran meanwhile. */
struct dma_threads {
	uint64_t state;
	uint32_t count; /* 0: not known */
};

/* Once, when the session is attached. */
void dma_start(void);

/* Whether this thread is in a comparison, or another change of what is compared: nothing may make it leave for good. */
bool dma_entered(void);

/* Cold halves. */
void dma_compare(enum dma_moment moment);
void dma_before_sleep(struct dma_threads *threads);
void dma_after_sleep(const struct dma_threads *threads);
/* Memory of the process is about to be unmapped, moved, or given other contents. */
void dma_memory_goes(uint64_t address, uint64_t length);
/* UFFDIO_REGISTER of the driver's own: memory can be registered with one userfaultfd only, and that is the driver's. */
void dma_before_userfaultfd(uint64_t argument);
/* The last descriptor of a container or an iommufd is closed. */
void dma_space_gone(uint32_t object);
/* Before and after an ioctl of a container, group, device or iommufd; the latter when its record is written. */
void dma_before_ioctl(const struct ioctl_call *call);
void dma_after_ioctl(const struct ioctl_call *call, long result);

ALWAYS_INLINE bool dma_comparing(void)
{
	return unlikely(shim_session.comparing);
}

ALWAYS_INLINE void dma_at(enum dma_moment moment)
{
	if (dma_comparing())
		dma_compare(moment);
}

/* Before a write by descriptor. */
ALWAYS_INLINE void dma_at_write(union object_entry entry)
{
	if (dma_comparing() &&
	    (entry.fd.kind == VFIOTAPE_OBJECT_DEVICE || entry.fd.kind == VFIOTAPE_OBJECT_CDEV))
		dma_compare(DMA_STORE);
}

#endif
