// SPDX-License-Identifier: Apache-2.0
/*
 * A driver of 2010 for QEMU's edu device: INTx ended in each of the three ways, MSI, DMA, and memory that is unmapped beneath
 * its DMA mapping. Says what it saw; `lyon2010 --june` asks for what only the posting of June 2010 had, --memory
 * what becomes of DMA mappings when something happens to the memory.
 *
 *	lyon2010 [--june | --memory] DDDD:BB:DD.F
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../abi/lyon2010/vfio2010.h"

#define PAGE 4096u
#define IOVA 0x100000u
#define EDU_FACTORIAL 0x08
#define EDU_STATUS 0x20
#define EDU_INTERRUPT_STATUS 0x24
#define EDU_ACKNOWLEDGE 0x64
#define EDU_DMA 0x80
#define EDU_BUFFER 0x40000u
#define PCI_COMMAND 4
#define PCI_COMMAND_MASTER 4u
#define WAIT_MS 60000
#define SILENCE_MS 200

static int device;
static volatile uint8_t *bar;
static const char *bdf;

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "lyon2010: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t load(unsigned int at)
{
	return *(volatile uint32_t *)(bar + at);
}

static void store(unsigned int at, uint32_t value)
{
	*(volatile uint32_t *)(bar + at) = value;
}

static void store64(unsigned int at, uint64_t value)
{
	*(volatile uint64_t *)(bar + at) = value;
}

static uint16_t command(void)
{
	uint16_t value;

	check(pread(device, &value, 2, (off_t)(VFIO_PCI_CONFIG_OFF + PCI_COMMAND)) == 2, "read Command");
	return value;
}

static void set_command(uint16_t value)
{
	check(pwrite(device, &value, 2, (off_t)(VFIO_PCI_CONFIG_OFF + PCI_COMMAND)) == 2, "write Command");
}

/* 1 when the eventfd was signalled. */
static int interrupted(int eventfd, int timeout)
{
	struct pollfd ready = { .fd = eventfd, .events = POLLIN };
	uint64_t count;

	if (poll(&ready, 1, timeout) != 1)
		return 0;
	check(read(eventfd, &count, sizeof(count)) == sizeof(count), "read the eventfd");
	store(EDU_ACKNOWLEDGE, load(EDU_INTERRUPT_STATUS));
	return 1;
}

static int factorial(int eventfd, int timeout)
{
	store(EDU_STATUS, 0x80);
	store(EDU_FACTORIAL, 5);
	return interrupted(eventfd, timeout);
}

static void line(void)
{
	int eventfd_of_line = eventfd(0, EFD_CLOEXEC), end = eventfd(0, EFD_CLOEXEC);
	uint64_t one = 1;

	check(ioctl(device, VFIO_EVENTFD_IRQ, &eventfd_of_line) == 0, "set INTx up");
	printf("INTx: %d\n", factorial(eventfd_of_line, WAIT_MS));
	printf("INTx before it is ended: %d\n", factorial(eventfd_of_line, SILENCE_MS));
	store(EDU_ACKNOWLEDGE, load(EDU_INTERRUPT_STATUS));
	set_command(command());
	printf("INTx after Command was written: %d\n", factorial(eventfd_of_line, WAIT_MS));
	check(ioctl(device, VFIO_IRQ_EOI) == 0, "end the interrupt");
	printf("INTx after VFIO_IRQ_EOI: %d\n", factorial(eventfd_of_line, WAIT_MS));
	check(ioctl(device, VFIO_IRQ_EOI_EVENTFD, &end) == 0, "end interrupts by an eventfd");
	check(write(end, &one, sizeof(one)) == sizeof(one), "write the eventfd");
	/* It is heard of a little later. */
	usleep(100000);
	printf("INTx after the eventfd: %d\n", factorial(eventfd_of_line, WAIT_MS));
	eventfd_of_line = -1;
	check(ioctl(device, VFIO_EVENTFD_IRQ, &eventfd_of_line) == 0, "give INTx back");
}

static void copy(int eventfd, uint64_t from, uint64_t to, uint32_t direction)
{
	store64(EDU_DMA, from);
	store64(EDU_DMA + 8, to);
	store64(EDU_DMA + 16, PAGE / 2);
	store64(EDU_DMA + 24, 1 | 4 | direction);
	check(interrupted(eventfd, WAIT_MS), "see the interrupt of a copy");
}

static long locked_pages(void)
{
	char path[128];
	long pages = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/vfio/vfio0/locked_pages");
	file = fopen(path, "r");
	check(file != NULL && fscanf(file, "%ld", &pages) == 1, "read locked_pages");
	fclose(file);
	return pages;
}

static void memory(int eventfd)
{
	uint8_t *bytes = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_dma_map map = {
		.vaddr = (uintptr_t)bytes, .dmaaddr = IOVA, .size = 2 * PAGE, .flags = VFIO_FLAG_WRITE
	};

	check(bytes != MAP_FAILED, "allocate memory");
	check(ioctl(device, VFIO_DMA_MAP_IOVA, &map) == 0, "map memory for DMA");
	printf("locked pages: %ld\n", locked_pages());
	for (unsigned int i = 0; i < PAGE / 2; i++)
		bytes[i] = (uint8_t)(i * 7 + 3);
	copy(eventfd, IOVA, EDU_BUFFER, 0);
	copy(eventfd, EDU_BUFFER, IOVA + PAGE, 2);
	printf("DMA there and back: %d\n", memcmp(bytes, bytes + PAGE, PAGE / 2) == 0);
	munmap(bytes + PAGE, PAGE);
	printf("locked pages when half of it is unmapped: %ld\n", locked_pages());
	printf("unmap what went by itself: %s\n", ioctl(device, VFIO_DMA_UNMAP, &map) ? strerror(errno) : "done");
	munmap(bytes, PAGE);
}

/* Maps two pages for DMA, lets something happen to them, and says whether the mapping is still there. */
static void kept(const char *what, int flags, void (*happens)(uint8_t *bytes))
{
	uint8_t *bytes = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	struct vfio_dma_map map = {
		.vaddr = (uintptr_t)bytes, .dmaaddr = IOVA, .size = 2 * PAGE, .flags = VFIO_FLAG_WRITE
	};

	check(bytes != MAP_FAILED, "allocate memory");
	bytes[0] = bytes[PAGE] = 1;
	check(ioctl(device, VFIO_DMA_MAP_IOVA, &map) == 0, "map memory for DMA");
	happens(bytes);
	printf("%s: %s\n", what, ioctl(device, VFIO_DMA_UNMAP, &map) ? strerror(errno) : "kept");
	munmap(bytes, 2 * PAGE);
}

static void forks(uint8_t *bytes)
{
	pid_t child = fork();

	(void)bytes;
	if (child == 0)
		_exit(0);
	check(waitpid(child, NULL, 0) == child, "fork");
}

static void forks_without(uint8_t *bytes)
{
	check(madvise(bytes, 2 * PAGE, MADV_DONTFORK) == 0, "keep memory from a child");
	forks(bytes);
}

static void runs_a_command(uint8_t *bytes)
{
	(void)bytes;
	check(system("true") == 0, "run a command");
}

static void protects(uint8_t *bytes)
{
	check(mprotect(bytes + PAGE, PAGE, PROT_READ) == 0, "protect memory");
}

static void protects_as_it_is(uint8_t *bytes)
{
	check(mprotect(bytes, PAGE, PROT_READ | PROT_WRITE) == 0, "protect memory");
}

static void gives_back(uint8_t *bytes)
{
	check(madvise(bytes, PAGE, MADV_DONTNEED) == 0, "give pages back");
}

static void advises(uint8_t *bytes)
{
	check(madvise(bytes, PAGE, MADV_SEQUENTIAL) == 0, "give advice");
}

static void what_happens_to_memory(void)
{
	kept("a fork, private memory", MAP_PRIVATE, forks);
	kept("a fork, shared memory", MAP_SHARED, forks);
	kept("a fork, MADV_DONTFORK", MAP_PRIVATE, forks_without);
	kept("system", MAP_PRIVATE, runs_a_command);
	kept("mprotect", MAP_PRIVATE, protects);
	kept("mprotect to what it is", MAP_PRIVATE, protects_as_it_is);
	kept("MADV_DONTNEED", MAP_PRIVATE, gives_back);
	kept("MADV_SEQUENTIAL", MAP_PRIVATE, advises);
}

static void june(void)
{
	uint64_t mask = 0xffffffff;
	struct vfio_dma_map map = { .size = PAGE };

	printf("VFIO_DMA_MASK: %s\n", ioctl(device, VFIO_DMA_MASK, &mask) ? strerror(errno) : "done");
	printf("VFIO_DMA_MAP_ANYWHERE: %s\n", ioctl(device, VFIO_DMA_MAP_ANYWHERE, &map) ? strerror(errno) : "done");
}

int main(int argc, char **argv)
{
	int uiommu, list[2] = { 1, -1 };
	uint16_t identity[2];
	uint32_t length = 0;
	char path[128];

	bdf = argv[argc - 1];
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/vfio/%s/vfio/vfio0/dev", bdf);
	check(access(path, R_OK) == 0, "find the device");
	device = open("/dev/vfio0", O_RDWR | O_CLOEXEC);
	check(device >= 0, "open /dev/vfio0");
	check(pread(device, identity, 4, (off_t)VFIO_PCI_CONFIG_OFF) == 4, "read the identity");
	printf("identity %04x:%04x\n", identity[0], identity[1]);
	printf("write before the domain: %zd\n", pwrite(device, identity, 2, (off_t)(VFIO_PCI_CONFIG_OFF + PCI_COMMAND)));
	uiommu = open("/dev/uiommu", O_RDWR | O_CLOEXEC);
	check(uiommu >= 0 && ioctl(device, VFIO_DOMAIN_SET, &uiommu) == 0, "set the domain");
	if (argc > 2 && strcmp(argv[1], "--memory") == 0) {
		what_happens_to_memory();
		return 0;
	}
	if (argc > 2)
		june();
	printf("bus master at first: %d\n", !!(command() & PCI_COMMAND_MASTER));
	set_command(command() | PCI_COMMAND_MASTER);
	check(ioctl(device, VFIO_BAR_LEN, &length) == 0, "ask for BAR 0");
	bar = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	check(bar != MAP_FAILED, "map BAR 0");
	line();
	list[1] = eventfd(0, EFD_CLOEXEC);
	check(ioctl(device, VFIO_EVENTFDS_MSI, list) == 0, "set MSI up");
	printf("MSI: %d\n", factorial(list[1], WAIT_MS));
	memory(list[1]);
	list[0] = 0;
	check(ioctl(device, VFIO_EVENTFDS_MSI, list) == 0, "give MSI back");
	set_command(command() & (uint16_t)~PCI_COMMAND_MASTER);
	munmap((void *)bar, length);
	close(device);
	close(uiommu);
	return 0;
}
