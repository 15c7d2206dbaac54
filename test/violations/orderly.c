// SPDX-License-Identifier: Apache-2.0
/* Drivers that nearly do something wrong, and do it right. */
#include "driver.h"
#include "drivers.h"

#ifndef VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY 3
#endif
#define LOW_POWER_EXIT 5
#ifndef VFIO_DEVICE_DETACH_IOMMUFD_PT
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)
#endif

#define PM 0x01
#define MSI 0x05
#define MSIX 0x11
#define IVAR 0xe4

static void set_feature(uint32_t which)
{
	struct vfio_device_feature feature = { .argsz = sizeof(feature), .flags = VFIO_DEVICE_FEATURE_SET | which };

	ioctl(drive.device, VFIO_DEVICE_FEATURE, &feature);
}

static void sleep_and_wake(void)
{
	unsigned int pmcsr = capability(PM) + 4;
	uint16_t power = 0;

	vfio_read_config(&drive, pmcsr, &power, sizeof(power));
	power |= 3;
	write_config(pmcsr, &power, sizeof(power));
	power &= 0xfffc;
	write_config(pmcsr, &power, sizeof(power));
	usleep(10000);
	load(CSTS);
	set_feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
	set_feature(LOW_POWER_EXIT);
	load(CSTS);
}

void orderly(void)
{
	struct vfio_device_ioeventfd request = { .argsz = sizeof(request), .flags = 4, .offset = DOORBELL };
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t count = 0;

	vfio_read_config(&drive, capability(MSIX) + 4, &(uint32_t){ 0 }, 4);
	sleep_and_wake();
	request.fd = fd;
	ioctl(drive.device, VFIO_DEVICE_IOEVENTFD, &request);
	request.fd = -1;
	ioctl(drive.device, VFIO_DEVICE_IOEVENTFD, &request);
	prepare();
	start();
	ask_for_irqs();
	set_irqs(TRIGGER_FDS, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &fd);
	set_irqs(TRIGGER_NONE, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, NULL);
	check(read(fd, &count, sizeof(count)) == sizeof(count), "hear that the device is asked for");
	stop();
	vfio_set_bus_master(&drive, false);
	unmap(0, 0, VFIO_DMA_UNMAP_FLAG_ALL);
	munmap(drive.memory, MEMORY_BYTES);
	munmap((void *)drive.bar, BAR_BYTES);
	set_irqs(TRIGGER_NONE, VFIO_PCI_REQ_IRQ_INDEX, 0, 0, NULL);
	close(drive.device);
	close(fd);
	drive.device = ioctl(drive.group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	ioctl(drive.device, VFIO_DEVICE_GET_INFO, &info);
	vfio_map_bar(&drive, BAR_BYTES);
	clean();
}

void orderly_line(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t count = 0;

	capability(MSI);
	write_command(0x0002, 0);
	ask_for_irqs();
	set_irqs(TRIGGER_FDS, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &fd);
	for (uint32_t n = 1; n < 5; n++) {
		store(0x60, n);
		check(read(fd, &count, sizeof(count)) == sizeof(count), "get an interrupt");
		store(0x64, n);
		set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL);
	}
	set_irqs(TRIGGER_NONE, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, NULL);
	close(fd);
}

/* On Linux 6.1, where vectors can't be added later. */
void orderly_card(void)
{
	int fds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };

	ask_for_irqs();
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, fds);
	store(IVAR, 0x00000009); /* RxQ0: vector 1 */
	load(IVAR);
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL);
	close(fds[0]);
	close(fds[1]);
}

void orderly_node(void)
{
	prepare();
	start();
	stop();
	vfio_set_bus_master(&drive, false);
	ioctl(drive.device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &(struct { uint32_t argsz, flags; }){ .argsz = 8 });
	vfio_unmap_memory(&drive);
}
