// SPDX-License-Identifier: Apache-2.0
/* The container, the group, the device, and what they say of themselves. */
#include "probe.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Newer than the oldest headers. */
#define UNMAP_ALL 9
#define UPDATE_VADDR 10

static void find_group(struct probe *probe)
{
	char link[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", probe->bdf);
	length = readlink(link, target, sizeof(target) - 1);
	if (length <= 0) {
		perror("probe: iommu_group");
		exit(EXIT_FAILURE);
	}
	target[length] = '\0';
	snprintf(probe->group_path, sizeof(probe->group_path), "/dev/vfio/noiommu-%.16s", strrchr(target, '/') + 1);
	probe->noiommu = access(probe->group_path, F_OK) == 0;
	if (!probe->noiommu)
		snprintf(probe->group_path, sizeof(probe->group_path), "/dev/vfio/%.16s", strrchr(target, '/') + 1);
}

static void ask_extensions(const struct probe *probe)
{
	static const struct {
		const char *name;
		int extension;
	} extensions[] = {
		{ "TYPE1_IOMMU", VFIO_TYPE1_IOMMU },
		{ "TYPE1v2", VFIO_TYPE1v2_IOMMU },
		{ "DMA_CC", VFIO_DMA_CC_IOMMU },
		{ "NESTING(6)", VFIO_TYPE1_NESTING_IOMMU },
		{ "NOIOMMU", VFIO_NOIOMMU_IOMMU },
		{ "UNMAP_ALL", UNMAP_ALL },
		{ "UPDATE_VADDR(10)", UPDATE_VADDR },
	};
	char action[64];

	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		snprintf(action, sizeof(action), "CHECK_EXTENSION %s before any group", extensions[i].name);
		report(action, "%s", answer(ioctl(probe->container, VFIO_CHECK_EXTENSION, extensions[i].extension)));
	}
}

static void report_status(const struct probe *probe, const char *action)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	ioctl(probe->group, VFIO_GROUP_GET_STATUS, &status);
	report(action, "0x%x", status.flags);
}

static void open_device(struct probe *probe)
{
	struct vfio_iommu_type1_dma_map early = { .argsz = sizeof(early), .flags = 3, .size = PAGE };
	int second;

	probe->container = open("/dev/vfio/vfio", O_RDWR);
	if (probe->container < 0) {
		perror("probe: /dev/vfio/vfio");
		exit(EXIT_FAILURE);
	}
	report("VFIO_GET_API_VERSION", "%s", answer(ioctl(probe->container, VFIO_GET_API_VERSION)));
	ask_extensions(probe);
	report("SET_IOMMU(TYPE1v2) with no group attached", "%s",
	       answer(ioctl(probe->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)));
	report("IOMMU MAP_DMA before SET_IOMMU", "%s", answer(ioctl(probe->container, VFIO_IOMMU_MAP_DMA, &early)));

	probe->group = open(probe->group_path, O_RDWR);
	report("open group", "%s", probe->group < 0 ? answer(probe->group) : probe->group_path);
	report("open the same group a second time", "%s", answer(open(probe->group_path, O_RDWR)));
	report_status(probe, "GROUP_GET_STATUS flags before SET_CONTAINER");
	report("GROUP_GET_DEVICE_FD before SET_CONTAINER", "%s",
	       answer(ioctl(probe->group, VFIO_GROUP_GET_DEVICE_FD, probe->bdf)));
	report("GROUP_SET_CONTAINER", "%s", answer(ioctl(probe->group, VFIO_GROUP_SET_CONTAINER, &probe->container)));
	report("GROUP_SET_CONTAINER again", "%s",
	       answer(ioctl(probe->group, VFIO_GROUP_SET_CONTAINER, &probe->container)));
	report("GROUP_GET_DEVICE_FD before SET_IOMMU", "%s",
	       answer(ioctl(probe->group, VFIO_GROUP_GET_DEVICE_FD, probe->bdf)));
	report("SET_IOMMU(99)", "%s", answer(ioctl(probe->container, VFIO_SET_IOMMU, 99)));
	report("SET_IOMMU", "%s",
	       answer(ioctl(probe->container, VFIO_SET_IOMMU, probe->noiommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU)));
	report_status(probe, "GROUP_GET_STATUS flags after");
	report("GROUP_GET_DEVICE_FD bad name", "%s",
	       answer(ioctl(probe->group, VFIO_GROUP_GET_DEVICE_FD, "0000:ff:1f.7")));
	probe->device = ioctl(probe->group, VFIO_GROUP_GET_DEVICE_FD, probe->bdf);
	report("GROUP_GET_DEVICE_FD", "%s", probe->device < 0 ? answer(probe->device) : "ok");
	if (probe->device < 0)
		exit(EXIT_FAILURE);
	second = ioctl(probe->group, VFIO_GROUP_GET_DEVICE_FD, probe->bdf);
	report("GROUP_GET_DEVICE_FD a second time for the same device", "%s",
	       second < 0 ? answer(second) : "ok (second fd)");
	if (second >= 0)
		close(second);
}

static void ask_region(struct probe *probe, uint32_t index, const char *word)
{
	struct {
		struct vfio_region_info info;
		uint8_t capabilities[224];
	} buffer = { .info = { .argsz = sizeof(buffer), .index = index } };
	const struct vfio_info_cap_header *header;
	char action[64], capabilities[128] = "";
	uint32_t at;

	snprintf(action, sizeof(action), "REGION_INFO %s", word);
	if (ioctl(probe->device, VFIO_DEVICE_GET_REGION_INFO, &buffer) != 0) {
		report(action, "%s", answer(-1));
		return;
	}
	for (at = buffer.info.flags & VFIO_REGION_INFO_FLAG_CAPS ? buffer.info.cap_offset : 0;
	     at != 0 && at + sizeof(*header) <= sizeof(buffer); at = header->next) {
		header = (void *)((char *)&buffer + at);
		snprintf(capabilities + strlen(capabilities), sizeof(capabilities) - strlen(capabilities), " cap%u",
			 header->id);
	}
	report(action, "size=0x%llx off=0x%llx flags=0x%x%s", buffer.info.size, buffer.info.offset, buffer.info.flags,
	       capabilities);
	if (index >= REGIONS)
		return;
	probe->regions[index] = (struct region){ buffer.info.size, buffer.info.offset, buffer.info.flags };
	if (probe->bar < 0 && buffer.info.flags & VFIO_REGION_INFO_FLAG_MMAP)
		probe->bar = (int)index;
}

static void ask_info(struct probe *probe)
{
	/* What all kernels have: the size before capabilities were added. */
	struct vfio_device_info info = { .argsz = 20 }, brief = { .argsz = 4 };
	static const char *const names[IRQS] = { "INTx", "MSI", "MSIX", "ERR", "REQ" };
	char word[32];

	ioctl(probe->device, VFIO_DEVICE_GET_INFO, &info);
	report("DEVICE_GET_INFO", "flags=0x%x regions=%u irqs=%u argsz=%u", info.flags, info.num_regions, info.num_irqs,
	       info.argsz);
	report("DEVICE_GET_INFO argsz=4", "%s", answer(ioctl(probe->device, VFIO_DEVICE_GET_INFO, &brief)));
	for (uint32_t index = 0; index < info.num_regions; index++) {
		snprintf(word, sizeof(word), "%u", index);
		ask_region(probe, index, word);
	}
	ask_region(probe, info.num_regions, "index=num_regions");
	probe->region_count = info.num_regions;
	for (uint32_t index = 0; index < IRQS; index++) {
		struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = index };

		snprintf(word, sizeof(word), "IRQ_INFO %s", names[index]);
		if (ioctl(probe->device, VFIO_DEVICE_GET_IRQ_INFO, &irq) != 0) {
			report(word, "%s", answer(-1));
			continue;
		}
		report(word, "count=%u flags=0x%x", irq.count, irq.flags);
		probe->irq_counts[index] = irq.count;
	}
}

void probe_open(struct probe *probe)
{
	char path[PATH_MAX];

	find_group(probe);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", probe->bdf);
	probe->physical = open(path, O_RDONLY);
	open_device(probe);
	ask_info(probe);
}
