// SPDX-License-Identifier: Apache-2.0
/*
 * The first VFIO (Tom Lyon, 2010). One descriptor does everything: ioctls, config space and BARs by the file's offset. No
 * groups, no container, no descriptions: what the device has is read from its config space.
 */
#include "lyon2010.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../abi/lyon2010/vfio2010.h"

#define PCI_STATUS 0x06
#define PCI_STATUS_CAP_LIST 0x10
#define PCI_CAPABILITY_LIST 0x34
#define PCI_CAP_ID_MSIX 0x11
#define PCI_CAPABILITIES_MOST 48

/* Low addresses are as good as any: nobody says which ones the IOMMU takes. */
#define IOVA (1u << 20)

static unsigned int msix_vectors(const struct vfio *vfio)
{
	uint16_t status, control;
	uint8_t place, id;

	if (!vfio_read_config(vfio, PCI_STATUS, &status, sizeof(status)) || !(status & PCI_STATUS_CAP_LIST))
		return 0;
	if (!vfio_read_config(vfio, PCI_CAPABILITY_LIST, &place, sizeof(place)))
		return 0;
	for (int i = 0; i < PCI_CAPABILITIES_MOST && place != 0; i++) {
		if (!vfio_read_config(vfio, place, &id, sizeof(id)))
			return 0;
		if (id == PCI_CAP_ID_MSIX)
			return vfio_read_config(vfio, place + 2u, &control, sizeof(control)) ? (control & 0x7ffu) + 1 : 0;
		if (!vfio_read_config(vfio, place + 1u, &place, sizeof(place)))
			return 0;
	}
	return 0;
}

/* The name of the node is that of the only entry in the device's vfio directory. */
void lyon_open(struct vfio *vfio, const char *bdf)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/vfio/%s/vfio", bdf);
	directory = opendir(path);
	check(directory != NULL, "find the device's node (the VFIO of 2010, the device bound to it)");
	errno = ENOENT;
	while ((entry = readdir(directory)) != NULL && entry->d_name[0] == '.')
		;
	check(entry != NULL, "find the device's node in its vfio directory");
	snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
	closedir(directory);

	vfio->group = -1;
	/* The kernel resets the device, or refuses. */
	vfio->device = open(path, O_RDWR | O_CLOEXEC);
	check(vfio->device >= 0, "open the device's node (it is refused when the device can't be reset)");
	vfio->was_reset = true;
	vfio->container = open("/dev/uiommu", O_RDWR | O_CLOEXEC);
	check(vfio->container >= 0, "open /dev/uiommu");
	check(ioctl(vfio->device, VFIO_DOMAIN_SET, &vfio->container) == 0, "put the device into an IOMMU domain");
	vfio->config_offset = VFIO_PCI_CONFIG_OFF;
	lyon_listen(vfio, bdf);
	vfio->msix_count = msix_vectors(vfio);
}

/* All of it can't be mapped: the pages of the MSI-X table are the kernel's. */
void lyon_map_bar(struct vfio *vfio, size_t bytes)
{
	uint32_t bar = 0;

	check(ioctl(vfio->device, VFIO_BAR_LEN, &bar) == 0, "ask for the length of BAR 0");
	errno = ENOTSUP;
	check(bar >= bytes, "map BAR 0: it is too small");
	vfio->bar = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vfio->device, VFIO_PCI_SPACE_OFFSET(0));
	check(vfio->bar != MAP_FAILED, "map BAR 0");
	vfio->bar_bytes = bytes;
}

/* At most a gibibyte in one call. */
void lyon_map_memory(struct vfio *vfio, size_t bytes)
{
	vfio->iova = IOVA;
	for (size_t done = 0, piece; done < bytes; done += piece) {
		struct vfio_dma_map map = { .flags = VFIO_FLAG_WRITE };

		piece = bytes - done < VFIO_MAX_MAP_SIZE ? bytes - done : VFIO_MAX_MAP_SIZE;
		map.vaddr = (uintptr_t)vfio->memory + done;
		map.dmaaddr = vfio->iova + done;
		map.size = piece;
		check(ioctl(vfio->device, VFIO_DMA_MAP_IOVA, &map) == 0,
		      "map memory for DMA (ulimit -l says how much may be locked)");
	}
}

void lyon_unmap_memory(struct vfio *vfio)
{
	for (size_t done = 0, piece; done < vfio->memory_bytes; done += piece) {
		struct vfio_dma_map map = { .flags = VFIO_FLAG_WRITE };

		piece = vfio->memory_bytes - done < VFIO_MAX_MAP_SIZE ? vfio->memory_bytes - done : VFIO_MAX_MAP_SIZE;
		map.vaddr = (uintptr_t)vfio->memory + done;
		map.dmaaddr = vfio->iova + done;
		map.size = piece;
		check(ioctl(vfio->device, VFIO_DMA_UNMAP, &map) == 0, "unmap the memory");
	}
}

void lyon_set_msix(const struct vfio *vfio, const int *eventfds, unsigned int count)
{
	int list[1 + 8] = { (int)count };

	errno = E2BIG;
	check(count <= 8, "use so many vectors");
	if (count > 0)
		memcpy(list + 1, eventfds, count * sizeof(*eventfds));
	check(ioctl(vfio->device, VFIO_EVENTFDS_MSIX, list) == 0, count == 0 ? "give MSI-X back" : "set MSI-X up");
}
