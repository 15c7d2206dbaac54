// SPDX-License-Identifier: Apache-2.0
/* What a driver needs of VFIO: a device, its registers, memory for its DMA, its interrupts. */
#ifndef NVME_VFIO_H
#define NVME_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u

/* The three ways to a device. */
enum vfio_dialect {
	VFIO_GROUP,    /* a group and a type 1 container: every kernel with VFIO since 2012 */
	VFIO_CDEV,     /* a device node and an iommufd: Linux 6.8 and later, if configured */
	VFIO_LYON2010, /* /dev/vfioN: the first VFIO, which no kernel of Linux ever had */
};

struct vfio {
	enum vfio_dialect dialect;
	int container; /* or iommufd, or uiommu */
	int group;     /* -1 where there is none */
	int device;
	uint32_t ioas;
	uint64_t config_offset; /* of the config region in the device's file */
	struct {
		uint32_t domain;
		uint16_t bus;
		uint8_t slot, function;
	} place; /* as netlink has it */
	int netlink;		/* -1 where there is none */
	uint16_t netlink_family;
	int request;		/* the eventfd of VFIO_PCI_REQ_IRQ_INDEX, -1 where there is none */
	bool was_reset;		/* VFIO could reset it when it was opened */
	unsigned int msix_count;

	volatile uint8_t *bar;
	size_t bar_bytes;

	uint8_t *memory; /* all that the device may reach */
	uint64_t iova;
	size_t memory_bytes;
};

/* Prints what can't be done, with errno's text, and exits. */
void check(bool good, const char *what);

void vfio_open(struct vfio *vfio, const char *bdf, enum vfio_dialect dialect);
void vfio_close(struct vfio *vfio);

bool vfio_read_config(const struct vfio *vfio, unsigned int offset, void *value, unsigned int bytes);
bool vfio_set_bus_master(const struct vfio *vfio, bool on);

/* From now on the driver can be asked to give the device back; and whether it was. */
void vfio_listen(struct vfio *vfio);
bool vfio_is_wanted_back(const struct vfio *vfio);

/* The first `bytes` of BAR 0. */
void vfio_map_bar(struct vfio *vfio, size_t bytes);

void vfio_map_memory(struct vfio *vfio, size_t bytes);
void vfio_unmap_memory(struct vfio *vfio);

/* `count` 0 takes the vectors away again. */
void vfio_set_msix(const struct vfio *vfio, const int *eventfds, unsigned int count);

#endif
