// SPDX-License-Identifier: Apache-2.0
/*
 * A device on libvfio-user: it copies memory. BAR 0: the address at 0x00, the length at 0x08, and at 0x10 the command that is
 * done before the store is answered: 1 takes memory in, 2 gives it back with all bits inverted; each interrupts by the
 * MSI-X vector before its number. BAR 1 has the MSI-X table. It ends when its client has gone.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libvfio-user.h"
#include "pci_caps/msix.h"
#include "pci_defs.h"

#define BUFFER 8192
#define COMMAND 0x10

static struct {
	uint8_t registers[32];
	uint8_t table[4096];
	uint8_t buffer[BUFFER];
} device;

static void fail(const char *what)
{
	fprintf(stderr, "copy-server: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(int result, const char *what)
{
	if (result < 0)
		fail(what);
}

static void copy(vfu_ctx_t *context, uint32_t command)
{
	dma_sg_t *sg = alloca(dma_sg_size());
	uint64_t address;
	uint32_t length;

	memcpy(&address, device.registers, sizeof(address));
	memcpy(&length, device.registers + 8, sizeof(length));
	if (length > BUFFER || (command != 1 && command != 2))
		return;
	check(vfu_addr_to_sgl(context, (vfu_dma_addr_t)(uintptr_t)address, length, sg, 1, command == 1 ? PROT_READ : PROT_WRITE),
	      "find the memory");
	if (command == 1) {
		check(vfu_sgl_read(context, sg, 1, device.buffer), "read the memory");
	} else {
		for (uint32_t at = 0; at < length; at++)
			device.buffer[at] = (uint8_t)~device.buffer[at];
		check(vfu_sgl_write(context, sg, 1, device.buffer), "write the memory");
	}
	check(vfu_irq_trigger(context, command - 1), "interrupt");
}

static ssize_t registers(vfu_ctx_t *context, char *buffer, size_t count, loff_t offset, bool is_write)
{
	if (offset + count > sizeof(device.registers)) {
		errno = EINVAL;
		return -1;
	}
	if (!is_write) {
		memcpy(buffer, device.registers + offset, count);
		return (ssize_t)count;
	}
	memcpy(device.registers + offset, buffer, count);
	if (offset == COMMAND)
		copy(context, device.registers[COMMAND]);
	return (ssize_t)count;
}

static ssize_t table(vfu_ctx_t *context, char *buffer, size_t count, loff_t offset, bool is_write)
{
	(void)context;
	memcpy(is_write ? (char *)device.table + offset : buffer, is_write ? buffer : (char *)device.table + offset, count);
	return (ssize_t)count;
}

static int reset(vfu_ctx_t *context, vfu_reset_type_t type)
{
	(void)context;
	(void)type;
	memset(device.registers, 0, sizeof(device.registers));
	return 0;
}

static void memory(vfu_ctx_t *context, vfu_dma_info_t *info)
{
	(void)context;
	(void)info;
}

int main(int argc, char **argv)
{
	struct msixcap msix = { .hdr.id = PCI_CAP_ID_MSIX, .mxc.ts = 1, .mtab = { .tbir = 1 }, .mpba = { .pbir = 1, .pbao = 0x100 } };
	const int memory_space = VFU_REGION_FLAG_RW | VFU_REGION_FLAG_MEM;
	vfu_ctx_t *context = argc == 2 ? vfu_create_ctx(VFU_TRANS_SOCK, argv[1], 0, NULL, VFU_DEV_TYPE_PCI) : NULL;

	if (!context)
		fail("make a device");
	check(vfu_pci_init(context, VFU_PCI_TYPE_CONVENTIONAL, PCI_HEADER_TYPE_NORMAL, 0), "be a PCI device");
	vfu_pci_set_id(context, 0x1234, 0x0c09, 0x1234, 1);
	vfu_pci_set_class(context, 0, 0xff, 0);
	check(vfu_setup_region(context, VFU_PCI_DEV_BAR0_REGION_IDX, 4096, registers, memory_space, NULL, 0, -1, 0), "have BAR 0");
	check(vfu_setup_region(context, VFU_PCI_DEV_BAR1_REGION_IDX, 4096, table, memory_space, NULL, 0, -1, 0), "have BAR 1");
	check((int)vfu_pci_add_capability(context, 0, 0, &msix), "have MSI-X");
	check(vfu_setup_device_nr_irqs(context, VFU_DEV_MSIX_IRQ, 2), "have vectors");
	check(vfu_setup_device_reset_cb(context, reset), "be reset");
	check(vfu_setup_device_dma(context, memory, memory), "do DMA");
	check(vfu_realize_ctx(context), "be ready");
	check(vfu_attach_ctx(context), "have a client");
	while (vfu_run_ctx(context) >= 0)
		;
	if (errno != ENOTCONN)
		fail("go on");
	vfu_destroy_ctx(context);
	return 0;
}
