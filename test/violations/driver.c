// SPDX-License-Identifier: Apache-2.0
/*
 * Drivers that each do something wrong, on a simulated drive where violations.test.ts names nothing else; what they do is
 * here for memory and interrupts, and in the files that drivers.h names. With examples/nvme/vfio.c:
 *
 *	violations NAME BDF
 *
 * What the kernel refuses is not looked at: that is the point.
 */
#include <errno.h>
#include <sys/wait.h>
#include <time.h>

#include "driver.h"
#include "drivers.h"

#ifndef VFIO_DEVICE_DETACH_IOMMUFD_PT
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)
#endif

struct vfio drive;
const char *bdf;

void clean(void)
{
	prepare();
	start();
	finish();
}

static void early_master(void)
{
	vfio_set_bus_master(&drive, true);
	prepare();
	finish();
}

static void never_master(void)
{
	stop();
	vfio_map_memory(&drive, MEMORY_BYTES);
	start_at(drive.iova);
	stop();
	vfio_unmap_memory(&drive);
}

static void own_address(void)
{
	prepare();
	start_at((uintptr_t)drive.memory);
	finish();
}

static void torn_queues(void)
{
	prepare();
	start();
	unmap(drive.iova, MEMORY_BYTES, 0);
	store(DOORBELL, 1);
	stop();
	vfio_set_bus_master(&drive, false);
}

static void late_stop(void)
{
	prepare();
	start();
	unmap(drive.iova, MEMORY_BYTES, 0);
	stop();
	vfio_set_bus_master(&drive, false);
}

static void mappings(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int used = drive.container;
	void *constant = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	prepare();
	drive.container = container;
	map(0x10000000, drive.memory, PAGE_BYTES, READ_WRITE); /* no IOMMU yet */
	drive.container = used;
	map(0x10000000, drive.memory, PAGE_BYTES / 2, READ_WRITE);
	map(0x10000000, drive.memory, PAGE_BYTES, 0);
	map(0xfee00000, drive.memory, PAGE_BYTES, READ_WRITE);
	map(0x20000000, constant, PAGE_BYTES, READ_WRITE);
	map(drive.iova + PAGE_BYTES, constant, PAGE_BYTES, VFIO_DMA_MAP_FLAG_READ);
	unmap(drive.iova, MEMORY_BYTES, READ_WRITE);
	unmap(drive.iova, PAGE_BYTES, 0);
	map(0x30000000, (void *)drive.bar, BAR_BYTES, READ_WRITE);
	unmap(0x30000000, BAR_BYTES, 0);
	finish();
	close(container);
}

static void freed(void)
{
	prepare();
	start();
	munmap(drive.memory, MEMORY_BYTES);
	stop();
	vfio_set_bus_master(&drive, false);
	unmap(drive.iova, MEMORY_BYTES, 0);
}

/* Memory whose kind the recorder saw: it takes the place of what was mapped for DMA before. */
static void forked(void)
{
	pid_t child;

	prepare();
	unmap(drive.iova, MEMORY_BYTES, 0);
	mmap(drive.memory, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	map(drive.iova, drive.memory, MEMORY_BYTES, READ_WRITE);
	child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	finish();
}

static void detached(void)
{
	prepare();
	start();
	ioctl(drive.device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &(struct { uint32_t argsz, flags; }){ .argsz = 8 });
	stop();
	vfio_set_bus_master(&drive, false);
}

static void requests(void)
{
	int fds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };
	int same[2] = { fds[0], fds[0] };
	int wrong[2] = { fds[0], 1000 };
	int msi = fds[1];

	set_irqs(TRIGGER_FDS, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, &msi);
	set_irqs(TRIGGER_NONE, VFIO_PCI_REQ_IRQ_INDEX, 0, 0, NULL);
	ask_for_irqs();
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 5000, 1, fds);
	set_irqs(TRIGGER_FDS | VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, fds);
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, wrong);
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, same);
	set_irqs(TRIGGER_FDS, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &msi);
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, NULL);
	set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, NULL);
	set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 2, NULL);
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 2, 1, &msi); /* grows */
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL);
	close(fds[0]);
	close(fds[1]);
}

static void unread(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	ask_for_irqs();
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &fd);
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, NULL);
	for (int n = 0; n < 3000; n++)
		poll(&wait, 1, 10000);
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL);
	close(fd);
}

static void closed_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	ask_for_irqs();
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &fd);
	close(fd);
	for (int n = 0; n < 300; n++)
		load(CSTS);
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL);
}

static void bare_line(void)
{
	write_command(0x0400, 0);
	write_command(0, 0x0400);
	usleep(30000);
}

/* edu: a store to 0x60 raises the interrupt, one to 0x64 takes it back. */
static void intx(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	ask_for_irqs();
	set_irqs(TRIGGER_FDS, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &fd);
	store(0x60, 1);
	check(poll(&wait, 1, 30000) == 1 && read(fd, &count, sizeof(count)) == sizeof(count), "get an interrupt");
	store(0x64, 1);
	store(0x60, 2); /* and waits in vain */
	poll(&wait, 1, 1500);
	set_irqs(TRIGGER_NONE, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, NULL);
	close(fd);
}

static void vectors(void)
{
	unsigned int msix = capability(0x11);
	uint16_t control = 0;
	uint32_t entry = 0;

	vfio_read_config(&drive, msix + 2, &control, sizeof(control));
	control |= 0x8000;
	write_config(msix + 2, &control, sizeof(control));
	store(0x2000, 0xfee00000);
	store(0x3000, 0);
	check(pread(drive.device, &entry, sizeof(entry), 0x2004) == sizeof(entry), "read the table");
}

static void identity(void)
{
	uint32_t bar = 0xe0000000;
	uint16_t vendor = 0x8086;
	uint16_t command = 0x0004;

	write_config(0x10, &bar, sizeof(bar));
	write_config(0x00, &vendor, sizeof(vendor));
	usleep(1100000); /* what was read of Command is long ago */
	write_config(0x04, &command, sizeof(command));
	write_command(0x0002, 0x0004);
}

static void registers(void)
{
	/* Half of one register, and half of the next. */
	(void)*(volatile uint32_t *)(drive.bar + CSTS + 2);
	check(pread(drive.device, &(uint32_t){ 0 }, 3, CSTS) == 3, "read three bytes");
}

static void reset_at_work(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	ask_for_irqs();
	prepare();
	start();
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &fd);
	load(CSTS);
	ioctl(drive.device, VFIO_DEVICE_RESET);
	store(DOORBELL, 1);
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL);
	close(fd);
	finish();
}

static void just_leaves(void)
{
	prepare();
	start();
	_exit(0);
}

static void no_cleanup(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	ask_for_irqs();
	prepare();
	start();
	stop();
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &fd);
	ioctl(drive.group, VFIO_GROUP_UNSET_CONTAINER);
	close(drive.device);
	ioctl(drive.group, VFIO_GROUP_UNSET_CONTAINER); /* the mapping of the BAR keeps the device */
}

static const struct {
	const char *name;
	void (*run)(void);
	enum vfio_dialect dialect;
	size_t bar_bytes; /* 0: it opens the device itself */
} drivers[] = {
	{ "clean", clean, VFIO_GROUP, BAR_BYTES },
	{ "early-master", early_master, VFIO_GROUP, BAR_BYTES },
	{ "never-master", never_master, VFIO_GROUP, BAR_BYTES },
	{ "own-address", own_address, VFIO_GROUP, BAR_BYTES },
	{ "torn-queues", torn_queues, VFIO_GROUP, BAR_BYTES },
	{ "late-stop", late_stop, VFIO_GROUP, BAR_BYTES },
	{ "mappings", mappings, VFIO_GROUP, BAR_BYTES },
	{ "freed", freed, VFIO_GROUP, BAR_BYTES },
	{ "forked", forked, VFIO_GROUP, BAR_BYTES },
	{ "detached", detached, VFIO_CDEV, BAR_BYTES },
	{ "requests", requests, VFIO_GROUP, BAR_BYTES },
	{ "unread", unread, VFIO_GROUP, BAR_BYTES },
	{ "closed-eventfd", closed_eventfd, VFIO_GROUP, BAR_BYTES },
	{ "bare-line", bare_line, VFIO_GROUP, BAR_BYTES },
	{ "intx", intx, VFIO_GROUP, BAR_BYTES },
	{ "vectors", vectors, VFIO_GROUP, WHOLE_BAR },
	{ "identity", identity, VFIO_GROUP, BAR_BYTES },
	{ "registers", registers, VFIO_GROUP, BAR_BYTES },
	{ "reset-at-work", reset_at_work, VFIO_GROUP, BAR_BYTES },
	{ "just-leaves", just_leaves, VFIO_GROUP, BAR_BYTES },
	{ "no-cleanup", no_cleanup, VFIO_GROUP, BAR_BYTES },
	{ "config-space", config_space, VFIO_GROUP, BAR_BYTES },
	{ "regions", regions, VFIO_GROUP, BAR_BYTES },
	{ "asleep", asleep, VFIO_GROUP, BAR_BYTES },
	{ "not-reset", not_reset, VFIO_GROUP, BAR_BYTES },
	{ "card", card, VFIO_GROUP, 0x20000 },
	{ "busy", busy, VFIO_GROUP, BAR_BYTES },
	{ "storm", storm, VFIO_GROUP, BAR_BYTES },
	{ "locked", locked, VFIO_GROUP, BAR_BYTES },
	{ "neighbours", neighbours, VFIO_GROUP, BAR_BYTES },
	{ "disorder", disorder, VFIO_GROUP, 0 },
	{ "no-iommu", no_iommu, VFIO_GROUP, 0 },
	{ "no-domain", no_domain, VFIO_GROUP, 0 },
	{ "clean-2010", clean, VFIO_LYON2010, BAR_BYTES },
	{ "orderly", orderly, VFIO_GROUP, BAR_BYTES },
	{ "orderly-line", orderly_line, VFIO_GROUP, BAR_BYTES },
	{ "orderly-card", orderly_card, VFIO_GROUP, PAGE_BYTES },
	{ "orderly-node", orderly_node, VFIO_CDEV, BAR_BYTES },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		if (strcmp(argv[1], drivers[i].name) != 0)
			continue;
		bdf = argv[2];
		if (drivers[i].bar_bytes == 0) {
			drivers[i].run();
			return 0;
		}
		vfio_open(&drive, bdf, drivers[i].dialect);
		vfio_map_bar(&drive, drivers[i].bar_bytes);
		drivers[i].run();
		vfio_close(&drive);
		return 0;
	}
	fprintf(stderr, "usage: violations NAME DDDD:BB:DD.F\n");
	return 2;
}
