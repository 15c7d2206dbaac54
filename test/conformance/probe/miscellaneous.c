// SPDX-License-Identifier: Apache-2.0
/* Ioeventfds, resets, features, and ioctls on the wrong kind of file. */
#include "probe.h"

#include <stdio.h>
#include <sys/ioctl.h>

#define FEATURE_MIGRATION 1
#define FEATURE_LOW_POWER_ENTRY 3

static const char *ioeventfd(const struct probe *probe, int fd)
{
	struct vfio_device_ioeventfd argument = {
		.argsz = sizeof(argument),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = probe->regions[probe->bar].offset + 0x20,
		.data = 1,
		.fd = fd,
	};

	return answer(ioctl(probe->device, VFIO_DEVICE_IOEVENTFD, &argument));
}

static const char *probe_feature(const struct probe *probe, uint32_t feature)
{
	struct vfio_device_feature argument = {
		.argsz = sizeof(argument), .flags = VFIO_DEVICE_FEATURE_PROBE | feature
	};

	return answer(ioctl(probe->device, VFIO_DEVICE_FEATURE, &argument));
}

void probe_miscellaneous(const struct probe *probe)
{
	union {
		struct vfio_pci_hot_reset_info info;
		uint8_t bytes[sizeof(struct vfio_pci_hot_reset_info) + 32 * sizeof(struct vfio_pci_dependent_device)];
	} hot = { .info = { .argsz = sizeof(hot) } };
	const char *got;

	report("DEVICE_IOEVENTFD BAR+0x20 32-bit", "%s", ioeventfd(probe, new_eventfd()));
	report("DEVICE_IOEVENTFD remove", "%s", ioeventfd(probe, -1));
	got = answer(ioctl(probe->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &hot));
	report("GET_PCI_HOT_RESET_INFO", "%s count=%u", got, hot.info.count);
	report("DEVICE_FEATURE probe MIGRATION", "%s", probe_feature(probe, FEATURE_MIGRATION));
	report("DEVICE_FEATURE probe LOW_POWER_ENTRY", "%s", probe_feature(probe, FEATURE_LOW_POWER_ENTRY));
	report("VFIO_DEVICE_RESET", "%s", answer(ioctl(probe->device, VFIO_DEVICE_RESET)));
	report("COMMAND after reset", "0x%04x", config_read(probe, 4, 2));
	report("unknown ioctl ';' 200 on device", "%s", answer(ioctl(probe->device, _IO(';', 200))));
	report("VFIO_GET_API_VERSION on device fd", "%s", answer(ioctl(probe->device, VFIO_GET_API_VERSION)));
	report("VFIO_DEVICE_GET_INFO on container", "%s", answer(ioctl(probe->container, VFIO_DEVICE_GET_INFO, NULL)));
}
