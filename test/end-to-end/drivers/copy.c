// SPDX-License-Identifier: Apache-2.0
/* The driver of copy-server.c's device, by MSI-X: `copy BDF`. */
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../../examples/nvme/vfio.h"

#define LENGTH 5000

static void command(const struct vfio *vfio, unsigned int number, uint64_t iova, int interrupt)
{
	volatile uint8_t *bar = vfio->bar;
	uint64_t times = 0;

	*(volatile uint64_t *)bar = iova;
	*(volatile uint32_t *)(bar + 8) = LENGTH;
	*(volatile uint32_t *)(bar + 0x10) = number;
	check(read(interrupt, &times, sizeof(times)) == sizeof(times), "read the eventfd");
	printf("command %u: %u interrupt\n", number, (unsigned int)times);
}

int main(int argc, char **argv)
{
	struct vfio vfio;
	int interrupts[2];
	uint32_t id = 0;
	int right = 0;

	check(argc == 2, "go without a device");
	vfio_open(&vfio, argv[1], VFIO_GROUP);
	check(vfio_read_config(&vfio, 0, &id, sizeof(id)), "read configuration space");
	printf("device: %04x:%04x, %u vectors%s\n", id & 0xffff, id >> 16, vfio.msix_count,
	       vfio.was_reset ? ", reset" : "");
	vfio_map_bar(&vfio, 4096);
	vfio_map_memory(&vfio, 2 * PAGE_BYTES);
	for (int i = 0; i < 2; i++)
		interrupts[i] = eventfd(0, EFD_CLOEXEC);
	vfio_set_msix(&vfio, interrupts, 2);
	check(vfio_set_bus_master(&vfio, true), "enable bus mastering");
	for (int at = 0; at < LENGTH; at++)
		vfio.memory[at] = (uint8_t)(at * 7);
	command(&vfio, 1, vfio.iova, interrupts[0]);
	/* To the same place: libvfio-user of 2022 does its DMA at the beginning of a mapping, wherever it was to be. */
	memset(vfio.memory, 0, LENGTH);
	command(&vfio, 2, vfio.iova, interrupts[1]);
	for (int at = 0; at < LENGTH; at++)
		right += vfio.memory[at] == (uint8_t)~(at * 7);
	printf("memory: %d of %d bytes inverted\n", right, LENGTH);
	vfio_set_msix(&vfio, NULL, 0);
	vfio_unmap_memory(&vfio);
	vfio_close(&vfio);
	return right != LENGTH;
}
