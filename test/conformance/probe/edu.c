// SPDX-License-Identifier: Apache-2.0
/* A whole device at work: its interrupts by MSI and INTx, its DMA inside and outside of mappings. */
#include "probe.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define EDU_BYTES 0x100000
#define WAIT_MS 300
#define DMA_BYTES (PAGE / 2) /* QEMU before 8.1 ends itself when all of the device's buffer is transferred at once */
#define EVENTFDS (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define TRIGGER (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)
#define UNMASK (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK)

static volatile uint8_t *registers;

static uint32_t load(unsigned int at)
{
	return *(volatile uint32_t *)(registers + at);
}

static void store(unsigned int at, uint32_t value)
{
	*(volatile uint32_t *)(registers + at) = value;
}

/* docs/specs/edu.rst of QEMU: raising, and acknowledging. */
static unsigned long long raise_interrupt(int fd)
{
	store(0x60, 1);
	return eventfd_count(fd, WAIT_MS);
}

static void transfer(uint64_t source, uint64_t destination, uint32_t command)
{
	*(volatile uint64_t *)(registers + 0x80) = source;
	*(volatile uint64_t *)(registers + 0x88) = destination;
	*(volatile uint64_t *)(registers + 0x90) = DMA_BYTES;
	*(volatile uint64_t *)(registers + 0x98) = command;
	for (int n = 0; n < 1000 && load(0x98) & 1; n++)
		usleep(1000);
}

static void probe_transfers(const struct probe *probe)
{
	const uint64_t iova = 0x100000, buffer = 0x40000;
	uint8_t *memory = new_memory(2 * PAGE);
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = 3, .vaddr = (uintptr_t)memory, .iova = iova, .size = 2 * PAGE
	};

	ioctl(probe->container, VFIO_IOMMU_MAP_DMA, &map);
	for (unsigned int i = 0; i < DMA_BYTES; i++)
		memory[i] = (uint8_t)(i * 7);
	transfer(iova, buffer, 1);
	transfer(buffer, iova + PAGE, 3);
	report("edu DMA roundtrip through IOMMU", "%s", memcmp(memory, memory + PAGE, DMA_BYTES) == 0 ? "ok" : "different");
	transfer(buffer, 0x8000000, 3);
	report("edu DMA to an unmapped iova", "completes silently, cmd=0x%x (see dmesg DMAR fault)", load(0x98));
}

void probe_edu(const struct probe *probe)
{
	const int fd = new_eventfd();

	registers = mmap(NULL, EDU_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, probe->device,
			 (off_t)probe->regions[VFIO_PCI_BAR0_REGION_INDEX].offset);
	if (registers == MAP_FAILED) {
		perror("probe: edu's BAR");
		return;
	}
	store(0x04, 0x1234);
	report("edu: id reg / liveness", "0x%x  ~0x1234=0x%x", load(0), load(0x04));

	set_irqs(probe, VFIO_PCI_MSI_IRQ_INDEX, EVENTFDS, 0, 1, &fd, 0);
	report("edu MSI: raise -> eventfd", "%llu", raise_interrupt(fd));
	store(0x64, 1);
	report("edu MSI: raise again", "%llu", raise_interrupt(fd));
	store(0x64, 1);
	set_irqs(probe, VFIO_PCI_MSI_IRQ_INDEX, TRIGGER, 0, 0, NULL, 0);

	set_irqs(probe, VFIO_PCI_INTX_IRQ_INDEX, EVENTFDS, 0, 1, &fd, 0);
	{
		const unsigned long long count = raise_interrupt(fd);

		report("edu INTx: raise -> eventfd", "%llu (status reg 0x%x)", count, load(0x24));
	}
	report("edu INTx: COMMAND after (DisINTx bit 0x400 physical?)", "vfio view 0x%04x", config_read(probe, 4, 2));
	report("edu INTx: COMMAND after (DisINTx bit 0x400 physical?): physical COMMAND while auto-masked", "0x%04x",
	       physical_read(probe, 4, 2));
	report("edu INTx: raise again without unmask", "%llu", raise_interrupt(fd));
	set_irqs(probe, VFIO_PCI_INTX_IRQ_INDEX, UNMASK, 0, 1, NULL, 0);
	report("edu INTx: UNMASK while still asserted -> fires again", "%llu", eventfd_count(fd, WAIT_MS));
	store(0x64, 1);
	set_irqs(probe, VFIO_PCI_INTX_IRQ_INDEX, UNMASK, 0, 1, NULL, 0);
	report("edu INTx: ack then UNMASK -> no event", "%llu", eventfd_count(fd, WAIT_MS));
	set_irqs(probe, VFIO_PCI_INTX_IRQ_INDEX, TRIGGER, 0, 0, NULL, 0);
	if (!probe->noiommu)
		probe_transfers(probe);
	munmap((void *)registers, EDU_BYTES);
}
