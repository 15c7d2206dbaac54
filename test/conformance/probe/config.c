// SPDX-License-Identifier: Apache-2.0
/* Configuration space: what is virtual, what reaches the hardware, how accesses are cut. */
#include "probe.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void probe_identity(const struct probe *probe)
{
	uint32_t vendor;
	long wrote;

	report("config: vendor/device/class/hdr", "%04x:%04x class %06x hdr %02x intpin %u intline %x",
	       config_read(probe, 0, 2), config_read(probe, 2, 2), config_read(probe, 9, 3), config_read(probe, 0x0e, 1),
	       config_read(probe, 0x3d, 1), config_read(probe, 0x3c, 1));
	report("COMMAND as opened", "0x%04x", config_read(probe, 4, 2));
	vendor = config_read(probe, 0, 2);
	wrote = config_write(probe, 0, 2, 0x1234);
	report("config write VENDOR_ID=0x1234", "pwrite=%ld readback %04x (was %04x)", wrote, config_read(probe, 0, 2),
	       vendor);
	wrote = config_write(probe, 4, 2, config_read(probe, 4, 2) | 0x0006);
	report("config write COMMAND |= MEM|MASTER", "pwrite=%ld readback 0x%04x", wrote, config_read(probe, 4, 2));
	report("config write COMMAND |= MEM|MASTER: the same seen in sysfs config (physical)", "0x%04x",
	       physical_read(probe, 4, 2));
}

static void probe_virtual_registers(const struct probe *probe)
{
	const unsigned int at = 0x10 + 4 * (unsigned int)probe->bar;
	const uint32_t before = config_read(probe, at, 4);
	long wrote = config_write(probe, at, 4, 0xffffffff);

	report("config write BAR=0xffffffff", "pwrite=%ld readback 0x%08x (was 0x%08x), physical BAR 0x%08x", wrote,
	       config_read(probe, at, 4), before, physical_read(probe, at, 4));
	config_write(probe, at, 4, 0x12340000);
	report("config write BAR=0x12340000", "readback 0x%08x, physical 0x%08x", config_read(probe, at, 4),
	       physical_read(probe, at, 4));
	config_write(probe, at, 4, before);
	wrote = config_write(probe, 0x3c, 1, 0x55);
	report("config write INTERRUPT_LINE=0x55", "pwrite=%ld readback %x", wrote, config_read(probe, 0x3c, 1));
	wrote = config_write(probe, 0x30, 4, 0xffffffff);
	report("config write ROM BAR=~0", "pwrite=%ld readback 0x%08x", wrote, config_read(probe, 0x30, 4));
}

static void probe_accesses(const struct probe *probe)
{
	const struct region *config = &probe->regions[VFIO_PCI_CONFIG_REGION_INDEX];
	uint32_t word;

	report("pread 8 bytes config @0", "%s", answer(pread_count(probe, config->offset, 8)));
	report("pread 3 bytes config @1", "%s", answer(pread_count(probe, config->offset + 1, 3)));
	report("pread 4 bytes config @0xfe (crosses 256)", "%s", answer(pread_count(probe, config->offset + 0xfe, 4)));
	report("pread 4 bytes at end of config region", "%s", answer(pread_count(probe, config->offset + config->size, 4)));
	report("pread 4 @0x100 (ext. config)", "%s", answer(pread_count(probe, config->offset + 0x100, 4)));
	report("pread region 8 (VGA)", "%s", answer(pread_count(probe, 8ull << 40, 4)));
	report("pread region index 20", "%s", answer(pread_count(probe, 20ull << 40, 4)));
	report("read() (not pread) on device fd", "%s", answer(read(probe->device, &word, sizeof(word))));
	report("lseek on device fd", "%s", answer(lseek(probe->device, 0, SEEK_SET)));
}

static void probe_msi(const struct probe *probe, unsigned int msi)
{
	long wrote = config_write(probe, msi + 4, 4, 0xfee01000);
	uint32_t flags;

	report("MSI address low write 0xfee01000 via config", "pwrite=%ld readback 0x%08x", wrote,
	       config_read(probe, msi + 4, 4));
	report("MSI address low write 0xfee01000 via config: physical MSI address", "0x%08x",
	       physical_read(probe, msi + 4, 4));
	flags = config_read(probe, msi + 2, 2);
	wrote = config_write(probe, msi + 2, 2, flags | 1);
	report("MSI enable bit write via config (no SET_IRQS)", "pwrite=%ld flags 0x%04x -> 0x%04x", wrote, flags,
	       config_read(probe, msi + 2, 2));
}

static void probe_table(const struct probe *probe, unsigned int bar, uint32_t offset)
{
	const uint64_t entry = probe->regions[bar].offset + offset;
	const uint32_t page = offset & ~(PAGE - 1);
	uint32_t value = 0, address = 0, control = 0;
	const char *got = answer(pread(probe->device, &value, sizeof(value), (off_t)entry));
	volatile uint8_t *mapping;

	report("pread 4 of MSI-X table entry 0", "%s", got);
	report("pread 4 of MSI-X table entry 0: value", "0x%08x", value);
	value = 0x12345678;
	report("pwrite 4 to MSI-X table entry 0", "%s", answer(pwrite(probe->device, &value, sizeof(value), (off_t)entry)));
	value = 0;
	if (pread(probe->device, &value, sizeof(value), (off_t)entry) < 0)
		value = 0;
	report("pwrite 4 to MSI-X table entry 0: readback", "0x%08x", value);
	mapping = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, probe->device,
		       (off_t)(probe->regions[bar].offset + page));
	report("mmap the page with the MSI-X table", "%s", mapping == MAP_FAILED ? answer(-1) : "ok");
	if (mapping == MAP_FAILED)
		return;
	load32(mapping + offset - page, &address);
	load32(mapping + offset - page + 12, &control);
	report("mmap the page with the MSI-X table: load entry0 addr / vector control through mmap", "0x%08x / 0x%08x",
	       address, control);
	munmap((void *)mapping, PAGE);
}

void probe_config(const struct probe *probe)
{
	unsigned int msi, msix;

	probe_identity(probe);
	probe_virtual_registers(probe);
	probe_accesses(probe);
	msi = find_capability(probe, 0x05);
	msix = find_capability(probe, 0x11);
	report("capabilities", "msi@%x msix@%x pm@%x pcie@%x", msi, msix, find_capability(probe, 0x01),
	       find_capability(probe, 0x10));
	if (msi != 0)
		probe_msi(probe, msi);
	if (msix != 0) {
		const uint32_t flags = config_read(probe, msix + 2, 2), table = config_read(probe, msix + 4, 4);
		long wrote;

		report("MSI-X cap", "flags 0x%04x table bar %u off 0x%x pba 0x%x", flags, table & 7, table & ~7u,
		       config_read(probe, msix + 8, 4));
		wrote = config_write(probe, msix + 2, 2, flags | 0x8000);
		report("MSI-X enable bit write via config", "pwrite=%ld readback 0x%04x", wrote,
		       config_read(probe, msix + 2, 2));
		probe_table(probe, table & 7, table & ~7u);
	}
}
