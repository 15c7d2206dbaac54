// SPDX-License-Identifier: Apache-2.0
/* What works, and costs too much; and limits that are reached. */
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "driver.h"
#include "drivers.h"

static void ask_again(void)
{
	for (int n = 0; n < 10; n++) {
		struct vfio_device_info info = { .argsz = sizeof(info) };

		ioctl(drive.device, VFIO_DEVICE_GET_INFO, &info);
	}
	ioctl(drive.device, VFIO_DEVICE_RESET);
	ioctl(drive.device, VFIO_DEVICE_RESET);
}

/*
 * The rules count by the second. More than twice what they ask for, so that half of it is enough; again where this machine was
 * too slow for it.
 */
static void hurry(void (*once)(void), int times)
{
	struct timespec begin, end;

	for (int n = 0; n < 20; n++) {
		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (int i = 0; i < times; i++)
			once();
		clock_gettime(CLOCK_MONOTONIC, &end);
		if ((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 < 900)
			return;
	}
}

static void map_and_unmap(void)
{
	map(0x20000000, drive.memory, PAGE_BYTES, READ_WRITE);
	unmap(0x20000000, PAGE_BYTES, 0);
}

static void read_by_call(void)
{
	check(pread(drive.device, &(uint32_t){ 0 }, 4, CSTS) == 4, "read CSTS");
}

static void load_half(void)
{
	(void)*(volatile uint16_t *)(drive.bar + CSTS);
}

static void ring_and_look(void)
{
	store(DOORBELL, 0);
	load(CSTS);
}

static void unmask(void)
{
	set_irqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL);
}

void busy(void)
{
	uint8_t *pages = mmap(NULL, 20 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ask_again();
	prepare();
	for (uint64_t n = 0; n < 20; n++)
		map(0x10000000 + n * PAGE_BYTES, pages + n * PAGE_BYTES, PAGE_BYTES, READ_WRITE);
	unmap(0x10000000, 20 * PAGE_BYTES, 0);
	hurry(map_and_unmap, 250);
	start();
	hurry(read_by_call, 250);
	hurry(load_half, 250);
	hurry(ring_and_look, 2200);
	finish();
}

/* The interrupts are counted when the eventfd is read: there is no hurry. */
void storm(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t count = 0;

	ask_for_irqs();
	prepare();
	start();
	store(DOORBELL, 0);
	set_irqs(TRIGGER_FDS, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &fd);
	hurry(unmask, 2200);
	set_irqs(TRIGGER_NONE, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, NULL);
	set_irqs(TRIGGER_FDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &fd);
	for (int n = 0; n < 10100; n++)
		set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, NULL);
	check(read(fd, &count, sizeof(count)) == sizeof(count), "read the eventfd");
	set_irqs(TRIGGER_NONE, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL);
	close(fd);
	finish();
}

/* More than half of the mappings that a container may hold, each of the same page. */
void crumbs(void)
{
	for (uint64_t n = 0; n < 33000; n++)
		map((1ull << 32) + n * PAGE_BYTES, drive.memory, PAGE_BYTES, READ_WRITE);
}

/* Who may lock any memory has no limit. */
static void give_up_ipc_lock(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];

	check(syscall(SYS_capget, &header, sets) == 0, "read the capabilities");
	sets[0].effective &= ~(1u << CAP_IPC_LOCK);
	check(syscall(SYS_capset, &header, sets) == 0, "give up CAP_IPC_LOCK");
}

void locked(void)
{
	const size_t bytes = 1u << 20;
	const struct rlimit limit = { .rlim_cur = bytes / 2, .rlim_max = bytes / 2 };
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	give_up_ipc_lock();
	setrlimit(RLIMIT_MEMLOCK, &limit);
	prepare();
	map(0x40000000, memory, bytes, READ_WRITE);
	start_at(0x40000000);
	finish();
}
