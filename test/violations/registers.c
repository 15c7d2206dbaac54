// SPDX-License-Identifier: Apache-2.0
/* Mistakes with configuration space, BARs, resets and power. */
#include <setjmp.h>
#include <signal.h>

#include "driver.h"
#include "drivers.h"

#ifndef VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY 3
#endif

#define STATUS 0x06
#define INTERRUPT_LINE 0x3c
#define PM 0x01
#define EXPRESS 0x10
#define MSI 0x05

static sigjmp_buf away;

static void leave(int number)
{
	siglongjmp(away, number);
}

/* A load that may be a SIGBUS. */
static void try_load(unsigned int offset)
{
	struct sigaction handler = { .sa_handler = leave };
	struct sigaction before;

	sigaction(SIGBUS, &handler, &before);
	if (sigsetjmp(away, 1) == 0)
		load(offset);
	sigaction(SIGBUS, &before, NULL);
}

static uint64_t region_offset(uint32_t index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	ioctl(drive.device, VFIO_DEVICE_GET_REGION_INFO, &info);
	return info.offset;
}

void config_space(void)
{
	uint16_t control = 0;
	uint16_t status = 0;
	uint8_t line = 5;
	uint8_t raw = 1;
	char text[3];
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	close(open(path, O_RDWR | O_CLOEXEC));
	/* Where the Express capability is in this drive, and not where it says that it is. */
	vfio_read_config(&drive, 0x88, &control, sizeof(control));
	control |= 0x8000;
	write_config(0x88, &control, sizeof(control));
	vfio_read_config(&drive, STATUS, &status, sizeof(status));
	status ^= 0x0010;
	write_config(STATUS, &status, sizeof(status));
	vfio_read_config(&drive, INTERRUPT_LINE, &(uint8_t){ 0 }, 1);
	write_config(INTERRUPT_LINE, &line, 1);
	capability(0);
	write_config(0xf0, &raw, 1);
	vfio_read_config(&drive, 1, text, 3);
	vfio_read_config(&drive, 0x1000, text, 1);
	write_command(0, 0x0002);
	if (pread(drive.device, &(uint32_t){ 0 }, 4, (off_t)region_offset(0)) >= 0)
		fprintf(stderr, "read a BAR without memory decoding\n");
	try_load(CSTS);
	write_command(0x0002, 0);
}

typedef uint32_t four __attribute__((vector_size(16)));

void regions(void)
{
	struct vfio_device_ioeventfd request = { .argsz = sizeof(request), .flags = 4, .offset = 0x2000, .data = 1 };

	capability(0x11); /* so that the place of the table is known */
	vfio_read_config(&drive, 0x44, &(uint32_t){ 0 }, 4);
	request.fd = eventfd(0, EFD_CLOEXEC);
	ioctl(drive.device, VFIO_DEVICE_IOEVENTFD, &request);
	close(request.fd);
	(void)*(volatile four *)drive.bar;
	if (pread(drive.device, &(uint32_t){ 0 }, 4, (off_t)region_offset(VFIO_PCI_BAR5_REGION_INDEX)) >= 0)
		fprintf(stderr, "read a region without a size\n");
	store(CC, DISABLED);
}

void asleep(void)
{
	char room[sizeof(struct vfio_device_feature) + 8] __attribute__((aligned(8))) = { 0 };
	struct vfio_device_feature *feature = (struct vfio_device_feature *)room;
	unsigned int pmcsr = capability(PM) + 4;
	uint16_t power = 0;
	volatile uint8_t *bar = drive.bar;

	vfio_read_config(&drive, pmcsr, &power, sizeof(power));
	power |= 3;
	write_config(pmcsr, &power, sizeof(power));
	try_load(CSTS);
	power &= 0xfffc;
	write_config(pmcsr, &power, sizeof(power));
	feature->argsz = sizeof(*feature);
	feature->flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY;
	ioctl(drive.device, VFIO_DEVICE_FEATURE, feature);
	try_load(CSTS);
	munmap((void *)bar, drive.bar_bytes);
	(void)bar[CSTS];
}

/* edu, which nothing can reset. */
void not_reset(void)
{
	struct vfio_pci_hot_reset hot = { .argsz = sizeof(hot) };
	int fd = eventfd(0, EFD_CLOEXEC);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;
	unsigned int msi = capability(MSI);
	uint16_t control = 0;

	ask_for_irqs();
	vfio_read_config(&drive, msi + 2, &control, sizeof(control));
	control ^= 0x0001;
	write_config(msi + 2, &control, sizeof(control));
	ioctl(drive.device, VFIO_DEVICE_PCI_HOT_RESET, &hot);
	ioctl(drive.device, VFIO_DEVICE_RESET);
	vfio_map_memory(&drive, MEMORY_BYTES);
	vfio_set_bus_master(&drive, true);
	set_irqs(TRIGGER_FDS, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &fd);
	store(0x60, 1);
	for (int n = 0; n < 300 && poll(&wait, 1, 30000) == 1; n++) {
		check(read(fd, &count, sizeof(count)) == sizeof(count), "read the eventfd");
		set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL);
	}
	store(0x64, 1);
	set_irqs(TRIGGER_NONE, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, NULL);
	close(fd);
	vfio_unmap_memory(&drive);
}

#define IVAR 0xe4
#define STATUS_REGISTER 0x08
#define EJECT 0x1f000 /* card.json: the card is gone when something is stored there */

/* A network card whose MSI-X table shares a page with a register. */
void card(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	unsigned int msix = capability(0x11);
	uint32_t place = 0;
	volatile uint8_t *small;

	for (unsigned int at = msix; at < msix + 12; at += 4)
		vfio_read_config(&drive, at, &place, 4);
	ask_for_irqs();
	load(0x10100);
	small = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, drive.device, (off_t)region_offset(1));
	if (small != MAP_FAILED) {
		(void)*(volatile uint32_t *)(small + 0x200);
		munmap((void *)small, PAGE_BYTES);
	}
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &fd);
	store(IVAR, 0x0000000b); /* RxQ0: vector 3 */
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL);
	set_irqs(TRIGGER_FDS, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &fd);
	ioctl(drive.device, VFIO_DEVICE_RESET);
	store(EJECT, 1);
	for (unsigned int at = 0; at < 3; at++)
		load(STATUS_REGISTER + 4 * at);
	store(0, 0);
	for (int n = 0; n < 60; n++) {
		load(STATUS_REGISTER + 4u * (unsigned int)(n % 3));
		usleep(20000);
	}
	close(fd);
}
