// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "probe.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PCI_CAPABILITIES 0x34
#define CAPABILITIES_MAX 48

void report(const char *action, const char *format, ...)
{
	va_list values;

	printf("%s = ", action);
	va_start(values, format);
	vprintf(format, values);
	va_end(values);
	putchar('\n');
	/* A kernel that falls over keeps the answers before. */
	fflush(stdout);
}

const char *answer(long result)
{
	static char texts[4][32];
	static unsigned int next;
	const int error = errno;
	const char *name = result == -1 ? strerrorname_np(error) : NULL;
	char *text = texts[next++ % 4];

	if (name != NULL)
		return name;
	if (result == -1)
		snprintf(text, sizeof(texts[0]), "errno %d", error);
	else
		snprintf(text, sizeof(texts[0]), "%ld", result);
	return text;
}

uint32_t config_read(const struct probe *probe, unsigned int at, unsigned int width)
{
	uint32_t value = 0;

	if (pread(probe->device, &value, width, (off_t)(probe->regions[VFIO_PCI_CONFIG_REGION_INDEX].offset + at)) < 0)
		return 0;
	return value;
}

long config_write(const struct probe *probe, unsigned int at, unsigned int width, uint32_t value)
{
	return pwrite(probe->device, &value, width, (off_t)(probe->regions[VFIO_PCI_CONFIG_REGION_INDEX].offset + at));
}

uint32_t physical_read(const struct probe *probe, unsigned int at, unsigned int width)
{
	uint32_t value = 0;

	if (pread(probe->physical, &value, width, at) < 0)
		return 0;
	return value;
}

unsigned int find_capability(const struct probe *probe, unsigned int id)
{
	unsigned int at = config_read(probe, PCI_CAPABILITIES, 1), found = 0;

	for (int n = 0; at != 0 && n < CAPABILITIES_MAX; n++) {
		if (config_read(probe, at, 1) == id)
			found = at;
		at = config_read(probe, at + 1, 1);
	}
	return found;
}

long pread_count(const struct probe *probe, uint64_t offset, unsigned int count)
{
	uint8_t bytes[256];

	return pread(probe->device, bytes, count, (off_t)offset);
}

static sigjmp_buf bus_error;

static void on_bus_error(int number)
{
	siglongjmp(bus_error, number);
}

bool load32(const volatile void *address, uint32_t *value)
{
	struct sigaction action = { .sa_handler = on_bus_error }, before;
	bool good = false;

	sigaction(SIGBUS, &action, &before);
	if (sigsetjmp(bus_error, 1) == 0) {
		*value = *(const volatile uint32_t *)address;
		good = true;
	}
	sigaction(SIGBUS, &before, NULL);
	return good;
}

int new_eventfd(void)
{
	const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0) {
		perror("probe: eventfd");
		exit(EXIT_FAILURE);
	}
	return fd;
}

unsigned long long eventfd_count(int fd, int milliseconds)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	if (poll(&ready, 1, milliseconds) != 1 || read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}

long set_irqs(const struct probe *probe, uint32_t index, uint32_t flags, uint32_t start, uint32_t count,
	      const void *data, uint32_t argsz)
{
	const size_t width = flags & VFIO_IRQ_SET_DATA_EVENTFD ? 4 : flags & VFIO_IRQ_SET_DATA_BOOL ? 1 : 0;
	const size_t bytes = sizeof(struct vfio_irq_set) + count * width;
	struct vfio_irq_set *set = calloc(1, bytes);
	long result;
	int error;

	if (set == NULL)
		abort();
	set->argsz = argsz == 0 ? (uint32_t)bytes : argsz;
	set->flags = flags;
	set->index = index;
	set->start = start;
	set->count = count;
	if (data != NULL)
		memcpy(set->data, data, count * width);
	result = ioctl(probe->device, VFIO_DEVICE_SET_IRQS, set);
	error = errno;
	free(set);
	errno = error;
	return result;
}

void *new_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED) {
		perror("probe: mmap");
		exit(EXIT_FAILURE);
	}
	return memory;
}
