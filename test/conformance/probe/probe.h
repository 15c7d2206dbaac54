// SPDX-License-Identifier: Apache-2.0
/*
 * Puts questions to a kernel's VFIO and prints its answers, `action = answer`, a line each: the same questions in the
 * same order and words as test/conformance/probe*.ts put to the simulated kernel in process.
 */
#ifndef CONFORMANCE_PROBE_H
#define CONFORMANCE_PROBE_H

#include <errno.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096u
#define REGIONS 32
#define IRQS 5

struct region {
	uint64_t size, offset;
	uint32_t flags;
};

/* An opened device and what was learned of it. */
struct probe {
	const char *bdf;
	bool noiommu;
	int container, group, device;
	char group_path[64];
	struct region regions[REGIONS];
	unsigned int region_count;
	unsigned int irq_counts[IRQS];
	int bar;      /* the first region that can be mapped */
	int physical; /* the device's config space in sysfs: the host's view */
};

void report(const char *action, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A result as its answer: a number, or the errno's name. */
const char *answer(long result);

/* Config space through VFIO, and as the host sees it. */
uint32_t config_read(const struct probe *probe, unsigned int at, unsigned int width);
long config_write(const struct probe *probe, unsigned int at, unsigned int width, uint32_t value);
uint32_t physical_read(const struct probe *probe, unsigned int at, unsigned int width);
unsigned int find_capability(const struct probe *probe, unsigned int id);

/* Of a device's file. */
long pread_count(const struct probe *probe, uint64_t offset, unsigned int count);

/* False when the load raised SIGBUS. */
bool load32(const volatile void *address, uint32_t *value);

int new_eventfd(void);
/* What it counted, waiting for it so long at most; 0 when nothing. */
unsigned long long eventfd_count(int fd, int milliseconds);

/* VFIO_DEVICE_SET_IRQS; argsz 0: what the data takes. */
long set_irqs(const struct probe *probe, uint32_t index, uint32_t flags, uint32_t start, uint32_t count,
	      const void *data, uint32_t argsz);

/* Anonymous memory, present. */
void *new_memory(size_t bytes);

/* The sections, in their order. */
void probe_open(struct probe *probe);
void probe_config(const struct probe *probe);
void probe_bars(const struct probe *probe);
void probe_interrupts(const struct probe *probe);
void probe_miscellaneous(const struct probe *probe);
void probe_dma(const struct probe *probe);
void probe_edu(const struct probe *probe);

/* The questions of a file. */
void ask_script(const char *file, const char *bdf);

#endif
