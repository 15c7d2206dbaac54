/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store to a BAR costs the thread that makes it while memory is compared: on a stand-in device, recorded with
 * `--dma content`, with so many pages mapped for DMA, none or one of them changed since the store before.
 *
 *	dma-cost RUNS PAGES…
 *
 * Prints "PAGES.same value" and "PAGES.changed value" lines: medians of RUNS, ns of CLOCK_THREAD_CPUTIME_ID.
 */
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 101
#define PAGE 4096
#define IOVA 0x100000

static int container, runs;
static volatile uint32_t *bar;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

static double median_store(volatile uint8_t *memory, long pages, long stores, int change)
{
	double costs[RUNS_MAX];

	for (int run = -1; run < runs; run++) {
		double spent = 0;

		for (long i = 0; i < stores; i++) {
			double began;

			if (change && pages)
				memory[i % pages * PAGE + i % PAGE] += 1;
			began = now();
			bar[0] = (uint32_t)i;
			spent += now() - began;
		}
		if (run >= 0)
			costs[run] = spent / (double)stores;
	}
	qsort(costs, (size_t)runs, sizeof(costs[0]), ascending);
	return costs[runs / 2];
}

static void measure(long pages)
{
	long stores = pages > 1024 ? 20 : 500;
	size_t size = (size_t)pages * PAGE;
	volatile uint8_t *memory = NULL;

	if (pages) {
		struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .iova = IOVA, .size = size };

		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		map.vaddr = (uint64_t)memory;
		if (memory == MAP_FAILED || ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
			exit(3);
	}
	printf("%ld.same %.1f\n", pages, median_store(memory, pages, stores, 0));
	printf("%ld.changed %.1f\n", pages, median_store(memory, pages, stores, 1));
	if (pages) {
		struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = IOVA, .size = size };

		if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap))
			exit(3);
		munmap((void *)memory, size);
	}
}

int main(int argc, char **argv)
{
	int device = memfd_create("vfiotape-standin-device", 0);

	container = memfd_create("vfiotape-standin-container", 0);
	runs = argc > 1 ? atoi(argv[1]) : 0;
	if (argc < 3 || runs < 1 || runs > RUNS_MAX || device < 0 || container < 0 || ftruncate(device, 1 << 20))
		return 2;
	bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	if (bar == MAP_FAILED)
		return 3;
	for (int i = 2; i < argc; i++)
		measure(atol(argv[i]));
	return 0;
}
