// SPDX-License-Identifier: Apache-2.0
/*
 * A driver of the device that libvfio-user's sample server models: BAR 0 is an alarm clock (time_t), after whose INTx
 * interrupt the device writes a page of 'A' into the first memory that it was given, and reads it back; BAR 1 holds what is
 * stored. Both are I/O space, which can't be mapped.
 *
 *   alarm BDF
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define IOVA 0x10000
#define PATIENCE_MS 30000

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "alarm: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_group(const char *bdf)
{
	char path[PATH_MAX], target[PATH_MAX] = "";

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	check(readlink(path, target, sizeof(target) - 1) > 0, "find the device's group");
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(target, '/'));
	return open(path, O_RDWR);
}

static uint64_t region_offset(int device, unsigned int index, uint64_t size)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	check(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0, "ask for a region");
	errno = ENODEV;
	check(info.size >= size, "find a region of its size");
	return info.offset;
}

static void set_intx(int device, uint32_t action, int eventfd)
{
	char buffer[sizeof(struct vfio_irq_set) + sizeof(int32_t)] __attribute__((aligned(8)));
	struct vfio_irq_set *set = (struct vfio_irq_set *)buffer;
	bool given = action == VFIO_IRQ_SET_ACTION_TRIGGER;

	*set = (struct vfio_irq_set){ .argsz = sizeof(buffer), .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1 };
	set->flags = action | (given ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	memcpy(set->data, &eventfd, sizeof(eventfd));
	check(ioctl(device, VFIO_DEVICE_SET_IRQS, set) == 0, "set INTx up");
}

static void wait_memory(const volatile char *memory)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int filled = 0;

	for (int waited = 0; waited < PATIENCE_MS && filled < PAGE; waited += 10) {
		for (filled = 0; filled < PAGE && memory[filled] == 'A'; filled++)
			;
		nanosleep(&pause, NULL);
	}
	printf("memory: %d bytes of 'A'\n", filled);
}

static void wait_alarm(int device, uint64_t clock, int interrupt, const volatile char *memory)
{
	struct pollfd ready = { .fd = interrupt, .events = POLLIN };
	int64_t at = time(NULL) + 1, since;
	uint64_t times;

	check(pwrite(device, &at, sizeof(at), (off_t)clock) == sizeof(at), "set the alarm");
	errno = ETIMEDOUT;
	check(poll(&ready, 1, PATIENCE_MS) == 1, "be woken");
	check(read(interrupt, &times, sizeof(times)) == sizeof(times), "read the eventfd");
	wait_memory(memory);
	/* The server can't be asked anything while it waits for what it reads back. */
	sleep(2);
	check(pread(device, &since, sizeof(since), (off_t)clock) == sizeof(since), "read the clock");
	printf("alarm: %llu interrupt, %s\n", (unsigned long long)times, since >= 2 ? "on time" : "too early");
	set_intx(device, VFIO_IRQ_SET_ACTION_UNMASK, -1);
}

int main(int argc, char **argv)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = argc == 2 ? open_group(argv[1]) : -1, device, interrupt;
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.iova = IOVA, .size = PAGE };
	uint64_t config, clock, store;
	uint32_t ids, subsystem, word = 0x600df00d, held = 0;
	uint16_t command = 7;
	char *memory;

	check(container >= 0 && group >= 0, "open the group");
	check(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0, "join the container");
	check(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "choose type 1");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[1]);
	check(device >= 0, "open the device");

	config = region_offset(device, VFIO_PCI_CONFIG_REGION_INDEX, 256);
	clock = region_offset(device, VFIO_PCI_BAR0_REGION_INDEX, 8);
	store = region_offset(device, VFIO_PCI_BAR1_REGION_INDEX, 0x3000);
	check(pread(device, &ids, 4, (off_t)config) == 4 && pread(device, &subsystem, 4, (off_t)config + 0x2c) == 4,
	      "read configuration space");
	printf("device: %04x:%04x, subsystem %04x:%04x\n", ids & 0xffff, ids >> 16, subsystem & 0xffff, subsystem >> 16);
	check(pwrite(device, &command, 2, (off_t)config + 4) == 2, "enable I/O and bus mastering");

	check(pwrite(device, &word, 4, (off_t)store) == 4 && pread(device, &held, 4, (off_t)store) == 4, "use BAR 1");
	printf("BAR 1: 0x%08x\n", held);

	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(memory != MAP_FAILED, "have memory");
	memset(memory, '-', PAGE);
	map.vaddr = (uintptr_t)memory;
	check(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0, "map memory");
	interrupt = eventfd(0, EFD_CLOEXEC);
	set_intx(device, VFIO_IRQ_SET_ACTION_TRIGGER, interrupt);
	wait_alarm(device, clock, interrupt, memory);
	check(ioctl(device, VFIO_DEVICE_RESET) == 0, "reset the device");
	return 0;
}
