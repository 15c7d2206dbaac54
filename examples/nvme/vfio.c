// SPDX-License-Identifier: Apache-2.0
/* Today's VFIO (that of 2010 is in lyon2010.c): Documentation/driver-api/vfio.rst and include/uapi/linux/vfio.h, iommufd.h of Linux. */
#include "vfio.h"

#include "lyon2010.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/types.h>
#include <linux/vfio.h>
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
#define IOAS_MAP_WRITEABLE 2u
#define IOAS_MAP_READABLE 4u

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 0x02
#define PCI_COMMAND_MASTER 0x04

void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "nvme: cannot %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* The group's number is the name of the directory that the device's iommu_group link points to. */
static void open_by_group(struct vfio *vfio, const char *bdf)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct vfio_group_status status = { .argsz = sizeof(status) };
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	length = readlink(path, target, sizeof(target) - 1);
	check(length > 0, "find the device's IOMMU group (is there an IOMMU, and is the address right?)");
	target[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(target, '/') + 1);

	vfio->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	check(vfio->container >= 0, "open /dev/vfio/vfio");
	check(ioctl(vfio->container, VFIO_GET_API_VERSION) == VFIO_API_VERSION, "use this version of VFIO");
	check(ioctl(vfio->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) > 0, "have a type 1 IOMMU");

	vfio->group = open(path, O_RDWR | O_CLOEXEC);
	check(vfio->group >= 0, "open the group (is the device bound to vfio-pci?)");
	check(ioctl(vfio->group, VFIO_GROUP_GET_STATUS, &status) == 0, "read the group's status");
	errno = EBUSY;
	check(status.flags & VFIO_GROUP_FLAGS_VIABLE, "use the group: not all of its devices are bound to vfio-pci");
	check(ioctl(vfio->group, VFIO_GROUP_SET_CONTAINER, &vfio->container) == 0, "put the group into the container");
	check(ioctl(vfio->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "set the container's IOMMU");

	vfio->device = ioctl(vfio->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	check(vfio->device >= 0, "get the device from its group");
}

/* The name of the device node is that of the only entry in the device's vfio-dev directory. */
static void open_by_node(struct vfio *vfio, const char *bdf)
{
	char path[PATH_MAX];
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct ioas_alloc alloc = { .size = sizeof(alloc) };
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	directory = opendir(path);
	check(directory != NULL,
	      "find the device's node (a kernel with CONFIG_VFIO_DEVICE_CDEV, the device bound to vfio-pci)");
	errno = ENOENT;
	while ((entry = readdir(directory)) != NULL && entry->d_name[0] == '.')
		;
	check(entry != NULL, "find the device's node in its vfio-dev directory");
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	closedir(directory);

	vfio->group = -1;
	vfio->device = open(path, O_RDWR | O_CLOEXEC);
	check(vfio->device >= 0, "open the device's node");
	vfio->container = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	check(vfio->container >= 0, "open /dev/iommu");

	bind.iommufd = vfio->container;
	check(ioctl(vfio->device, VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0, "bind the device to the iommufd");
	check(ioctl(vfio->container, IOAS_ALLOC, &alloc) == 0, "allocate an I/O address space");
	vfio->ioas = alloc.out_ioas_id;
	attach.pt_id = vfio->ioas;
	check(ioctl(vfio->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0, "attach the device to the address space");
}

void vfio_open(struct vfio *vfio, const char *bdf, enum vfio_dialect dialect)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	struct vfio_irq_info msix = { .argsz = sizeof(msix), .index = VFIO_PCI_MSIX_IRQ_INDEX };

	vfio->dialect = dialect;
	vfio->netlink = -1;
	vfio->request = -1;
	if (dialect == VFIO_LYON2010) {
		lyon_open(vfio, bdf);
		return;
	}
	if (dialect == VFIO_CDEV)
		open_by_node(vfio, bdf);
	else
		open_by_group(vfio, bdf);
	check(ioctl(vfio->device, VFIO_DEVICE_GET_INFO, &info) == 0, "ask for the device's regions and interrupts");
	vfio->was_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	check(ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &config) == 0, "find the config space");
	vfio->config_offset = config.offset;
	check(ioctl(vfio->device, VFIO_DEVICE_GET_IRQ_INFO, &msix) == 0, "ask for MSI-X");
	vfio->msix_count = msix.count;
}

void vfio_close(struct vfio *vfio)
{
	munmap((void *)vfio->bar, vfio->bar_bytes);
	close(vfio->device);
	if (vfio->group >= 0)
		close(vfio->group);
	close(vfio->container);
	if (vfio->netlink >= 0)
		close(vfio->netlink);
	if (vfio->request >= 0)
		close(vfio->request);
}

bool vfio_read_config(const struct vfio *vfio, unsigned int offset, void *value, unsigned int bytes)
{
	return pread(vfio->device, value, bytes, (off_t)(vfio->config_offset + offset)) == (ssize_t)bytes;
}

/* VFIO opens a device with bus mastering off; without it the device's DMA and MSI-X go nowhere. */
bool vfio_set_bus_master(const struct vfio *vfio, bool on)
{
	uint16_t command;

	if (!vfio_read_config(vfio, PCI_COMMAND, &command, sizeof(command)))
		return false;
	command |= PCI_COMMAND_MEMORY;
	command = (uint16_t)(on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
	return pwrite(vfio->device, &command, sizeof(command), (off_t)(vfio->config_offset + PCI_COMMAND)) ==
	       sizeof(command);
}

void vfio_map_bar(struct vfio *vfio, size_t bytes)
{
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };

	if (vfio->dialect == VFIO_LYON2010) {
		lyon_map_bar(vfio, bytes);
		return;
	}
	check(ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &bar) == 0, "find BAR 0");
	errno = ENOTSUP;
	check((bar.flags & VFIO_REGION_INFO_FLAG_MMAP) && bar.size >= bytes, "map BAR 0: VFIO does not offer it");
	vfio->bar = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vfio->device, (off_t)bar.offset);
	check(vfio->bar != MAP_FAILED, "map BAR 0");
	vfio->bar_bytes = bytes;
}

/*
 * The lowest free address from 1 MiB on. The chain of capabilities says which addresses the IOMMU takes: not the window
 * of message-signalled interrupts, for one. Without it (Linux before 5.4) low addresses are as good as any.
 */
static uint64_t find_iova(const struct vfio *vfio, size_t bytes)
{
	const uint64_t lowest = 1u << 20;
	struct vfio_iommu_type1_info probe = { .argsz = sizeof(probe) };
	struct vfio_iommu_type1_info *info;
	uint64_t iova = lowest;
	uint32_t next;

	check(ioctl(vfio->container, VFIO_IOMMU_GET_INFO, &probe) == 0, "ask for the IOMMU's properties");
	if (probe.argsz <= sizeof(probe))
		return iova;
	info = calloc(1, probe.argsz);
	check(info != NULL, "allocate memory");
	info->argsz = probe.argsz;
	check(ioctl(vfio->container, VFIO_IOMMU_GET_INFO, info) == 0, "ask for the IOMMU's address ranges");
	next = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;
	while (next != 0) {
		const struct vfio_info_cap_header *header = (void *)((char *)info + next);
		const struct vfio_iommu_type1_info_cap_iova_range *ranges = (const void *)header;

		next = header->next;
		if (header->id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			continue;
		for (uint32_t i = 0; i < ranges->nr_iovas; i++) {
			iova = ranges->iova_ranges[i].start > lowest ? ranges->iova_ranges[i].start : lowest;
			if (iova <= ranges->iova_ranges[i].end && ranges->iova_ranges[i].end - iova >= bytes - 1)
				break;
		}
	}
	free(info);
	return iova;
}

void vfio_map_memory(struct vfio *vfio, size_t bytes)
{
	vfio->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(vfio->memory != MAP_FAILED, "allocate memory");
	vfio->memory_bytes = bytes;
	if (vfio->dialect == VFIO_LYON2010) {
		lyon_map_memory(vfio, bytes);
	} else if (vfio->dialect == VFIO_CDEV) {
		/* Without IOMMU_IOAS_MAP_FIXED_IOVA the kernel chooses the address. */
		struct ioas_map map = {
			.size = sizeof(map),
			.flags = IOAS_MAP_WRITEABLE | IOAS_MAP_READABLE,
			.ioas_id = vfio->ioas,
			.user_va = (uintptr_t)vfio->memory,
			.length = bytes,
		};
		check(ioctl(vfio->container, IOAS_MAP, &map) == 0, "map memory for DMA");
		vfio->iova = map.iova;
	} else {
		struct vfio_iommu_type1_dma_map map = {
			.argsz = sizeof(map),
			.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
			.vaddr = (uintptr_t)vfio->memory,
			.iova = find_iova(vfio, bytes),
			.size = bytes,
		};
		check(ioctl(vfio->container, VFIO_IOMMU_MAP_DMA, &map) == 0,
		      "map memory for DMA (ulimit -l says how much may be locked)");
		vfio->iova = map.iova;
	}
}

void vfio_unmap_memory(struct vfio *vfio)
{
	if (vfio->dialect == VFIO_LYON2010) {
		lyon_unmap_memory(vfio);
	} else if (vfio->dialect == VFIO_CDEV) {
		struct ioas_unmap unmap = {
			.size = sizeof(unmap), .ioas_id = vfio->ioas, .iova = vfio->iova, .length = vfio->memory_bytes
		};
		check(ioctl(vfio->container, IOAS_UNMAP, &unmap) == 0, "unmap the memory");
	} else {
		struct vfio_iommu_type1_dma_unmap unmap = {
			.argsz = sizeof(unmap), .iova = vfio->iova, .size = vfio->memory_bytes
		};
		check(ioctl(vfio->container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0, "unmap the memory");
	}
	munmap(vfio->memory, vfio->memory_bytes);
}

static bool set_irqs(const struct vfio *vfio, uint32_t index, const int *eventfds, unsigned int count)
{
	const size_t bytes = sizeof(struct vfio_irq_set) + count * sizeof(__s32);
	struct vfio_irq_set *set = calloc(1, bytes);
	bool done;

	check(set != NULL, "allocate memory");
	set->argsz = (__u32)bytes;
	set->flags = (count == 0 ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD) | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->count = count;
	if (count > 0)
		memcpy(set->data, eventfds, count * sizeof(__s32));
	done = ioctl(vfio->device, VFIO_DEVICE_SET_IRQS, set) == 0;
	free(set);
	return done;
}

void vfio_set_msix(const struct vfio *vfio, const int *eventfds, unsigned int count)
{
	if (vfio->dialect == VFIO_LYON2010) {
		lyon_set_msix(vfio, eventfds, count);
		return;
	}
	check(set_irqs(vfio, VFIO_PCI_MSIX_IRQ_INDEX, eventfds, count), count == 0 ? "give MSI-X back" : "set MSI-X up");
}

/* The VFIO of 2010 listens from the start. */
void vfio_listen(struct vfio *vfio)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = VFIO_PCI_REQ_IRQ_INDEX };

	if (vfio->dialect == VFIO_LYON2010 || ioctl(vfio->device, VFIO_DEVICE_GET_IRQ_INFO, &info) != 0 || info.count == 0)
		return;
	vfio->request = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	check(vfio->request >= 0, "make an eventfd");
	check(set_irqs(vfio, VFIO_PCI_REQ_IRQ_INDEX, &vfio->request, 1), "set the request interrupt up");
}

bool vfio_is_wanted_back(const struct vfio *vfio)
{
	uint64_t times;

	if (vfio->dialect == VFIO_LYON2010)
		return lyon_is_wanted_back(vfio);
	if (vfio->request < 0 || read(vfio->request, &times, sizeof(times)) != sizeof(times))
		return false;
	printf("the device is to be taken away\n");
	return true;
}
