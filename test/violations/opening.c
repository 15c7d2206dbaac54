// SPDX-License-Identifier: Apache-2.0
/* Mistakes at opening and closing, and with more than one device. */
#include <dirent.h>
#include <limits.h>
#include <sys/wait.h>
#include <time.h>

#include "driver.h"
#include "drivers.h"

#define REGION(index) ((off_t)(index) << 40) /* where vfio-pci has it, which is no part of the interface */

#define COMMAND_2010 (((off_t)0xf << 32) + 4) /* abi/lyon2010/vfio2010.h: VFIO_PCI_CONFIG_OFF */

/* Opened without O_CLOEXEC. */
static int open_group(const char *of, const char *prefix)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", of);
	length = readlink(path, target, sizeof(target) - 1);
	check(length > 0, "find the device's IOMMU group");
	target[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s%s", prefix, strrchr(target, '/') + 1);
	return open(path, O_RDWR);
}

static void map_badly(void)
{
	struct vfio_region_info small = { .argsz = 8 };
	void *executable;
	void *nothing;

	ioctl(drive.device, VFIO_DEVICE_GET_REGION_INFO, &small);
	drive.bar = mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, drive.device, REGION(0));
	check(drive.bar != MAP_FAILED, "map BAR 0");
	executable = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, drive.device, REGION(0));
	if (executable != MAP_FAILED)
		munmap(executable, PAGE_BYTES);
	small = (struct vfio_region_info){ .argsz = sizeof(small), .index = VFIO_PCI_BAR2_REGION_INDEX };
	ioctl(drive.device, VFIO_DEVICE_GET_REGION_INFO, &small);
	nothing = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, drive.device, REGION(2));
	if (nothing != MAP_FAILED)
		munmap(nothing, PAGE_BYTES);
	load(CSTS);
	munmap((void *)drive.bar, BAR_BYTES);
}

/* Each time an eventfd more is left, and the second time the doorbell is rung first. */
static void open_again_and_again(void)
{
	for (int n = 0; n < 4; n++) {
		eventfd(0, EFD_CLOEXEC);
		drive.device = ioctl(drive.group, VFIO_GROUP_GET_DEVICE_FD, bdf);
		vfio_map_bar(&drive, BAR_BYTES);
		store(DOORBELL, 0);
		munmap((void *)drive.bar, BAR_BYTES);
		close(drive.device);
	}
}

static void fail_again_and_again(void)
{
	int used = drive.container;
	void *memory = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int n = 0; n < 4; n++) {
		drive.container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
		map(0x100000, memory, PAGE_BYTES, READ_WRITE);
	}
	drive.container = used;
}

void disorder(void)
{
	int node = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
	pid_t child;

	if (pread(node, &(uint32_t){ 0 }, 4, REGION(7)) >= 0)
		fprintf(stderr, "read a device that is bound to nothing\n");
	ioctl(node, VFIO_DEVICE_GET_INFO, &(struct vfio_device_info){ .argsz = sizeof(struct vfio_device_info) });
	close(node);
	drive.group = open_group(bdf, "");
	ioctl(drive.group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	drive.container = open("/dev/vfio/vfio", O_RDWR);
	ioctl(drive.group, VFIO_GROUP_SET_CONTAINER, &drive.container);
	check(ioctl(drive.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "set the container's IOMMU");
	drive.device = ioctl(drive.group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	child = fork();
	if (child == 0) {
		ioctl(drive.container, VFIO_GET_API_VERSION);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	map_badly();
	close(drive.device);
	open_again_and_again();
	fail_again_and_again();
	execlp("true", "true", (char *)NULL);
}

void no_iommu(void)
{
	int group = open_group(bdf, "noiommu-");

	check(group >= 0, "open the group");
	close(group);
}

/* The VFIO of 2010: a write before VFIO_DOMAIN_SET. */
void no_domain(void)
{
	uint16_t command = 6;
	int device = open("/dev/vfio0", O_RDWR | O_CLOEXEC);

	check(device >= 0, "open the device");
	if (pwrite(device, &command, sizeof(command), COMMAND_2010) >= 0)
		fprintf(stderr, "wrote without a domain\n");
	close(device);
}

static void wait_until(const struct timespec *begin, long milliseconds)
{
	struct timespec now;

	do {
		usleep(50000);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000 < milliseconds);
}

/*
 * Two drives in one container. Of this one VFIO tells an error, and wants it back; nobody asks for the other one for ten seconds,
 * which crumbs() has use for.
 */
void neighbours(void)
{
	const char *second = "0000:00:05.0";
	struct vfio here = drive;
	int group = open_group(second, "");
	int fds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };
	uint64_t count = 0;
	struct timespec begin;
	struct vfio there;
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct vfio_device_info info = { .argsz = sizeof(info) };

	check(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0, "read the group's status");
	check(ioctl(group, VFIO_GROUP_SET_CONTAINER, &drive.container) == 0, "share the container");
	prepare();
	start();
	here = drive;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	drive.device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, second);
	check(drive.device >= 0, "get the other device");
	ioctl(drive.device, VFIO_DEVICE_GET_INFO, &info);
	vfio_map_bar(&drive, BAR_BYTES);
	stop();
	vfio_set_bus_master(&drive, true);
	start();
	/* Its capabilities are read, so that it is known for a PCI Express device. */
	capability(0x10);
	there = drive;
	drive = here;
	ask_for_irqs();
	set_irqs(TRIGGER_FDS, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, &fds[0]);
	set_irqs(TRIGGER_FDS, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &fds[1]);
	set_irqs(TRIGGER_NONE, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, NULL);
	set_irqs(TRIGGER_NONE, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, NULL);
	for (int n = 0; n < 2; n++)
		check(read(fds[n], &count, sizeof(count)) == sizeof(count), "read the eventfd");
	crumbs();
	wait_until(&begin, 5300);
	load(CSTS);
	unmap(0, 0, VFIO_DMA_UNMAP_FLAG_ALL);
	stop();
	vfio_set_bus_master(&drive, false);
	drive = there;
	wait_until(&begin, 10300);
	stop();
	vfio_set_bus_master(&drive, false);
	munmap((void *)drive.bar, BAR_BYTES);
	close(drive.device);
	close(group);
	drive = here;
}
