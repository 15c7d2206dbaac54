/* SPDX-License-Identifier: Apache-2.0 */
/* Of recorder/shim/dma only. */
#ifndef VFIOTAPE_DMA_INTERNAL_H
#define VFIOTAPE_DMA_INTERNAL_H

#include "dma.h"

#define DMA_PAGE 4096u
#define DMA_MAPS_MAX 512u /* a comparison takes the longer, the more there are: each word that changed may be any one's IOVA */
#define DMA_BOUNCE (16u * DMA_PAGE)
#define DMA_CHANGED_MAX 4096u
#define DMA_READ_MAX 16u
#define DMA_REGIONS_MAX 256u

/* What is known of a page: struct dma_map.pages. */
#define PAGE_BY_DEVICE 0x01u /* the device wrote there, since it was mapped */
#define PAGE_BY_DRIVER 0x02u
#define PAGE_WRITTEN 0x04u   /* the kernel says that the process wrote there since the last comparison */
#define PAGE_HUGE 0x08u      /* and that it did so somewhere in the huge page that this one is part of */

struct dma_map {
	uint64_t iova;
	uint64_t size;
	uint64_t address;
	uint32_t object; /* container or iommufd */
	uint32_t ioas;   /* 0 for a container */
	uint64_t stores; /* dma_state.stores when it was mapped */
	bool device_writes;
	bool by_device;  /* the device wrote in it */
	bool tracked;    /* the kernel tells which pages the process wrote */
	uint8_t *copy;   /* `size` bytes as of the last comparison, then `pages` */
	uint8_t *pages;
};

struct dma_page {
	uint32_t map;
	bool drivers; /* what changed looks like the driver's */
	bool taken;
	uint64_t offset;
};

/* As the kernel has it: struct page_region of linux/fs.h, since 6.7. */
struct dma_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

/*
 * In memory that a forked child finds wiped (the copies it doesn't inherit at all): its parent's mappings are not its own,
 * since an IOMMU leads to the pages that the parent keeps.
 */
struct dma_state {
	uint32_t owner;  /* tid of whoever compares, 0: nobody */
	uint32_t count;
	uint64_t bytes;  /* of all copies */
	uint64_t stores; /* DMA_STORE moments until now */
	int32_t pagemap;     /* + 1; 0: not open, which is tried again */
	int32_t userfaultfd; /* + 1; 0: not tried, -1: there is none */
	uint32_t changed_count;
	struct dma_page changed[DMA_CHANGED_MAX];
	struct dma_region regions[DMA_REGIONS_MAX];
	struct dma_map maps[DMA_MAPS_MAX];
	uint8_t *now; /* the page that is looked at, one of `read` */
	uint8_t read[DMA_READ_MAX][DMA_PAGE] __attribute__((aligned(64)));
	uint8_t bounce[DMA_BOUNCE] __attribute__((aligned(64)));
};

extern struct dma_state *dma_state;

/* Signals are blocked from here to dma_leave. False: this thread is in it already, or may not touch it. */
bool dma_enter(uint64_t *mask);
void dma_leave(uint64_t mask);
void dma_drop(uint32_t index);
void dma_leave_out(enum vfiotape_left_out why, uint64_t bytes);

/* compare.c: under dma_enter. `since`: as it was before the last comparison, NULL where this thread ran meanwhile. */
void dma_compare_all(enum dma_moment moment, const struct dma_threads *since);
void dma_record_held(const struct dma_map *map);

/* written.c */
void dma_track(struct dma_map *map);
void dma_untrack(const struct dma_map *map);
/* Sets PAGE_WRITTEN where the process wrote since it was last asked. False: the kernel won't tell of this memory again. */
bool dma_ask_written(struct dma_map *map);
/* And is counted no more among those of which it does. */
void dma_give_up_tracking(struct dma_map *map);
/* Asks once more for one page, and leaves it to the next dma_ask_written, too. */
bool dma_just_written(const struct dma_map *map, uint64_t offset);
void dma_look_at_threads(struct dma_threads *threads);

#endif
