// SPDX-License-Identifier: Apache-2.0
/*
 * A driver of a simulated NVMe controller that measures how long it waits for the simulator. With examples/nvme/vfio.c:
 *
 *	sim-latency calls COUNT BDF      medians, in ns: a config read, a register's load, a doorbell, an admin command
 *	sim-latency idle BDF             says `idle`, and keeps the controller enabled until its input ends
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../examples/nvme/vfio.h"

#define NVME_CSTS 0x1c
#define NVME_CC 0x14
#define NVME_AQA 0x24
#define NVME_ASQ 0x28
#define NVME_ACQ 0x30
#define ADMIN_TAIL 0x1000
#define ADMIN_HEAD 0x1004
#define GET_FEATURES 0x0a
#define FEATURE_TEMPERATURE 4

#define ENTRIES 64u
#define COMMAND_DWORDS 16u
#define COMPLETION_DWORDS 4u

static struct vfio nvme;
static unsigned int tail, head;
static uint32_t phase = 1;

static uint32_t load(unsigned int offset)
{
	return *(volatile uint32_t *)(nvme.bar + offset);
}

static void store(unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(nvme.bar + offset) = value;
}

static void start(const char *bdf)
{
	vfio_open(&nvme, bdf, false);
	vfio_map_bar(&nvme, 2 * PAGE_BYTES);
	vfio_map_memory(&nvme, 2 * PAGE_BYTES);
	check(vfio_set_bus_master(&nvme, true), "enable bus mastering");
	store(NVME_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	*(volatile uint64_t *)(nvme.bar + NVME_ASQ) = nvme.iova;
	*(volatile uint64_t *)(nvme.bar + NVME_ACQ) = nvme.iova + PAGE_BYTES;
	store(NVME_CC, 0x460001);
	while (!(load(NVME_CSTS) & 1))
		;
}

static void read_config(void)
{
	uint32_t ids;

	check(vfio_read_config(&nvme, PCI_VENDOR_ID, &ids, sizeof(ids)), "read config space");
}

static void read_register(void)
{
	load(NVME_CSTS);
}

/* The value that is there: the controller looks, and finds nothing new. */
static void ring_doorbell(void)
{
	store(ADMIN_TAIL, tail);
}

/* From the store to the doorbell to the completion's phase bit, polled in memory. */
static void run_command(void)
{
	uint32_t *command = (uint32_t *)nvme.memory + tail * COMMAND_DWORDS;
	const volatile uint32_t *completion =
		(uint32_t *)(nvme.memory + PAGE_BYTES) + head * COMPLETION_DWORDS;

	memset(command, 0, COMMAND_DWORDS * sizeof(*command));
	command[0] = GET_FEATURES;
	command[10] = FEATURE_TEMPERATURE;
	tail = (tail + 1) % ENTRIES;
	store(ADMIN_TAIL, tail);
	while ((completion[3] >> 16 & 1) != phase)
		;
	head = (head + 1) % ENTRIES;
	phase ^= head == 0;
}

/* The completion queue's doorbell is not part of what is measured. */
static void consume(void)
{
	store(ADMIN_HEAD, head);
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *name, unsigned int count, void (*once)(void), void (*after)(void))
{
	double *took = calloc(count, sizeof(*took));

	check(took != NULL, "have memory for the times");
	/* A tenth more, which warms up. */
	for (unsigned int i = 0; i < count + count / 10; i++) {
		const double began = now_ns();

		once();
		took[i % count] = now_ns() - began;
		if (after)
			after();
	}
	qsort(took, count, sizeof(*took), compare);
	printf("%s %.0f\n", name, took[count / 2]);
	printf("%s.p99 %.0f\n", name, took[count - count / 100 - 1]);
	free(took);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "calls") == 0) {
		const unsigned int count = (unsigned int)atoi(argv[2]);

		start(argv[3]);
		measure("config_read", count, read_config, NULL);
		measure("register_read", count, read_register, NULL);
		measure("doorbell", count, ring_doorbell, NULL);
		measure("command", count, run_command, consume);
	} else if (argc == 3 && strcmp(argv[1], "idle") == 0) {
		char end;

		start(argv[2]);
		puts("idle");
		fflush(stdout);
		check(read(STDIN_FILENO, &end, 1) == 0, "wait for the end of input");
	} else {
		return 2;
	}
	store(NVME_CC, 0);
	vfio_unmap_memory(&nvme);
	vfio_close(&nvme);
	return 0;
}
