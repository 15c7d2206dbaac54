// SPDX-License-Identifier: Apache-2.0
/* What the drivers here share. What the kernel refuses is not looked at: that is the point. */
#ifndef VIOLATIONS_DRIVER_H
#define VIOLATIONS_DRIVER_H

#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../examples/nvme/vfio.h"

#define CC 0x14
#define CSTS 0x1c
#define AQA 0x24
#define ASQ 0x28
#define ACQ 0x30
#define DOORBELL 0x1000
#define ENABLED 0x00460001u
#define DISABLED 0x00460000u
#define BAR_BYTES 0x2000u /* MSI-X table from there on, pending bits at 0x3000 */
#define WHOLE_BAR 0x4000u
#define MEMORY_BYTES 0x10000u

extern struct vfio drive;
extern const char *bdf;

static inline uint32_t load(unsigned int offset)
{
	return *(volatile uint32_t *)(drive.bar + offset);
}

static inline void store(unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(drive.bar + offset) = value;
}

static inline void store64(unsigned int offset, uint64_t value)
{
	*(volatile uint64_t *)(drive.bar + offset) = value;
}

static inline void wait_ready(uint32_t ready)
{
	while ((load(CSTS) & 1) != ready)
		usleep(100);
}

static inline void stop(void)
{
	store(CC, DISABLED);
	wait_ready(0);
}

static inline void start_at(uint64_t submission)
{
	store(AQA, 0x001f001f);
	store64(ASQ, submission);
	store64(ACQ, drive.iova + PAGE_BYTES);
	store(CC, ENABLED);
}

static inline void start(void)
{
	start_at(drive.iova);
	wait_ready(1);
}

/* Stopped, with memory, and bus master. */
static inline void prepare(void)
{
	stop();
	vfio_map_memory(&drive, MEMORY_BYTES);
	vfio_set_bus_master(&drive, true);
}

static inline void finish(void)
{
	stop();
	vfio_set_bus_master(&drive, false);
	vfio_unmap_memory(&drive);
}

static inline void map(uint64_t iova, void *memory, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map request = {
		.argsz = sizeof(request), .flags = flags, .vaddr = (uintptr_t)memory, .iova = iova, .size = size
	};

	ioctl(drive.container, VFIO_IOMMU_MAP_DMA, &request);
}

static inline void unmap(uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap request = {
		.argsz = sizeof(request), .flags = flags, .iova = iova, .size = size
	};

	ioctl(drive.container, VFIO_IOMMU_UNMAP_DMA, &request);
}

#define READ_WRITE (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static inline void set_irqs(uint32_t flags, uint32_t index, uint32_t begin, uint32_t count, const int *fds)
{
	char room[sizeof(struct vfio_irq_set) + 64 * sizeof(int)] __attribute__((aligned(8))) = { 0 };
	struct vfio_irq_set *request = (struct vfio_irq_set *)room;
	size_t bytes = fds == NULL ? 0 : count * sizeof(int);

	*request = (struct vfio_irq_set){ .argsz = (uint32_t)(sizeof(*request) + bytes),
					  .flags = flags,
					  .index = index,
					  .start = begin,
					  .count = count };
	if (fds != NULL)
		memcpy(request->data, fds, bytes);
	ioctl(drive.device, VFIO_DEVICE_SET_IRQS, request);
}

#define TRIGGER_FDS (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define TRIGGER_NONE (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)

static inline void ask_for_irqs(void)
{
	for (uint32_t index = 0; index < 5; index++) {
		struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

		ioctl(drive.device, VFIO_DEVICE_GET_IRQ_INFO, &info);
	}
}

static inline void write_config(unsigned int offset, const void *value, unsigned int bytes)
{
	if (pwrite(drive.device, value, bytes, (off_t)(drive.config_offset + offset)) < 0)
		perror("pwrite");
}

static inline void write_command(uint16_t set, uint16_t clear)
{
	uint16_t command = 0;

	vfio_read_config(&drive, 4, &command, sizeof(command));
	command = (uint16_t)((command | set) & ~clear);
	write_config(4, &command, sizeof(command));
}

static inline unsigned int capability(uint8_t wanted)
{
	uint8_t at = 0;
	uint8_t header[2];

	vfio_read_config(&drive, 0x34, &at, 1);
	for (int n = 0; at != 0 && n < 48; n++, at = header[1]) {
		vfio_read_config(&drive, at, &header[0], 1);
		vfio_read_config(&drive, at + 1u, &header[1], 1);
		if (header[0] == wanted)
			return at;
	}
	return 0;
}

#endif
