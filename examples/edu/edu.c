// SPDX-License-Identifier: Apache-2.0
/*
 * A whole userspace driver in one file: QEMU's teaching device "edu" through VFIO. It checks the device's identity,
 * computes a factorial and waits for the interrupt, and copies a buffer into the device and back by DMA.
 *
 *	edu 0000:00:0a.0              through the group and a type 1 container (every kernel with VFIO)
 *	edu --cdev 0000:00:0a.0       through /dev/vfio/devices/vfioN and iommufd (Linux 6.8 and later, if configured)
 *
 * The device: docs/specs/edu.rst of QEMU. VFIO: Documentation/driver-api/vfio.rst of Linux.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/types.h>
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
#include <unistd.h>

/* Headers older than the kernel that runs: what the device node and iommufd need, from Linux 6.6. */
#ifndef VFIO_DEVICE_BIND_IOMMUFD
struct vfio_device_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};
struct vfio_device_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
#endif

struct ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};
struct ioas_map {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__u32 reserved;
	__u64 user_va;
	__u64 length;
	__u64 iova;
};
struct ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__u64 iova;
	__u64 length;
};
#define IOAS_ALLOC _IO(';', 0x81)
#define IOAS_MAP _IO(';', 0x85)
#define IOAS_UNMAP _IO(';', 0x86)
#define IOAS_MAP_FIXED_IOVA 1u
#define IOAS_MAP_WRITEABLE 2u
#define IOAS_MAP_READABLE 4u

/* BAR 0 of the device. Below 0x80 every access must be of four bytes. */
enum edu_register {
	EDU_ID = 0x00,	     /* 0xMMmm00ed: version MM.mm */
	EDU_LIVENESS = 0x04, /* reads as the complement of what was written */
	EDU_FACTORIAL = 0x08,
	EDU_STATUS = 0x20,
	EDU_INTERRUPT_STATUS = 0x24,
	EDU_INTERRUPT_ACKNOWLEDGE = 0x64,
	EDU_DMA_SOURCE = 0x80,
	EDU_DMA_DESTINATION = 0x88,
	EDU_DMA_COUNT = 0x90,
	EDU_DMA_COMMAND = 0x98,
};
#define EDU_STATUS_COMPUTING 0x01u
#define EDU_STATUS_RAISE_INTERRUPT 0x80u
#define EDU_DMA_START 0x01u
#define EDU_DMA_FROM_DEVICE 0x02u
#define EDU_DMA_RAISE_INTERRUPT 0x04u
#define EDU_INTERRUPT_DMA 0x100u
#define EDU_BUFFER 0x40000u /* the device's own 4 KiB, as an address for its DMA engine */

/* The device drives 28 address bits unless QEMU was told otherwise. */
#define IOVA 0x100000u
#define DMA_BYTES 4096u
#define INTERRUPT_TIMEOUT_MS 20000

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MASTER 0x04

struct edu {
	int container; /* or iommufd */
	int group;     /* -1 with a device node */
	int device;
	bool cdev;
	__u32 ioas;
	__u64 config_offset; /* of the config region in the device's file */
	volatile uint8_t *bar;
	size_t bar_bytes;
	int interrupt;
	uint8_t *memory;
};

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "edu: cannot %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint32_t load(const struct edu *edu, enum edu_register where)
{
	return *(volatile uint32_t *)(edu->bar + where);
}

static void store(const struct edu *edu, enum edu_register where, uint32_t value)
{
	*(volatile uint32_t *)(edu->bar + where) = value;
}

static void store64(const struct edu *edu, enum edu_register where, uint64_t value)
{
	*(volatile uint64_t *)(edu->bar + where) = value;
}

/* The group's number is the name of the directory that the device's iommu_group link points to. */
static void open_by_group(struct edu *edu, const char *bdf)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct vfio_group_status status = { .argsz = sizeof(status) };
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	length = readlink(path, target, sizeof(target) - 1);
	check(length > 0, "find the device's IOMMU group (is there an IOMMU, and is the address right?)");
	target[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(target, '/') + 1);

	edu->container = open("/dev/vfio/vfio", O_RDWR);
	check(edu->container >= 0, "open /dev/vfio/vfio");
	check(ioctl(edu->container, VFIO_GET_API_VERSION) == VFIO_API_VERSION, "use this version of VFIO");
	check(ioctl(edu->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) > 0, "have a type 1 IOMMU");

	edu->group = open(path, O_RDWR);
	check(edu->group >= 0, "open the group (is the device bound to vfio-pci?)");
	check(ioctl(edu->group, VFIO_GROUP_GET_STATUS, &status) == 0, "read the group's status");
	errno = EBUSY;
	check(status.flags & VFIO_GROUP_FLAGS_VIABLE, "use the group: not all of its devices are bound to vfio-pci");
	check(ioctl(edu->group, VFIO_GROUP_SET_CONTAINER, &edu->container) == 0, "put the group into the container");
	check(ioctl(edu->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "set the container's IOMMU");

	edu->device = ioctl(edu->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	check(edu->device >= 0, "get the device from its group");
}

/* The name of the device node is that of the only entry in the device's vfio-dev directory. */
static void open_by_node(struct edu *edu, const char *bdf)
{
	char path[PATH_MAX];
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct ioas_alloc alloc = { .size = sizeof(alloc) };
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	directory = opendir(path);
	check(directory != NULL, "find the device's node (a kernel with CONFIG_VFIO_DEVICE_CDEV, the device bound to vfio-pci)");
	errno = ENOENT;
	while ((entry = readdir(directory)) != NULL && entry->d_name[0] == '.')
		;
	check(entry != NULL, "find the device's node in its vfio-dev directory");
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	closedir(directory);

	edu->group = -1;
	edu->device = open(path, O_RDWR);
	check(edu->device >= 0, "open the device's node");
	edu->container = open("/dev/iommu", O_RDWR);
	check(edu->container >= 0, "open /dev/iommu");

	bind.iommufd = edu->container;
	check(ioctl(edu->device, VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0, "bind the device to the iommufd");
	check(ioctl(edu->container, IOAS_ALLOC, &alloc) == 0, "allocate an I/O address space");
	edu->ioas = alloc.out_ioas_id;
	attach.pt_id = edu->ioas;
	check(ioctl(edu->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0, "attach the device to the address space");
}

static void map_registers(struct edu *edu)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t identity[2];

	check(ioctl(edu->device, VFIO_DEVICE_GET_INFO, &info) == 0, "ask for the device's regions and interrupts");
	check(ioctl(edu->device, VFIO_DEVICE_GET_REGION_INFO, &config) == 0, "find the config space");
	check(ioctl(edu->device, VFIO_DEVICE_GET_REGION_INFO, &bar) == 0, "find BAR 0");
	edu->config_offset = config.offset;
	printf("device: %u regions, %u interrupts, BAR 0 of %llu KiB\n", info.num_regions, info.num_irqs,
	       (unsigned long long)bar.size / 1024);

	check(pread(edu->device, identity, sizeof(identity), (off_t)config.offset) == sizeof(identity), "read the identity");
	printf("identity: %04x:%04x\n", identity[0], identity[1]);

	/*
	 * Without this flag what an earlier user left is in the device still. A card would have to be reset by its own
	 * registers here, or refused; edu has none for it, and nothing in it outlives a transfer.
	 */
	if (!(info.flags & VFIO_DEVICE_FLAGS_RESET))
		printf("reset: VFIO has none for this device\n");

	edu->bar_bytes = bar.size;
	edu->bar = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, edu->device, (off_t)bar.offset);
	check(edu->bar != MAP_FAILED, "map BAR 0");
}

/*
 * VFIO opens a device with bus mastering off; without it the device's DMA and MSI go nowhere. It comes on once there is
 * memory for the device, and goes off before that is taken away.
 */
static void set_bus_master(const struct edu *edu, bool on)
{
	const off_t where = (off_t)(edu->config_offset + PCI_COMMAND);
	uint16_t command;

	check(pread(edu->device, &command, sizeof(command), where) == sizeof(command), "read the command register");
	command = on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER;
	check(pwrite(edu->device, &command, sizeof(command), where) == sizeof(command),
	      on ? "enable bus mastering" : "disable bus mastering");
}

static void find_msi(const struct edu *edu)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = VFIO_PCI_MSI_IRQ_INDEX };

	check(ioctl(edu->device, VFIO_DEVICE_GET_IRQ_INFO, &info) == 0, "ask for MSI");
	errno = ENODEV;
	check(info.count >= 1 && (info.flags & VFIO_IRQ_INFO_EVENTFD), "have MSI");
}

/* `count` 0 takes the interrupt away again. */
static void set_msi(const struct edu *edu, __u32 count)
{
	char buffer[sizeof(struct vfio_irq_set) + sizeof(__s32)] __attribute__((aligned(8)));
	struct vfio_irq_set *set = (struct vfio_irq_set *)buffer;

	memset(buffer, 0, sizeof(buffer));
	set->argsz = count == 0 ? sizeof(*set) : sizeof(buffer);
	set->flags = (count == 0 ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD) | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSI_IRQ_INDEX;
	set->count = count;
	memcpy(set->data, &edu->interrupt, count * sizeof(__s32));
	check(ioctl(edu->device, VFIO_DEVICE_SET_IRQS, set) == 0, count == 0 ? "give MSI back" : "set MSI up");
}

static void wait_for_interrupt(const struct edu *edu, const char *of)
{
	struct pollfd ready = { .fd = edu->interrupt, .events = POLLIN };
	uint64_t times;
	uint32_t status;

	errno = ETIMEDOUT;
	check(poll(&ready, 1, INTERRUPT_TIMEOUT_MS) == 1, "see the interrupt");
	check(read(edu->interrupt, &times, sizeof(times)) == sizeof(times), "read the eventfd");
	status = load(edu, EDU_INTERRUPT_STATUS);
	store(edu, EDU_INTERRUPT_ACKNOWLEDGE, status);
	printf("interrupt of %s: status 0x%x, %" PRIu64 " time(s)\n", of, status, times);
}

static void map_memory(struct edu *edu)
{
	edu->memory = mmap(NULL, DMA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(edu->memory != MAP_FAILED, "allocate memory");
	if (edu->cdev) {
		struct ioas_map map = {
			.size = sizeof(map),
			.flags = IOAS_MAP_FIXED_IOVA | IOAS_MAP_WRITEABLE | IOAS_MAP_READABLE,
			.ioas_id = edu->ioas,
			.user_va = (uintptr_t)edu->memory,
			.length = DMA_BYTES,
			.iova = IOVA,
		};
		check(ioctl(edu->container, IOAS_MAP, &map) == 0, "map memory for DMA");
	} else {
		struct vfio_iommu_type1_dma_map map = {
			.argsz = sizeof(map),
			.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
			.vaddr = (uintptr_t)edu->memory,
			.iova = IOVA,
			.size = DMA_BYTES,
		};
		check(ioctl(edu->container, VFIO_IOMMU_MAP_DMA, &map) == 0, "map memory for DMA");
	}
}

static void unmap_memory(const struct edu *edu)
{
	if (edu->cdev) {
		struct ioas_unmap unmap = {
			.size = sizeof(unmap), .ioas_id = edu->ioas, .iova = IOVA, .length = DMA_BYTES
		};
		check(ioctl(edu->container, IOAS_UNMAP, &unmap) == 0, "unmap the memory");
	} else {
		struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = IOVA, .size = DMA_BYTES };

		check(ioctl(edu->container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0, "unmap the memory");
	}
	munmap(edu->memory, DMA_BYTES);
}

static void factorial(const struct edu *edu, uint32_t of)
{
	store(edu, EDU_STATUS, EDU_STATUS_RAISE_INTERRUPT);
	store(edu, EDU_FACTORIAL, of);
	wait_for_interrupt(edu, "factorial");
	check((load(edu, EDU_STATUS) & EDU_STATUS_COMPUTING) == 0, "believe an interrupt that came too early");
	printf("factorial of %u: %u\n", of, load(edu, EDU_FACTORIAL));
}

static void copy(const struct edu *edu, uint64_t source, uint64_t destination, uint32_t direction, const char *name)
{
	store64(edu, EDU_DMA_SOURCE, source);
	store64(edu, EDU_DMA_DESTINATION, destination);
	store64(edu, EDU_DMA_COUNT, DMA_BYTES / 2);
	store64(edu, EDU_DMA_COMMAND, EDU_DMA_START | EDU_DMA_RAISE_INTERRUPT | direction);
	wait_for_interrupt(edu, name);
}

/* The first half of the memory goes into the device, and comes back into the second half. */
static void there_and_back(const struct edu *edu)
{
	const uint32_t half = DMA_BYTES / 2;

	for (uint32_t i = 0; i < half; i++)
		edu->memory[i] = (uint8_t)(i * 7 + 3);
	copy(edu, IOVA, EDU_BUFFER, 0, "DMA to the device");
	copy(edu, EDU_BUFFER, IOVA + half, EDU_DMA_FROM_DEVICE, "DMA from the device");
	errno = EIO;
	check(memcmp(edu->memory, edu->memory + half, half) == 0, "get back what was sent");
	printf("DMA: %u bytes there and back\n", half);
}

int main(int argc, char **argv)
{
	struct edu edu = { 0 };
	uint32_t liveness = 0x12345678;

	edu.cdev = argc == 3 && strcmp(argv[1], "--cdev") == 0;
	if (argc != 2 && !edu.cdev) {
		fprintf(stderr, "usage: edu [--cdev] DDDD:BB:DD.F\n");
		return 2;
	}
	if (edu.cdev)
		open_by_node(&edu, argv[2]);
	else
		open_by_group(&edu, argv[1]);
	map_registers(&edu);
	map_memory(&edu);
	set_bus_master(&edu, true);
	find_msi(&edu);
	edu.interrupt = eventfd(0, EFD_CLOEXEC);
	check(edu.interrupt >= 0, "make an eventfd");
	set_msi(&edu, 1);

	printf("id: 0x%08x\n", load(&edu, EDU_ID));
	store(&edu, EDU_LIVENESS, liveness);
	errno = EIO;
	check(load(&edu, EDU_LIVENESS) == ~liveness, "find the device alive");
	factorial(&edu, 5);
	factorial(&edu, 10);
	there_and_back(&edu);

	/* The load also flushes the acknowledgement, which is a posted write. */
	errno = EBUSY;
	check((load(&edu, EDU_DMA_COMMAND) & EDU_DMA_START) == 0, "find the device idle at the end");
	set_msi(&edu, 0);
	set_bus_master(&edu, false);
	unmap_memory(&edu);
	munmap((void *)edu.bar, edu.bar_bytes);
	close(edu.interrupt);
	close(edu.device);
	if (edu.group >= 0)
		close(edu.group);
	close(edu.container);
	return 0;
}
